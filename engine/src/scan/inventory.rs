//! Which sources hold rows of which tags: tag directories and memtables, read a stretch of tags
//! at a time.

use std::sync::Arc;

use super::plan::Span;
use super::source::clip;
use super::spec::{QualitySet, TagSelection};
use super::{ReadView, ScanCell};
use crate::delete::Deletes;
use crate::error::Result;
use crate::memtable::{Extent, Flushed, Memtable};
use crate::sample::Rows;
use crate::segment::{Columns, Segment, TagRun};
use crate::status::Quality;
use crate::tag::TagId;

/// One source of one tag's rows within the times of a cell.
pub(super) struct TagSource {
    pub(super) tag: TagId,
    /// Where two sources have a row of the same time, that of the higher rank counts.
    pub(super) rank: usize,
    /// No row asked for is older.
    pub(super) first: i64,
    /// No row asked for is newer.
    pub(super) last: i64,
    /// Whether all rows of the source are asked for, so that `first` and `last` are rows.
    pub(super) whole: bool,
    pub(super) origin: Origin,
}

/// Where the rows are.
pub(super) enum Origin {
    Segment(Arc<Segment>, TagRun),
    Memtable(Arc<Memtable>, Extent),
    /// Here: samples that are not decided on.
    Held(Arc<Rows>),
}

impl TagSource {
    /// What deletes leave of a run, from `from` to `to`; times ascend.
    pub(super) fn visible_of_run(
        rank: usize,
        segment: &Arc<Segment>,
        run: TagRun,
        times: (i64, i64),
        deletes: &Deletes,
    ) -> Vec<TagSource> {
        let rest = deletes.rest(run.tag, times.0, times.1);
        rest.into_iter().filter_map(|(from, to)| TagSource::of_run(rank, segment, run.clone(), from, to)).collect()
    }

    /// What deletes leave of a tag of a memtable, from `from` to `to`; times ascend.
    pub(super) fn visible_of_memtable(
        rank: usize,
        memtable: &Arc<Memtable>,
        tag: TagId,
        times: (i64, i64),
        deletes: &Deletes,
    ) -> Result<Vec<TagSource>> {
        let rest = deletes.rest(tag, times.0, times.1);
        let sources =
            rest.into_iter().filter_map(|(from, to)| TagSource::of_memtable(rank, memtable, tag, from, to).transpose());
        match sources.collect() {
            Ok(sources) => Ok(sources),
            Err(Flushed(segment)) => {
                let run = segment.run(tag)?.into_iter();
                Ok(run.flat_map(|run| TagSource::visible_of_run(rank, &segment, run, times, deletes)).collect())
            }
        }
    }

    /// A run of a segment; none where it has no row from `from` to `to`.
    fn of_run(rank: usize, segment: &Arc<Segment>, run: TagRun, from: i64, to: i64) -> Option<TagSource> {
        let (tag, first, last) = (run.tag, run.first_time, run.last_time);
        TagSource::clipped(tag, rank, first, last, from, to, || Origin::Segment(Arc::clone(segment), run))
    }

    /// A tag of a memtable; none where it has no row from `from` to `to`.
    ///
    /// The memtable may grow while it is read. What comes later outside the extent is not seen,
    /// so that sources that did not overlap at first do not do so later.
    pub(super) fn of_memtable(
        rank: usize,
        memtable: &Arc<Memtable>,
        tag: TagId,
        from: i64,
        to: i64,
    ) -> Result<Option<TagSource>, Flushed> {
        let Some(extent) = memtable.extent(tag)? else { return Ok(None) };
        let (first, last) = (extent.first_time, extent.last_time);
        let origin = || Origin::Memtable(Arc::clone(memtable), extent);
        Ok(TagSource::clipped(tag, rank, first, last, from, to, origin))
    }

    /// The samples of a tag that are not decided on, from `from` to `to`, but for those that are deleted.
    pub(super) fn held(
        rank: usize,
        memtable: &Memtable,
        tag: TagId,
        (from, to): (i64, i64),
        deletes: &Deletes,
    ) -> Option<TagSource> {
        let mut rows = Rows::default();
        for row in memtable.held(tag) {
            if (from..=to).contains(&row.time) && !deletes.hide(0, tag, row.time) {
                rows.push(row.time, &row.cell);
            }
        }
        TagSource::of_held(rank, tag, rows)
    }

    fn of_held(rank: usize, tag: TagId, rows: Rows) -> Option<TagSource> {
        let (first, last) = (*rows.times.first()?, *rows.times.last()?);
        Some(TagSource { tag, rank, first, last, whole: true, origin: Origin::Held(Arc::new(rows)) })
    }

    fn clipped(
        tag: TagId,
        rank: usize,
        first: i64,
        last: i64,
        from: i64,
        to: i64,
        origin: impl FnOnce() -> Origin,
    ) -> Option<TagSource> {
        (first <= to && last >= from).then(|| TagSource {
            tag,
            rank,
            first: first.max(from),
            last: last.min(to),
            whole: first >= from && last <= to,
            origin: origin(),
        })
    }

    /// All rows of the source, whatever times are asked for.
    pub(super) fn rows(&self) -> u64 {
        match &self.origin {
            Origin::Segment(_, run) => run.rows.end - run.rows.start,
            Origin::Memtable(_, extent) => extent.rows,
            Origin::Held(rows) => rows.len() as u64,
        }
    }

    /// About when its rows are, those that are asked for.
    pub(super) fn span(&self) -> Span {
        let (first, last) = match &self.origin {
            Origin::Segment(_, run) => (run.first_time, run.last_time),
            Origin::Memtable(_, extent) => (extent.first_time, extent.last_time),
            Origin::Held(_) => (self.first, self.last),
        };
        let share = (self.last.abs_diff(self.first) as f64 + 1.0) / (last.abs_diff(first) as f64 + 1.0);
        // A share of at most 1 of a count: the cast cannot leave the range of the count.
        let rows = (self.rows() as f64 * share).ceil() as u64;
        Span { first: self.first, last: self.last, rows: rows.min(self.rows()) }
    }

    /// Whether each of the rows must be compared with the qualities asked for.
    pub(super) fn needs_filter(&self, qualities: QualitySet) -> bool {
        match &self.origin {
            Origin::Segment(_, run) => !qualities.holds_all_to(run.worst),
            Origin::Memtable(..) | Origin::Held(_) => !qualities.is_all(),
        }
    }

    /// Whether a row of these qualities can be among them.
    pub(super) fn can_match(&self, qualities: QualitySet) -> bool {
        match &self.origin {
            Origin::Segment(_, run) => qualities.holds_any_to(run.worst),
            Origin::Memtable(..) | Origin::Held(_) => qualities != QualitySet::NONE,
        }
    }

    /// The part of it from `from` to `to`; none where it has no row there.
    pub(super) fn narrowed(&self, from: i64, to: i64) -> Option<TagSource> {
        let (tag, rank, from, to) = (self.tag, self.rank, from.max(self.first), to.min(self.last));
        match &self.origin {
            Origin::Segment(segment, run) => TagSource::of_run(rank, segment, run.clone(), from, to),
            Origin::Memtable(memtable, extent) => {
                let origin = || Origin::Memtable(Arc::clone(memtable), *extent);
                TagSource::clipped(tag, rank, extent.first_time, extent.last_time, from, to, origin)
            }
            Origin::Held(rows) => {
                let mut some = Rows::clone(rows);
                clip(&mut some, from, to, Columns::ALL);
                TagSource::of_held(rank, tag, some)
            }
        }
    }

    /// Whether its first and its last time are those of samples that are not Bad, as far as its directory
    /// tells.
    pub(super) fn ends_are_sound(&self) -> bool {
        matches!(&self.origin, Origin::Segment(_, run) if self.whole && run.worst != Quality::Bad)
    }

    pub(super) fn overlaps(&self, other: &TagSource) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Walks the tags of a cell in ascending order.
pub(super) struct Inventory {
    segments: Vec<(usize, Arc<Segment>, Deletes)>,
    memtables: Vec<InMemory>,
    held: Option<Held>,
    /// The last tag there is.
    last_tag: u32,
    tags: Tags,
    qualities: QualitySet,
    from: i64,
    to: i64,
    /// Tags of the next stretch.
    width: usize,
    width_max: usize,
}

/// A memtable, with its tags where all are asked for, ascending, and what hides its rows.
struct InMemory {
    rank: usize,
    memtable: Arc<Memtable>,
    tags: Vec<TagId>,
    deletes: Deletes,
}

/// A memtable with samples that are not decided on, and its tags where all are asked for, ascending.
struct Held {
    rank: usize,
    memtable: Arc<Memtable>,
    tags: Vec<TagId>,
    deletes: Deletes,
}

enum Tags {
    /// From the first to the last, both included; `None` at the end.
    Range(Option<(u32, u32)>),
    /// These, from the given place on.
    Ids(Vec<TagId>, usize),
}

/// Directory entries in memory at once, roughly.
const ENTRIES: usize = 131_072;
/// Tags asked for whose ids are closer than this are looked up as one range: a block of the
/// directory holds about as many.
pub(super) const NEAR: u32 = 32;

impl Inventory {
    /// The sources of `cell` in `view`. `segments` are those that the cell can need, by rank.
    pub(super) fn new(
        view: &ReadView,
        segments: Vec<(usize, Arc<Segment>)>,
        selection: &TagSelection,
        qualities: QualitySet,
        cell: &ScanCell,
    ) -> Inventory {
        let tags = match selection {
            TagSelection::All | TagSelection::Everything => Tags::Range(Some((cell.first_tag.0, cell.last_tag.0))),
            TagSelection::Ids(ids) => {
                let start = ids.partition_point(|id| *id < cell.first_tag);
                let end = ids.partition_point(|id| *id <= cell.last_tag);
                Tags::Ids(ids[start..end.max(start)].to_vec(), 0)
            }
        };
        let all = matches!(tags, Tags::Range(_));
        // Before those that are decided on.
        let held = view.held.as_ref().map(|memtable| Held {
            rank: view.segments.len() + view.memtables.len(),
            memtable: Arc::clone(memtable),
            tags: if all { memtable.tags_held() } else { Vec::new() },
            deletes: view.deletes_of_memtable(memtable),
        });
        let in_memory = |(rank, memtable): (usize, &Arc<Memtable>)| InMemory {
            rank,
            memtable: Arc::clone(memtable),
            // Those of a flushed one are not asked for: it is left out below. What is held now may be among
            // its samples when it is asked for them.
            tags: match &held {
                _ if !all => Vec::new(),
                Some(held) if Arc::ptr_eq(&held.memtable, memtable) => {
                    union(&held.tags, &memtable.series().unwrap_or_default())
                }
                _ => memtable.series().unwrap_or_default(),
            },
            deletes: view.deletes_of_memtable(memtable),
        };
        let memtables = (view.segments.len()..).zip(&view.memtables).map(in_memory).collect();
        let with_deletes = |(rank, segment): (usize, Arc<Segment>)| {
            let deletes = view.deletes_of_segment(segment.meta());
            (rank, segment, deletes)
        };
        let segments: Vec<_> = segments.into_iter().map(with_deletes).collect();
        let width_max = (ENTRIES / segments.len().max(1)).clamp(64, 8192);
        let last_tag = u32::try_from(view.tags.len()).unwrap_or(u32::MAX);
        let (from, to) = (cell.from, cell.to);
        Inventory { segments, memtables, held, last_tag, tags, qualities, from, to, width: 32, width_max }
    }

    /// The sources of the next tags, by tag and rank; None at the end. May be empty.
    pub(super) fn next(&mut self) -> Result<Option<Vec<TagSource>>> {
        self.take_flushed();
        let width = self.width;
        self.width = (width * 2).min(self.width_max);
        let mut found = match &mut self.tags {
            Tags::Ids(ids, at) if *at < ids.len() => {
                let end = ids.len().min(*at + width);
                let stretch = ids[*at..end].to_vec();
                *at = end;
                self.of_ids(&stretch)?
            }
            Tags::Range(Some((first, last))) => {
                let (first, last) = (*first, *last);
                let Some(start) = self.first_present(first, last) else {
                    self.tags = Tags::Range(None);
                    return Ok(None);
                };
                let end = last.min(start.saturating_add(u32::try_from(width).unwrap_or(u32::MAX)));
                self.tags = Tags::Range(end.checked_add(1).filter(|next| *next <= last).map(|next| (next, last)));
                self.of_range(TagId(start), TagId(end))?
            }
            _ => return Ok(None),
        };
        found.sort_by_key(|source| (source.tag, source.rank));
        Ok(Some(without_idle(found, self.qualities)))
    }

    /// Reads the segments of memtables that were flushed meanwhile.
    fn take_flushed(&mut self) {
        for InMemory { rank, memtable, deletes, .. } in
            self.memtables.extract_if(.., |from| from.memtable.flushed().is_some())
        {
            self.segments.extend(memtable.flushed().map(|segment| (rank, segment, deletes)));
        }
    }

    /// The first tag from `first` on that any source may hold.
    fn first_present(&self, first: u32, last: u32) -> Option<u32> {
        // Between the last tag and the first series of summaries there is nothing.
        let first = if first > self.last_tag { first.max(TagId::LAST.0 + 1) } else { first };
        let segments = self.segments.iter().map(|(_, segment, _)| segment.meta());
        let segments = segments.filter(|m| m.last_tag.0 >= first).map(|m| m.first_tag.0.max(first));
        let memtables = self
            .memtables
            .iter()
            .filter_map(|m| m.tags.get(m.tags.partition_point(|tag| tag.0 < first)).map(|tag| tag.0));
        let held = self.held.iter().filter_map(|h| h.tags.get(h.tags.partition_point(|tag| tag.0 < first)));
        segments.chain(memtables).chain(held.map(|tag| tag.0)).min().filter(|tag| *tag <= last)
    }

    fn of_range(&self, first: TagId, last: TagId) -> Result<Vec<TagSource>> {
        let mut found = Vec::new();
        if let Some(held) = &self.held {
            let start = held.tags.partition_point(|tag| *tag < first);
            let end = held.tags.partition_point(|tag| *tag <= last);
            self.add_held(&mut found, &held.tags[start..end]);
        }
        for (rank, segment, deletes) in &self.segments {
            self.add_runs(&mut found, *rank, segment, deletes, (first, last))?;
        }
        for memtable in &self.memtables {
            let start = memtable.tags.partition_point(|tag| *tag < first);
            let end = memtable.tags.partition_point(|tag| *tag <= last);
            self.add_memtable(&mut found, memtable, &memtable.tags[start..end])?;
        }
        Ok(found)
    }

    fn of_ids(&self, ids: &[TagId]) -> Result<Vec<TagSource>> {
        let mut found = Vec::new();
        self.add_held(&mut found, ids);
        for near in ids.chunk_by(|a, b| b.0 - a.0 < NEAR) {
            for (rank, segment, deletes) in &self.segments {
                self.add_runs(&mut found, *rank, segment, deletes, (near[0], near[near.len() - 1]))?;
            }
        }
        found.retain(|source| ids.binary_search(&source.tag).is_ok());
        for memtable in &self.memtables {
            self.add_memtable(&mut found, memtable, ids)?;
        }
        Ok(found)
    }

    fn add_held(&self, found: &mut Vec<TagSource>, tags: &[TagId]) {
        let Some(Held { rank, memtable, deletes, .. }) = &self.held else { return };
        let times = (self.from, self.to);
        found.extend(tags.iter().filter_map(|tag| TagSource::held(*rank, memtable, *tag, times, deletes)));
    }

    fn add_memtable(&self, found: &mut Vec<TagSource>, from: &InMemory, tags: &[TagId]) -> Result<()> {
        let InMemory { rank, memtable, deletes, .. } = from;
        for tag in tags {
            found.extend(TagSource::visible_of_memtable(*rank, memtable, *tag, (self.from, self.to), deletes)?);
        }
        Ok(())
    }

    fn add_runs(
        &self,
        found: &mut Vec<TagSource>,
        rank: usize,
        segment: &Arc<Segment>,
        deletes: &Deletes,
        (first, last): (TagId, TagId),
    ) -> Result<()> {
        let meta = segment.meta();
        let (first, last) = (first.max(meta.first_tag), last.min(meta.last_tag));
        if first > last {
            return Ok(());
        }
        let runs =
            if first == last { segment.run(first)?.into_iter().collect() } else { segment.runs(first..=last)? };
        let visible = |run| TagSource::visible_of_run(rank, segment, run, (self.from, self.to), deletes);
        found.extend(runs.into_iter().flat_map(visible));
        Ok(())
    }
}

/// What is in one or the other; both ascend.
fn union(a: &[TagId], b: &[TagId]) -> Vec<TagId> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// Leaves out sources without a row of the qualities asked for, where they hide no row of an
/// older source that may have one.
fn without_idle(sources: Vec<TagSource>, qualities: QualitySet) -> Vec<TagSource> {
    if qualities.is_all() {
        return sources;
    }
    let mut kept: Vec<TagSource> = Vec::with_capacity(sources.len());
    for source in sources {
        let older = || kept.iter().rev().take_while(|other| other.tag == source.tag);
        if source.can_match(qualities) || older().any(|other| other.overlaps(&source)) {
            kept.push(source);
        }
    }
    kept
}
