//! Frames that are applied before it is known what became of their samples.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Generation;
use crate::error::{ErrorKind, Result};
use crate::ingest::Counts;
use crate::sample::Cell;
use crate::scan::ReadView;
use crate::tag::TagId;

/// A frame with samples older than the newest of their tag outside the memtable: whether they are
/// new can only be told from segments, which is done apart from the commit.
pub(crate) struct Pending {
    sequence: u64,
    source: Option<(Arc<str>, u64)>,
    generation: Weak<Generation>,
    /// Held while segments are read, so that they are read once whoever asks.
    progress: Mutex<Progress>,
}

enum Progress {
    Noted(Notes),
    Settled(Counts),
}

/// What it takes to count a frame's late samples.
pub(crate) struct Notes {
    /// What was there before the frame, the frame's own memtable apart.
    pub view: ReadView,
    pub late: Vec<Late>,
}

/// A sample that is not in the frame's own memtable.
pub(crate) struct Late {
    pub tag: TagId,
    pub time: i64,
    pub cell: Cell,
    pub coerced: bool,
}

impl Pending {
    pub(super) fn new(
        sequence: u64,
        source: Option<(Arc<str>, u64)>,
        generation: Weak<Generation>,
        notes: Notes,
    ) -> Pending {
        Pending { sequence, source, generation, progress: Mutex::new(Progress::Noted(notes)) }
    }

    /// The counts of the late samples. Where a segment cannot be read they count as stored: they
    /// are, and what they replaced is not to be had.
    pub fn settle(&self) -> Counts {
        let mut progress = self.progress.lock();
        let notes = match &*progress {
            Progress::Settled(counts) => return *counts,
            Progress::Noted(notes) => notes,
        };
        let counts = notes.count().unwrap_or_else(|error| {
            // A damaged segment is met by every late sample of its times: it is told once.
            if error.kind() != ErrorKind::Damaged || notes.view.mention_damage() {
                tracing::warn!("late samples that may be in it count as stored: {error}");
            }
            let coerced = notes.late.iter().filter(|late| late.coerced).count() as u64;
            Counts { stored: notes.late.len() as u64, coerced, ..Counts::default() }
        });
        if let Some(generation) = self.generation.upgrade() {
            generation.give_back(notes.bytes());
            if let Some((name, epoch)) = &self.source {
                generation.add_late(self.sequence, name, *epoch, counts);
            }
        }
        *progress = Progress::Settled(counts);
        counts
    }
}

impl Drop for Pending {
    /// A writer without a source may never ask.
    fn drop(&mut self) {
        if let Progress::Noted(notes) = self.progress.get_mut()
            && let Some(generation) = self.generation.upgrade()
        {
            generation.give_back(notes.bytes());
        }
    }
}

impl Notes {
    /// Bytes of memory; texts are the memtable's.
    pub fn bytes(&self) -> usize {
        size_of::<Pending>() + self.late.capacity() * size_of::<Late>()
    }

    fn count(&self) -> Result<Counts> {
        let mut order: Vec<&Late> = self.late.iter().collect();
        order.sort_by_key(|late| (late.tag, late.time));
        let wanted: Vec<(TagId, i64)> = order.iter().map(|late| (late.tag, late.time)).collect();
        let mut counts = Counts::default();
        for (late, before) in order.iter().zip(self.view.cells_of(&wanted)?) {
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
        Ok(counts)
    }
}
