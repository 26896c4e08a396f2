//! Work that the planner decides on.

mod deletes_file;
mod flush;
pub(crate) mod lists;
mod merge;
mod purge;
mod retire;
mod tags_file;

use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use retire::Looked;

/// Whose turn it is: one flush, one merge and one delete at a time.
#[derive(Default)]
pub(crate) struct Turns {
    pub flushing: Mutex<()>,
    pub merging: Mutex<()>,
    /// One delete is written at a time.
    pub deleting: Mutex<()>,
    pub retired: Mutex<Option<Looked>>,
    /// Whether a merge is to end early.
    pub stopping: AtomicBool,
}
