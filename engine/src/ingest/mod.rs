//! What writers bring: batches of samples, checked and turned into what the log keeps.

mod counts;
mod prepare;
mod source;

pub use counts::Counts;
pub(crate) use prepare::{Prepared, Rules, check_shape, missing_tags, prepare};
pub(crate) use source::{Slot, Sources, Turn};

use std::sync::Arc;

use crate::tag::TagId;

/// Samples as a writer sends them. At most [`crate::limits::BATCH_ROWS_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Applied in order.
    pub blocks: Vec<Block>,
}

/// Samples of one shape and one kind of value.
#[derive(Clone, Debug)]
pub struct Block {
    /// Tags and times.
    pub shape: Shape,
    /// One value a sample.
    pub values: Values,
    /// Status codes: none (all Good), one for all samples, or one a sample.
    pub statuses: Vec<u32>,
}

/// Tags and times of a block's samples. Times are nanoseconds since 1970 UTC.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One time, many tags.
    Scan {
        /// The time of all.
        time: i64,
        /// Tags by the number that the engine gave for them.
        handles: Vec<u32>,
        /// More tags, by name in any case, after those by number.
        names: Vec<String>,
    },
    /// One tag, many times.
    Series {
        /// The tag of all.
        tag: TagRef,
        /// The time of each, in any order.
        times: Vec<i64>,
    },
}

/// A tag as writers name it.
#[derive(Clone, Debug, PartialEq)]
pub enum TagRef {
    /// The number that the engine gave for it.
    Handle(u32),
    /// The name in any case.
    Name(String),
}

/// Values of a block's samples.
#[derive(Clone, Debug)]
pub enum Values {
    /// Floating point numbers.
    Doubles(Vec<f64>),
    /// Integers.
    Integers(Vec<i64>),
    /// Booleans.
    Booleans(Vec<bool>),
    /// Words: numbers, states or strings, as the tag's type has it.
    Texts(Vec<String>),
    /// No values.
    None,
}

/// A sample that was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// Which one of the batch, counted from 0 through its blocks.
    pub index: u32,
    /// Why.
    pub reason: Arc<str>,
}

/// What is known of a batch as soon as it is queued.
#[derive(Clone, Debug, Default)]
pub struct Submitted {
    /// The samples that were refused.
    pub rejections: Vec<Rejection>,
    /// The tags that were written by name, with their handles.
    pub handles: Vec<(String, TagId)>,
}

impl Shape {
    /// The number of samples.
    pub fn len(&self) -> usize {
        match self {
            Shape::Scan { handles, names, .. } => handles.len() + names.len(),
            Shape::Series { times, .. } => times.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Values {
    /// The number of values where it is known.
    fn len(&self) -> Option<usize> {
        match self {
            Values::Doubles(v) => Some(v.len()),
            Values::Integers(v) => Some(v.len()),
            Values::Booleans(v) => Some(v.len()),
            Values::Texts(v) => Some(v.len()),
            Values::None => None,
        }
    }
}
