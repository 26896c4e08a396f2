//! Regions: what lies from one point of an interval to the next, and how good it is (Part 13,
//! 5.4.3.2.2).

use super::bound::Bound;
use crate::retrieval::Rules;
use crate::retrieval::sample::Samples;
use crate::status::{Quality, Status};

/// Durations and areas of the regions so far.
#[derive(Clone, Copy)]
pub struct Regions {
    point: Point,
    /// By the quality of the point that starts them, in nanoseconds.
    pub good: u64,
    pub uncertain: u64,
    pub bad: u64,
    /// Those of the good that are good to their end.
    pub wholly_good: u64,
    /// Those of the good that start at zero.
    pub at_zero: u64,
    /// In values times seconds, of regions that are not Bad.
    pub area: f64,
}

/// Where a region starts.
#[derive(Clone, Copy)]
struct Point {
    time: i64,
    value: f64,
    quality: Quality,
}

impl Regions {
    /// Begins at the earlier end of an interval.
    pub fn from(low: &Bound, time: i64) -> Regions {
        let point = Point { time, value: low.value, quality: low.status.quality() };
        Regions { point, good: 0, uncertain: 0, bad: 0, wholly_good: 0, at_zero: 0, area: 0.0 }
    }

    pub fn take(&mut self, samples: Samples<'_>, rules: &Rules) {
        for i in 0..samples.len() {
            let status = Status(samples.statuses[i]);
            let quality = if rules.is_value(status) { status.quality() } else { Quality::Bad };
            self.reach(Point { time: samples.times[i], value: samples.values[i], quality }, rules);
        }
    }

    /// Ends at a time, where the interval has this bound.
    pub fn end(&mut self, time: i64, high: &Bound, rules: &Rules) {
        self.reach(Point { time, value: high.value, quality: high.status.quality() }, rules);
    }

    fn reach(&mut self, to: Point, rules: &Rules) {
        let from = self.point;
        self.point = to;
        let duration = to.time.abs_diff(from.time);
        match from.quality {
            Quality::Bad => {
                self.bad += duration;
                return;
            }
            Quality::Uncertain => self.uncertain += duration,
            Quality::Good => {
                self.good += duration;
                self.at_zero += if from.value == 0.0 { duration } else { 0 };
                if rules.stepped || to.quality == Quality::Good {
                    self.wholly_good += duration;
                }
            }
        }
        // The value holds where it steps, and where nothing is known that a line could lead to.
        let last = if rules.stepped || to.quality == Quality::Bad { from.value } else { to.value };
        self.area += duration as f64 / 1e9 * (from.value / 2.0 + last / 2.0);
    }
}
