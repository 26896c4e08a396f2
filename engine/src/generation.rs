//! A memtable and the books about the frames in it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::Result;
use crate::format::SourceMark;
use crate::ingest::Counts;
use crate::manifest::SourceState;
use crate::memtable::Memtable;
use crate::sample::Cell;
use crate::scan::ReadView;
use crate::tag::TagId;

/// The samples between two flushes, with what became of them.
#[derive(Default)]
pub(crate) struct Generation {
    pub memtable: Arc<Memtable>,
    /// Monotonic time of the first frame, nanoseconds.
    pub born: Mutex<Option<u64>>,
    /// Frames of the log up to here are in this generation or older ones; 0 while it is active.
    frozen_at: AtomicU64,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Sources that wrote in this generation, with the counts of its frames alone.
    sources: HashMap<Arc<str>, SourceState>,
    /// Frames whose counts need a look into segments.
    pending: Vec<Arc<Pending>>,
}

impl Generation {
    /// Ends the generation at a position of the log.
    pub fn freeze(&self, position: u64) {
        self.frozen_at.store(position, Release);
    }

    /// The position of the log at which it ended.
    pub fn frozen_at(&self) -> u64 {
        self.frozen_at.load(Acquire)
    }

    /// Enters a frame of a source and its counts, as far as they are known.
    pub fn enter(&self, mark: &SourceMark, received: i64, counts: Counts) {
        let mut books = self.books.lock();
        let state = books.sources.entry(Arc::clone(&mark.name)).or_insert_with(|| SourceState {
            identity: Arc::clone(&mark.identity),
            epoch: mark.epoch,
            sequence: 0,
            counts: Counts::default(),
            received,
        });
        if state.epoch != mark.epoch {
            (state.epoch, state.counts) = (mark.epoch, Counts::default());
        }
        state.sequence = mark.sequence;
        state.received = received;
        state.counts += counts;
    }

    /// Enters a frame that cannot be counted yet.
    pub fn defer(&self, pending: Arc<Pending>) {
        self.books.lock().pending.push(pending);
    }

    /// Counts what could not be counted before.
    pub fn settle(&self) {
        loop {
            // The books are not held while segments are read.
            let Some(pending) = self.books.lock().pending.last().cloned() else { return };
            pending.settle();
            self.books.lock().pending.retain(|p| !Arc::ptr_eq(p, &pending));
        }
    }

    /// The source's state after this generation, given the one before it.
    pub fn source_after(&self, name: &str, before: Option<SourceState>) -> Option<SourceState> {
        match self.books.lock().sources.get(name) {
            Some(here) => Some(joined(before.as_ref(), here)),
            None => before,
        }
    }

    /// All sources that wrote here, in order of name.
    pub fn sources(&self) -> Vec<(Arc<str>, SourceState)> {
        let mut all: Vec<_> = self.books.lock().sources.iter().map(|(n, s)| (Arc::clone(n), s.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn add_late(&self, name: &str, epoch: u64, counts: Counts) {
        if let Some(state) = self.books.lock().sources.get_mut(name)
            && state.epoch == epoch
        {
            state.counts += counts;
        }
    }
}

/// The state of a source after a generation in which it wrote.
pub(crate) fn joined(before: Option<&SourceState>, here: &SourceState) -> SourceState {
    let mut state = here.clone();
    if let Some(before) = before.filter(|b| b.epoch == here.epoch) {
        state.counts += before.counts;
    }
    state
}

/// A frame with samples older than the newest of their tag outside the memtable: whether they are
/// new can only be told from segments, which is done apart from the commit.
pub(crate) struct Pending {
    /// What was there before the frame, the frame's own memtable apart.
    pub view: ReadView,
    pub late: Vec<Late>,
    pub source: Option<(Arc<str>, u64)>,
    pub generation: Weak<Generation>,
    pub settled: Mutex<Option<Counts>>,
}

/// A sample that is not in the frame's own memtable.
pub(crate) struct Late {
    pub tag: TagId,
    pub time: i64,
    pub cell: Cell,
    pub coerced: bool,
}

impl Pending {
    /// The counts of the late samples. Where a segment cannot be read they count as stored: they
    /// are, and what they replaced is not to be had.
    pub fn settle(&self) -> Counts {
        let mut settled = self.settled.lock();
        if let Some(counts) = *settled {
            return counts;
        }
        let counts = self.count().unwrap_or_else(|error| {
            tracing::warn!("counting {} late samples as stored: {error}", self.late.len());
            let coerced = self.late.iter().filter(|late| late.coerced).count() as u64;
            Counts { stored: self.late.len() as u64, coerced, ..Counts::default() }
        });
        if let (Some((name, epoch)), Some(generation)) = (&self.source, self.generation.upgrade()) {
            generation.add_late(name, *epoch, counts);
        }
        *settled = Some(counts);
        counts
    }

    fn count(&self) -> Result<Counts> {
        let mut order: Vec<&Late> = self.late.iter().collect();
        order.sort_by_key(|late| (late.tag, late.time));
        let mut counts = Counts::default();
        for same_tag in order.chunk_by(|a, b| a.tag == b.tag) {
            let times: Vec<i64> = same_tag.iter().map(|late| late.time).collect();
            for (late, before) in same_tag.iter().zip(self.view.cells_at(same_tag[0].tag, &times)?) {
                match before {
                    None => counts.stored += 1,
                    Some(cell) if cell == late.cell => {
                        counts.duplicate += 1;
                        continue;
                    }
                    Some(_) => counts.replaced += 1,
                }
                counts.coerced += u64::from(late.coerced);
            }
        }
        Ok(counts)
    }
}
