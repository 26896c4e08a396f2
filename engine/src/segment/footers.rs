//! The footers that are kept, of all segments of an engine together, within a bound.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::tail::Tail;

/// Parsed tails of segments, those that were used last. The one that was kept last stays, however
/// large it is: whoever asked for it works with it.
///
/// The lock is held to look one up and never while a file is read. Each tail has a mark that it
/// was used, and is passed over once for it when room is needed: using one moves nothing.
pub(crate) struct Footers {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By segment id.
    tails: HashMap<u64, Entry>,
    /// Ids in the order in which they came, or were passed over.
    order: VecDeque<u64>,
    bytes: usize,
}

struct Entry {
    tail: Arc<Tail>,
    bytes: usize,
    used: bool,
}

impl Footers {
    /// Keeps footers of so many bytes.
    pub fn new(bytes_max: usize) -> Footers {
        Footers { bytes_max, kept: Mutex::default() }
    }

    /// Bytes of memory that all take.
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// Bytes of memory that a segment's takes; 0 where it is not kept.
    pub fn bytes_of(&self, segment: u64) -> usize {
        self.kept.lock().tails.get(&segment).map_or(0, |entry| entry.bytes)
    }

    /// The tail of a segment, if it is kept.
    pub fn get(&self, segment: u64) -> Option<Arc<Tail>> {
        let mut kept = self.kept.lock();
        let entry = kept.tails.get_mut(&segment)?;
        entry.used = true;
        Some(Arc::clone(&entry.tail))
    }

    /// Keeps the tail of a segment, in place of others where there is no room.
    pub fn keep(&self, segment: u64, tail: Arc<Tail>) {
        let mut kept = self.kept.lock();
        kept.remove(segment);
        let bytes = tail.memory();
        while kept.bytes + bytes > self.bytes_max && kept.remove_oldest() {}
        kept.bytes += bytes;
        kept.order.push_back(segment);
        kept.tails.insert(segment, Entry { tail, bytes, used: false });
    }

    /// Gives the memory of a segment's tail back.
    pub fn forget(&self, segment: u64) {
        self.kept.lock().remove(segment);
    }
}

impl Kept {
    fn remove(&mut self, segment: u64) {
        if let Some(entry) = self.tails.remove(&segment) {
            self.bytes -= entry.bytes;
            self.order.retain(|id| *id != segment);
        }
    }

    /// Removes the oldest that was not used since it was last passed over; false where there is
    /// none.
    fn remove_oldest(&mut self) -> bool {
        while let Some(segment) = self.order.pop_front() {
            let Some(entry) = self.tails.get_mut(&segment) else { continue };
            if std::mem::take(&mut entry.used) {
                self.order.push_back(segment);
                continue;
            }
            self.bytes -= entry.bytes;
            self.tails.remove(&segment);
            return true;
        }
        false
    }
}
