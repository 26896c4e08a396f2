//! Interpolated values at given times (Part 13, 3.1.8 and 5.4.3.4): `Interpolative`.

use super::Rules;
use super::grid::Grid;
use super::sample::{Answers, SUBNORMAL, Sample, Samples, info};
use crate::status::Status;

/// Where values are asked for.
enum Targets {
    /// At the starts of intervals, in order of time.
    Grid(Grid),
    /// At these times, which ascend.
    Times(Vec<i64>),
}

/// Answers values at times, ascending.
///
/// It has to be fed two values before the first time, and one after the last.
pub struct Points {
    rules: Rules,
    targets: Targets,
    /// How many are answered.
    done: u64,
    gap: Gap,
}

/// The values between which the next time may lie, as far as they are known.
#[derive(Default)]
pub(super) struct Gap {
    /// The last value so far.
    pub last: Option<Sample>,
    /// The value before it.
    pub before_last: Option<Sample>,
    /// When the first sample after the last value was that counts as Bad.
    pub skipped_at: Option<i64>,
}

impl Gap {
    /// Takes a sample in.
    pub fn pass(&mut self, sample: Sample, is_value: bool) {
        if is_value {
            *self = Gap { last: Some(sample), before_last: self.last, skipped_at: None };
        } else {
            self.skipped_at = self.skipped_at.or(Some(sample.time));
        }
    }

    /// The value at a time after the last one, where none follows.
    pub fn extrapolate(&self, time: i64, sloped: bool) -> Option<f64> {
        let last = self.last?;
        match self.before_last {
            Some(before) if sloped => Some(on_line(before, last, time)),
            _ => Some(last.value),
        }
    }
}

/// The value at a time between two samples, on the line from one to the other. Both ends come out
/// exactly, and nothing lies outside of them.
pub(super) fn between(a: Sample, b: Sample, time: i64) -> f64 {
    on_line(a, b, time).clamp(a.value.min(b.value), a.value.max(b.value))
}

/// The value at any time on the line through two samples.
fn on_line(a: Sample, b: Sample, time: i64) -> f64 {
    let share = seconds_apart(a.time, time) / seconds_apart(a.time, b.time);
    a.value * (1.0 - share) + b.value * share
}

/// From one time to another; exact enough for shares, also of centuries.
fn seconds_apart(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64 / 1e9
}

impl Points {
    /// Values at the start of each interval.
    pub fn at_starts(rules: Rules, grid: Grid) -> Points {
        Points { rules, targets: Targets::Grid(grid), done: 0, gap: Gap::default() }
    }

    /// Values at times, which must ascend.
    pub fn at_times(rules: Rules, times: Vec<i64>) -> Points {
        Points { rules, targets: Targets::Times(times), done: 0, gap: Gap::default() }
    }

    /// Takes samples from `at` on, until all are taken or `out` has `room` answers; answers how far
    /// it came.
    pub fn feed(&mut self, samples: Samples<'_>, mut at: usize, out: &mut Answers, room: usize) -> usize {
        while at < samples.len() {
            let Some(mut target) = self.target() else { return samples.len() };
            let sample = samples.get(at);
            let is_value = self.rules.is_value(sample.status);
            while is_value && target <= sample.time {
                if out.len() >= room {
                    return at;
                }
                self.answer(target, sample, out);
                match self.target() {
                    Some(next) => target = next,
                    None => return samples.len(),
                }
            }
            self.gap.pass(sample, is_value);
            at += 1;
        }
        at
    }

    /// Answers what is left, with nothing known after it, until `out` has `room` answers; says whether
    /// that was all.
    pub fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        let sloped = self.rules.use_sloped_extrapolation && !self.rules.stepped;
        while let Some(target) = self.target() {
            if out.len() >= room {
                return false;
            }
            match self.gap.extrapolate(target, sloped) {
                Some(value) => out.push(target, Some(value), SUBNORMAL, info::INTERPOLATED),
                None => out.push_no_data(target),
            }
            self.done += 1;
        }
        true
    }

    /// The next time.
    fn target(&self) -> Option<i64> {
        match &self.targets {
            Targets::Grid(grid) => (self.done < grid.len()).then(|| grid.start_of(grid.interval(self.done))),
            Targets::Times(times) => times.get(usize::try_from(self.done).ok()?).copied(),
        }
    }

    /// Answers a time between the last value and this one, or at this one.
    fn answer(&mut self, time: i64, next: Sample, out: &mut Answers) {
        self.done += 1;
        if next.time == time {
            return out.push(time, Some(next.value), next.status, 0);
        }
        let Some(last) = self.gap.last else { return out.push_no_data(time) };
        let (value, is_good) = if self.rules.stepped {
            (last.value, last.is_good() && self.gap.skipped_at.is_none_or(|skipped| skipped > time))
        } else {
            let is_good = last.is_good() && next.is_good() && self.gap.skipped_at.is_none();
            (between(last, next, time), is_good)
        };
        out.push(time, Some(value), if is_good { Status::GOOD } else { SUBNORMAL }, info::INTERPOLATED);
    }
}
