//! Intervals of equal length in a range of time (Part 13, 5.4.2).

/// A range cut into intervals. Where `start` is after `end`, they run backwards from `start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    start: i64,
    end: i64,
    step: u64,
    len: u64,
}

/// One of them, the earlier time first. It has the time that comes first in the direction of the
/// request, and not the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// The earlier time.
    pub low: i64,
    /// The later time.
    pub high: i64,
}

impl Grid {
    /// Cuts a range that is not empty. `step` 0, or one that is longer than the range, makes one
    /// interval; the last one is shorter where the step does not divide the range.
    pub fn new(start: i64, end: i64, step: u64) -> Grid {
        let range = start.abs_diff(end);
        let step = if step == 0 { range } else { step.min(range) };
        Grid { start, end, step, len: if step == 0 { 0 } else { range.div_ceil(step) } }
    }

    /// The number of intervals.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the range is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it runs backwards.
    pub fn is_reverse(&self) -> bool {
        self.start > self.end
    }

    /// The earlier and the later end of the range.
    pub fn ends(&self) -> (i64, i64) {
        (self.start.min(self.end), self.start.max(self.end))
    }

    /// Interval `index` in order of time.
    pub(super) fn interval(&self, index: u64) -> Interval {
        let place = if self.is_reverse() { self.len - 1 - index } else { index };
        // Within the range, whose ends fit.
        let near = place * self.step;
        let far = near.saturating_add(self.step).min(self.start.abs_diff(self.end));
        match self.is_reverse() {
            false => {
                Interval { low: self.start.wrapping_add_unsigned(near), high: self.start.wrapping_add_unsigned(far) }
            }
            true => {
                Interval { low: self.start.wrapping_sub_unsigned(far), high: self.start.wrapping_sub_unsigned(near) }
            }
        }
    }

    /// The interval's start, which stamps its answer.
    pub(super) fn start_of(&self, interval: Interval) -> i64 {
        if self.is_reverse() { interval.high } else { interval.low }
    }

    /// Whether a time that is not before an interval belongs to it.
    pub(super) fn reaches(&self, interval: Interval, time: i64) -> bool {
        if self.is_reverse() { time <= interval.high } else { time < interval.high }
    }

    /// Whether a time comes before an interval.
    pub(super) fn precedes(&self, time: i64, interval: Interval) -> bool {
        if self.is_reverse() { time <= interval.low } else { time < interval.low }
    }
}

impl Interval {
    /// Its length.
    pub(super) fn nanoseconds(&self) -> u64 {
        self.low.abs_diff(self.high)
    }

    /// Whether it has data, where that goes from `first` to `last`.
    pub(super) fn overlaps(&self, grid: &Grid, first: i64, last: i64) -> bool {
        match grid.is_reverse() {
            false => first < self.high && self.low <= last,
            true => first <= self.high && self.low < last,
        }
    }

    /// Whether it reaches beyond the data.
    pub(super) fn is_partial(&self, grid: &Grid, first: i64, last: i64) -> bool {
        let (before, after) = match grid.is_reverse() {
            false => (self.low < first && first < self.high, self.low <= last && last < self.high),
            true => (self.low < first && first <= self.high, self.low < last && last < self.high),
        };
        before || after
    }
}
