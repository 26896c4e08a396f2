//! A memtable and the books about the frames in it.
//!
//! Invariants:
//! 1. A frame is in the books as pending, or its counts are with its source's: both change at
//!    once, so that a flush that settles first misses none and counts none twice.
//! 2. The books are not held while segments are read.

mod pending;

pub(crate) use pending::{Late, Notes, Pending};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

use parking_lot::Mutex;

use crate::delete::Delete;
use crate::format::SourceMark;
use crate::ingest::Counts;
use crate::limits;
use crate::manifest::SourceState;
use crate::memtable::Memtable;
use crate::tag_table::TagTable;

/// The samples between two flushes, with what became of them.
#[derive(Default)]
pub(crate) struct Generation {
    pub memtable: Arc<Memtable>,
    /// Monotonic time of the first frame, nanoseconds.
    pub born: Mutex<Option<u64>>,
    /// Frames of the log up to here are in this generation or older ones; 0 while it is active.
    frozen_at: AtomicU64,
    /// The tags as those frames have them.
    tags: Mutex<Arc<TagTable>>,
    /// Memory of the notes about late samples.
    notes: AtomicUsize,
    /// Deletes whose frames were applied while it was active.
    deletes: Mutex<Vec<Arc<Delete>>>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Sources that wrote in this generation, with the counts of its frames alone.
    sources: HashMap<Arc<str>, SourceState>,
    /// Frames of sources whose counts need a look into segments, by log sequence.
    pending: BTreeMap<u64, Arc<Pending>>,
}

impl Generation {
    /// One that begins with a memtable.
    pub fn of(memtable: Memtable) -> Generation {
        Generation { memtable: Arc::new(memtable), ..Generation::default() }
    }

    /// The one that follows, from a position of the log on.
    pub fn next(&self, position: u64) -> Generation {
        Generation::of(self.memtable.next(position))
    }

    /// Ends the generation at a position of the log, where the tags are these: what later frames say of
    /// them goes with those.
    pub fn freeze(&self, position: u64, tags: Arc<TagTable>) {
        *self.tags.lock() = tags;
        self.frozen_at.store(position, Release);
    }

    /// The tags where it ended.
    pub fn tags(&self) -> Arc<TagTable> {
        Arc::clone(&self.tags.lock())
    }

    /// The position of the log at which it ended.
    pub fn frozen_at(&self) -> u64 {
        self.frozen_at.load(Acquire)
    }

    /// Enters a delete, which hides rows of all older memtables and segments from now on.
    pub fn add_delete(&self, delete: Arc<Delete>) {
        self.deletes.lock().push(delete);
    }

    /// Whether there are deletes among its frames.
    pub fn has_deletes(&self) -> bool {
        !self.deletes.lock().is_empty()
    }

    /// The deletes of its frames, in order.
    pub fn deletes(&self) -> Vec<Arc<Delete>> {
        self.deletes.lock().clone()
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
            ended: Vec::new(),
        });
        if state.epoch != mark.epoch {
            if state.ended.len() == limits::EPOCHS_ENDED_MAX {
                state.ended.remove(0);
            }
            state.ended.push(state.epoch);
            (state.epoch, state.counts) = (mark.epoch, Counts::default());
        }
        state.sequence = mark.sequence;
        state.received = received;
        state.counts += counts;
    }

    /// Enters a frame that cannot be counted yet. Without a source only its writer will ask.
    pub fn defer(self: &Arc<Self>, sequence: u64, mark: Option<&SourceMark>, notes: Notes) -> Arc<Pending> {
        self.notes.fetch_add(notes.bytes(), Relaxed);
        let source = mark.map(|mark| (Arc::clone(&mark.name), mark.epoch));
        let has_source = source.is_some();
        let pending = Arc::new(Pending::new(sequence, source, Arc::downgrade(self), notes));
        if has_source {
            self.books.lock().pending.insert(sequence, Arc::clone(&pending));
        }
        pending
    }

    /// Counts what could not be counted before.
    pub fn settle(&self) {
        let all: Vec<Arc<Pending>> = self.books.lock().pending.values().cloned().collect();
        for pending in all {
            pending.settle();
        }
    }

    /// Memory of the samples and of the notes about them.
    pub fn bytes(&self) -> usize {
        self.memtable.bytes() + self.notes.load(Relaxed)
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

    /// Adds the late samples of a frame to its source's counts, which is pending no more.
    fn add_late(&self, sequence: u64, name: &str, epoch: u64, counts: Counts) {
        let mut books = self.books.lock();
        books.pending.remove(&sequence);
        if let Some(state) = books.sources.get_mut(name)
            && state.epoch == epoch
        {
            state.counts += counts;
        }
    }

    /// Notes of so many bytes are there no more.
    fn give_back(&self, bytes: usize) {
        self.notes.fetch_sub(bytes, Relaxed);
    }
}

/// The state of a source after a generation in which it wrote.
pub(crate) fn joined(before: Option<&SourceState>, here: &SourceState) -> SourceState {
    let mut state = here.clone();
    let Some(before) = before else { return state };
    if before.epoch == here.epoch {
        state.counts += before.counts;
    }
    let mut ended = before.ended.clone();
    ended.extend([before.epoch].iter().chain(&here.ended).filter(|epoch| **epoch != here.epoch));
    ended.dedup();
    state.ended = ended.split_off(ended.len().saturating_sub(limits::EPOCHS_ENDED_MAX));
    state
}
