//! Extremes over the samples of an interval and its simple bounds.

use super::bound::Bound;
use crate::reduction::{Extreme, Summary};
use crate::retrieval::Rules;
use crate::retrieval::grid::{Grid, Interval};
use crate::retrieval::sample::Samples;
use crate::status::Status;

/// The least and the greatest.
#[derive(Clone, Copy, Default)]
pub struct BoundedExtremes {
    pub least: Option<BoundedExtreme>,
    pub greatest: Option<BoundedExtreme>,
}

/// A value, where it first was, and how often.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BoundedExtreme {
    pub value: f64,
    pub time: i64,
    pub place: Place,
    pub count: u64,
}

/// Where a value was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A sample.
    Sample,
    /// The bound at the start, which is no sample.
    Start,
    /// The bound at the end, and whether it is a sample.
    End { is_raw: bool },
}

impl BoundedExtremes {
    /// Begins at the earlier end of an interval.
    pub fn from(low: &Bound, interval: Interval, rules: &Rules, grid: &Grid) -> BoundedExtremes {
        let mut extremes = BoundedExtremes::default();
        debug_assert_eq!(low.time, interval.low);
        extremes.meet_bound(low, rules, grid.is_reverse());
        extremes
    }

    pub fn take(&mut self, samples: Samples<'_>, rules: &Rules) {
        for i in 0..samples.len() {
            if rules.is_value(Status(samples.statuses[i])) {
                self.meet(samples.values[i], samples.times[i], Place::Sample);
            }
        }
    }

    /// Compares with samples that were left out.
    pub fn account_for(&mut self, summary: &Summary) {
        let (Some(least), Some(greatest)) = (summary.least, summary.greatest) else { return };
        join(&mut self.least, least, |value, known| value < known);
        join(&mut self.greatest, greatest, |value, known| value > known);
    }

    /// Ends at the later end of the interval.
    pub fn end(&mut self, high: &Bound, rules: &Rules, grid: &Grid) {
        self.meet_bound(high, rules, !grid.is_reverse());
    }

    /// The start takes part; the end only where a line leads there.
    fn meet_bound(&mut self, bound: &Bound, rules: &Rules, is_end: bool) {
        let takes_part = rules.is_value(bound.status) && !(is_end && rules.stepped);
        // A sample at the start belongs to the interval.
        if takes_part && (is_end || !bound.is_raw) {
            let place = if is_end { Place::End { is_raw: bound.is_raw } } else { Place::Start };
            self.meet(bound.value, bound.time, place);
        }
    }

    fn meet(&mut self, value: f64, time: i64, place: Place) {
        let met = BoundedExtreme { value, time, place, count: 1 };
        meet_one(&mut self.least, met, |known| value < known);
        meet_one(&mut self.greatest, met, |known| value > known);
    }
}

/// Meets a value that came in between.
fn join(extreme: &mut Option<BoundedExtreme>, other: Extreme, is_beyond: impl Fn(f64, f64) -> bool) {
    let Extreme { value, time, count } = other;
    match extreme {
        // A sample at the start is that bound.
        Some(known) if known.value == value && known.place == Place::Start && known.time == time => {
            *known = BoundedExtreme { count: known.count - 1 + count, place: Place::Sample, ..*known };
        }
        Some(known) if known.value == value && known.time < time => known.count += count,
        Some(known) if known.value == value => {
            *known = BoundedExtreme { value, time, place: Place::Sample, count: known.count + count };
        }
        Some(known) if !is_beyond(value, known.value) => {}
        _ => *extreme = Some(BoundedExtreme { value, time, place: Place::Sample, count }),
    }
}

fn meet_one(extreme: &mut Option<BoundedExtreme>, met: BoundedExtreme, is_beyond: impl Fn(f64) -> bool) {
    match extreme {
        Some(known) if known.value == met.value => known.count += 1,
        Some(known) if !is_beyond(known.value) => {}
        _ => *extreme = Some(met),
    }
}
