//! What reduction has left out, on its way into machines that account for it.
//!
//! 1. A summary counts where the samples that stay around it are those that it was made between: a
//!    sample that came late, a value that was replaced or a sample that was deleted since make its
//!    stretch of time inexact, and those beside it.
//! 2. What a summary adds to an area is the difference from the line, or the step, between the samples
//!    that stay.

use std::collections::VecDeque;

use super::grid::{Grid, Interval};
use super::points::between;
use super::sample::{Sample, Samples};
use crate::reduction::{LeftOut, MINUTE, Start, Summary, minute_of};
use crate::status::Status;

/// Summaries that wait for the samples around them.
#[derive(Default)]
pub struct Waiting {
    left_out: VecDeque<(Summary, bool)>,
    /// The last sample.
    last: Option<Sample>,
}

/// A stretch of time in which samples were left out.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub summary: Summary,
    /// What it adds to areas; none where it was not made between the samples around it.
    pub added: Option<Added>,
    /// Whether that is so of those beside it, too: lines lead from one to the other.
    pub is_exact: bool,
}

/// What a stretch adds to the area between the samples that stay, in values times seconds.
#[derive(Clone, Copy, Debug)]
pub struct Added {
    pub sloped: f64,
    pub stepped: f64,
}

impl Waiting {
    /// Takes what was left out after all that came before.
    pub fn take(&mut self, left_out: &LeftOut) {
        let LeftOut { summaries, inexact } = left_out;
        let is_cut = |summary: &Summary| inexact.binary_search(&minute_of(summary.from)).is_ok();
        let mut all: Vec<(Summary, bool)> = summaries.iter().map(|summary| (*summary, is_cut(summary))).collect();
        // A minute in which samples were deleted is not exact, whether any is known to have been left out.
        all.extend(inexact.iter().map(|minute| (unknown(*minute, minute.saturating_add(MINUTE)), true)));
        all.sort_by_key(|(summary, _)| summary.from);
        self.left_out.extend(all);
    }

    /// How many samples from `at` on come before anything was left out that is not told of yet.
    pub fn reach(&self, samples: Samples<'_>, at: usize) -> usize {
        match self.left_out.front() {
            Some((next, _)) => at + samples.times[at..].partition_point(|time| *time <= next.from),
            None => samples.len(),
        }
    }

    /// Samples were taken in; this is the last of them.
    pub fn pass(&mut self, sample: Sample) {
        self.last = Some(sample);
    }

    /// What was left out before this sample, which is the next one.
    pub fn parts_before(&mut self, next: Sample) -> Vec<Part> {
        let mut parts = Vec::new();
        while let Some((summary, is_cut)) = self.left_out.front().copied().filter(|(s, _)| s.from < next.time) {
            self.left_out.pop_front();
            let added = self.last.filter(|_| !is_cut).and_then(|last| added(&summary, last, next));
            parts.push(Part { summary, added, is_exact: added.is_some() });
        }
        self.judge(&mut parts, next);
        parts
    }

    /// Finds out which of the parts before a sample are exact.
    fn judge(&self, parts: &mut Vec<Part>, next: Sample) {
        let mut is_led_to = false;
        let mut reached = None;
        for part in parts.iter_mut() {
            let Summary { from, to, count, start, .. } = part.summary;
            is_led_to = matches!(start, Start::Sample(_)) || (is_led_to && reached == Some(from));
            part.is_exact &= is_led_to;
            // A line through a stretch without samples is as good as the samples that it comes from.
            is_led_to = part.added.is_some() && (count > 0 || is_led_to);
            reached = Some(to);
        }
        let mut leads_on = false;
        let mut follows = None;
        for part in parts.iter_mut().rev() {
            let Summary { from, to, count, end, .. } = part.summary;
            leads_on = end.is_some() || (leads_on && follows == Some(to));
            part.is_exact &= leads_on;
            leads_on = part.added.is_some() && (count > 0 || leads_on);
            follows = Some(from);
        }
        self.add_holes(parts, next);
    }

    /// Where anything was left out, all of the time between the samples around it is told of, unless part
    /// of that was deleted.
    fn add_holes(&self, parts: &mut Vec<Part>, next: Sample) {
        let Some(mut reached) = self.last.map(|last| last.time).filter(|_| !parts.is_empty()) else { return };
        let mut holes = Vec::new();
        for (from, to) in parts.iter().map(|part| (part.summary.from, part.summary.to)).chain([(next.time, next.time)]) {
            if from > reached {
                holes.push(Part { summary: unknown(reached, from), added: None, is_exact: false });
            }
            reached = reached.max(to);
        }
        parts.extend(holes);
        parts.sort_by_key(|part| part.summary.from);
    }

    /// What was left out with no sample after it.
    pub fn rest(&mut self) -> Vec<Part> {
        self.left_out.drain(..).map(|(summary, _)| Part { summary, added: None, is_exact: false }).collect()
    }
}

/// A stretch of time of which it is not known what was left out in it.
fn unknown(from: i64, to: i64) -> Summary {
    Summary { to, ..Summary::new(from, Status::GOOD, Start::Between { line: 0.0, held: 0.0 }) }
}

/// What a summary adds between two samples, if it was made between them.
fn added(summary: &Summary, before: Sample, after: Sample) -> Option<Added> {
    let Summary { from, to, status, .. } = *summary;
    let is = |sample: Sample, value: f64| sample.status == status && (status.is_bad() || sample.value == value);
    let starts = match summary.start {
        Start::Sample(value) => before.time == from && is(before, value),
        Start::Between { .. } => before.time < from,
    };
    let ends = match summary.end {
        Some(value) => after.time == to && is(after, value),
        None => to <= after.time,
    };
    if !starts || !ends {
        return None;
    }
    let seconds = to.abs_diff(from) as f64 / 1e9;
    let line = seconds * (between(before, after, from) / 2.0 + between(before, after, to) / 2.0);
    Some(Added { sloped: summary.sloped - line, stepped: summary.stepped - seconds * before.value })
}

/// Parts that wait for their intervals.
#[derive(Default)]
pub struct Parts(VecDeque<Part>);

impl Parts {
    pub fn push(&mut self, part: Part) {
        self.0.push_back(part);
    }

    /// Takes the parts that begin before the end of an interval. What reaches into the next one stays
    /// for that, too.
    pub fn take_until(&mut self, interval: Interval) -> Vec<Part> {
        let count = self.0.partition_point(|part| part.summary.from < interval.high);
        let taken: Vec<Part> = self.0.drain(..count).collect();
        let lasting = taken.iter().rev().filter(|part| part.summary.to > interval.high);
        lasting.for_each(|part| self.0.push_front(*part));
        taken
    }

    /// The value at a time on the lines between all samples that came, if it lies between some of
    /// which any was left out. `stepped` is that of the last sample.
    pub fn value_at(&self, time: i64, stepped: bool) -> Option<f64> {
        let part = self.0.iter().find(|part| part.summary.from == time && part.added.is_some())?;
        match part.summary.start {
            Start::Between { line, held } => Some(if stepped { held } else { line }),
            Start::Sample(_) => None,
        }
    }
}

impl Part {
    /// Whether it lies in an interval as a whole.
    pub fn is_within(&self, interval: Interval) -> bool {
        self.summary.from >= interval.low && self.summary.to <= interval.high
    }

    /// Whether what is known of an interval is not exact for its sake.
    pub fn spoils(&self, interval: Interval, grid: &Grid, counts_samples: bool) -> bool {
        let touches = self.summary.from < interval.high && self.summary.to > interval.low;
        // Backwards, samples at the starts of minutes are of the interval before.
        touches && (!self.is_exact || (grid.is_reverse() && counts_samples && self.summary.count > 0))
    }
}
