//! In which way each tag is answered: from directories, in one go with its neighbours, or by a
//! merge.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::vec;

use parking_lot::Mutex;

use super::batch::ScanStatistics;
use super::inventory::{Inventory, Origin, TagSource};
use super::merge::{Merge, Stream};
use super::source::{Reading, Source};
use super::spec::{Order, TagSelection};
use super::sweep::{Shared, SharedSource, Sweep};
use super::{ReadView, ScanCell};
use crate::error::Result;
use crate::segment::{Columns, Segment};
use crate::tag::TagId;

/// A piece of a scan, in scan order.
pub(super) enum Work {
    /// Rows that need no column, counted in directories.
    Counted(TagId, ScanStatistics),
    /// Rows that need no column, of large runs that overlap or are cut by the times asked for.
    Tally(TagId, Vec<TagSource>),
    /// Tags that only one segment has.
    Sweep(Box<Sweep>),
    /// One tag of several sources.
    Merge(Merge),
}

/// How many rows are handed out at most.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: u64,
    pub(super) rows_per_tag: u64,
}

impl Limits {
    /// All rows.
    pub(super) const NONE: Limits = Limits { rows: u64::MAX, rows_per_tag: u64::MAX };
}

/// Gives out the work of some cells.
pub(super) struct Schedule {
    view: ReadView,
    tags: TagSelection,
    reading: Reading,
    /// Rows of each tag that are handed out at most.
    quota: u64,
    cells: vec::IntoIter<ScanCell>,
    inventory: Option<Inventory>,
    /// Sources of the next tags.
    sources: VecDeque<TagSource>,
    planned: VecDeque<Planned>,
    shared: HashMap<usize, Arc<Mutex<Shared>>>,
    /// Rows of tags that are planned together; it grows, since a limit may end the scan early.
    budget: u64,
}

enum Planned {
    Counted(TagId, ScanStatistics),
    Tally(TagId, Vec<TagSource>),
    Sweep(Arc<Segment>, Vec<TagSource>),
    /// With those of its sources that have their rows from a shared reader.
    Merge(TagId, Vec<(TagSource, Option<Arc<Mutex<Shared>>>)>),
}

impl Schedule {
    /// The work of `cells` for these tags, which ascend.
    pub(super) fn new(
        view: &ReadView,
        tags: TagSelection,
        reading: Reading,
        limits: Limits,
        cells: Vec<ScanCell>,
    ) -> Schedule {
        let budget = if limits.rows == u64::MAX { u64::MAX } else { limits.rows.max(reading.sizes.page) };
        Schedule {
            view: view.clone(),
            tags,
            reading,
            quota: limits.rows_per_tag,
            cells: cells.into_iter(),
            inventory: None,
            sources: VecDeque::new(),
            planned: VecDeque::new(),
            shared: HashMap::new(),
            budget,
        }
    }

    /// How rows are read.
    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Rows of each tag that are handed out at most.
    pub(super) fn quota(&self) -> u64 {
        self.quota
    }

    /// The next piece of work; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<Work>> {
        while self.planned.is_empty() {
            if self.sources.is_empty() && !self.load()? {
                return Ok(None);
            }
            self.plan_stretch();
        }
        let Some(planned) = self.planned.pop_front() else { return Ok(None) };
        Ok(Some(match planned {
            Planned::Counted(tag, found) => Work::Counted(tag, found),
            Planned::Tally(tag, sources) => Work::Tally(tag, sources),
            Planned::Sweep(segment, sources) => {
                Work::Sweep(Box::new(Sweep::open(&segment, &sources, &self.reading, self.quota)?))
            }
            Planned::Merge(tag, sources) => Work::Merge(self.merge(tag, sources)),
        }))
    }

    /// Finds the sources of more tags; false when there are no more.
    fn load(&mut self) -> Result<bool> {
        loop {
            if let Some(inventory) = &mut self.inventory
                && let Some(sources) = inventory.next()?
            {
                self.sources = sources.into();
                return Ok(true);
            }
            let Some(cell) = self.cells.next() else { return Ok(false) };
            let segments = self.view.segments_of(&cell);
            self.inventory = Some(Inventory::new(&self.view, segments, &self.tags, self.reading.qualities, &cell));
        }
    }

    /// Decides on the next tags, as many as the budget of rows admits.
    fn plan_stretch(&mut self) {
        self.shared.clear();
        let mut rows = 0u64;
        while rows < self.budget {
            let Some(group) = self.take_tag() else { break };
            rows = group.iter().fold(rows, |rows, source| rows.saturating_add(source.rows()));
            self.plan_tag(group);
        }
        self.budget = self.budget.saturating_mul(2);
    }

    /// All sources of the next tag.
    fn take_tag(&mut self) -> Option<Vec<TagSource>> {
        let tag = self.sources.front()?.tag;
        let count = self.sources.iter().take_while(|source| source.tag == tag).count();
        Some(self.sources.drain(..count).collect())
    }

    fn plan_tag(&mut self, group: Vec<TagSource>) {
        let tag = group[0].tag;
        let counts = self.reading.columns.is_empty();
        if counts && let Some(found) = counted(&group, &self.reading) {
            self.planned.push_back(Planned::Counted(tag, found));
        } else if counts && group.iter().any(|source| source.rows() > self.rows_small()) {
            self.planned.push_back(Planned::Tally(tag, group));
        } else if let Some(segment) = self.sweepable(&group) {
            match self.planned.back_mut() {
                Some(Planned::Sweep(_, sources)) if sources[0].rank == group[0].rank => sources.extend(group),
                _ => self.planned.push_back(Planned::Sweep(segment, group)),
            }
        } else {
            // Of a run that deletes have cut each part is read by itself.
            let cut = group.windows(2).any(|pair| pair[0].rank == pair[1].rank);
            let share = |source| if cut { (source, None) } else { self.share(source) };
            let sources = group.into_iter().map(share).collect();
            self.planned.push_back(Planned::Merge(tag, sources));
        }
    }

    /// Runs up to this size are read together with those of other tags.
    fn rows_small(&self) -> u64 {
        let page = self.reading.sizes.page;
        if self.may_end_early() || self.reading.order == Order::Descending { page } else { 4 * page }
    }

    /// Whether a source is read as a whole where rows come backwards. Texts may be long.
    fn is_small(&self, source: &TagSource) -> bool {
        let has_texts = matches!(&source.origin, Origin::Segment(_, run) if run.has_text);
        let reads_texts = has_texts && self.reading.columns.contains(Columns::TEXT);
        source.rows() <= self.rows_small() && !(reads_texts && self.reading.order == Order::Descending)
    }

    fn may_end_early(&self) -> bool {
        self.reading.rows_hint != u64::MAX
    }

    /// The segment of a tag that is read in one go with its neighbours.
    fn sweepable(&self, group: &[TagSource]) -> Option<Arc<Segment>> {
        let [TagSource { origin: Origin::Segment(segment, _), .. }] = group else { return None };
        let any_size = !self.may_end_early() && self.reading.order == Order::Ascending;
        (any_size || self.is_small(&group[0])).then(|| Arc::clone(segment))
    }

    /// Adds a small run of a segment to the reader that is shared by the tags of this stretch.
    fn share(&mut self, source: TagSource) -> (TagSource, Option<Arc<Mutex<Shared>>>) {
        let Origin::Segment(segment, run) = &source.origin else { return (source, None) };
        if !self.is_small(&source) {
            return (source, None);
        }
        let new = || Arc::new(Mutex::new(Shared::new(segment, &self.reading)));
        let shared = Arc::clone(self.shared.entry(source.rank).or_insert_with(new));
        let copy = TagSource { origin: Origin::Segment(Arc::clone(segment), run.clone()), ..source };
        shared.lock().add(copy);
        (source, Some(shared))
    }

    fn merge(&self, tag: TagId, sources: Vec<(TagSource, Option<Arc<Mutex<Shared>>>)>) -> Merge {
        let order = self.reading.order;
        let streams = sources.into_iter().map(|(source, shared)| {
            let rows: Box<dyn Source> = match shared {
                Some(shared) => Box::new(SharedSource { shared, tag, order }),
                None => self.reading.open(&source),
            };
            Stream::of(&source, &self.reading, rows)
        });
        Merge::of_streams(tag, streams.collect(), order, self.reading.qualities, self.quota)
    }
}

/// Counts the rows of a tag in directories alone: where all rows of each source are asked for,
/// no two sources overlap in time, and all rows of a source have a quality asked for, or none.
fn counted(group: &[TagSource], reading: &Reading) -> Option<ScanStatistics> {
    let mut found = ScanStatistics::default();
    let mut by_time: Vec<&TagSource> = group.iter().collect();
    by_time.sort_by_key(|source| source.first);
    if by_time.windows(2).any(|pair| pair[0].overlaps(pair[1])) {
        return None;
    }
    for source in group {
        if !source.can_match(reading.qualities) {
            continue;
        }
        if !source.whole || source.needs_filter(reading.qualities) {
            return None;
        }
        found.add(source.rows(), source.first, source.last);
    }
    Some(found)
}
