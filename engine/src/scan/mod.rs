//! The scan: a request becomes a plan, and the plan merged batches in which the newest write
//! wins.
//!
//! A [`ScanRequest`] is planned on a [`ReadView`] into a [`ScanSpec`], a plain value; each of its
//! partitions is opened as a [`ScanCursor`]. Work is cut by tag, then by time, never by source,
//! so that every version of a row is in one place.
//!
//! Invariants:
//! 1. Of the rows of one tag and time, that of the highest rank counts: memtables are above
//!    segments, newer memtables above older ones, segments with higher sequences above others.
//! 2. A delete hides the rows of sources that end before it in the log; what it leaves of a run is
//!    read as if it were several.
//! 3. Rows are chosen by quality after the merge: a row that was replaced never shows.
//! 4. Samples that are not decided on are looked for before those that are: one that is decided on
//!    meanwhile may be found twice, and is never missed.
//! 5. A cursor's memory does not depend on the length of runs: rows are read in chunks, and a
//!    source is opened when the merge arrives at its first row.

mod batch;
mod cursor;
mod history;
mod inventory;
mod lookup;
mod merge;
mod plan;
mod schedule;
mod source;
mod spec;
mod statistics;
mod sweep;
mod tally;

use std::sync::Arc;

pub use batch::{ScanBatch, ScanStatistics};
pub use cursor::ScanCursor;
pub use history::{Histories, HistoryPart, HistoryRequest};
pub use spec::{Order, QualitySet, ScanCell, ScanRequest, ScanSpec, TagSelection};

use crate::TagTable;
use crate::delete::Deletes;
use crate::error::{Error, ErrorKind, Result};
use crate::memtable::Memtable;
use crate::segment::{ReadMetrics, Segment, SegmentMeta};
use crate::tag::TagId;
use schedule::{Limits, Schedule};
use source::{Reading, Sizes};

/// A consistent set of sources: what a query reads.
#[derive(Clone)]
pub struct ReadView {
    /// Ascending in their last sequence.
    pub(crate) segments: Arc<[Arc<Segment>]>,
    /// Oldest first; all newer than the segments.
    pub(crate) memtables: Vec<Arc<Memtable>>,
    /// Where the samples are that are not decided on, of tags with reduction.
    pub(crate) held: Option<Arc<Memtable>>,
    /// What hides rows of older sources.
    pub(crate) deletes: Deletes,
    pub(crate) tags: Arc<TagTable>,
    /// The number of the manifest that names the segments.
    pub(crate) manifest: u64,
}

impl ReadView {
    /// The tags of the archive when the view was made.
    pub fn tags(&self) -> &Arc<TagTable> {
        &self.tags
    }

    /// The number of segments.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Whether it reads a segment that is known to be damaged and was not mentioned before.
    pub(crate) fn mention_damage(&self) -> bool {
        self.segments.iter().any(|segment| segment.mention_damage())
    }

    /// Opens one partition of a plan.
    ///
    /// The plan may be older than the view, or come from elsewhere; the rows are always those of
    /// this view. Errors: a partition that the plan does not have; a view that ends before the
    /// plan's, which would miss samples.
    pub fn open(&self, spec: &ScanSpec, partition: usize, metrics: Arc<ReadMetrics>) -> Result<ScanCursor> {
        self.open_by(spec, partition, metrics, Sizes::USUAL)
    }

    fn open_by(
        &self,
        spec: &ScanSpec,
        partition: usize,
        metrics: Arc<ReadMetrics>,
        sizes: Sizes,
    ) -> Result<ScanCursor> {
        let what = || format!("opening partition {partition} of a scan");
        let Some(cells) = spec.cells.get(partition) else {
            let why = format!("the plan has {} partitions", spec.partitions());
            return Err(Error::invalid(what(), why, "ask for one of them"));
        };
        if self.through() < spec.through {
            let why = format!("the plan goes to log sequence {}, the view to {}", spec.through, self.through());
            return Err(Error::new(ErrorKind::Conflict, what(), why, "open it on a newer view"));
        }
        let used = self.segments.iter().filter(|s| cells.iter().any(|cell| touches(s.meta(), cell))).count();
        metrics.skip_segments((self.segments.len() - used) as u64);
        let reading = Reading::of(spec, sizes, metrics);
        let limits =
            Limits { rows: spec.limit.unwrap_or(u64::MAX), rows_per_tag: spec.limit_per_tag.unwrap_or(u64::MAX) };
        let nothing = limits.rows == 0 || limits.rows_per_tag == 0;
        let cells = if nothing { Vec::new() } else { cells.clone() };
        let schedule = Schedule::new(self, spec.tags.sorted(), reading, limits, cells);
        Ok(ScanCursor::new(schedule, limits.rows))
    }

    /// The highest log sequence in the view.
    fn through(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.meta().last_sequence);
        segments.chain(self.memtables.iter().map(|memtable| memtable.last_sequence())).max().unwrap_or(0)
    }

    /// The segments that can hold rows of a cell, each with its rank.
    fn segments_of(&self, cell: &ScanCell) -> Vec<(usize, Arc<Segment>)> {
        // What deletes take away as a whole is not read: it may be there no more, or not whole.
        let counts = |meta: &SegmentMeta| touches(meta, cell) && !self.deletes.take_all_of(meta);
        let segments = self.segments.iter().enumerate().filter(|(_, segment)| counts(segment.meta()));
        segments.map(|(rank, segment)| (rank, Arc::clone(segment))).collect()
    }

    /// What hides rows of a segment.
    fn deletes_of_segment(&self, meta: &SegmentMeta) -> Deletes {
        self.deletes.after(meta.deleted_through, (meta.first_tag, meta.last_tag), (meta.first_time, meta.last_time))
    }

    /// What hides rows of a memtable: deletes since it was frozen, and one that is being applied.
    fn deletes_of_memtable(&self, memtable: &Memtable) -> Deletes {
        self.deletes.after(memtable.last_sequence(), (TagId(0), TagId(u32::MAX)), (i64::MIN, i64::MAX))
    }
}

/// Whether a segment can hold rows of a cell.
fn touches(meta: &SegmentMeta, cell: &ScanCell) -> bool {
    meta.first_tag <= cell.last_tag
        && meta.last_tag >= cell.first_tag
        && meta.first_time <= cell.to
        && meta.last_time >= cell.from
}

#[cfg(test)]
mod tests;
