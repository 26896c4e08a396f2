//! Drives the engine's blocking cursor from an asynchronous plan.
//!
//! A partition holds a blocking thread only while it reads: one call fetches a few batches, and the
//! next call starts when these are handed out, so that reading and computing overlap. No thread
//! waits for a slow consumer, and so many partitions cannot starve each other of threads.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use tagus_engine::TagTable;
use tagus_engine::scan::{ScanCursor, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::tag::{Tag, TagId};

use super::batch::{Layout, TagNames, to_arrow};
use super::plan::SamplePlan;
use super::predicate::Predicate;
use crate::blocking::{self, Step, Work};
use crate::context::Reading;
use crate::error::external;

/// Batches of one fetch, after the first: enough to make a thread's change cheap, few enough to
/// keep memory small.
const BATCHES_A_FETCH: usize = 4;

/// Memory of a cursor that is not seen in its batches: pages as they were read.
const CURSOR_BYTES: usize = 1 << 20;
/// What a scan reserves before it reads: ordinary batches fit, so that a sort that has taken the rest
/// of the pool meanwhile does not end it.
const RESERVED_BYTES: usize = 2 << 20;

/// A partition to be read.
pub(super) struct Scan {
    pub(super) reading: Arc<Reading>,
    pub(super) plan: Arc<SamplePlan>,
    pub(super) layout: Layout,
    /// Filters over `tag` that a join may have filled by now.
    pub(super) hints: Vec<Arc<dyn PhysicalExpr>>,
    /// Counts what is read, of all partitions.
    pub(super) read: Arc<ReadMetrics>,
    pub(super) partition: usize,
}

/// Opens a partition of a scan. Nothing is read before the stream is polled.
pub(super) fn open(
    scan: Scan,
    pool: &Arc<dyn MemoryPool>,
    metrics: &ExecutionPlanMetricsSet,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(scan.layout.schema());
    let fetch = Fetch {
        names: TagNames { tags: Arc::clone(&scan.reading.tags), engine: scan.reading.engine.clone() },
        cursor: None,
        batches: 1,
        memory: MemoryConsumer::new(format!("SampleScanExec[{}]", scan.partition)).register(pool),
        metrics: Metrics::new(metrics, scan.partition),
        scan,
    };
    blocking::batches(schema, fetch)
}

/// One partition being read.
struct Fetch {
    scan: Scan,
    names: TagNames,
    cursor: Option<ScanCursor>,
    /// Batches of the next fetch.
    batches: usize,
    memory: MemoryReservation,
    metrics: Metrics,
}

impl Work for Fetch {
    /// Reads a few batches.
    fn step(mut self: Box<Fetch>) -> Result<Step<Fetch>> {
        let baseline = self.metrics.baseline.clone();
        let timer = baseline.elapsed_compute().timer();
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                self.memory.try_resize(RESERVED_BYTES)?;
                self.open()?
            }
        };
        let mut batches = Vec::with_capacity(self.batches);
        let mut ended = false;
        while batches.len() < self.batches {
            match cursor.next() {
                Some(batch) => {
                    let batch = batch.map_err(external)?;
                    batches.extend(to_arrow(&batch, &self.scan.layout, &mut self.names)?);
                }
                None => {
                    ended = true;
                    break;
                }
            }
        }
        self.batches = BATCHES_A_FETCH;
        self.cursor = Some(cursor);
        // These batches, and those before them that are still being handed out.
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let needed = bytes.saturating_mul(2).saturating_add(CURSOR_BYTES);
        self.memory.try_resize(needed.max(RESERVED_BYTES))?;
        self.metrics.record(&batches);
        drop(timer);
        Ok((batches, (!ended).then_some(self)))
    }
}

impl Fetch {
    /// Opens the cursor, without the tags that a join has no use for.
    fn open(&self) -> Result<ScanCursor> {
        let Scan { reading, plan, partition, .. } = &self.scan;
        let mut spec = Cow::Borrowed(&plan.spec);
        for hint in self.scan.hints.iter().filter_map(Predicate::over_tags) {
            let tags = selected(&spec.tags, &reading.tags);
            // A hint that cannot be evaluated yet is none: the join looks at each row again.
            if let Ok(chosen) = hint.choose(&tags)
                && chosen.len() < tags.len()
            {
                self.metrics.tags_skipped.add(tags.len() - chosen.len());
                spec.to_mut().tags = TagSelection::Ids(chosen);
            }
        }
        reading.view.open(&spec, *partition, Arc::clone(&self.scan.read)).map_err(external)
    }
}

fn selected<'a>(selection: &TagSelection, tags: &'a TagTable) -> Vec<(TagId, &'a str)> {
    let named = |tag: &'a Arc<Tag>| (tag.id, tag.spec.name.as_str());
    match selection {
        TagSelection::All | TagSelection::Everything => tags.iter().map(named).collect(),
        TagSelection::Ids(ids) => ids.iter().filter_map(|id| tags.get(*id)).map(named).collect(),
    }
}

/// Counters for EXPLAIN ANALYZE.
struct Metrics {
    baseline: BaselineMetrics,
    tags_skipped: Count,
}

impl Metrics {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Metrics {
        Metrics {
            baseline: BaselineMetrics::new(metrics, partition),
            tags_skipped: MetricBuilder::new(metrics).counter("tags_skipped", partition),
        }
    }

    fn record(&self, batches: &[RecordBatch]) {
        self.baseline.output_rows().add(batches.iter().map(RecordBatch::num_rows).sum());
        self.baseline.output_batches().add(batches.len());
    }
}
