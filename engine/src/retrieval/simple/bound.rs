//! Simple bounding values (Part 13, 3.1.9): of the samples right before and right after a time.

use crate::retrieval::Rules;
use crate::retrieval::points::between;
use crate::retrieval::sample::{SUBNORMAL, Sample};
use crate::status::{Quality, Status};

/// A value at an end of an interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bound {
    /// Means nothing where the status is Bad.
    pub value: f64,
    /// BadNoData where there is no bound.
    pub status: Status,
    /// Whether it is a sample.
    pub is_raw: bool,
    /// The status of the sample at this time, if there is one, also where that is no value.
    pub sample: Option<Status>,
    pub time: i64,
}

impl Bound {
    /// The bound's value, if there is one.
    pub fn value(&self) -> Option<f64> {
        (self.status.quality() != Quality::Bad).then_some(self.value)
    }
}

/// The bound at a time: `before` is the last sample before it, or at it where intervals have their
/// later ends; `after` the next one.
pub fn simple_bound(rules: &Rules, time: i64, before: Option<Sample>, after: Option<Sample>) -> Bound {
    let at_time = [before, after].into_iter().flatten().find(|sample| sample.time == time);
    let sample = at_time.map(|sample| sample.status);
    let nothing = Bound { value: 0.0, status: Status::BAD_NO_DATA, is_raw: false, sample, time };
    if let Some(sample) = at_time {
        return match rules.is_value(sample.status) {
            true => Bound { value: sample.value, status: sample.status, is_raw: true, ..nothing },
            false => nothing,
        };
    }
    let (Some(before), Some(after)) = (before, after) else { return nothing };
    if !rules.is_value(before.status) {
        return nothing;
    }
    let bound = |value: f64, is_good: bool| {
        let status = if is_good { Status::GOOD } else { SUBNORMAL };
        Bound { value, status, ..nothing }
    };
    if rules.stepped {
        bound(before.value, before.is_good())
    } else if rules.is_value(after.status) {
        bound(between(before, after, time), before.is_good() && after.is_good())
    } else {
        bound(before.value, false)
    }
}
