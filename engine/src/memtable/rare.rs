//! What few samples of a tag have: a status that is not Good, a text, no value, or a time before one
//! that was there already.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::Found;
use crate::sample::{Cell, Rows, extend_lazily, push_lazily, set_lazily, text_bytes};
use crate::status::Status;

/// A column is empty while no sample in the chunks of the tag has anything to say there.
#[derive(Default)]
pub(super) struct Rare {
    present: Vec<bool>,
    statuses: Vec<u32>,
    texts: Vec<Option<Arc<str>>>,
    /// Samples that came after a newer one; their times are in no chunk.
    pub late: BTreeMap<i64, Cell>,
    /// Memory of all texts.
    text_bytes: usize,
}

/// What most tags have.
pub(super) static NOTHING_RARE: Rare =
    Rare { present: Vec::new(), statuses: Vec::new(), texts: Vec::new(), late: BTreeMap::new(), text_bytes: 0 };

/// Bytes that a sample outside the chunks takes, with its share of the tree, its text apart.
const LATE_BYTES: usize = 96;

impl Rare {
    /// Memory that all of it takes, with the room that columns hold in reserve.
    pub fn bytes(&self) -> usize {
        let texts = self.texts.capacity() * size_of::<Option<Arc<str>>>() + self.text_bytes;
        let columns = self.present.capacity() + self.statuses.capacity() * size_of::<u32>() + texts;
        size_of::<Rare>() + columns + self.late.len() * LATE_BYTES
    }

    /// Sample `i` of the chunks, whose value bits are `value`.
    pub fn cell(&self, i: usize, value: u64) -> Cell {
        Cell {
            value: self.present.get(i).is_none_or(|present| *present).then_some(value),
            text: self.texts.get(i).cloned().flatten(),
            status: Status(self.statuses.get(i).copied().unwrap_or(0)),
        }
    }

    /// Adds the next sample of the chunks, before which there are `len`.
    pub fn push(&mut self, len: usize, cell: Cell) {
        self.text_bytes += text_bytes(cell.text.as_ref());
        push_lazily(&mut self.present, len, cell.value.is_some(), true);
        push_lazily(&mut self.statuses, len, cell.status.0, 0);
        push_lazily(&mut self.texts, len, cell.text, None);
    }

    /// Replaces sample `i` of `len` in the chunks.
    pub fn set(&mut self, len: usize, i: usize, cell: Cell) {
        let before = self.texts.get(i).and_then(Option::as_ref);
        self.text_bytes = self.text_bytes - text_bytes(before) + text_bytes(cell.text.as_ref());
        set_lazily(&mut self.present, len, i, cell.value.is_some(), true);
        set_lazily(&mut self.statuses, len, i, cell.status.0, 0);
        set_lazily(&mut self.texts, len, i, cell.text, None);
    }

    /// Stores a sample whose time is in no chunk.
    pub fn put_late(&mut self, time: i64, cell: Cell) -> Found {
        let text = text_bytes(cell.text.as_ref());
        let found = match self.late.get(&time) {
            Some(before) if *before == cell => return Found::Equal,
            Some(before) => {
                self.text_bytes -= text_bytes(before.text.as_ref());
                Found::Other
            }
            None => Found::Nothing,
        };
        self.text_bytes += text;
        self.late.insert(time, cell);
        found
    }

    /// Takes away samples `gone` of the chunks, and the late ones from `from` to `to`.
    pub fn delete(&mut self, gone: Range<usize>, from: i64, to: i64) {
        remove(&mut self.present, &gone);
        remove(&mut self.statuses, &gone);
        remove(&mut self.texts, &gone);
        self.late.retain(|time, _| !(from..=to).contains(time));
        let late = self.late.values().map(|cell| cell.text.as_ref());
        self.text_bytes = self.texts.iter().map(Option::as_ref).chain(late).map(text_bytes).sum();
    }

    /// Appends samples `range` of the chunks to columns that have theirs `before` it; their times
    /// and values are there already.
    pub fn extend(&self, out: &mut Rows, before: usize, range: Range<usize>) {
        let added = range.len();
        extend_lazily(&mut out.present, before, added, self.present.get(range.clone()), true);
        extend_lazily(&mut out.statuses, before, added, self.statuses.get(range.clone()), 0);
        extend_lazily(&mut out.texts, before, added, self.texts.get(range), None);
    }
}

#[cfg(test)]
impl Rare {
    /// What [`Rare::bytes`] says, counted anew.
    pub fn recount(&self) -> usize {
        let late: usize = self.late.values().map(|cell| 96 + text_bytes(cell.text.as_ref())).sum();
        let texts: usize = self.texts.iter().map(|text| text_bytes(text.as_ref())).sum();
        let columns = self.present.capacity() + self.statuses.capacity() * 4 + self.texts.capacity() * 16;
        size_of::<Rare>() + columns + texts + late
    }
}

fn remove<T>(column: &mut Vec<T>, gone: &Range<usize>) {
    if !column.is_empty() {
        column.drain(gone.clone());
    }
}
