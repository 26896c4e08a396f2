//! Segments: immutable Parquet files of samples sorted by tag and time, readable by anyone.
//!
//! A segment is standard Parquet with one row a sample. What Parquet does not have stands
//! between its last page and its footer, where other readers pass over it: the tag directory
//! ([`directory`]), which finds a tag's rows with one read, and a checksum for each 64 KiB
//! ([`checksums`]). `docs/format.md` is the specification.
//!
//! Invariants:
//! 1. Rows ascend in (tag, time), each pair once; the rows of one tag are one run.
//! 2. Pages are cut at the same rows in all columns, so that a row range is a page range.
//! 3. Every byte before the tail is under a block checksum, every byte of the tail under the
//!    checksum that the manifest holds. No byte is decoded before its checksum was right.
//! 4. A damaged byte, an unreadable sector and a missing file end as an error of kind `Damaged`
//!    for whoever needs that part, never as a panic or a wrong row. Short files, handles and
//!    memory are no damage.
//! 5. Memory is bounded by a batch of pages when reading, and by a compressed row group when
//!    writing, whatever the size of the file.

mod checksums;
mod chunk;
mod codec;
mod copy;
mod damages;
pub mod decimal;
mod decode;
mod directory;
mod fetch;
mod footers;
mod group;
mod output;
mod page;
mod plan;
mod reader;
mod rows;
mod schema;
mod summary;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::collections::BTreeMap;
use std::ops::BitOr;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use serde::{Deserialize, Serialize};

pub(crate) use damages::Damages;
pub(crate) use footers::Footers;

pub use damages::DamagedSegment;
pub use directory::{RunScale, Stored, TagRun};
pub use reader::Segment;
pub use rows::RowReader;
pub use summary::{SUMMARY_ROWS_MIN, Summary};
pub use writer::{NewSegment, SegmentWriter};

use crate::limits::{TIME_MAX, TIME_MIN};
use crate::tag::TagId;

/// What the manifest says of a segment; enough to plan a query without opening the file.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentMeta {
    /// Its id; never reused.
    pub id: u64,
    /// Its file name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where its tail starts: checksums, directory index and Parquet footer.
    pub tail_offset: u64,
    /// The CRC32C of the tail.
    pub tail_crc: u32,
    /// Its rows.
    pub rows: u64,
    /// The first log sequence that it may hold rows of.
    pub first_sequence: u64,
    /// The last log sequence that it may hold rows of.
    pub last_sequence: u64,
    /// Deletes up to this log sequence have nothing to take away from it.
    pub deleted_through: u64,
    /// The smallest tag that it holds rows of.
    pub first_tag: TagId,
    /// The largest tag that it holds rows of.
    pub last_tag: TagId,
    /// How many tags it holds rows of.
    pub tags: u32,
    /// Its earliest time in nanoseconds since 1970 UTC.
    pub first_time: i64,
    /// Its latest time in nanoseconds since 1970 UTC.
    pub last_time: i64,
}

impl SegmentMeta {
    /// Whether there can be such a segment; else why not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let tags = self.last_tag.0.checked_sub(self.first_tag.0).map(|more| u64::from(more) + 1);
        if self.first_tag.0 == 0 || self.tags == 0 || tags.is_none_or(|tags| u64::from(self.tags) > tags) {
            return Err("it has an impossible number of tags");
        }
        if self.rows < u64::from(self.tags) || self.tail_offset >= self.bytes {
            return Err("it has an impossible size");
        }
        if self.first_time > self.last_time || self.first_time < TIME_MIN || self.last_time > TIME_MAX {
            return Err("it has impossible times");
        }
        Ok(())
    }
}

/// A set of what a reader may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Columns(u8);

impl Columns {
    /// Nothing but the number of rows.
    pub const NONE: Columns = Columns(0);
    /// Times.
    pub const TIME: Columns = Columns(1);
    /// Value bits, and which rows have a value.
    pub const VALUE: Columns = Columns(2);
    /// Texts.
    pub const TEXT: Columns = Columns(4);
    /// Statuses.
    pub const STATUS: Columns = Columns(8);
    /// Everything.
    pub const ALL: Columns = Columns(15);

    /// Whether nothing is asked for.
    pub fn is_empty(self) -> bool {
        self == Columns::NONE
    }

    /// Whether everything in `other` is in this set.
    pub fn contains(self, other: Columns) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Columns {
    type Output = Columns;

    fn bitor(self, other: Columns) -> Columns {
        Columns(self.0 | other.0)
    }
}

/// Counts what reading costs; shared by all readers of a query.
#[derive(Debug, Default)]
pub struct ReadMetrics {
    /// By segment id.
    segments: Mutex<BTreeMap<u64, PageCount>>,
    segments_skipped: AtomicU64,
    pages_read: AtomicU64,
    rows_read: AtomicU64,
    bytes_read: AtomicU64,
}

/// Data pages of a segment that was read, counted in each column.
#[derive(Debug, Default)]
struct PageCount {
    all: u64,
    read: u64,
}

impl ReadMetrics {
    /// Segments of which at least one row was asked for.
    pub fn segments_read(&self) -> u64 {
        self.segments.lock().len() as u64
    }

    /// Segments of the read view that a scan did not look into, since they have no row of its
    /// tags and times.
    pub fn segments_skipped(&self) -> u64 {
        self.segments_skipped.load(Ordering::Relaxed)
    }

    /// Data pages read, counted in each column.
    pub fn pages_read(&self) -> u64 {
        self.pages_read.load(Ordering::Relaxed)
    }

    /// Data pages of the segments that were read which did not have to be read. It is right when
    /// reading has ended: what a reader reads counts when it is dropped.
    pub fn pages_skipped(&self) -> u64 {
        self.segments.lock().values().map(|pages| pages.all.saturating_sub(pages.read)).sum()
    }

    /// Rows decoded from segments.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// Bytes read from disk for rows, tails excluded.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Notes that a scan has no use for some segments.
    pub(crate) fn skip_segments(&self, count: u64) {
        ReadMetrics::add(&self.segments_skipped, count);
    }

    /// Notes that a segment of so many pages is read, and so many of them more than before.
    fn count_pages(&self, segment: u64, all: u64, read: u64) {
        let mut segments = self.segments.lock();
        let pages = segments.entry(segment).or_default();
        pages.all = all;
        pages.read += read;
    }

    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}
