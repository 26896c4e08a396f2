//! One page of rows in the making, column by column.

use std::ops::Range;
use std::sync::Arc;

use super::codec::Runs;
use super::decimal;
use super::directory::{RunScale, Stored};
use super::schema::NANOS_PER_MILLI;
use crate::limits::PAGE_ROWS;
use crate::sample::Rows;
use crate::tag::{TagId, TagType};

/// Bytes of text from which on a page takes no more rows.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A nullable column: the values that are there, and for each row whether one is.
#[derive(Default)]
pub struct Nullable<T> {
    /// Values without the NULLs.
    pub values: Vec<T>,
    /// 1 where there is a value, 0 where not; one entry a row.
    pub levels: Runs,
}

impl<T> Nullable<T> {
    fn clear(&mut self) {
        self.values.clear();
        self.levels.clear();
    }
}

/// The rows of one page.
#[derive(Default)]
pub struct PageBuffer {
    /// The number of rows.
    pub rows: usize,
    /// Tag ids.
    pub tags: Runs,
    /// Times in milliseconds.
    pub millis: Vec<i64>,
    /// Nanoseconds to add.
    pub nanos: Runs,
    /// Mantissas and integers.
    pub mantissas: Nullable<i64>,
    /// The scales of the mantissas; no entry where there is no mantissa.
    pub scales: Runs,
    /// Bits of doubles.
    pub doubles: Nullable<u64>,
    /// Texts.
    pub texts: Nullable<Arc<str>>,
    /// Bytes of the texts.
    pub text_bytes: usize,
    /// Statuses.
    pub statuses: Runs,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    present: Vec<u64>,
    mantissas: Vec<i64>,
    exact: Vec<bool>,
}

impl PageBuffer {
    /// How many rows from `from` on the page still takes; none when it is full.
    pub fn room(&self, rows: &Rows, from: usize) -> usize {
        let room = (PAGE_ROWS - self.rows).min(rows.len() - from);
        if rows.texts.is_empty() {
            return room;
        }
        let mut bytes = self.text_bytes;
        let fits = |i: &usize| {
            let before = bytes;
            bytes += rows.text(*i).map_or(0, |text| text.len());
            before < TEXT_BYTES_MAX
        };
        (from..from + room).take_while(fits).count()
    }

    /// Removes all rows and keeps the room they took.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.tags.clear();
        self.millis.clear();
        self.nanos.clear();
        self.mantissas.clear();
        self.scales.clear();
        self.doubles.clear();
        self.texts.clear();
        self.text_bytes = 0;
        self.statuses.clear();
    }

    /// Appends rows `range` of a tag, as many as there is room for, and says what they hold.
    pub fn add(&mut self, tag: TagId, tag_type: TagType, rows: &Rows, range: Range<usize>) -> Stored {
        let n = range.len() as u32;
        self.rows += range.len();
        self.tags.push(u64::from(tag.0), n);
        let nanos = self.add_times(&rows.times[range.clone()]);
        let statuses = self.add_statuses(rows.statuses.get(range.clone()), n);
        self.add_texts(rows.texts.get(range.clone()), n);
        let (scale, doubles, missing) = self.add_values(tag_type, rows, range);
        Stored { nanos, doubles, missing, statuses, scale }
    }

    /// Returns whether any time is no whole millisecond.
    fn add_times(&mut self, times: &[i64]) -> bool {
        let mut any = 0;
        self.millis.extend(times.iter().map(|time| {
            let millis = time.div_euclid(NANOS_PER_MILLI);
            any |= time - millis * NANOS_PER_MILLI;
            millis
        }));
        if any == 0 {
            self.nanos.push(0, times.len() as u32);
            return false;
        }
        for time in times {
            self.nanos.push(time.rem_euclid(NANOS_PER_MILLI).cast_unsigned(), 1);
        }
        true
    }

    /// Returns whether any status is not Good without flags.
    fn add_statuses(&mut self, statuses: Option<&[u32]>, n: u32) -> bool {
        let Some(statuses) = statuses.filter(|statuses| !statuses.is_empty()) else {
            self.statuses.push(0, n);
            return false;
        };
        for status in statuses {
            self.statuses.push(u64::from(*status), 1);
        }
        statuses.iter().any(|status| *status != 0)
    }

    fn add_texts(&mut self, texts: Option<&[Option<Arc<str>>]>, n: u32) {
        let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
            return self.texts.levels.push(0, n);
        };
        for text in texts {
            self.texts.levels.push(u64::from(text.is_some()), 1);
            if let Some(text) = text {
                self.text_bytes += text.len();
                self.texts.values.push(text.clone());
            }
        }
    }

    /// Returns the scale of the mantissas, and whether there are doubles and missing values.
    fn add_values(&mut self, tag_type: TagType, rows: &Rows, range: Range<usize>) -> (RunScale, bool, bool) {
        let n = range.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        let present = rows.present.get(range.clone()).filter(|present| present.contains(&false));
        let (values, all) = match present {
            _ if tag_type == TagType::Text => (&[][..], &vec![false; n][..]),
            None => (&rows.values[range], &[][..]),
            Some(present) => {
                let there = rows.values[range].iter().zip(present).filter(|(_, there)| **there);
                scratch.present.clear();
                scratch.present.extend(there.map(|(bits, _)| *bits));
                (&scratch.present[..], present)
            }
        };
        let (scale, exact) = match () {
            () if values.is_empty() => (RunScale::None, 0),
            () if tag_type.is_float() => split(values, &mut scratch.mantissas, &mut scratch.exact),
            () => {
                scratch.mantissas.clear();
                scratch.mantissas.extend(values.iter().map(|bits| bits.cast_signed()));
                scratch.exact.clear();
                scratch.exact.resize(values.len(), true);
                (RunScale::One(0), values.len())
            }
        };
        self.append_values(values, &scratch, exact, all);
        if let RunScale::One(scale) = scale {
            self.scales.push(u64::from(scale), exact as u32);
        }
        let missing = n - values.len();
        let doubles = values.len() - exact;
        self.scratch = scratch;
        (scale, doubles > 0, missing > 0)
    }

    /// Appends values of which `exact` have mantissas; `present` is empty where no row lacks one.
    fn append_values(&mut self, values: &[u64], scratch: &Scratch, exact: usize, present: &[bool]) {
        let n = values.len() as u32;
        if present.is_empty() && exact == values.len() {
            self.mantissas.values.extend_from_slice(&scratch.mantissas);
            self.mantissas.levels.push(1, n);
            return self.doubles.levels.push(0, n);
        }
        if present.is_empty() && exact == 0 {
            self.doubles.values.extend_from_slice(values);
            self.doubles.levels.push(1, n);
            return self.mantissas.levels.push(0, n);
        }
        let mut next = 0;
        for row in 0..present.len().max(values.len()) {
            let there = present.is_empty() || present[row];
            let is_exact = there && exact > 0 && scratch.exact[next];
            self.mantissas.levels.push(u64::from(is_exact), 1);
            self.doubles.levels.push(u64::from(there && !is_exact), 1);
            if is_exact {
                self.mantissas.values.push(scratch.mantissas[next]);
            } else if there {
                self.doubles.values.push(values[next]);
            }
            next += usize::from(there);
        }
    }
}

/// Splits doubles at the best scale; returns it and how many have mantissas.
fn split(values: &[u64], mantissas: &mut Vec<i64>, exact: &mut Vec<bool>) -> (RunScale, usize) {
    let Some(scale) = decimal::choose(values) else {
        return (RunScale::None, 0);
    };
    match decimal::split(values, scale, mantissas, exact) {
        0 => (RunScale::None, 0),
        count => (RunScale::One(scale), count),
    }
}

impl Stored {
    /// Of no rows.
    pub const NOTHING: Stored =
        Stored { nanos: false, doubles: false, missing: false, statuses: false, scale: RunScale::None };

    /// What this and `other` hold together.
    pub fn and(self, other: Stored) -> Stored {
        let scale = match (self.scale, other.scale) {
            (scale, RunScale::None) | (RunScale::None, scale) => scale,
            (a, b) if a == b => a,
            _ => RunScale::Several,
        };
        Stored {
            nanos: self.nanos | other.nanos,
            doubles: self.doubles | other.doubles,
            missing: self.missing | other.missing,
            statuses: self.statuses | other.statuses,
            scale,
        }
    }
}
