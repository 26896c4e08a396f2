//! How many rows match a request, and when the oldest and the newest are.

use std::sync::Arc;

use super::batch::ScanStatistics;
use super::schedule::{Limits, Schedule, Work};
use super::source::{Reading, Sizes};
use super::tally::tally;
use super::{ReadView, ScanRequest};
use crate::error::Result;
use crate::segment::{Columns, ReadMetrics};

impl ReadView {
    /// The exact number of rows of a request, and the times of its oldest and newest row.
    /// Columns, order and limits of the request have no effect.
    ///
    /// Tag directories answer wherever they can; times are read where sources of a tag overlap
    /// in time or the times asked for cut a run, statuses where the qualities asked for admit
    /// some rows of a run only.
    pub fn statistics(&self, request: &ScanRequest, metrics: Arc<ReadMetrics>) -> Result<ScanStatistics> {
        self.statistics_by(request, metrics, Sizes::USUAL)
    }

    pub(super) fn statistics_by(
        &self,
        request: &ScanRequest,
        metrics: Arc<ReadMetrics>,
        sizes: Sizes,
    ) -> Result<ScanStatistics> {
        let counting = ScanRequest { columns: Columns::NONE, limit: None, limit_per_tag: None, ..request.clone() };
        let spec = self.plan(&counting, 1)?;
        let reading = Reading::of(&spec, sizes, metrics);
        let cells = spec.cells.into_iter().flatten().collect();
        let mut schedule = Schedule::new(self, spec.tags, reading, Limits::NONE, cells);
        let mut found = ScanStatistics::default();
        while let Some(work) = schedule.next()? {
            match work {
                Work::Counted(_, counted) => found.merge(counted),
                Work::Tally(_, sources) => found.merge(tally(&sources, schedule.reading())?),
                Work::Sweep(mut sweep) => while sweep.fill(&mut found)? {},
                Work::Merge(mut merge) => while merge.fill(&mut found)? {},
            }
        }
        Ok(found)
    }
}
