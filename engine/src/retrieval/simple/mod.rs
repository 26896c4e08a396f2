//! Aggregates of the samples of an interval and of its simple bounds, several in one pass.
//!
//! Invariants:
//! 1. A sample is taken in by one interval; what is kept of it afterwards is in `before`.
//! 2. An interval is closed when the first sample after it is known, or that there is none.

mod answer;
mod bound;
mod extremes;
mod regions;
mod tally;

use super::aggregate::Aggregate;
use super::grid::{Grid, Interval};
use super::left_out::{Part, Parts};
use super::rules::Rules;
use super::sample::{Answers, Sample, Samples, Span};
use answer::Closed;
use bound::{Bound, simple_bound};
use extremes::BoundedExtremes;
use regions::Regions;
use tally::{Census, Ends, Extremes, Moments, Transitions};

/// Nanoseconds of the server's time resolution, which ends the last interval after the last sample
/// (Part 13, 5.4.2.4).
pub(super) const RESOLUTION: i64 = 1_000_000;

/// Answers aggregates of intervals, ascending.
///
/// It has to be fed the last value before the range and what came after it, and the next sample
/// after the range.
pub struct Simple {
    rules: Rules,
    grid: Grid,
    span: Span,
    aggregates: Vec<Aggregate>,
    needs: Needs,
    /// The interval that is open, in order of time; none before the first sample of the range.
    open: Option<Open>,
    index: u64,
    before: Before,
    /// What was left out in this interval and later ones.
    parts: Parts,
}

/// What samples before the next one say.
#[derive(Clone, Copy, Default)]
struct Before {
    /// The sample right before.
    last: Option<Sample>,
    /// The value of the last sample that counts as one.
    value: Option<f64>,
}

/// What is gathered of an interval.
struct Open {
    interval: Interval,
    /// At its earlier end.
    low: Bound,
    /// The same where Uncertain samples count as values.
    lenient_low: Bound,
    census: Census,
    moments: Moments,
    extremes: Extremes,
    ends: Ends,
    transitions: Transitions,
    regions: Regions,
    bounded: BoundedExtremes,
    spoilt: Spoilt,
}

/// What is not exact for what was left out.
#[derive(Clone, Copy, Default)]
struct Spoilt {
    areas: bool,
    samples: bool,
    states: bool,
    /// Any sample is missing.
    ends: bool,
}

/// Which of it is needed.
#[derive(Clone, Copy, Default)]
struct Needs {
    census: bool,
    moments: bool,
    extremes: bool,
    ends: bool,
    transitions: bool,
    regions: bool,
    bounded: bool,
}

impl Needs {
    fn add(&mut self, aggregate: Aggregate) {
        use Aggregate::{
            AnnotationCount, Average, Count, Delta, DeltaBounds, DurationBad, DurationGood, DurationInStateNonZero,
            DurationInStateZero, End, EndBound, Interpolative, Maximum, Maximum2, MaximumActualTime,
            MaximumActualTime2, Minimum, Minimum2, MinimumActualTime, MinimumActualTime2, NumberOfTransitions,
            PercentBad, PercentGood, Range, Range2, StandardDeviationPopulation, StandardDeviationSample, Start,
            StartBound, TimeAverage, TimeAverage2, Total, Total2, VariancePopulation, VarianceSample, WorstQuality,
            WorstQuality2,
        };
        match aggregate {
            Average | StandardDeviationSample | StandardDeviationPopulation | VarianceSample | VariancePopulation => {
                (self.census, self.moments) = (true, true);
            }
            Minimum | Maximum | MinimumActualTime | MaximumActualTime | Range => {
                (self.census, self.extremes) = (true, true);
            }
            Count | WorstQuality | WorstQuality2 => self.census = true,
            NumberOfTransitions => (self.census, self.transitions) = (true, true),
            Start | End => self.ends = true,
            Delta => (self.census, self.ends) = (true, true),
            DurationGood
            | DurationBad
            | PercentGood
            | PercentBad
            | DurationInStateZero
            | DurationInStateNonZero
            | TimeAverage2
            | Total2 => self.regions = true,
            Minimum2 | Maximum2 | MinimumActualTime2 | MaximumActualTime2 | Range2 => {
                (self.regions, self.bounded) = (true, true);
            }
            StartBound | EndBound | DeltaBounds | AnnotationCount | Interpolative | TimeAverage | Total => {}
        }
    }
}

impl Simple {
    /// `aggregates` are those that [`Aggregate::machine`] sends here.
    pub fn new(aggregates: Vec<Aggregate>, rules: Rules, grid: Grid, span: Span) -> Simple {
        let mut needs = Needs::default();
        aggregates.iter().for_each(|aggregate| needs.add(*aggregate));
        Simple {
            rules,
            grid,
            span,
            aggregates,
            needs,
            open: None,
            index: 0,
            before: Before::default(),
            parts: Parts::default(),
        }
    }

    /// Takes what was left out before the sample that comes next.
    pub(super) fn note(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Takes samples from `at` on, until all are taken or `out` has `room` answers; answers how far
    /// it came. `out` has a place for each aggregate.
    pub fn feed(&mut self, samples: Samples<'_>, mut at: usize, out: &mut [Answers], room: usize) -> usize {
        while self.index < self.grid.len() && out[0].len() < room {
            let interval = self.grid.interval(self.index);
            let rest = &samples.times[at..];
            at += match self.open {
                Some(_) => advance(rest, |time| self.grid.reaches(interval, time)),
                None => advance(rest, |time| self.grid.precedes(time, interval)),
            };
            let taken = samples.slice(samples.len() - rest.len()..at);
            if let Some(open) = &mut self.open {
                open.take(taken, &self.rules, self.needs, &self.before);
            }
            self.before.pass(taken, &self.rules);
            if at == samples.len() {
                return at;
            }
            self.cross(interval, Some(samples.get(at)), out);
        }
        if self.index < self.grid.len() { at } else { samples.len() }
    }

    /// Answers what is left, with nothing after it, until `out` has `room` answers; says whether that
    /// was all.
    pub fn finish(&mut self, out: &mut [Answers], room: usize) -> bool {
        while self.index < self.grid.len() {
            if out[0].len() >= room {
                return false;
            }
            self.cross(self.grid.interval(self.index), None, out);
        }
        true
    }

    /// Opens the interval if it is not open yet, else closes it and opens the next one.
    fn cross(&mut self, interval: Interval, next: Option<Sample>, out: &mut [Answers]) {
        let Some(open) = self.open.take() else {
            let (low, lenient) = self.bounds(interval.low, next);
            self.open = Some(self.opened(interval, low, lenient));
            return;
        };
        let (high, lenient) = self.bounds(interval.high, next);
        self.close(open, high, lenient, out);
        self.index += 1;
        if self.index < self.grid.len() {
            let next = self.grid.interval(self.index);
            self.open = Some(self.opened(next, high, lenient));
        }
    }

    fn opened(&self, interval: Interval, low: Bound, lenient: Bound) -> Open {
        Open::new(interval, low, lenient, self.whole_bound(low), &self.rules, &self.grid)
    }

    /// A bound on the lines between all samples that came, also those that were left out.
    fn whole_bound(&self, bound: Bound) -> Bound {
        let value = self.parts.value_at(bound.time, self.rules.stepped);
        Bound { value: value.unwrap_or(bound.value), ..bound }
    }

    /// The simple bound at a time, by the rules and with Uncertain samples as values.
    fn bounds(&self, time: i64, next: Option<Sample>) -> (Bound, Bound) {
        let lenient = Rules { treat_uncertain_as_bad: false, ..self.rules };
        let bound = |rules: &Rules| simple_bound(rules, time, self.before.last, next);
        (bound(&self.rules), bound(&lenient))
    }

    fn close(&mut self, mut open: Open, high: Bound, lenient_high: Bound, out: &mut [Answers]) {
        let interval = open.interval;
        let stamp = self.grid.start_of(interval);
        let whole_high = self.whole_bound(high);
        for part in self.parts.take_until(interval) {
            open.account_for(&part, &self.rules, &self.grid);
        }
        let within = self.span.filter(|(first, last)| interval.overlaps(&self.grid, *first, *last));
        let Some((first, last)) = within else {
            return out.iter_mut().for_each(|answers| answers.push_no_data(stamp));
        };
        // The last interval ends right after the last sample.
        let is_last = last < interval.high && interval.low <= last;
        let end = if is_last { interval.high.min(last.saturating_add(RESOLUTION)) } else { interval.high };
        if self.needs.regions {
            open.regions.end(end, &high, &self.rules);
        }
        if self.needs.bounded {
            open.bounded.end(&whole_high, &self.rules, &self.grid);
        }
        let closed = Closed {
            reverse: self.grid.is_reverse(),
            is_partial: interval.is_partial(&self.grid, first, last),
            nanoseconds: interval.low.abs_diff(end),
            bounds: self.in_direction(open.low, high),
            lenient_bounds: self.in_direction(open.lenient_low, lenient_high),
            stamp,
            open: &open,
            rules: &self.rules,
        };
        for (aggregate, answers) in self.aggregates.iter().zip(out) {
            closed.answer(*aggregate, answers);
        }
    }

    /// The bounds at the start and the end of the interval, as the request runs.
    fn in_direction(&self, low: Bound, high: Bound) -> (Bound, Bound) {
        if self.grid.is_reverse() { (high, low) } else { (low, high) }
    }
}

impl Before {
    fn pass(&mut self, samples: Samples<'_>, rules: &Rules) {
        let Some(last) = samples.len().checked_sub(1) else { return };
        self.last = Some(samples.get(last));
        let value = samples.statuses.iter().rposition(|status| rules.is_value(crate::status::Status(*status)));
        self.value = value.map(|i| samples.values[i]).or(self.value);
    }
}

impl Open {
    fn new(interval: Interval, low: Bound, lenient_low: Bound, whole_low: Bound, rules: &Rules, grid: &Grid) -> Open {
        Open {
            interval,
            low,
            lenient_low,
            census: Census::default(),
            moments: Moments::default(),
            extremes: Extremes::default(),
            ends: Ends::default(),
            transitions: Transitions::default(),
            regions: Regions::from(&low, interval.low),
            bounded: BoundedExtremes::from(&whole_low, interval, rules, grid),
            spoilt: Spoilt::default(),
        }
    }

    /// Takes in what was left out in a stretch of time, where that lies in the interval.
    fn account_for(&mut self, part: &Part, rules: &Rules, grid: &Grid) {
        let summary = &part.summary;
        let Spoilt { areas, samples, states, ends } = &mut self.spoilt;
        *areas |= part.spoils_areas(self.interval);
        *samples |= part.spoils_samples(self.interval, grid);
        *states |= part.spoils_states(self.interval);
        *ends |= part.leaves_out(self.interval) || part.spoils_areas(self.interval);
        let Some(added) = part.added.filter(|_| part.is_within(self.interval)) else { return };
        if rules.is_value(summary.status) {
            self.regions.area += if rules.stepped { added.stepped } else { added.sloped };
        }
        if grid.is_reverse() {
            return;
        }
        self.census.account_for(summary);
        self.moments.account_for(summary);
        self.extremes.account_for(summary);
        if rules.is_value(summary.status) {
            self.bounded.account_for(summary);
        }
    }

    fn take(&mut self, samples: Samples<'_>, rules: &Rules, needs: Needs, before: &Before) {
        if samples.is_empty() {
            return;
        }
        if needs.census {
            self.census.take(samples);
        }
        if needs.moments {
            self.moments.take(samples);
        }
        if needs.extremes {
            self.extremes.take(samples);
        }
        if needs.ends {
            self.ends.take(samples);
        }
        if needs.transitions {
            self.transitions.take(samples, rules, before.value);
        }
        if needs.regions {
            self.regions.take(samples, rules);
        }
        if needs.bounded {
            self.bounded.take(samples, rules);
        }
    }
}

/// How many of the first times are inside; they ascend, and those inside come first. Near ones are
/// looked at first, then further and further ones.
fn advance(times: &[i64], inside: impl Fn(i64) -> bool) -> usize {
    let mut reach = 1;
    while reach < times.len() && inside(times[reach]) {
        reach *= 2;
    }
    let from = if reach == 1 { 0 } else { reach / 2 };
    let to = times.len().min(reach + 1);
    from + times[from..to].partition_point(|time| inside(*time))
}
