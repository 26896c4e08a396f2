//! The memtable: acknowledged samples that are not in a segment yet.
//!
//! Each tag has a run. One lock guards all: the commit thread takes it once a frame, readers take it
//! to copy one tag's samples.
//!
//! Of a tag with reduction the samples that are not decided on, the newest one or two, are with its
//! reducer and in no run: they go on to the next memtable, and are asked for apart.
//!
//! Once it is flushed, a memtable lets its samples go, whoever still reads it: a query may last for
//! minutes, in which a busy plant fills memory many times. Readers then go on in its segment, which
//! holds the same.

mod arena;
mod rare;
mod reducers;
mod run;

use std::fmt;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::delete::Delete;
use crate::reduction::{Decided, Field, Reducer, ReducerState, Settings, Tail, cut_minutes};
use crate::sample::{Cell, Row, Rows};
use crate::segment::Segment;
use crate::status::Status;
use crate::tag::TagId;
use arena::Arena;
use reducers::Reducers;
use run::Run;

/// Samples of all tags, newest write wins.
#[derive(Default)]
pub struct Memtable {
    inner: RwLock<Inner>,
}

/// The samples are in this segment by now.
#[derive(Clone)]
pub struct Flushed(pub Arc<Segment>);

#[derive(Default)]
struct Inner {
    flushed: Option<Arc<Segment>>,
    first_sequence: u64,
    last_sequence: u64,
    arena: Arena,
    /// The runs of tags, and those of their summaries.
    runs: [Runs; 2],
    rows: usize,
    /// Memory of what is rare in runs.
    rare_bytes: usize,
    reducers: Reducers,
    /// Lent to what reducers decide.
    decided: Decided,
    one: Rows,
}

/// Runs by number; many archives have samples of few of their tags at a time.
#[derive(Default)]
struct Runs {
    pages: Vec<Option<Box<[Run; PAGE_RUNS]>>>,
    /// Memory of the pages.
    bytes: usize,
}

const PAGE_RUNS: usize = 32;

/// How many samples of a tag there are, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The number of samples.
    pub rows: u64,
    /// The oldest sample's time.
    pub first_time: i64,
    /// The newest sample's time.
    pub last_time: i64,
}

/// Which samples of many are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The oldest.
    First,
    /// The newest.
    Last,
}

/// What a write found at its tag and time in this memtable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// The same value, text and status.
    Equal,
    /// Something else, which is now replaced.
    Other,
    /// Nothing, and a sample was left out for this one: there are as many as before.
    Reduced,
}

impl Memtable {
    /// The log sequence of the first frame applied; 0 where none was.
    pub fn first_sequence(&self) -> u64 {
        self.inner.read().first_sequence
    }

    /// The log sequence of the last frame applied, here or before; 0 where none was.
    pub fn last_sequence(&self) -> u64 {
        self.inner.read().last_sequence
    }

    /// The tags that have samples here, ascending, but for those that have only such as are not decided
    /// on.
    ///
    /// # Errors
    /// As for all that asks for samples: where they are once they are flushed.
    pub fn tags(&self) -> Result<Vec<TagId>, Flushed> {
        Ok(self.unflushed()?.runs[0].iter().filter(|(_, run)| !run.is_empty()).map(|(tag, _)| TagId(tag)).collect())
    }

    /// The same, and the series of summaries.
    pub fn series(&self) -> Result<Vec<TagId>, Flushed> {
        let mut all = self.tags()?;
        let summaries = self.unflushed()?;
        let summaries = summaries.runs[1].iter().filter(|(_, run)| !run.is_empty());
        all.extend(summaries.map(|(number, _)| TagId(TagId::LAST.0 + 1 + number)));
        Ok(all)
    }

    /// The samples of a tag that are not decided on, ascending; also of one that is flushed.
    pub fn held(&self, tag: TagId) -> Vec<Row> {
        let inner = self.inner.read();
        inner.reducers.get(tag).map_or(Vec::new(), |reducer| reducer.held().cloned().collect())
    }

    /// The newest of them.
    pub fn newest_held(&self, tag: TagId) -> Option<Row> {
        self.inner.read().reducers.get(tag).and_then(|reducer| reducer.held().next_back().cloned())
    }

    /// The tags that have any, ascending.
    pub fn tags_held(&self) -> Vec<TagId> {
        let inner = self.inner.read();
        let all = inner.reducers.among(TagId(0), TagId::LAST);
        all.filter(|(_, reducer)| reducer.held().next().is_some()).map(|(tag, _)| tag).collect()
    }

    /// What readers of a tag with reduction have to know beside what is settled.
    pub fn tail(&self, tag: TagId) -> Option<Tail> {
        self.inner.read().reducers.get(tag).and_then(|reducer| reducer.tail())
    }

    /// What the reducers have to remember that were touched here; none for those that remember nothing.
    pub(crate) fn reducer_states(&self) -> Vec<(TagId, Option<Arc<ReducerState>>)> {
        self.inner.read().reducers.states()
    }

    /// An empty one that goes on where this one ends, at a position of the log.
    pub(crate) fn next(&self, position: u64) -> Memtable {
        let reducers = self.inner.read().reducers.carried();
        Memtable { inner: RwLock::new(Inner { last_sequence: position, reducers, ..Inner::default() }) }
    }

    /// An empty one with these reducers, as they are at a position of the log.
    pub(crate) fn with_reducers(position: u64, all: impl IntoIterator<Item = (TagId, Reducer)>) -> Memtable {
        let mut reducers = Reducers::default();
        all.into_iter().for_each(|(tag, reducer)| reducers.set(tag, Some(reducer)));
        let reducers = reducers.carried();
        Memtable { inner: RwLock::new(Inner { last_sequence: position, reducers, ..Inner::default() }) }
    }

    /// Reduces a tag from now on by these settings, or not at all; says whether that is a change. What
    /// is not decided on stays then, as a sample of this frame.
    pub(crate) fn set_reduction(&self, sequence: u64, tag: TagId, settings: Option<(Settings, bool)>) -> bool {
        let before = self.inner.read().reducers.get(tag).map(|reducer| reducer.settings());
        if before == settings {
            return false;
        }
        let mut writer = self.write(sequence);
        writer.0.finish(tag);
        writer.0.reducers.set(tag, settings.map(|(settings, is_float)| Reducer::new(settings, is_float)));
        true
    }

    /// How many samples of a tag there are, and when.
    pub fn extent(&self, tag: TagId) -> Result<Option<Extent>, Flushed> {
        Ok(self.unflushed()?.run(tag).map(Run::extent))
    }

    /// A tag's samples, all of them.
    pub fn rows(&self, tag: TagId) -> Result<Rows, Flushed> {
        self.some_rows(tag, i64::MIN, i64::MAX, usize::MAX, End::First)
    }

    /// A tag's first samples from `from` to `to`, both included, at most `max`, or the last of them;
    /// ascending in either case. Fewer than `max` are all. The lock, for which writers wait, is held
    /// while they are copied.
    pub fn some_rows(&self, tag: TagId, from: i64, to: i64, max: usize, end: End) -> Result<Rows, Flushed> {
        let inner = self.unflushed()?;
        let Some(run) = inner.run(tag) else { return Ok(Rows::default()) };
        let view = run.view(&inner.arena);
        Ok(match end {
            End::First => view.first_rows(from, to, max),
            End::Last => view.last_rows(from, to, max),
        })
    }

    /// What a tag's samples at `times` say; None where there is none.
    pub fn cells_at(&self, tag: TagId, times: impl Iterator<Item = i64>) -> Result<Vec<Option<Cell>>, Flushed> {
        let inner = self.unflushed()?;
        let Some(run) = inner.run(tag) else { return Ok(times.map(|_| None).collect()) };
        let view = run.view(&inner.arena);
        Ok(times.map(|time| view.cell_at(time)).collect())
    }

    /// A tag's newest sample.
    pub fn newest(&self, tag: TagId) -> Result<Option<Row>, Flushed> {
        let inner = self.unflushed()?;
        Ok(inner.run(tag).and_then(|run| run.view(&inner.arena).newest()))
    }

    /// Where the samples are, if they are flushed.
    pub fn flushed(&self) -> Option<Arc<Segment>> {
        self.inner.read().flushed.clone()
    }

    fn unflushed(&self) -> Result<RwLockReadGuard<'_, Inner>, Flushed> {
        let inner = self.inner.read();
        match &inner.flushed {
            Some(segment) => Err(Flushed(Arc::clone(segment))),
            None => Ok(inner),
        }
    }

    /// Lets the samples go: they are in `segment`, which new readers find without this memtable. Those
    /// that are not decided on stay, for readers who have no later memtable.
    pub(crate) fn hand_over(&self, segment: Arc<Segment>) {
        let mut inner = self.inner.write();
        let gone = (std::mem::take(&mut inner.arena), std::mem::take(&mut inner.runs));
        (inner.flushed, inner.rare_bytes) = (Some(segment), 0);
        drop(inner);
        drop(gone);
    }

    /// The number of samples.
    pub fn row_count(&self) -> usize {
        self.inner.read().rows
    }

    /// How many tags have a reducer. No flush gives back what these take.
    pub(crate) fn reducers(&self) -> usize {
        self.inner.read().reducers.count()
    }

    /// Memory that the samples take, in bytes, with the room that is held in reserve, but for those that
    /// are held.
    pub fn bytes(&self) -> usize {
        let inner = self.inner.read();
        let pages: usize = inner.runs.iter().map(|runs| runs.bytes).sum();
        inner.arena.bytes() + pages + inner.rare_bytes
    }

    /// Whether it has samples that a delete takes away, as far as tags and ends of their times tell.
    pub(crate) fn has_any_of(&self, delete: &Delete) -> bool {
        let inner = self.inner.read();
        let concerns = |first: i64, last: i64| first <= delete.to && last >= delete.from;
        let has_run = |(_, run): (u32, &Run)| {
            let extent = run.extent();
            !run.is_empty() && concerns(extent.first_time, extent.last_time)
        };
        delete.tags.ranges().iter().any(|(first, last)| {
            let mut held = inner.reducers.among(*first, *last);
            parts(*first, *last).any(|(space, first, last)| inner.runs[space].among(first, last).any(has_run))
                || held.any(|(_, reducer)| reducer.held().any(|row| concerns(row.time, row.time)))
        })
    }

    /// Takes away the samples of a delete, whose frame is the last one applied then. Of `reduced` tags
    /// samples may have been left out: minutes that it cuts are exact no more.
    pub(crate) fn delete(&self, delete: &Delete, reduced: &[TagId]) {
        let mut inner = self.inner.write();
        let before = inner.rows;
        for (first, last) in delete.tags.ranges() {
            inner.settle(*first, *last, delete.from, delete.to);
        }
        let settled = inner.rows > before;
        for (first, last) in delete.tags.ranges() {
            for (space, first, last) in parts(*first, *last) {
                inner.delete(space, first..=last, delete.from, delete.to);
            }
        }
        for tag in reduced {
            for minute in cut_minutes(delete.from, delete.to) {
                inner.put_number(Field::Inexact.of(*tag), minute, 1.0, Status::GOOD);
            }
        }
        if inner.first_sequence == 0 && (settled || !reduced.is_empty()) {
            inner.first_sequence = delete.sequence;
        }
        inner.last_sequence = delete.sequence;
    }

    /// Opens the memtable for the samples of one frame.
    pub(crate) fn write(&self, sequence: u64) -> MemtableWriter<'_> {
        let mut inner = self.inner.write();
        if inner.first_sequence == 0 {
            inner.first_sequence = sequence;
        }
        inner.last_sequence = sequence;
        MemtableWriter(inner)
    }
}

impl fmt::Debug for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the samples are in segment {}", self.0.meta().name)
    }
}

/// The memtable, held for one frame.
pub(crate) struct MemtableWriter<'a>(parking_lot::RwLockWriteGuard<'a, Inner>);

impl MemtableWriter<'_> {
    /// Whether it is decided on samples of a tag.
    pub(crate) fn reduces(&self, tag: TagId) -> bool {
        self.0.reducers.has(tag)
    }

    /// Stores sample `i` of `rows`, says what was there before.
    pub(crate) fn put(&mut self, tag: TagId, rows: &Rows, i: usize) -> Found {
        match self.0.reducers.has(tag) {
            true => self.0.reduce(tag, rows, i),
            false => self.0.put(tag, rows, i),
        }
    }
}

impl Inner {
    /// A tag's run, if it has samples.
    fn run(&self, tag: TagId) -> Option<&Run> {
        let (space, number) = place(tag);
        self.runs[space].get(number).filter(|run| !run.is_empty())
    }

    fn put(&mut self, tag: TagId, rows: &Rows, i: usize) -> Found {
        let (space, number) = place(tag);
        let run = self.runs[space].get_or_add(number);
        let before = run.rare_bytes();
        let found = run.put(&mut self.arena, rows, i);
        self.rare_bytes = self.rare_bytes - before + run.rare_bytes();
        self.rows += usize::from(found == Found::Nothing);
        found
    }

    /// Stores a sample of a tag with reduction: the newest is held until it is decided on, late ones stay.
    fn reduce(&mut self, tag: TagId, rows: &Rows, i: usize) -> Found {
        let time = rows.times[i];
        let Some(reducer) = self.reducers.get(tag) else { return Found::Nothing };
        let held = reducer.held().find(|row| row.time == time);
        if held.is_some_and(|row| row.cell == rows.cell(i)) {
            return Found::Equal;
        }
        if held.is_some() {
            // Nothing can be decided on with a value that came twice.
            self.finish(tag);
            return self.put(tag, rows, i);
        }
        if reducer.newest_time() >= time {
            return self.put(tag, rows, i);
        }
        let mut decided = std::mem::take(&mut self.decided);
        let row = Row { time, cell: rows.cell(i) };
        let is_reduced = self.reducers.touch(tag).is_some_and(|reducer| reducer.push(row, &mut decided));
        self.enter(tag, decided);
        if is_reduced { Found::Reduced } else { Found::Nothing }
    }

    /// Lets the samples of a tag stay that are not decided on.
    fn finish(&mut self, tag: TagId) {
        let mut decided = std::mem::take(&mut self.decided);
        if let Some(reducer) = self.reducers.touch(tag) {
            reducer.finish(&mut decided);
        }
        self.enter(tag, decided);
    }

    /// The same for tags from `first` to `last` that have something between these times which is not
    /// settled.
    fn settle(&mut self, first: TagId, last: TagId, from: i64, to: i64) {
        let concerned = self.reducers.among(first, last).filter(|(_, reducer)| {
            let times = reducer.kept().zip(reducer.newest());
            times.is_some_and(|(kept, newest)| kept.time <= to && newest.time >= from)
        });
        let tags: Vec<TagId> = concerned.map(|(tag, _)| tag).collect();
        tags.into_iter().for_each(|tag| self.finish(tag));
    }

    /// Stores what was decided.
    fn enter(&mut self, tag: TagId, mut decided: Decided) {
        let mut one = std::mem::take(&mut self.one);
        for row in decided.kept.drain(..) {
            one.clear();
            one.push(row.time, &row.cell);
            self.put(tag, &one, 0);
        }
        self.one = one;
        for summary in decided.summaries.drain(..) {
            for (field, value) in summary.numbers() {
                self.put_number(field.of(tag), summary.from, value, summary.status);
            }
        }
        self.decided = decided;
    }

    fn put_number(&mut self, series: TagId, time: i64, value: f64, status: Status) {
        let mut one = std::mem::take(&mut self.one);
        one.clear();
        one.push_value(time, value.to_bits(), status);
        self.put(series, &one, 0);
        self.one = one;
    }

    /// Takes away the samples of some runs from `from` to `to`.
    fn delete(&mut self, space: usize, numbers: std::ops::RangeInclusive<u32>, from: i64, to: i64) {
        for run in self.runs[space].among_mut(*numbers.start(), *numbers.end()) {
            let extent = run.extent();
            if run.is_empty() || from > extent.last_time || to < extent.first_time {
                continue;
            }
            let (rows, bytes) = (run.len(), run.rare_bytes());
            run.delete(&mut self.arena, from, to);
            self.rows -= rows - run.len();
            self.rare_bytes = self.rare_bytes - bytes + run.rare_bytes();
        }
    }
}

/// Which runs a tag's is among, and its number there.
fn place(tag: TagId) -> (usize, u32) {
    if tag.is_summary() { (1, tag.0 - TagId::LAST.0 - 1) } else { (0, tag.0) }
}

/// Tags from `first` to `last` by where their runs are.
fn parts(first: TagId, last: TagId) -> impl Iterator<Item = (usize, u32, u32)> {
    let tags = (!first.is_summary()).then(|| (0, first.0, last.min(TagId::LAST).0));
    let base = TagId::LAST.0 + 1;
    let summaries = last.is_summary().then(|| (1, first.0.saturating_sub(base), last.0 - base));
    tags.into_iter().chain(summaries)
}

impl Runs {
    fn get(&self, number: u32) -> Option<&Run> {
        let page = self.pages.get(number as usize / PAGE_RUNS)?.as_ref()?;
        Some(&page[number as usize % PAGE_RUNS])
    }

    fn get_or_add(&mut self, number: u32) -> &mut Run {
        let (page, place) = (number as usize / PAGE_RUNS, number as usize % PAGE_RUNS);
        if page >= self.pages.len() {
            self.bytes += (page + 1 - self.pages.len()) * size_of::<Option<Box<[Run; PAGE_RUNS]>>>();
            self.pages.resize_with(page + 1, || None);
        }
        let runs = self.pages[page].get_or_insert_with(|| {
            self.bytes += size_of::<[Run; PAGE_RUNS]>();
            Box::default()
        });
        &mut runs[place]
    }

    /// All, by number.
    fn iter(&self) -> impl Iterator<Item = (u32, &Run)> {
        let pages = (0..).step_by(PAGE_RUNS).zip(&self.pages);
        pages.flat_map(|(first, page)| (first..).zip(page.iter().flat_map(|runs| runs.iter())))
    }

    /// Those from `first` to `last`.
    fn among(&self, first: u32, last: u32) -> impl Iterator<Item = (u32, &Run)> {
        let end = u32::try_from(self.pages.len() * PAGE_RUNS).unwrap_or(u32::MAX);
        (first..end.min(last.saturating_add(1))).filter_map(|number| Some((number, self.get(number)?)))
    }

    fn among_mut(&mut self, first: u32, last: u32) -> impl Iterator<Item = &mut Run> {
        let end = self.pages.len().min(last as usize / PAGE_RUNS + 1);
        let start = end.min(first as usize / PAGE_RUNS);
        let pages = (start * PAGE_RUNS..).step_by(PAGE_RUNS).zip(&mut self.pages[start..end]);
        let runs = pages.flat_map(|(number, page)| (number..).zip(page.iter_mut().flat_map(|runs| runs.iter_mut())));
        runs.filter(move |(number, _)| (first as usize..=last as usize).contains(number)).map(|(_, run)| run)
    }
}

#[cfg(test)]
mod tests;
