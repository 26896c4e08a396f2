//! Work that the planner decides on.

pub(crate) mod deletes_file;
mod flush;
pub(crate) mod lists;
mod merge;
mod purge;
mod retire;
pub(crate) mod tags_file;

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
    /// Whether the clock was elsewhere when the archive was opened.
    pub clock_jumped: AtomicBool,
    /// Whether a backup is being made.
    pub backing_up: AtomicBool,
    /// Whether a merge or a backup is to end early.
    pub stopping: AtomicBool,
}
