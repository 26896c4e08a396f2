//! The memtable: acknowledged samples that are not in a segment yet.
//!
//! Each tag has a run. One lock guards all: the commit thread takes it once a frame, readers take it
//! to copy one tag's samples.
//!
//! Once it is flushed, a memtable lets its samples go, whoever still reads it: a query may last for
//! minutes, in which a busy plant fills memory many times. Readers then go on in its segment, which
//! holds the same.

mod arena;
mod rare;
mod run;

use std::fmt;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::delete::Delete;
use crate::sample::{Cell, Row, Rows};
use crate::segment::Segment;
use crate::tag::TagId;
use arena::Arena;
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
    /// By tag id; many archives have samples of few of their tags at a time.
    pages: Vec<Option<Box<[Run; PAGE_RUNS]>>>,
    rows: usize,
    /// Memory outside the arena.
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
}

impl Memtable {
    /// The log sequence of the first frame applied; 0 where none was.
    pub fn first_sequence(&self) -> u64 {
        self.inner.read().first_sequence
    }

    /// The log sequence of the last frame applied; 0 where none was.
    pub fn last_sequence(&self) -> u64 {
        self.inner.read().last_sequence
    }

    /// The tags that have samples here, ascending.
    ///
    /// # Errors
    /// As for all that asks for samples: where they are once they are flushed.
    pub fn tags(&self) -> Result<Vec<TagId>, Flushed> {
        Ok(self.held()?.runs().filter(|(_, run)| !run.is_empty()).map(|(tag, _)| tag).collect())
    }

    /// How many samples of a tag there are, and when.
    pub fn extent(&self, tag: TagId) -> Result<Option<Extent>, Flushed> {
        Ok(self.held()?.run(tag).map(Run::extent))
    }

    /// A tag's samples, all of them.
    pub fn rows(&self, tag: TagId) -> Result<Rows, Flushed> {
        self.some_rows(tag, i64::MIN, i64::MAX, usize::MAX, End::First)
    }

    /// A tag's first samples from `from` to `to`, both included, at most `max`, or the last of them;
    /// ascending in either case. Fewer than `max` are all. The lock, for which writers wait, is held
    /// while they are copied.
    pub fn some_rows(&self, tag: TagId, from: i64, to: i64, max: usize, end: End) -> Result<Rows, Flushed> {
        let inner = self.held()?;
        let Some(run) = inner.run(tag) else { return Ok(Rows::default()) };
        let view = run.view(&inner.arena);
        Ok(match end {
            End::First => view.first_rows(from, to, max),
            End::Last => view.last_rows(from, to, max),
        })
    }

    /// What a tag's samples at `times` say; None where there is none.
    pub fn cells_at(&self, tag: TagId, times: impl Iterator<Item = i64>) -> Result<Vec<Option<Cell>>, Flushed> {
        let inner = self.held()?;
        let Some(run) = inner.run(tag) else { return Ok(times.map(|_| None).collect()) };
        let view = run.view(&inner.arena);
        Ok(times.map(|time| view.cell_at(time)).collect())
    }

    /// A tag's newest sample.
    pub fn newest(&self, tag: TagId) -> Result<Option<Row>, Flushed> {
        let inner = self.held()?;
        Ok(inner.run(tag).and_then(|run| run.view(&inner.arena).newest()))
    }

    /// Where the samples are, if they are flushed.
    pub fn flushed(&self) -> Option<Arc<Segment>> {
        self.inner.read().flushed.clone()
    }

    fn held(&self) -> Result<RwLockReadGuard<'_, Inner>, Flushed> {
        let inner = self.inner.read();
        match &inner.flushed {
            Some(segment) => Err(Flushed(Arc::clone(segment))),
            None => Ok(inner),
        }
    }

    /// Lets the samples go: they are in `segment`, which new readers find without this memtable.
    pub(crate) fn hand_over(&self, segment: Arc<Segment>) {
        let mut inner = self.inner.write();
        let (arena, pages) = (std::mem::take(&mut inner.arena), std::mem::take(&mut inner.pages));
        (inner.flushed, inner.bytes) = (Some(segment), 0);
        drop(inner);
        drop((arena, pages));
    }

    /// The number of samples.
    pub fn row_count(&self) -> usize {
        self.inner.read().rows
    }

    /// Memory that the samples take, in bytes, with the room that is held in reserve.
    pub fn bytes(&self) -> usize {
        let inner = self.inner.read();
        inner.arena.bytes() + inner.bytes
    }

    /// Whether it has samples that a delete takes away, as far as tags and ends of their times tell.
    pub(crate) fn has_any_of(&self, delete: &Delete) -> bool {
        let inner = self.inner.read();
        let concerns = |extent: Extent| extent.first_time <= delete.to && extent.last_time >= delete.from;
        delete.tags.ranges().iter().any(|(first, last)| {
            let end = (inner.pages.len() * PAGE_RUNS).min((last.0 as usize).saturating_add(1));
            (first.0 as usize..end)
                .filter_map(|index| u32::try_from(index).ok())
                .any(|id| inner.run(TagId(id)).is_some_and(|run| concerns(run.extent())))
        })
    }

    /// Takes away the samples of a delete, whose frame is the last one applied then.
    pub(crate) fn delete(&self, delete: &Delete) {
        let mut inner = self.inner.write();
        for (first, last) in delete.tags.ranges() {
            let end = (inner.pages.len() * PAGE_RUNS).min((last.0 as usize).saturating_add(1));
            for index in first.0 as usize..end {
                inner.delete(index, delete.from, delete.to);
            }
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
    /// Stores sample `i` of `rows`, says what was there before.
    pub(crate) fn put(&mut self, tag: TagId, rows: &Rows, i: usize) -> Found {
        let inner = &mut *self.0;
        let (page, place) = (tag.0 as usize / PAGE_RUNS, tag.0 as usize % PAGE_RUNS);
        if page >= inner.pages.len() {
            inner.bytes += (page + 1 - inner.pages.len()) * size_of::<Option<Box<[Run; PAGE_RUNS]>>>();
            inner.pages.resize_with(page + 1, || None);
        }
        let runs = inner.pages[page].get_or_insert_with(|| {
            inner.bytes += size_of::<[Run; PAGE_RUNS]>();
            Box::default()
        });
        let run = &mut runs[place];
        let before = run.rare_bytes();
        let found = run.put(&mut inner.arena, rows, i);
        inner.bytes = inner.bytes - before + run.rare_bytes();
        inner.rows += usize::from(found == Found::Nothing);
        found
    }
}

impl Inner {
    /// The runs of all pages.
    fn runs(&self) -> impl Iterator<Item = (TagId, &Run)> {
        let pages = (0..).step_by(PAGE_RUNS).zip(&self.pages);
        pages.flat_map(|(first, page)| (first..).map(TagId).zip(page.iter().flat_map(|runs| runs.iter())))
    }

    /// A tag's run, if it has samples.
    fn run(&self, tag: TagId) -> Option<&Run> {
        let page = self.pages.get(tag.0 as usize / PAGE_RUNS)?.as_ref()?;
        Some(&page[tag.0 as usize % PAGE_RUNS]).filter(|run| !run.is_empty())
    }

    /// Takes away the samples of one run from `from` to `to`.
    fn delete(&mut self, index: usize, from: i64, to: i64) {
        let Some(page) = &mut self.pages[index / PAGE_RUNS] else { return };
        let run = &mut page[index % PAGE_RUNS];
        let extent = run.extent();
        if run.is_empty() || from > extent.last_time || to < extent.first_time {
            return;
        }
        let (rows, bytes) = (run.len(), run.rare_bytes());
        run.delete(&mut self.arena, from, to);
        self.rows -= rows - run.len();
        self.bytes = self.bytes - bytes + run.rare_bytes();
    }
}

#[cfg(test)]
mod tests;
