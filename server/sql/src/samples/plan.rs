//! From filters, projection and limit to a planned scan that can be sent elsewhere.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::catalog::ScanArgs;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use serde::{Deserialize, Serialize};
use tagus_engine::TagTable;
use tagus_engine::scan::{Order, QualitySet, ScanRequest, ScanSpec, ScanStatistics, TagSelection};
use tagus_engine::segment::{Columns, ReadMetrics};
use tagus_engine::status::Quality;
use tagus_engine::tag::TagId;

use super::exec::SampleScanExec;
use super::region::{Bound, Region};
use super::{column, schema};
use crate::context::Reading;
use crate::error::external;

/// Tags whose names are compared to find out whether rows come in the order of names.
const NAMES_COMPARED_MAX: usize = 10_000;
/// Samples that a tag is taken to have where nobody counted them: what matters is that there are
/// more samples than tags, so that joins hold the tags in memory and not the samples.
const ROWS_A_TAG_GUESSED: usize = 10_000;
/// Tags counted at once, after the first few.
const TAGS_COUNTED_MAX: usize = 4096;
/// Tag names shown in EXPLAIN.
const NAMES_SHOWN_MAX: usize = 3;

/// What the planner asks of the table.
pub(crate) struct Request {
    filters: Vec<Expr>,
    projection: Vec<usize>,
    limit: Option<usize>,
    /// Whether exact row counts and times answer the query.
    counted: bool,
    partitions: usize,
}

/// A planned scan of `samples`: plain values, and no handle of the engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SamplePlan {
    /// What the engine reads.
    pub(crate) spec: ScanSpec,
    /// The columns handed out: positions in the table's schema.
    pub(crate) projection: Vec<usize>,
    /// In what order rows come within a partition.
    pub(crate) sorted: Sorted,
    /// How many rows there are.
    pub(crate) rows: RowCount,
    /// What EXPLAIN shows.
    pub(crate) shown: Shown,
}

/// In what order rows come within a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Sorted {
    /// By time: they are all of this tag.
    OneTag(String),
    /// By tag name, then time.
    ByName,
    /// By a number that nobody sees, then time.
    ById,
}

/// How many rows a scan gives, before any limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum RowCount {
    /// Counted, with the first and last time.
    Exact { rows: u64, first_time: Option<i64>, last_time: Option<i64> },
    /// Not counted.
    Guessed(usize),
}

/// What EXPLAIN shows of a scan besides its spec.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// The tags: `all`, or the first few names and how many there are.
    pub(crate) tags: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Live segments, whether or not they have rows of the scan.
    pub(crate) segments: usize,
}

impl Request {
    pub(crate) fn new(args: &ScanArgs<'_>, partitions: usize) -> Request {
        Request {
            filters: args.filters().unwrap_or_default().to_vec(),
            projection: args.projection().map_or_else(|| (0..schema().fields().len()).collect(), <[usize]>::to_vec),
            limit: args.limit(),
            counted: !args.statistics_requests().is_empty(),
            partitions,
        }
    }
}

/// Plans a scan. Blocks on the disk.
pub(crate) fn plan(reading: &Reading, request: Request) -> Result<Arc<dyn ExecutionPlan>> {
    let bound = request.filters.iter().map(Bound::of).fold(Bound::everything(), Bound::and);
    let tags = reading.select(bound.region.tags.as_ref())?;
    if bound.region.is_empty() || tags == TagSelection::Ids(Vec::new()) {
        let schema = schema().project(&request.projection)?;
        return Ok(Arc::new(EmptyExec::new(Arc::new(schema))));
    }
    let scan = ScanRequest {
        from: bound.region.from,
        to: bound.region.to,
        qualities: qualities(&bound.region),
        columns: columns(&request.projection),
        order: Order::Ascending,
        // A filter that is evaluated again may leave fewer rows than the scan gives.
        limit: request.limit.filter(|_| bound.exact).map(|limit| limit as u64),
        ..ScanRequest::of(tags)
    };
    let rows = count(reading, &scan, request.counted && bound.exact)?;
    let spec = reading.view.plan(&scan, request.partitions).map_err(external)?;
    let plan = SamplePlan {
        sorted: sorted(&scan.tags, &reading.tags),
        rows,
        shown: Shown {
            tags: shown(&scan.tags, &reading.tags),
            from: scan.from,
            to: scan.to,
            segments: reading.view.segments(),
        },
        projection: request.projection,
        spec,
    };
    Ok(Arc::new(SampleScanExec::new(plan)?))
}

fn qualities(region: &Region) -> QualitySet {
    Quality::ALL.into_iter().filter(|quality| region.qualities.contains(*quality)).collect()
}

/// The columns that the engine has to decode for these columns of the table.
fn columns(projection: &[usize]) -> Columns {
    projection.iter().fold(Columns::NONE, |columns, column| {
        columns
            | match *column {
                column::TIME => Columns::TIME,
                column::VALUE => Columns::VALUE,
                // State names and the digits of large integers come from the value.
                column::TEXT => Columns::TEXT | Columns::VALUE,
                column::QUALITY | column::STATUS => Columns::STATUS,
                _ => Columns::NONE,
            }
    })
}

fn count(reading: &Reading, scan: &ScanRequest, counted: bool) -> Result<RowCount> {
    if counted && let Some(found) = count_in_directories(reading, scan)? {
        return Ok(RowCount::Exact { rows: found.rows, first_time: found.first_time, last_time: found.last_time });
    }
    let tags = match &scan.tags {
        TagSelection::All | TagSelection::Everything => reading.tags.len(),
        TagSelection::Ids(ids) => ids.len(),
    };
    Ok(RowCount::Guessed(tags.saturating_mul(ROWS_A_TAG_GUESSED)))
}

/// Counts where tag directories answer. Where they do not, the query is to read what it counts as
/// any other: side by side, within its memory, seen in its metrics, and no more once it is dropped.
fn count_in_directories(reading: &Reading, scan: &ScanRequest) -> Result<Option<ScanStatistics>> {
    if !scan.qualities.is_all() || cuts_segments(reading, scan) {
        return Ok(None);
    }
    let ids: Vec<TagId> = match &scan.tags {
        TagSelection::All | TagSelection::Everything => reading.tags.iter().map(|tag| tag.id).collect(),
        TagSelection::Ids(ids) => ids.clone(),
    };
    let metrics = Arc::<ReadMetrics>::default();
    let mut found = ScanStatistics::default();
    let (mut rest, mut width) = (ids.as_slice(), 1);
    // Late samples are not seen from afar: the first few tags that have some end the count.
    while !rest.is_empty() {
        let (tags, later) = rest.split_at(width.min(rest.len()));
        let tags = TagSelection::Ids(tags.to_vec());
        let request = ScanRequest { from: scan.from, to: scan.to, ..ScanRequest::of(tags) };
        let counted = reading.view.statistics(&request, Arc::clone(&metrics)).map_err(external)?;
        if metrics.pages_read() > 0 {
            return Ok(None);
        }
        found.rows += counted.rows;
        found.first_time = [found.first_time, counted.first_time].into_iter().flatten().min();
        found.last_time = found.last_time.max(counted.last_time);
        (rest, width) = (later, (width * 4).min(TAGS_COUNTED_MAX));
    }
    Ok(Some(found))
}

/// Whether the times asked for begin or end within a segment that may have rows of the tags.
fn cuts_segments(reading: &Reading, scan: &ScanRequest) -> bool {
    reading.engine.segments().iter().any(|meta| {
        let tags = meta.first_tag..=meta.last_tag;
        let asked = match &scan.tags {
            TagSelection::All | TagSelection::Everything => true,
            TagSelection::Ids(ids) => ids.iter().any(|id| tags.contains(id)),
        };
        let meets = meta.first_time <= scan.to && meta.last_time >= scan.from;
        let inside = meta.first_time >= scan.from && meta.last_time <= scan.to;
        asked && meets && !inside
    })
}

fn sorted(selection: &TagSelection, tags: &TagTable) -> Sorted {
    let name = |id: &TagId| tags.get(*id).map(|tag| tag.spec.name.as_str());
    match selection {
        TagSelection::Ids(ids) => {
            if let [only] = ids.as_slice()
                && let Some(name) = name(only)
            {
                return Sorted::OneTag(name.to_owned());
            }
            let by_name = ids.len() <= NAMES_COMPARED_MAX && ids.is_sorted_by_key(name);
            if by_name { Sorted::ByName } else { Sorted::ById }
        }
        // Samples of tags that are created from now on may come too, under any name.
        TagSelection::All | TagSelection::Everything => Sorted::ById,
    }
}

fn shown(selection: &TagSelection, tags: &TagTable) -> String {
    match selection {
        TagSelection::All | TagSelection::Everything => "all".to_owned(),
        TagSelection::Ids(ids) => {
            let names = ids.iter().take(NAMES_SHOWN_MAX).filter_map(|id| tags.get(*id));
            let names: Vec<&str> = names.map(|tag| tag.spec.name.as_str()).collect();
            let more = ids.len().saturating_sub(NAMES_SHOWN_MAX);
            if more == 0 {
                format!("[{}]", names.join(", "))
            } else {
                format!("[{}, and {more} more]", names.join(", "))
            }
        }
    }
}

impl SamplePlan {
    /// The same scan with the rows of each tag in the other order.
    pub(crate) fn in_order(&self, order: Order) -> SamplePlan {
        let mut plan = self.clone();
        plan.spec.order = order;
        // Cells stand in scan order: tags ascend, and the times of one tag run as its rows do.
        for cells in &mut plan.spec.cells {
            match order {
                Order::Ascending => cells.sort_by_key(|cell| (cell.first_tag, cell.from)),
                Order::Descending => cells.sort_by_key(|cell| (cell.first_tag, Reverse(cell.from))),
            }
        }
        plan
    }

    /// The same scan, of which each partition ends after `limit` rows.
    pub(crate) fn limited(&self, limit: Option<usize>) -> SamplePlan {
        let mut plan = self.clone();
        plan.spec.limit = limit.map(|limit| limit as u64);
        plan
    }

    /// The same scan, in which each tag gives its first `limit` rows.
    pub(crate) fn limited_by_tag(&self, limit: usize) -> SamplePlan {
        let mut plan = self.clone();
        plan.spec.limit_per_tag = Some(limit as u64);
        plan
    }
}
