//! One partition of a scan, batch by batch.

use super::batch::{BatchBuilder, ScanBatch, ScanStatistics, Sink};
use super::schedule::{Schedule, Work};
use super::tally::tally;
use crate::error::Result;
use crate::tag::TagId;

/// Answers one partition of a scan; it reads as it is asked for batches, and stops when it is
/// dropped. After an error it ends.
pub struct ScanCursor {
    schedule: Schedule,
    work: Option<Doing>,
    /// Rows that the limit still admits.
    left: u64,
    ended: bool,
}

/// Work under way.
enum Doing {
    Work(Work),
    /// Rows without columns, not yet handed out.
    Count(TagId, u64),
}

impl ScanCursor {
    pub(super) fn new(schedule: Schedule, limit: u64) -> ScanCursor {
        ScanCursor { schedule, work: None, left: limit, ended: false }
    }

    fn next_batch(&mut self) -> Result<Option<ScanBatch>> {
        let reading = self.schedule.reading();
        let mut batch = BatchBuilder::new(reading.columns, reading.sizes.batch, self.left);
        while batch.room() > 0 {
            if self.work.is_none() {
                self.work = self.schedule.next()?.map(Doing::Work);
            }
            self.work = match self.work.take() {
                Some(work) => self.advance(work, &mut batch)?,
                None => break,
            };
        }
        self.left -= batch.len() as u64;
        Ok((batch.len() > 0).then(|| batch.finish()))
    }

    /// Does some work; answers what is left of it.
    fn advance(&self, work: Doing, batch: &mut BatchBuilder) -> Result<Option<Doing>> {
        let quota = self.schedule.quota();
        let count = |tag, found: ScanStatistics| Some(Doing::Count(tag, found.rows.min(quota)));
        Ok(match work {
            Doing::Work(Work::Counted(tag, found)) => count(tag, found),
            Doing::Work(Work::Tally(tag, sources)) => count(tag, tally(&sources, self.schedule.reading())?),
            Doing::Work(Work::Sweep(mut sweep)) => sweep.fill(batch)?.then_some(Doing::Work(Work::Sweep(sweep))),
            Doing::Work(Work::Merge(mut merge)) => merge.fill(batch)?.then_some(Doing::Work(Work::Merge(merge))),
            Doing::Count(_, 0) => None,
            Doing::Count(tag, rows) => {
                let now = usize::try_from(rows).map_or(batch.room(), |rows| rows.min(batch.room()));
                batch.count(tag, now);
                Some(Doing::Count(tag, rows - now as u64))
            }
        })
    }
}

impl Iterator for ScanCursor {
    type Item = Result<ScanBatch>;

    fn next(&mut self) -> Option<Result<ScanBatch>> {
        if self.ended {
            return None;
        }
        let batch = self.next_batch().transpose();
        if !matches!(batch, Some(Ok(_))) {
            self.ended = true;
            self.work = None;
        }
        batch
    }
}
