//! Work that the planner decides on.

mod flush;
mod merge;
pub(crate) mod tags_file;
