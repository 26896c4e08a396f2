//! `TimeAverage` and `Total` (Part 13, 5.4.3.6 and 5.4.3.8): the area under straight lines from value
//! to value, also of stepped variables, between interpolated bounds.

use super::aggregate::Aggregate;
use super::grid::{Grid, Interval};
use super::left_out::{Part, Parts};
use super::points::{Gap, between};
use super::rules::Rules;
use super::sample::{Answers, SUBNORMAL, Sample, Samples, Span, info};
use crate::status::Status;

/// Answers areas of intervals, ascending.
///
/// It has to be fed two values before the range, and one after it.
pub struct Area {
    rules: Rules,
    grid: Grid,
    span: Span,
    /// Whether the area is asked for, and not its height.
    is_total: bool,
    /// The interval that is open, in order of time; none after the last one.
    index: u64,
    open: Option<Interval>,
    gap: Gap,
    sum: Sum,
    /// What was left out in this interval and later ones.
    parts: Parts,
}

/// What is known of the open interval.
#[derive(Default)]
struct Sum {
    /// In values times seconds.
    area: f64,
    nanoseconds: u64,
    /// Whether anything in it, or a line that leads into it or out of it, is not good.
    is_subnormal: bool,
}

impl Area {
    /// `aggregate` is `TimeAverage` or `Total`.
    pub fn new(aggregate: Aggregate, rules: Rules, grid: Grid, span: Span) -> Area {
        let is_total = aggregate == Aggregate::Total;
        let open = (!grid.is_empty()).then(|| grid.interval(0));
        Area {
            rules,
            grid,
            span,
            is_total,
            index: 0,
            open,
            gap: Gap::default(),
            sum: Sum::default(),
            parts: Parts::default(),
        }
    }

    /// Takes what was left out before the sample that comes next.
    pub(super) fn note(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Takes samples from `at` on, until all are taken or `out` has `room` answers; answers how far
    /// it came.
    pub fn feed(&mut self, samples: Samples<'_>, mut at: usize, out: &mut Answers, room: usize) -> usize {
        while at < samples.len() {
            let Some(interval) = self.open else { return samples.len() };
            let sample = samples.get(at);
            let is_value = self.rules.is_value(sample.status);
            // Most lines lie within an interval.
            let is_inside = |last: &Sample| is_value && last.time >= interval.low && sample.time < interval.high;
            if let Some(last) = self.gap.last.filter(is_inside) {
                let is_good = last.is_good() && sample.is_good() && self.gap.skipped_at.is_none();
                self.sum.add(last.time, last.value, sample.time, sample.value, is_good);
            } else if is_value && !self.reach(sample, out, room) {
                return at;
            }
            self.gap.pass(sample, is_value);
            at += 1;
        }
        at
    }

    /// Answers what is left, with nothing known after it, until `out` has `room` answers; says whether
    /// that was all.
    pub fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        while let Some(interval) = self.open {
            if out.len() >= room {
                return false;
            }
            if let Some(last) = self.gap.last.filter(|last| last.time < interval.high) {
                let at = |time: i64| self.gap.extrapolate(time, self.rules.use_sloped_extrapolation);
                let from = last.time.max(interval.low);
                if let (Some(a), Some(b)) = (at(from), at(interval.high)) {
                    self.sum.add(from, a, interval.high, b, false);
                }
            }
            self.close(interval, out);
        }
        true
    }

    /// Goes along the line from the last value to this one; false where `out` became full on the way.
    fn reach(&mut self, next: Sample, out: &mut Answers, room: usize) -> bool {
        while let Some(interval) = self.open {
            if let Some(last) = self.gap.last {
                let (from, to) = (last.time.max(interval.low), next.time.min(interval.high));
                if to > from && (next.time < interval.high || out.len() < room) {
                    let is_good = last.is_good() && next.is_good() && self.gap.skipped_at.is_none();
                    self.sum.add(from, between(last, next, from), to, between(last, next, to), is_good);
                }
            }
            if next.time < interval.high {
                return true;
            }
            if out.len() >= room {
                return false;
            }
            self.close(interval, out);
        }
        true
    }

    fn close(&mut self, interval: Interval, out: &mut Answers) {
        self.index += 1;
        self.open = (self.index < self.grid.len()).then(|| self.grid.interval(self.index));
        let mut is_exact = true;
        for part in self.parts.take_until(interval) {
            is_exact &= !part.spoils_areas(interval);
            if let Some(added) =
                part.added.filter(|_| part.is_within(interval) && self.rules.is_value(part.summary.status))
            {
                self.sum.area += added.sloped;
            }
        }
        let Sum { area, nanoseconds, is_subnormal } = std::mem::take(&mut self.sum);
        let stamp = self.grid.start_of(interval);
        let Some((first, last)) = self.span.filter(|_| nanoseconds > 0) else { return out.push_no_data(stamp) };
        if !interval.overlaps(&self.grid, first, last) {
            return out.push_no_data(stamp);
        }
        let value = if self.is_total { area } else { area / (nanoseconds as f64 / 1e9) };
        // Before the first value there is nothing that could be averaged.
        let is_short = nanoseconds < interval.nanoseconds();
        let status = if is_subnormal || is_short || !is_exact { SUBNORMAL } else { Status::GOOD };
        let partial = if interval.is_partial(&self.grid, first, last) { info::PARTIAL } else { 0 };
        out.push(stamp, Some(value), status, info::CALCULATED | partial);
    }
}

impl Sum {
    fn add(&mut self, from: i64, a: f64, to: i64, b: f64, is_good: bool) {
        let nanoseconds = to.abs_diff(from);
        // The halves are added apart: the sum of two large values may not be a number.
        self.area += nanoseconds as f64 / 1e9 * (a / 2.0 + b / 2.0);
        self.nanoseconds += nanoseconds;
        self.is_subnormal |= !is_good;
    }
}
