//! What a segment remembers of a tag's rows without reading them.

use crate::sample::Rows;
use crate::status::Quality;
use crate::tag::TagType;

/// Rows from which on a run carries a [`Summary`].
pub const SUMMARY_ROWS_MIN: u64 = 64;

/// Sums over the samples of a run that have a value and are not bad. Integers count as their
/// nearest doubles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many samples count; at least 1.
    pub samples: u64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The sum of the values.
    pub sum: f64,
    /// The integral over time in value seconds from the first of the samples to the last: along
    /// straight lines for float tags, in steps for the others.
    pub integral: f64,
}

/// Sums up as rows come.
pub struct Summing {
    summary: Summary,
    float: bool,
    last: (i64, f64),
}

impl Summing {
    /// Nothing yet, of a tag of this type.
    pub fn new(tag_type: TagType) -> Summing {
        let summary = Summary { samples: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, integral: 0.0 };
        Summing { summary, float: tag_type.is_float(), last: (0, 0.0) }
    }

    /// Adds the next rows.
    pub fn add(&mut self, rows: &Rows) {
        if rows.present.is_empty() && rows.statuses.is_empty() {
            for (time, bits) in rows.times.iter().zip(&rows.values) {
                self.one(*time, *bits);
            }
            return;
        }
        for i in 0..rows.len() {
            if let Some(bits) = rows.value(i)
                && rows.status(i).quality() != Quality::Bad
            {
                self.one(rows.times[i], bits);
            }
        }
    }

    fn one(&mut self, time: i64, bits: u64) {
        let value = if self.float { f64::from_bits(bits) } else { bits.cast_signed() as f64 };
        let all = &mut self.summary;
        if all.samples > 0 {
            let (last_time, last) = self.last;
            let seconds = time.wrapping_sub(last_time) as f64 / 1e9;
            all.integral += seconds * if self.float { 0.5 * (last + value) } else { last };
        }
        all.samples += 1;
        // Not f64::min: it takes several instructions more to treat values that never come.
        if value < all.min {
            all.min = value;
        }
        if value > all.max {
            all.max = value;
        }
        all.sum += value;
        self.last = (time, value);
    }

    /// What was summed up; none where no sample counted.
    pub fn finish(&self) -> Option<Summary> {
        (self.summary.samples > 0).then_some(self.summary)
    }
}
