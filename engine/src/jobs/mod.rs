//! Work that the planner decides on.

mod flush;
pub(crate) mod tags_file;
