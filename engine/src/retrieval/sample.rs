//! What goes in and what comes out.

use crate::status::{Quality, Status};

/// Uncertain, because what it was made of was not all good.
pub(super) const SUBNORMAL: Status = Status(0x40A4_0000);

/// BadAggregateInvalidInputs: the aggregate has no meaning for values of this kind.
pub(super) const INVALID_INPUTS: Status = Status(0x80D6_0000);

/// Samples of one tag in columns, ascending in time, each time once.
///
/// The value of a Bad sample is not looked at; other values are finite. Texts go by numbers that are
/// equal where the texts are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Samples<'a> {
    /// Nanoseconds since 1970 UTC.
    pub times: &'a [i64],
    /// Values.
    pub values: &'a [f64],
    /// Statuses.
    pub statuses: &'a [u32],
}

/// One sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    /// The value; means nothing where the status is Bad.
    pub value: f64,
    /// How good it is.
    pub status: Status,
}

/// The times of a tag's first and last sample that is data, as [`is_marker`] says.
pub type Span = Option<(i64, i64)>;

/// Which samples a machine has to be fed beside those of the range, none of them outside the span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// So many samples that count as values before the range, and what came after them.
    pub values_before: usize,
    /// Whether the next sample that counts as a value after the range, and what comes before it, is
    /// needed; otherwise the next of any quality is.
    pub value_after: bool,
}

impl Context {
    /// Nothing.
    pub const NONE: Context = Context { values_before: 0, value_after: false };
}

/// Answers in columns.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answers {
    /// The times that the standard stamps.
    pub times: Vec<i64>,
    /// Values; none where the status is Bad.
    pub values: Vec<Option<f64>>,
    /// Statuses with their info bits.
    pub statuses: Vec<u32>,
}

/// What an answer is, beside its status: bits of the status (Part 11, 7.3.3).
pub(super) mod info {
    /// The value was computed.
    pub const CALCULATED: u32 = 0x01;
    /// A bound was estimated.
    pub const INTERPOLATED: u32 = 0x02;
    /// The interval reaches beyond the data.
    pub const PARTIAL: u32 = 0x04;
    /// Several samples are the one that was sought.
    pub const MULTIPLE: u32 = 0x10;
    /// The bits above are set.
    pub const DATA_VALUE: u32 = 0x0400;
}

impl<'a> Samples<'a> {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Sample `i`.
    pub fn get(&self, i: usize) -> Sample {
        Sample { time: self.times[i], value: self.values[i], status: Status(self.statuses[i]) }
    }

    /// Some of them.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Samples<'a> {
        Samples {
            times: &self.times[range.clone()],
            values: &self.values[range.clone()],
            statuses: &self.statuses[range],
        }
    }
}

impl Sample {
    pub(super) fn is_good(&self) -> bool {
        self.status.quality() == Quality::Good
    }
}

impl Answers {
    /// The number of answers.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Turns their order round.
    pub fn reverse(&mut self) {
        self.times.reverse();
        self.values.reverse();
        self.statuses.reverse();
    }

    /// Removes all, keeping the room they took.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.statuses.clear();
    }

    /// Adds one; `bits` are those of [`info`] without the one that says that there are any.
    pub(super) fn push(&mut self, time: i64, value: Option<f64>, status: Status, bits: u32) {
        // Values near the end of what doubles can hold add up to none.
        let (value, status) = match value {
            Some(value) if !value.is_finite() => (None, Status::BAD_OUT_OF_RANGE),
            value => (value, status),
        };
        self.times.push(time);
        self.values.push(value);
        self.statuses.push(status.0 | if bits == 0 { 0 } else { bits | info::DATA_VALUE });
    }

    /// Adds that there is nothing to say.
    pub(super) fn push_no_data(&mut self, time: i64) {
        self.push(time, None, Status::BAD_NO_DATA, 0);
    }
}

/// Whether a sample before all others, or after them, only says that there is no data.
pub fn is_marker(status: Status) -> bool {
    status.0 & 0xFFFF_0000 == Status::BAD_NO_DATA.0
}
