//! Cutting a scan into partitions of about as many rows each: by tag, then by time.

use super::inventory::Inventory;
use super::spec::{Order, ScanCell, ScanRequest, ScanSpec, TagSelection};
use super::{ReadView, touches};
use crate::error::Result;
use crate::limits::PAGE_ROWS;
use crate::tag::TagId;

/// How finely a scan is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    /// Fewer rows than this are no partition of their own.
    pub(super) rows: u64,
    /// A tag of fewer rows than this is not cut by time.
    pub(super) rows_of_tag: u64,
}

impl Grain {
    /// A partition costs a task of the query, a cut by time the pages at the cut.
    pub(super) const USUAL: Grain = Grain { rows: 64 * 1024, rows_of_tag: 8 * PAGE_ROWS as u64 };
}

/// About how many rows some neighbouring tags have; the tags ascend from load to load.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Load {
    pub(super) first_tag: TagId,
    pub(super) last_tag: TagId,
    pub(super) rows: u64,
}

/// About when the rows of one source are: `rows` evenly from `first` to `last`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) rows: u64,
}

/// Where a partition begins: at a tag, or within it at a time (the first one in scan order).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Cut {
    pub(super) tag: TagId,
    pub(super) time: Option<i64>,
}

/// Loads that are kept at most; beyond it neighbours are joined.
const LOADS_MAX: usize = 65_536;

impl ReadView {
    /// Plans a request as at most `partitions` partitions of about as many rows each; fewer where
    /// there are few rows, at least one.
    pub fn plan(&self, request: &ScanRequest, partitions: usize) -> Result<ScanSpec> {
        self.plan_by(request, partitions, Grain::USUAL)
    }

    pub(super) fn plan_by(&self, request: &ScanRequest, partitions: usize, grain: Grain) -> Result<ScanSpec> {
        let tags = request.tags.sorted();
        let mut cuts = Vec::new();
        if self.partitions_possible(request, partitions, grain) > 1 {
            let loads = self.loads(request, &tags)?;
            let total = loads.iter().map(|load| load.rows).sum();
            let partitions = partitions_worth(request, total, partitions, grain);
            cuts = self.cuts(request, &loads, partitions, grain)?;
        }
        let cells = cells(request, &cuts).into_iter().map(|cells| self.name_segments(cells)).collect();
        Ok(ScanSpec {
            manifest: self.manifest,
            through: self.through(),
            tags,
            qualities: request.qualities,
            columns: request.columns,
            order: request.order,
            limit: request.limit,
            limit_per_tag: request.limit_per_tag,
            cells,
        })
    }

    /// About how many rows a request has: what tag directories say, as if samples came evenly.
    pub fn about_rows(&self, request: &ScanRequest) -> Result<u64> {
        let tags = request.tags.sorted();
        Ok(self.loads(request, &tags)?.iter().map(|load| load.rows).fold(0, u64::saturating_add))
    }

    /// A bound of the number of partitions that needs no directory.
    fn partitions_possible(&self, request: &ScanRequest, partitions: usize, grain: Grain) -> usize {
        let cell = whole_cell(request);
        let segments = self.segments.iter().map(|segment| segment.meta()).filter(|meta| touches(meta, &cell));
        let memtables = self.memtables.iter().map(|memtable| memtable.row_count() as u64);
        let rows = segments.map(|meta| meta.rows).chain(memtables).fold(0, u64::saturating_add);
        partitions_worth(request, rows, partitions, grain)
    }

    /// How many rows the tags have, from directories.
    fn loads(&self, request: &ScanRequest, tags: &TagSelection) -> Result<Vec<Load>> {
        let cell = whole_cell(request);
        let mut inventory = Inventory::new(self, self.segments_of(&cell), tags, request.qualities, &cell);
        let mut loads: Vec<Load> = Vec::new();
        while let Some(sources) = inventory.next()? {
            for group in sources.chunk_by(|a, b| a.tag == b.tag) {
                let rows = group.iter().map(|source| source.span().rows).fold(0, u64::saturating_add);
                let rows = request.limit_per_tag.map_or(rows, |limit| rows.min(limit.max(PAGE_ROWS as u64)));
                loads.push(Load { first_tag: group[0].tag, last_tag: group[0].tag, rows });
            }
            while loads.len() > LOADS_MAX {
                loads = loads.chunks(2).map(joined).collect();
            }
        }
        Ok(loads)
    }

    fn cuts(&self, request: &ScanRequest, loads: &[Load], partitions: usize, grain: Grain) -> Result<Vec<Cut>> {
        // Counting needs whole runs, and a limit ends a tag early: cuts by time would hurt both.
        let by_time = !request.columns.is_empty() && request.limit.is_none() && request.limit_per_tag.is_none();
        let mut cuts = Vec::new();
        for place in places(loads, partitions) {
            let load = &loads[place.load];
            let cut = if by_time && load.first_tag == load.last_tag && load.rows >= grain.rows_of_tag {
                let spans = self.spans(request, load.first_tag)?;
                let time = time_after(&spans, place.rows_before, request.order);
                Cut { tag: load.first_tag, time: time.filter(|time| is_inside(*time, request)) }
            } else if place.rows_before * 2 < load.rows {
                Cut { tag: load.first_tag, time: None }
            } else {
                match loads.get(place.load + 1) {
                    Some(next) => Cut { tag: next.first_tag, time: None },
                    None => continue,
                }
            };
            cuts.push(cut);
        }
        Ok(cuts)
    }

    fn spans(&self, request: &ScanRequest, tag: TagId) -> Result<Vec<Span>> {
        let tags = TagSelection::Ids(vec![tag]);
        let cell = whole_cell(request);
        let mut inventory = Inventory::new(self, self.segments_of(&cell), &tags, request.qualities, &cell);
        let sources = inventory.next()?.unwrap_or_default();
        Ok(sources.iter().map(|source| source.span()).collect())
    }

    /// Notes in each cell which segments can hold its rows.
    fn name_segments(&self, mut cells: Vec<ScanCell>) -> Vec<ScanCell> {
        for cell in &mut cells {
            cell.segments = self.segments_of(cell).iter().map(|(_, segment)| segment.meta().id).collect();
        }
        cells
    }
}

/// Everything that was asked for as one cell. It covers all tags that there may be, those of any view.
pub(super) fn whole_cell(request: &ScanRequest) -> ScanCell {
    ScanCell {
        first_tag: TagId(0),
        last_tag: request.tags.last(),
        from: request.from,
        to: request.to,
        segments: Vec::new(),
    }
}

fn joined(loads: &[Load]) -> Load {
    Load {
        first_tag: loads[0].first_tag,
        last_tag: loads[loads.len() - 1].last_tag,
        rows: loads.iter().map(|load| load.rows).fold(0, u64::saturating_add),
    }
}

/// How many partitions so many rows are worth.
fn partitions_worth(request: &ScanRequest, rows: u64, partitions: usize, grain: Grain) -> usize {
    let rows = request.limit.map_or(rows, |limit| rows.min(limit));
    usize::try_from(rows.div_ceil(grain.rows.max(1))).unwrap_or(usize::MAX).clamp(1, partitions.max(1))
}

/// A place in the sequence of all rows.
struct Place {
    load: usize,
    /// Rows of this load before the place, in scan order.
    rows_before: u64,
}

/// The places that cut all rows into equal parts.
fn places(loads: &[Load], partitions: usize) -> Vec<Place> {
    let total: u128 = loads.iter().map(|load| u128::from(load.rows)).sum();
    let parts = partitions as u128;
    let mut places = Vec::new();
    let (mut load, mut before) = (0, 0u128);
    for part in 1..parts {
        let wanted = total * part / parts;
        while load < loads.len() && before + u128::from(loads[load].rows) <= wanted {
            before += u128::from(loads[load].rows);
            load += 1;
        }
        if load < loads.len() {
            places.push(Place { load, rows_before: u64::try_from(wanted - before).unwrap_or(u64::MAX) });
        }
    }
    places
}

/// The time at which, in scan order, about so many rows lie before; None where there is no such
/// time within the spans.
pub(super) fn time_after(spans: &[Span], rows: u64, order: Order) -> Option<i64> {
    let first = spans.iter().map(|span| span.first).min()?;
    let last = spans.iter().map(|span| span.last).max()?;
    let total: u64 = spans.iter().map(|span| span.rows).fold(0, u64::saturating_add);
    let older = match order {
        Order::Ascending => rows,
        Order::Descending => total.saturating_sub(rows),
    };
    let (mut low, mut high) = (i128::from(first), i128::from(last) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if older_than(spans, middle) < older as f64 { low = middle + 1 } else { high = middle }
    }
    // A cut at time t leaves t itself to the part that comes later in scan order.
    let time = match order {
        Order::Ascending => low,
        Order::Descending => low - 1,
    };
    i64::try_from(time).ok().filter(|time| *time >= first && *time <= last)
}

/// About how many rows are older than a time.
fn older_than(spans: &[Span], time: i128) -> f64 {
    let part = |span: &Span| {
        let (first, last) = (i128::from(span.first), i128::from(span.last) + 1);
        let share = (time.clamp(first, last) - first) as f64 / (last - first) as f64;
        span.rows as f64 * share
    };
    spans.iter().map(part).sum()
}

/// Whether a cut at this time leaves rows on both sides possible.
fn is_inside(time: i64, request: &ScanRequest) -> bool {
    match request.order {
        Order::Ascending => time > request.from && time <= request.to,
        Order::Descending => time >= request.from && time < request.to,
    }
}

/// The cells of each partition, in scan order. `cuts` ascend; a cut that does not is left out.
pub(super) fn cells(request: &ScanRequest, cuts: &[Cut]) -> Vec<Vec<ScanCell>> {
    let mut partitions = Vec::new();
    let mut start = Cut { tag: TagId(0), time: None };
    for cut in cuts.iter().filter(|cut| cut.tag.0 > 0) {
        if is_after(cut, &start, request.order) {
            partitions.push(between(request, start, Some(*cut)));
            start = *cut;
        }
    }
    partitions.push(between(request, start, None));
    partitions
}

fn is_after(cut: &Cut, start: &Cut, order: Order) -> bool {
    match (cut.time, start.time) {
        _ if cut.tag != start.tag => cut.tag > start.tag,
        (Some(_), None) => true,
        (Some(cut), Some(start)) if order == Order::Ascending => cut > start,
        (Some(cut), Some(start)) => cut < start,
        (None, _) => false,
    }
}

/// What lies from one cut to the next.
fn between(request: &ScanRequest, start: Cut, end: Option<Cut>) -> Vec<ScanCell> {
    let mut cells = Vec::new();
    let mut add = |first: TagId, last: TagId, start: Option<i64>, end: Option<i64>| {
        let (from, to) = match request.order {
            Order::Ascending => (start.unwrap_or(request.from), end.map_or(request.to, |end| end - 1)),
            Order::Descending => (end.map_or(request.from, |end| end + 1), start.unwrap_or(request.to)),
        };
        cells.push(ScanCell { first_tag: first, last_tag: last, from, to, segments: Vec::new() });
    };
    let mut first_whole = start.tag.0;
    if let Some(time) = start.time {
        let same = end.filter(|end| end.tag == start.tag);
        add(start.tag, start.tag, Some(time), same.and_then(|end| end.time));
        if same.is_some() {
            return cells;
        }
        first_whole += 1;
    }
    // Tags from `first_whole` up to the next cut's are whole.
    let last_whole = end.map_or(request.tags.last().0, |end| end.tag.0 - 1);
    if first_whole <= last_whole {
        add(TagId(first_whole), TagId(last_whole), None, None);
    }
    if let Some(Cut { tag, time: Some(time) }) = end {
        add(tag, tag, None, Some(time));
    }
    cells
}
