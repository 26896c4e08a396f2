//! The samples of one tag in a memtable: those in order, which is the rule, in chunks of the arena,
//! and beside them what is rare.

use std::ops::Range;

use super::arena::{Arena, CHUNK_ROWS_MIN, Place, Slot};
use super::rare::{NOTHING_RARE, Rare};
use super::{Extent, Found};
use crate::sample::{Cell, Row, Rows};
use crate::status::Status;

/// A tag's samples; empty where it has none.
#[derive(Default)]
pub(super) struct Run {
    /// The last chunk, the samples in it, and those that it has room for.
    tail: Option<Place>,
    filled: u32,
    capacity: u32,
    /// Samples in all chunks.
    rows: u32,
    /// Times of the oldest and the newest sample, wherever they are.
    oldest: i64,
    newest: i64,
    rare: Option<Box<Rare>>,
}

impl Run {
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.rare().late.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rows as usize + self.rare().late.len()
    }

    pub fn extent(&self) -> Extent {
        Extent { rows: self.len() as u64, first_time: self.oldest, last_time: self.newest }
    }

    /// Memory outside the arena, in bytes.
    pub fn rare_bytes(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.bytes())
    }

    #[cfg(test)]
    pub fn rare_recount(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.recount())
    }

    fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    /// Stores sample `i` of `from`.
    pub fn put(&mut self, arena: &mut Arena, from: &Rows, i: usize) -> Found {
        let time = from.times[i];
        if self.is_empty() {
            (self.oldest, self.newest) = (time, time);
        } else if self.newest < time {
            self.newest = time;
        } else {
            return self.put_late(arena, time, from.cell(i));
        }
        self.append(arena, Slot { time, value: from.values[i] });
        let is_plain = from.present.is_empty() && from.statuses.is_empty() && from.texts.is_empty();
        if self.rare.is_some() || !is_plain {
            self.note(self.rows as usize - 1, from.cell(i), Rare::push);
        }
        Found::Nothing
    }

    fn append(&mut self, arena: &mut Arena, slot: Slot) {
        let place = match self.tail {
            Some(place) if self.filled < self.capacity => place,
            // Half of what is there: at most a third of all room stays empty.
            before => {
                let (place, capacity) = arena.chunk((self.rows as usize / 2).max(CHUNK_ROWS_MIN), before);
                (self.tail, self.filled, self.capacity) = (Some(place), 0, capacity);
                place
            }
        };
        *arena.row_mut(place, self.filled) = slot;
        self.filled += 1;
        self.rows += 1;
    }

    /// Stores a sample that is not the newest.
    fn put_late(&mut self, arena: &mut Arena, time: i64, cell: Cell) -> Found {
        let view = self.view(arena);
        if let Some(at) = view.find(time) {
            if view.cell(at) == cell {
                return Found::Equal;
            }
            let (place, i) = locate(&view.chunks, at);
            arena.row_mut(place, i).value = cell.value.unwrap_or(0);
            let len = self.rows as usize;
            self.note(len, cell, |rare, len, cell| rare.set(len, at, cell));
            return Found::Other;
        }
        (self.oldest, self.newest) = (self.oldest.min(time), self.newest.max(time));
        self.rare.get_or_insert_default().put_late(time, cell)
    }

    /// Lets `enter` note what a sample in the chunks says beside its value, if there is anything to
    /// be noted.
    fn note(&mut self, len: usize, cell: Cell, enter: impl FnOnce(&mut Rare, usize, Cell)) {
        let is_plain = cell.value.is_some() && cell.text.is_none() && cell.status == Status::GOOD;
        if self.rare.is_some() || !is_plain {
            enter(self.rare.get_or_insert_default(), len, cell);
        }
    }

    /// Takes away the samples from `from` to `to`. Room that they took in the arena is lost.
    pub fn delete(&mut self, arena: &mut Arena, from: i64, to: i64) {
        let view = self.view(arena);
        let gone = view.within(from, to);
        let chunks = view.chunks;
        let kept = self.rows as usize - gone.len();
        for (new, old) in (gone.start..kept).zip(gone.end..) {
            let (place, i) = locate(&chunks, old);
            let slot = *arena.row_mut(place, i);
            let (place, i) = locate(&chunks, new);
            *arena.row_mut(place, i) = slot;
        }
        self.keep(arena, &chunks, kept);
        if let Some(rare) = &mut self.rare {
            rare.delete(gone, from, to);
        }
        let late = &self.rare().late;
        let ends = [late.first_key_value(), late.last_key_value()].into_iter().flatten().map(|(time, _)| *time);
        let view = self.view(arena);
        let times = ends.chain([0, kept.saturating_sub(1)].into_iter().filter(|_| kept > 0).map(|i| view.slot(i).time));
        let (oldest, newest) = times.fold((i64::MAX, i64::MIN), |(a, b), time| (a.min(time), b.max(time)));
        (self.oldest, self.newest) = (oldest, newest);
    }

    /// Leaves the first `rows` samples of the chunks.
    fn keep(&mut self, arena: &Arena, chunks: &[Chunk], rows: usize) {
        (self.tail, self.filled, self.capacity, self.rows) = (None, 0, 0, 0);
        if let Some(last) = chunks.iter().rfind(|chunk| chunk.start < rows) {
            self.tail = Some(last.place);
            self.capacity = arena.header(last.place).1;
            self.filled = u32::try_from(rows - last.start).unwrap_or(0).min(last.rows);
            self.rows = u32::try_from(rows).unwrap_or(0);
        }
    }

    /// The samples as they are.
    pub fn view<'a>(&'a self, arena: &'a Arena) -> View<'a> {
        let mut chunks = Vec::new();
        let (mut at, mut rows, mut end) = (self.tail, self.filled, self.rows as usize);
        while let Some(place) = at {
            end -= rows as usize;
            chunks.push(Chunk { start: end, place, rows });
            at = arena.header(place).0;
            // All chunks but the last are full.
            rows = at.map_or(0, |before| arena.header(before).1);
        }
        chunks.reverse();
        View { arena, chunks, len: self.rows as usize, rare: self.rare() }
    }
}

/// Samples `start` to `start + rows` of a run.
struct Chunk {
    start: usize,
    place: Place,
    rows: u32,
}

/// Where sample `i` is: the chunk, and which of its samples.
fn locate(chunks: &[Chunk], i: usize) -> (Place, u32) {
    let chunk = &chunks[chunks.partition_point(|chunk| chunk.start <= i) - 1];
    (chunk.place, u32::try_from(i - chunk.start).unwrap_or(chunk.rows))
}

/// A run to be read.
pub(super) struct View<'a> {
    arena: &'a Arena,
    /// Ascending.
    chunks: Vec<Chunk>,
    /// Samples in the chunks.
    len: usize,
    rare: &'a Rare,
}

impl View<'_> {
    /// The first `max` samples from `from` to `to`.
    pub fn first_rows(&self, from: i64, to: i64, max: usize) -> Rows {
        let mut out = Rows::default();
        if from > to {
            return out;
        }
        let mut main = self.within(from, to);
        for (time, cell) in self.rare.late.range(from..=to) {
            let end = self.lower(*time).min(main.start.saturating_add(max - out.len()));
            self.copy(main.start..end, &mut out);
            main.start = end;
            if out.len() == max {
                return out;
            }
            out.push(*time, cell);
        }
        main.end = main.end.min(main.start.saturating_add(max - out.len()));
        self.copy(main, &mut out);
        out
    }

    /// The last `max` samples from `from` to `to`.
    pub fn last_rows(&self, from: i64, to: i64, max: usize) -> Rows {
        self.first_rows(self.start_of_last(from, to, max), to, usize::MAX)
    }

    /// From when on the last `max` samples from `from` to `to` are.
    fn start_of_last(&self, from: i64, to: i64, max: usize) -> i64 {
        if from > to {
            return from;
        }
        let main = self.within(from, to);
        if main.len() > max && self.rare.late.is_empty() {
            return self.slot(main.end - max).time;
        }
        let mut main = main.rev().map(|i| self.slot(i).time).peekable();
        let mut late = self.rare.late.range(from..=to).rev().map(|(time, _)| *time).peekable();
        let mut start = to;
        for _ in 0..max {
            let newest = if main.peek() > late.peek() { main.next() } else { late.next() };
            start = match newest {
                Some(time) => time,
                None => return from,
            };
        }
        start
    }

    /// What the sample of a time says.
    pub fn cell_at(&self, time: i64) -> Option<Cell> {
        match self.find(time) {
            Some(at) => Some(self.cell(at)),
            None => self.rare.late.get(&time).cloned(),
        }
    }

    /// The newest sample.
    pub fn newest(&self) -> Option<Row> {
        let late = self.rare.late.last_key_value().map(|(time, cell)| Row { time: *time, cell: cell.clone() });
        let Some(last) = self.len.checked_sub(1) else { return late };
        let time = self.slot(last).time;
        late.filter(|late| late.time > time).or_else(|| Some(Row { time, cell: self.cell(last) }))
    }

    /// The sample of a time in the chunks.
    fn find(&self, time: i64) -> Option<usize> {
        let at = self.lower(time);
        (at < self.len && self.slot(at).time == time).then_some(at)
    }

    fn slot(&self, i: usize) -> Slot {
        let (place, i) = locate(&self.chunks, i);
        self.arena.rows(place, i..i + 1)[0]
    }

    fn cell(&self, i: usize) -> Cell {
        self.rare.cell(i, self.slot(i).value)
    }

    /// Which samples in the chunks are from `from` to `to`.
    fn within(&self, from: i64, to: i64) -> Range<usize> {
        let end = to.checked_add(1).map_or(self.len, |end| self.lower(end));
        let start = self.lower(from);
        start..end.max(start)
    }

    /// The first sample in the chunks that is not before `time`.
    fn lower(&self, time: i64) -> usize {
        let slots = |chunk: &Chunk| self.arena.rows(chunk.place, 0..chunk.rows);
        let is_before = |chunk: &Chunk| slots(chunk).last().is_some_and(|last| last.time < time);
        let Some(chunk) = self.chunks.get(self.chunks.partition_point(is_before)) else { return self.len };
        chunk.start + slots(chunk).partition_point(|slot| slot.time < time)
    }

    /// Appends samples `range` of the chunks.
    fn copy(&self, range: Range<usize>, out: &mut Rows) {
        let before = out.len();
        let first = self.chunks.partition_point(|chunk| chunk.start + chunk.rows as usize <= range.start);
        for chunk in self.chunks[first..].iter().take_while(|chunk| chunk.start < range.end) {
            let slots = self.arena.rows(chunk.place, 0..chunk.rows);
            let slots = &slots[range.start.saturating_sub(chunk.start)..slots.len().min(range.end - chunk.start)];
            out.times.extend(slots.iter().map(|slot| slot.time));
            out.values.extend(slots.iter().map(|slot| slot.value));
        }
        self.rare.extend(out, before, range);
    }
}
