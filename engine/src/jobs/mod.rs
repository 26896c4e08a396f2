//! Work that the planner decides on.

mod flush;
mod merge;
pub(crate) mod tags_file;

use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

/// Whose turn it is: one flush and one merge at a time.
#[derive(Default)]
pub(crate) struct Turns {
    pub flushing: Mutex<()>,
    pub merging: Mutex<()>,
    /// Whether a merge is to end early.
    pub stopping: AtomicBool,
}
