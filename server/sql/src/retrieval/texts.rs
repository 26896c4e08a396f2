//! The engine's rows as the numbers that retrieval takes. Texts go by numbers of their own.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tagus_engine::retrieval::Samples;
use tagus_engine::sample::Rows;
use tagus_engine::tag::{Tag, TagType};

/// The different texts of one tag, in the order in which they came.
#[derive(Default)]
pub(super) struct Texts {
    numbers: HashMap<Arc<str>, usize>,
    texts: Vec<Arc<str>>,
    bytes: usize,
}

/// What an entry takes beside its letters.
const ENTRY_BYTES: usize = 96;

impl Texts {
    /// The text that a number stands for.
    pub(super) fn text(&self, number: f64) -> Option<Arc<str>> {
        self.texts.get(number as usize).cloned()
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn number(&mut self, text: Option<&Arc<str>>) -> f64 {
        let Some(text) = text else { return 0.0 };
        let next = self.texts.len();
        let number = *self.numbers.entry(Arc::clone(text)).or_insert(next);
        if number == next {
            self.texts.push(Arc::clone(text));
            self.bytes += text.len() + ENTRY_BYTES;
        }
        number as f64
    }
}

/// Samples of one tag in columns.
#[derive(Default)]
pub(super) struct Numbers {
    times: Vec<i64>,
    values: Vec<f64>,
    statuses: Vec<u32>,
}

impl Numbers {
    /// Takes other samples in place of those that are there.
    pub(super) fn fill(&mut self, tag: &Tag, rows: &Rows, range: Range<usize>, texts: &mut Texts) {
        self.times.clear();
        self.times.extend_from_slice(&rows.times[range.clone()]);
        self.statuses.clear();
        match rows.statuses.get(range.clone()) {
            Some(statuses) => self.statuses.extend_from_slice(statuses),
            None => self.statuses.resize(range.len(), 0),
        }
        self.values.clear();
        match tag.spec.tag_type {
            TagType::Float64 | TagType::Float32 => {
                self.values.extend(rows.values[range].iter().map(|bits| f64::from_bits(*bits)));
            }
            TagType::Int64 | TagType::Bool | TagType::Digital => {
                self.values.extend(rows.values[range].iter().map(|bits| bits.cast_signed() as f64));
            }
            TagType::Text => self.values.extend(range.map(|i| texts.number(rows.text(i)))),
        }
    }

    /// Removes all samples.
    pub(super) fn clear(&mut self) {
        self.times.clear();
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The samples.
    pub(super) fn samples(&self) -> Samples<'_> {
        Samples { times: &self.times, values: &self.values, statuses: &self.statuses }
    }
}
