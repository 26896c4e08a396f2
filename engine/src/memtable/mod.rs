//! The memtable: acknowledged samples that are not in a segment yet.
//!
//! Each tag has a run of columns to which samples in order are appended, which is the rule, and
//! a tree beside it for samples that come late. One lock guards all: the commit thread takes it
//! once a frame, readers take it to copy one tag's samples.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use parking_lot::RwLock;

use crate::delete::Delete;
use crate::sample::{Cell, Row, Rows, text_bytes};
use crate::tag::TagId;

/// Samples of all tags, newest write wins.
#[derive(Default)]
pub struct Memtable {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    first_sequence: u64,
    last_sequence: u64,
    /// By tag id.
    runs: Vec<Option<Box<Run>>>,
    rows: usize,
    bytes: usize,
}

#[derive(Default)]
struct Run {
    /// Ascending in time.
    main: Rows,
    /// Samples that came after a newer one; their times are not in `main`.
    late: BTreeMap<i64, Cell>,
}

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

/// Bytes that a sample outside the columns takes, with its share of the tree, its text apart.
const LATE_BYTES: usize = 96;
/// Bytes that a tag id takes, whether it has samples or not, if it is not above all that have.
const PLACE_BYTES: usize = size_of::<Option<Box<Run>>>();
/// Bytes that a tag takes before its first sample.
const RUN_BYTES: usize = size_of::<Run>() + 128;

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
    pub fn tags(&self) -> Vec<TagId> {
        let inner = self.inner.read();
        (0..).zip(&inner.runs).filter(|(_, run)| run.is_some()).map(|(id, _)| TagId(id)).collect()
    }

    /// How many samples of a tag there are, and when.
    pub fn extent(&self, tag: TagId) -> Option<Extent> {
        self.inner.read().run(tag).map(Run::extent)
    }

    /// A tag's samples from `from` to `to`, both included.
    pub fn rows(&self, tag: TagId, from: i64, to: i64) -> Rows {
        self.inner.read().run(tag).map_or_else(Rows::default, |run| run.rows(from, to))
    }

    /// The first samples of [`Memtable::rows`], at most `max`, or the last of them; ascending in
    /// either case. Fewer than `max` are all. The lock, for which writers wait, is held while they
    /// are copied.
    pub fn some_rows(&self, tag: TagId, from: i64, to: i64, max: usize, end: End) -> Rows {
        let inner = self.inner.read();
        let Some(run) = inner.run(tag) else { return Rows::default() };
        match end {
            End::First => run.first_rows(from, to, max),
            End::Last => run.rows(run.start_of_last(from, to, max), to),
        }
    }

    /// What a tag's samples at `times` say, which must ascend; None where there is none.
    pub fn cells_at(&self, tag: TagId, times: impl Iterator<Item = i64>) -> Vec<Option<Cell>> {
        let inner = self.inner.read();
        let Some(run) = inner.run(tag) else { return times.map(|_| None).collect() };
        let mut start = 0;
        times.map(|time| run.cell_at(time, &mut start)).collect()
    }

    /// A tag's newest sample.
    pub fn newest(&self, tag: TagId) -> Option<Row> {
        self.inner.read().run(tag).map(|run| run.newest())
    }

    /// The number of samples.
    pub fn row_count(&self) -> usize {
        self.inner.read().rows
    }

    /// Memory that the samples take, in bytes, with the room that columns hold in reserve.
    pub fn bytes(&self) -> usize {
        self.inner.read().bytes
    }

    /// Takes away the samples of a delete, whose frame is the last one applied then.
    pub(crate) fn delete(&self, delete: &Delete) {
        let mut inner = self.inner.write();
        for (first, last) in delete.tags.ranges() {
            let end = inner.runs.len().min((last.0 as usize).saturating_add(1));
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

/// The memtable, held for one frame.
pub(crate) struct MemtableWriter<'a>(parking_lot::RwLockWriteGuard<'a, Inner>);

impl MemtableWriter<'_> {
    /// Stores sample `i` of `rows`, says what was there before.
    pub(crate) fn put(&mut self, tag: TagId, rows: &Rows, i: usize) -> Found {
        let inner = &mut *self.0;
        let index = tag.0 as usize;
        if index >= inner.runs.len() {
            inner.bytes += (index + 1 - inner.runs.len()) * PLACE_BYTES;
            inner.runs.resize_with(index + 1, || None);
        }
        let run = inner.runs[index].get_or_insert_with(|| {
            inner.bytes += RUN_BYTES;
            Box::default()
        });
        let time = rows.times[i];
        if run.main.times.last().is_none_or(|last| *last < time)
            && run.late.last_key_value().is_none_or(|l| *l.0 < time)
        {
            inner.bytes += run.main.append(rows, i) + text_bytes(rows.text(i));
            inner.rows += 1;
            return Found::Nothing;
        }
        let found = run.put_late(time, rows.cell(i), &mut inner.bytes);
        inner.rows += usize::from(found == Found::Nothing);
        found
    }
}

impl Inner {
    fn run(&self, tag: TagId) -> Option<&Run> {
        self.runs.get(tag.0 as usize)?.as_deref()
    }

    /// Takes away the samples of one run from `from` to `to`.
    fn delete(&mut self, index: usize, from: i64, to: i64) {
        let Some(run) = &mut self.runs[index] else { return };
        let extent = run.extent();
        if from > extent.last_time || to < extent.first_time {
            return;
        }
        let (rows, bytes) = (run.len(), run.bytes());
        run.delete(from, to);
        self.rows -= rows - run.len();
        self.bytes = self.bytes - bytes + run.bytes();
        if run.len() == 0 {
            self.bytes -= RUN_BYTES;
            self.runs[index] = None;
        }
    }
}

impl Run {
    /// Stores a sample that is not the newest, and keeps count of the bytes.
    fn put_late(&mut self, time: i64, cell: Cell, bytes: &mut usize) -> Found {
        if let Ok(at) = self.main.times.binary_search(&time) {
            let before = self.main.cell(at);
            if before == cell {
                return Found::Equal;
            }
            let column_bytes = self.main.column_bytes();
            self.main.set(at, &cell);
            *bytes += self.main.column_bytes() - column_bytes + text_bytes(cell.text.as_ref());
            *bytes -= text_bytes(before.text.as_ref());
            return Found::Other;
        }
        match self.late.entry(time) {
            Entry::Vacant(vacant) => {
                *bytes += LATE_BYTES + text_bytes(cell.text.as_ref());
                vacant.insert(cell);
                Found::Nothing
            }
            Entry::Occupied(mut occupied) if *occupied.get() != cell => {
                *bytes += text_bytes(cell.text.as_ref());
                *bytes -= text_bytes(occupied.insert(cell).text.as_ref());
                Found::Other
            }
            Entry::Occupied(_) => Found::Equal,
        }
    }

    /// The number of samples.
    fn len(&self) -> usize {
        self.main.len() + self.late.len()
    }

    /// Bytes that the samples take, as they were counted when they came.
    fn bytes(&self) -> usize {
        let late: usize = self.late.values().map(|cell| LATE_BYTES + text_bytes(cell.text.as_ref())).sum();
        self.main.memory() + late
    }

    /// Takes away the samples from `from` to `to`. The columns keep no room in reserve then.
    fn delete(&mut self, from: i64, to: i64) {
        let gone = self.within(from, to);
        if !gone.is_empty() {
            let mut kept = Rows::default();
            kept.extend_from(&self.main, 0..gone.start);
            kept.extend_from(&self.main, gone.end..self.main.len());
            self.main = kept;
        }
        self.late.retain(|time, _| !(from..=to).contains(time));
    }

    fn extent(&self) -> Extent {
        let firsts = self.main.times.first().into_iter().chain(self.late.keys().next());
        let lasts = self.main.times.last().into_iter().chain(self.late.keys().next_back());
        Extent {
            rows: self.len() as u64,
            first_time: firsts.copied().min().unwrap_or(i64::MAX),
            last_time: lasts.copied().max().unwrap_or(i64::MIN),
        }
    }

    fn rows(&self, from: i64, to: i64) -> Rows {
        self.first_rows(from, to, usize::MAX)
    }

    /// The first `max` samples from `from` to `to`.
    fn first_rows(&self, from: i64, to: i64, max: usize) -> Rows {
        let mut out = Rows::default();
        if from > to {
            return out;
        }
        let mut main = self.within(from, to);
        for (time, cell) in self.late.range(from..=to) {
            let before = self.main.times[main.clone()].partition_point(|t| t < time);
            let taken = main.start..main.start + before.min(max - out.len());
            main.start = taken.end;
            out.extend_from(&self.main, taken);
            if out.len() == max {
                return out;
            }
            out.push(*time, cell);
        }
        main.end = main.end.min(main.start.saturating_add(max - out.len()));
        out.extend_from(&self.main, main);
        out
    }

    /// From when on the last `max` samples from `from` to `to` are.
    fn start_of_last(&self, from: i64, to: i64, max: usize) -> i64 {
        if from > to {
            return from;
        }
        let main = self.within(from, to);
        if main.len() > max && self.late.is_empty() {
            return self.main.times[main.end - max];
        }
        let mut main = self.main.times[main].iter().rev().copied().peekable();
        let mut late = self.late.range(from..=to).rev().map(|(time, _)| *time).peekable();
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

    /// Where in the columns the samples from `from` to `to` are.
    fn within(&self, from: i64, to: i64) -> Range<usize> {
        let start = self.main.times.partition_point(|t| *t < from);
        start..start + self.main.times[start..].partition_point(|t| *t <= to)
    }

    /// What the sample of a time says, which is at `start` in the columns or later; moves `start`
    /// up to it.
    fn cell_at(&self, time: i64, start: &mut usize) -> Option<Cell> {
        *start += self.main.times[*start..].partition_point(|t| *t < time);
        match self.main.times.get(*start) {
            Some(found) if *found == time => Some(self.main.cell(*start)),
            _ => self.late.get(&time).cloned(),
        }
    }

    fn newest(&self) -> Row {
        let late = self.late.last_key_value();
        match self.main.times.last() {
            Some(time) if late.is_none_or(|(l, _)| l < time) => {
                Row { time: *time, cell: self.main.cell(self.main.len() - 1) }
            }
            _ => {
                let (time, cell) = late.expect("a run is made for its first sample");
                Row { time: *time, cell: cell.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests;
