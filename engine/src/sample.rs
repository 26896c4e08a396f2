//! Samples in columns: the shape in which the log, the memtable, segments and scans hand them on.

use std::sync::Arc;

use crate::status::Status;

/// Bytes that a text takes beside its letters: its reference counts and the allocator's share.
pub(crate) const TEXT_BYTES: usize = 32;

/// Bytes that a text takes outside its column.
pub(crate) fn text_bytes(text: Option<&Arc<str>>) -> usize {
    text.map_or(0, |text| text.len() + TEXT_BYTES)
}

/// Samples of one tag, ascending in time, each time once, column by column.
///
/// `values` holds the bits of a double for float tags and of an `i64` for int, bool and digital
/// tags; the tag's type tells which. Where `present` is false there is no value and the bits
/// are 0. Text tags have no values, only texts; elsewhere a text is a system state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Source timestamps in nanoseconds since 1970 UTC.
    pub times: Vec<i64>,
    /// Value bits.
    pub values: Vec<u64>,
    /// Which samples have a value; empty where all have.
    pub present: Vec<bool>,
    /// Statuses; empty where all are Good without flags.
    pub statuses: Vec<u32>,
    /// Texts; empty where no sample has one.
    pub texts: Vec<Option<Arc<str>>>,
}

/// One sample without its tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Source timestamp in nanoseconds since 1970 UTC.
    pub time: i64,
    /// What was measured and how good it is.
    pub cell: Cell,
}

/// What a sample says at its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Value bits, as in [`Rows`].
    pub value: Option<u64>,
    /// The string of a text tag, or a system state.
    pub text: Option<Arc<str>>,
    /// How good it is.
    pub status: Status,
}

impl Cell {
    /// A cell with value bits alone.
    pub fn good(value: u64) -> Cell {
        Cell { value: Some(value), text: None, status: Status::GOOD }
    }
}

impl Rows {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The value bits of sample `i`.
    pub fn value(&self, i: usize) -> Option<u64> {
        (self.present.is_empty() || self.present[i]).then(|| self.values[i])
    }

    /// The status of sample `i`.
    pub fn status(&self, i: usize) -> Status {
        Status(self.statuses.get(i).copied().unwrap_or(0))
    }

    /// The text of sample `i`.
    pub fn text(&self, i: usize) -> Option<&Arc<str>> {
        self.texts.get(i).and_then(Option::as_ref)
    }

    /// All of sample `i` but its time.
    pub fn cell(&self, i: usize) -> Cell {
        Cell { value: self.value(i), text: self.text(i).cloned(), status: self.status(i) }
    }

    /// Appends a sample; the caller keeps the order.
    pub fn push(&mut self, time: i64, cell: &Cell) {
        let before = self.times.len();
        self.times.push(time);
        self.values.push(cell.value.unwrap_or(0));
        push_lazily(&mut self.present, before, cell.value.is_some(), true);
        push_lazily(&mut self.statuses, before, cell.status.0, 0);
        push_lazily(&mut self.texts, before, cell.text.clone(), None);
    }

    /// Bytes that the samples take, with the room that columns hold in reserve, and texts.
    pub fn memory(&self) -> usize {
        let plain = (self.times.capacity() + self.values.capacity()) * size_of::<u64>();
        let (statuses, texts) = (self.statuses.capacity(), self.texts.capacity());
        let columns = plain + self.present.capacity() + statuses * size_of::<u32>();
        let texts = texts * size_of::<Option<Arc<str>>>()
            + self.texts.iter().map(|text| text_bytes(text.as_ref())).sum::<usize>();
        columns + texts
    }

    /// Appends a sample that has a value and no text; the caller keeps the order.
    pub fn push_value(&mut self, time: i64, value: u64, status: Status) {
        let before = self.times.len();
        self.times.push(time);
        self.values.push(value);
        push_lazily(&mut self.present, before, true, true);
        push_lazily(&mut self.statuses, before, status.0, 0);
        push_lazily(&mut self.texts, before, None, None);
    }

    /// Appends samples `range` of `other`; the caller keeps the order.
    pub fn extend_from(&mut self, other: &Rows, range: std::ops::Range<usize>) {
        let before = self.times.len();
        let added = range.len();
        self.times.extend_from_slice(&other.times[range.clone()]);
        self.values.extend_from_slice(&other.values[range.clone()]);
        extend_lazily(&mut self.present, before, added, other.present.get(range.clone()), true);
        extend_lazily(&mut self.statuses, before, added, other.statuses.get(range.clone()), 0);
        extend_lazily(&mut self.texts, before, added, other.texts.get(range), None);
    }

    /// Replaces all of sample `i` but its time.
    #[cfg(test)]
    pub(crate) fn set(&mut self, i: usize, cell: &Cell) {
        let len = self.times.len();
        self.values[i] = cell.value.unwrap_or(0);
        set_lazily(&mut self.present, len, i, cell.value.is_some(), true);
        set_lazily(&mut self.statuses, len, i, cell.status.0, 0);
        set_lazily(&mut self.texts, len, i, cell.text.clone(), None);
    }

    /// Removes all samples, keeping the room they took.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.present.clear();
        self.statuses.clear();
        self.texts.clear();
    }
}

/// A lazy column is empty while every entry is the default; this appends one entry to it.
pub(crate) fn push_lazily<T: Clone + PartialEq>(column: &mut Vec<T>, len: usize, value: T, default: T) {
    if column.is_empty() {
        if value == default {
            return;
        }
        column.resize(len, default);
    }
    column.push(value);
}

pub(crate) fn extend_lazily<T: Clone>(column: &mut Vec<T>, len: usize, added: usize, values: Option<&[T]>, default: T) {
    match values {
        Some(values) if !values.is_empty() => {
            if column.is_empty() {
                column.resize(len, default);
            }
            column.extend_from_slice(values);
        }
        _ if column.is_empty() => {}
        _ => column.resize(len + added, default),
    }
}

pub(crate) fn set_lazily<T: Clone + PartialEq>(column: &mut Vec<T>, len: usize, i: usize, value: T, default: T) {
    if column.is_empty() {
        if value == default {
            return;
        }
        column.resize(len, default);
    }
    column[i] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(word: &str) -> Cell {
        Cell { value: None, text: Some(word.into()), status: Status::BAD }
    }

    #[test]
    fn lazy_columns_say_the_same_as_full_ones() {
        let cells = [Cell::good(7), state("Scan Timeout"), Cell::good(8), Cell::good(9)];
        let mut rows = Rows::default();
        for (time, cell) in (0i64..).zip(&cells) {
            rows.push(time, cell);
        }
        let mut copy = Rows::default();
        copy.extend_from(&rows, 2..4);
        assert!(copy.present.is_empty() || copy.present.len() == 2);
        copy.extend_from(&rows, 0..2);
        copy.set(0, &state("Bad"));
        let read: Vec<Cell> = (0..4).map(|i| copy.cell(i)).collect();
        assert_eq!(read, [state("Bad"), Cell::good(9), Cell::good(7), state("Scan Timeout")]);
        let all: Vec<Cell> = (0..4).map(|i| rows.cell(i)).collect();
        assert_eq!(all, cells);
    }
}
