//! The write-ahead log: what is acknowledged is here, synced, until a segment holds it.
//!
//! Payloads are opaque. Each becomes a *frame* with a sequence number of its own; frames are
//! written in groups, with one write and one sync a group. `docs/format.md` has the bytes.
//!
//! Invariants:
//!
//! 1. A frame is acknowledged only after the sync of its group returned.
//! 2. A group begins at a multiple of 4 KiB, so the running log never rewrites an acknowledged byte.
//! 3. At most one group is unsynced at any time, and each frame says through which sequence all
//!    frames were synced when it was written (*durable-through*).
//! 4. What a recycled file held before cannot pass for its frames: they carry the new random id of
//!    its header. The header is synced before the first frame is written; only recovery writes the
//!    frames it carries over before the header that makes them count.
//! 5. The header lies in one sector of 512 bytes. While it is written, the block behind it is zero
//!    or begins with a valid frame, so that a torn header can be told from a damaged file.
//! 6. Log files get their space before they get their name; appending never extends a file.
//! 7. After a failed write or sync nothing is appended any more. A sync is never tried again.
//! 8. Frames of a file count only up to the `start_after` of the file that follows it.

mod files;
mod frame;
mod header;
mod log;
mod recover;
mod scan;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::limits;

pub use log::Log;
pub use verify::{LogCheck, LogDamage, verify};

/// Sizes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of one log file with its header block: a multiple of 4 KiB.
    pub file_bytes: u64,
    /// Bytes of log files that hold frames not yet in segments, at most; beyond it appending is refused.
    pub bytes_max: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { file_bytes: limits::LOG_FILE_BYTES, bytes_max: limits::LOG_BYTES_MAX }
    }
}

/// What recovery found in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Frames handed on; idle frames are not among them.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Sequences that were acknowledged and cannot be read, ascending.
    pub lost: Vec<RangeInclusive<u64>>,
    /// Copies of damaged files, for whoever wants to look into them.
    pub quarantined: Vec<PathBuf>,
}
