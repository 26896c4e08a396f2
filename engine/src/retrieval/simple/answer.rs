//! What a closed interval answers to each aggregate: value, time, status and info bits (Part 13,
//! 5.4.3.4 to 5.4.3.39).

use super::bound::Bound;
use super::extremes::{BoundedExtreme, Place};
use super::tally::{Extreme, Worst};
use super::{Open, RESOLUTION};
use crate::retrieval::rules::{Rules, Shares};
use crate::retrieval::sample::{Answers, SUBNORMAL, Sample, info};
use crate::retrieval::{Aggregate, LeftOutIs};
use crate::status::{Quality, Status};

/// An interval of which all is known.
pub struct Closed<'a> {
    pub reverse: bool,
    pub is_partial: bool,
    /// Its length, which ends right after the last sample.
    pub nanoseconds: u64,
    /// At its start and its end.
    pub bounds: (Bound, Bound),
    /// The same where Uncertain samples count as values.
    pub lenient_bounds: (Bound, Bound),
    /// Its start.
    pub stamp: i64,
    pub open: &'a Open,
    pub rules: &'a Rules,
}

/// An answer on its way.
struct Answer {
    time: i64,
    value: Option<f64>,
    status: Status,
    bits: u32,
}

impl Closed<'_> {
    /// Adds the answer to an aggregate.
    pub fn answer(&self, aggregate: Aggregate, answers: &mut Answers) {
        let Answer { time, value, mut status, bits } = self.of(aggregate);
        let spoilt = &self.open.spoilt;
        let is_spoilt = match aggregate.left_out() {
            LeftOutIs::Nothing => false,
            LeftOutIs::Area => spoilt.areas,
            LeftOutIs::Counted => spoilt.samples,
            LeftOutIs::State => spoilt.states,
            LeftOutIs::Missing => spoilt.ends,
        };
        if is_spoilt && status.quality() == Quality::Good {
            status = SUBNORMAL;
        }
        let value = value.filter(|_| status.quality() != Quality::Bad);
        answers.push(time, value, status, bits);
    }

    fn of(&self, aggregate: Aggregate) -> Answer {
        use Aggregate::{
            AnnotationCount, Average, Count, Delta, DeltaBounds, DurationBad, DurationGood, DurationInStateNonZero,
            DurationInStateZero, End, EndBound, Interpolative, Maximum, Maximum2, MaximumActualTime,
            MaximumActualTime2, Minimum, Minimum2, MinimumActualTime, MinimumActualTime2, NumberOfTransitions,
            PercentBad, PercentGood, Range, Range2, StandardDeviationPopulation, StandardDeviationSample, Start,
            StartBound, TimeAverage, TimeAverage2, Total, Total2, VariancePopulation, VarianceSample, WorstQuality,
            WorstQuality2,
        };
        let Open { census, moments, extremes, ends, transitions, regions, bounded, .. } = self.open;
        let (start, end) = self.bounds;
        match aggregate {
            Average => match moments.count {
                0 => self.no_data(),
                _ => Answer { bits: info::CALCULATED, ..self.by_values(moments.mean()) },
            },
            Count => self.by_values(census.good as f64),
            NumberOfTransitions => self.by_values(transitions.count as f64),
            Minimum => self.extreme(extremes.least, self.is_below(extremes.least)),
            Maximum => self.extreme(extremes.greatest, self.is_above(extremes.greatest)),
            MinimumActualTime => self.extreme_then(extremes.least, self.is_below(extremes.least)),
            MaximumActualTime => self.extreme_then(extremes.greatest, self.is_above(extremes.greatest)),
            Range => match (extremes.least, extremes.greatest) {
                (Some(least), Some(greatest)) => {
                    let is_beyond = self.is_below(Some(least)) || self.is_above(Some(greatest));
                    self.calculated(greatest.value - least.value, good_unless(is_beyond || self.has_bad()))
                }
                _ => self.no_data(),
            },
            Minimum2 => self.bounded(bounded.least),
            Maximum2 => self.bounded(bounded.greatest),
            MinimumActualTime2 => self.bounded_then(bounded.least),
            MaximumActualTime2 => self.bounded_then(bounded.greatest),
            Range2 => match (bounded.least, bounded.greatest) {
                (Some(least), Some(greatest)) => self.by_time(greatest.value - least.value),
                _ => self.no_data(),
            },
            AnnotationCount => self.calculated(0.0, Status::GOOD),
            DurationInStateZero => self.by_time(milliseconds(regions.at_zero)),
            DurationInStateNonZero => self.by_time(milliseconds(regions.good - regions.at_zero)),
            TimeAverage2 | Total2 if regions.good + regions.uncertain == 0 => self.no_data(),
            TimeAverage2 => self.by_time(regions.area / ((regions.good + regions.uncertain) as f64 / 1e9)),
            Total2 => self.by_time(regions.area),
            DurationGood => self.calculated(milliseconds(regions.good), Status::GOOD),
            DurationBad => self.calculated(milliseconds(self.bad_time()), Status::GOOD),
            PercentGood => self.calculated(self.percent(regions.good), Status::GOOD),
            PercentBad => self.calculated(self.percent(self.bad_time()), Status::GOOD),
            Start => self.raw(ends.first),
            End => self.raw(ends.last),
            Delta => match (ends.first_good, ends.last_good) {
                (Some(first), Some(last)) => {
                    self.calculated(last.value - first.value, good_unless(census.good < census.all))
                }
                _ => self.no_data(),
            },
            StartBound => {
                let location = if start.is_raw || start.value().is_none() { 0 } else { info::INTERPOLATED };
                self.answered(start.value(), start.status, location)
            }
            EndBound => {
                let location = if end.value().is_none() { 0 } else { info::CALCULATED };
                self.answered(end.value(), end.status, location)
            }
            DeltaBounds => match (start.value(), end.value()) {
                (Some(from), Some(to)) => {
                    let is_uncertain = [start, end].iter().any(|bound| bound.status.quality() != Quality::Good);
                    self.calculated(to - from, good_unless(is_uncertain))
                }
                _ => self.answered(None, Status::BAD_NO_DATA, 0),
            },
            WorstQuality => self.worst(census.worst),
            WorstQuality2 => self.worst(self.worst_with_bounds()),
            StandardDeviationSample => self.spread(moments.variance(true).sqrt()),
            StandardDeviationPopulation => self.spread(moments.variance(false).sqrt()),
            VarianceSample => self.spread(moments.variance(true)),
            VariancePopulation => self.spread(moments.variance(false)),
            // Other machines answer these.
            Interpolative | TimeAverage | Total => self.no_data(),
        }
    }

    /// An answer that is stamped with the start of the interval.
    fn answered(&self, value: Option<f64>, status: Status, location: u32) -> Answer {
        let bits = location | if self.is_partial { info::PARTIAL } else { 0 };
        Answer { time: self.stamp, value, status, bits }
    }

    fn no_data(&self) -> Answer {
        Answer { time: self.stamp, value: None, status: Status::BAD_NO_DATA, bits: 0 }
    }

    fn calculated(&self, value: f64, status: Status) -> Answer {
        self.answered(Some(value), status, info::CALCULATED)
    }

    /// As good as the share of good samples says.
    fn by_values(&self, value: f64) -> Answer {
        let census = &self.open.census;
        let uncertain_as_bad = if self.rules.treat_uncertain_as_bad { census.uncertain } else { 0 };
        let bad = (census.bad() + uncertain_as_bad) as f64;
        let status = self.rules.judge(Shares { good: census.good as f64, bad, all: census.all as f64 });
        // Where no sample is a value, there is nothing that was computed.
        let has_values = census.all as f64 > bad || census.all == 0;
        match status.quality() == Quality::Bad && !has_values {
            true => Answer { bits: 0, ..self.calculated(value, status) },
            false => self.calculated(value, status),
        }
    }

    /// As good as the share of good time says.
    fn by_time(&self, value: f64) -> Answer {
        self.calculated(value, self.status_by_time())
    }

    fn status_by_time(&self) -> Status {
        let regions = &self.open.regions;
        let uncertain = regions.uncertain + regions.good - regions.wholly_good;
        let (good, bad) = match self.rules.treat_uncertain_as_bad {
            true => (regions.wholly_good, regions.bad + uncertain),
            false => (regions.wholly_good + uncertain, regions.bad),
        };
        self.rules.judge(Shares { good: good as f64, bad: bad as f64, all: self.nanoseconds as f64 })
    }

    /// How long the regions are whose start counts as Bad.
    fn bad_time(&self) -> u64 {
        let regions = &self.open.regions;
        regions.bad + if self.rules.treat_uncertain_as_bad { regions.uncertain } else { 0 }
    }

    fn percent(&self, nanoseconds: u64) -> f64 {
        nanoseconds as f64 / self.nanoseconds as f64 * 100.0
    }

    /// Whether any sample counts as Bad.
    fn has_bad(&self) -> bool {
        let census = &self.open.census;
        census.bad() > 0 || (self.rules.treat_uncertain_as_bad && census.uncertain > 0)
    }

    /// Whether an Uncertain sample is below the least Good one.
    fn is_below(&self, least: Option<Extreme>) -> bool {
        least.zip(self.open.extremes.least_uncertain).is_some_and(|(good, uncertain)| uncertain < good.value)
    }

    fn is_above(&self, greatest: Option<Extreme>) -> bool {
        greatest.zip(self.open.extremes.greatest_uncertain).is_some_and(|(good, uncertain)| uncertain > good.value)
    }

    fn extreme(&self, extreme: Option<Extreme>, is_passed: bool) -> Answer {
        let Some(Extreme { value, time, count }) = extreme else { return self.no_data() };
        let status = good_unless(is_passed || self.has_bad());
        let is_raw = time == self.stamp && status == Status::GOOD;
        self.answered(Some(value), status, if is_raw { 0 } else { info::CALCULATED } | multiple(count))
    }

    fn extreme_then(&self, extreme: Option<Extreme>, is_passed: bool) -> Answer {
        let Some(Extreme { value, time, count }) = extreme else { return self.no_data() };
        let status = good_unless(is_passed || self.has_bad());
        Answer { time, ..self.answered(Some(value), status, multiple(count)) }
    }

    fn bounded(&self, extreme: Option<BoundedExtreme>) -> Answer {
        let Some(BoundedExtreme { value, time, place, count }) = extreme else { return self.no_data() };
        let location = match place {
            Place::Start | Place::End { is_raw: false } => info::INTERPOLATED,
            Place::Sample if time == self.stamp => 0,
            Place::Sample | Place::End { is_raw: true } => info::CALCULATED,
        };
        self.by_time_at(value, location | multiple(count))
    }

    fn bounded_then(&self, extreme: Option<BoundedExtreme>) -> Answer {
        let Some(BoundedExtreme { value, time, place, count }) = extreme else { return self.no_data() };
        let (time, location) = match place {
            Place::Sample => (time, 0),
            Place::Start => (time, info::INTERPOLATED),
            // Within an interval that is shorter than the resolution, too.
            Place::End { .. } if self.reverse => (time.saturating_add(RESOLUTION).min(self.stamp), info::INTERPOLATED),
            Place::End { .. } => (time.saturating_sub(RESOLUTION).max(self.stamp), info::INTERPOLATED),
        };
        Answer { time, ..self.by_time_at(value, location | multiple(count)) }
    }

    /// As good as the share of good time says; a Bad answer was calculated and is nothing else.
    fn by_time_at(&self, value: f64, location: u32) -> Answer {
        match self.status_by_time() {
            Status::BAD => self.calculated(value, Status::BAD),
            status => self.answered(Some(value), status, location),
        }
    }

    /// A sample as it is.
    fn raw(&self, sample: Option<Sample>) -> Answer {
        let Some(sample) = sample else { return self.no_data() };
        Answer { time: sample.time, ..self.answered(Some(sample.value), sample.status, 0) }
    }

    fn spread(&self, value: f64) -> Answer {
        match self.open.moments.count {
            0 => self.no_data(),
            _ => self.calculated(value, good_unless(self.open.census.good < self.open.census.all)),
        }
    }

    /// The worst of the samples and of both bounds; where values step, Uncertain bounds are not Bad.
    fn worst_with_bounds(&self) -> Worst {
        let (start, end) = if self.rules.stepped { self.lenient_bounds } else { self.bounds };
        let mut worst = Worst::default();
        // A sample at the start is one of the interval's; where it is Uncertain and counts as Bad there
        // is no bound beside it.
        let is_bad_sample = start.sample.is_some_and(Status::is_bad);
        if !start.is_raw && !is_bad_sample {
            worst.meet(start.status, 1);
        }
        if let Worst { status: Some(status), count } = self.open.census.worst {
            worst.meet(status, count);
        }
        worst.meet(end.status, 1);
        worst
    }

    fn worst(&self, worst: Worst) -> Answer {
        let Some(status) = worst.status else { return self.no_data() };
        // Several that are good are no finding.
        let many = if status.quality() == Quality::Good { 0 } else { multiple(worst.count) };
        let answer = self.calculated(f64::from(status.0), Status::GOOD);
        Answer { bits: answer.bits | many, ..answer }
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn good_unless(is_subnormal: bool) -> Status {
    if is_subnormal { SUBNORMAL } else { Status::GOOD }
}

fn multiple(count: u64) -> u32 {
    if count > 1 { info::MULTIPLE } else { 0 }
}
