//! Times and values of many tags in few large pieces of memory, which are all given back at once.
//!
//! A tag with few samples takes a few dozen bytes, and no piece lies between those of another
//! memtable, which would keep their pages when they are freed.
//!
//! 1. A chunk lies in one slab. Its first slot says where the chunk before it of the same run is and
//!    how many samples it has room for; the samples follow.
//! 2. Only the last chunk of a run has room left.

use std::ops::Range;

/// A sample's time and the bits of its value.
#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
    pub time: i64,
    pub value: u64,
}

/// Where a chunk begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    slab: u32,
    slot: u32,
}

#[derive(Default)]
pub(super) struct Arena {
    slabs: Vec<Box<[Slot]>>,
    /// Slots of the last slab that belong to chunks.
    used: usize,
    /// Slots of all slabs.
    slots: usize,
}

/// Slots of the first slab, and of each at last: between, a slab is as large as all before it.
const SLAB_SLOTS_MIN: usize = 64;
const SLAB_SLOTS_MAX: usize = 1 << 16;
/// Samples that a chunk has room for at least.
pub(super) const CHUNK_ROWS_MIN: usize = 3;
/// What stands for a place where there is no chunk before.
const NO_PLACE: i64 = -1;

impl Arena {
    /// Memory that all slabs take, in bytes.
    pub fn bytes(&self) -> usize {
        self.slots * size_of::<Slot>() + self.slabs.capacity() * size_of::<Box<[Slot]>>()
    }

    /// A new chunk behind `before`. It has room for at most `rows` samples, and for fewer where the
    /// slab ends before.
    pub fn chunk(&mut self, rows: usize, before: Option<Place>) -> (Place, u32) {
        let mut free = self.slabs.last().map_or(0, |slab| slab.len()) - self.used;
        if free <= CHUNK_ROWS_MIN {
            let slots = self.slots.clamp(SLAB_SLOTS_MIN, SLAB_SLOTS_MAX);
            self.slabs.push(vec![Slot::default(); slots].into_boxed_slice());
            (self.slots, self.used, free) = (self.slots + slots, 0, slots);
        }
        let capacity = narrow(rows.max(CHUNK_ROWS_MIN).min(free - 1));
        let place = Place { slab: narrow(self.slabs.len() - 1), slot: narrow(self.used) };
        let before = before.map_or(NO_PLACE, |place| i64::from(place.slab) << 32 | i64::from(place.slot));
        self.slabs[place.slab as usize][self.used] = Slot { time: before, value: u64::from(capacity) };
        self.used += 1 + capacity as usize;
        (place, capacity)
    }

    /// The chunk before this one in its run, and for how many samples this one has room.
    pub fn header(&self, place: Place) -> (Option<Place>, u32) {
        let slot = self.slabs[place.slab as usize][place.slot as usize];
        let half = |shift: u32| u32::try_from(slot.time >> shift & i64::from(u32::MAX)).unwrap_or(0);
        let before = (slot.time != NO_PLACE).then(|| Place { slab: half(32), slot: half(0) });
        (before, u32::try_from(slot.value).unwrap_or(0))
    }

    /// Samples `range` of a chunk.
    pub fn rows(&self, place: Place, range: Range<u32>) -> &[Slot] {
        let first = place.slot as usize + 1;
        &self.slabs[place.slab as usize][first + range.start as usize..first + range.end as usize]
    }

    /// Sample `i` of a chunk.
    pub fn row_mut(&mut self, place: Place, i: u32) -> &mut Slot {
        &mut self.slabs[place.slab as usize][place.slot as usize + 1 + i as usize]
    }
}

#[cfg(test)]
impl Arena {
    /// What [`Arena::bytes`] says, counted anew.
    pub fn recount(&self) -> usize {
        self.slabs.iter().map(|slab| size_of_val(&**slab)).sum::<usize>() + self.slabs.capacity() * 16
    }
}

/// What the log can hold unflushed is far from filling 32 bits.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a memtable has fewer than 2^32 slabs, and a slab fewer slots")
}
