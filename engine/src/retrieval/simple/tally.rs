//! What is counted, summed and compared of the samples in an interval.

pub use crate::reduction::Extreme;
use crate::reduction::Summary;
use crate::retrieval::Rules;
use crate::retrieval::sample::{Sample, Samples};
use crate::status::{Quality, Status};

/// How many samples there are of each quality, and the worst.
#[derive(Clone, Copy, Default)]
pub struct Census {
    pub all: u64,
    pub good: u64,
    pub uncertain: u64,
    pub worst: Worst,
}

/// The worst quality met so far: the first status of it, and how many there were.
#[derive(Clone, Copy, Default)]
pub struct Worst {
    pub status: Option<Status>,
    pub count: u64,
}

impl Census {
    pub fn bad(&self) -> u64 {
        self.all - self.good - self.uncertain
    }

    pub fn take(&mut self, samples: Samples<'_>) {
        let count = |top: u32| samples.statuses.iter().filter(|status| *status >> 30 == top).count() as u64;
        let good = count(0);
        self.all += samples.len() as u64;
        self.good += good;
        if good == samples.len() as u64 {
            self.worst.meet(Status(samples.statuses[0]), good);
            return;
        }
        self.uncertain += count(1);
        samples.statuses.iter().for_each(|status| self.worst.meet(Status(*status), 1));
    }
}

impl Census {
    /// Counts samples that were left out.
    pub fn account_for(&mut self, summary: &Summary) {
        let Summary { count, status, .. } = *summary;
        if count == 0 {
            return;
        }
        self.all += count;
        match status.quality() {
            Quality::Good => self.good += count,
            Quality::Uncertain => self.uncertain += count,
            Quality::Bad => {}
        }
        self.worst.meet(status, count);
    }
}

impl Worst {
    /// Meets so many of a quality, the first of which has this status.
    pub fn meet(&mut self, status: Status, count: u64) {
        match self.status.map(Status::quality) {
            Some(worst) if worst > status.quality() => {}
            Some(worst) if worst == status.quality() => self.count += count,
            _ => *self = Worst { status: Some(status), count },
        }
    }
}

/// Sums over Good samples. Squares are of the distance from the first one, which keeps them exact
/// where values are large and close together.
#[derive(Clone, Copy, Default)]
pub struct Moments {
    pub count: u64,
    origin: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    pub fn take(&mut self, samples: Samples<'_>) {
        for (value, status) in samples.values.iter().zip(samples.statuses) {
            if status >> 30 != 0 {
                continue;
            }
            if self.count == 0 {
                self.origin = *value;
            }
            let distance = value - self.origin;
            self.count += 1;
            self.sum += distance;
            self.squares += distance * distance;
        }
    }

    /// Adds samples that were left out.
    pub fn account_for(&mut self, summary: &Summary) {
        if summary.status.quality() != Quality::Good || summary.count == 0 {
            return;
        }
        let count = summary.count as f64;
        if self.count == 0 {
            self.origin = summary.sum / count;
        }
        let distance = summary.sum / count - self.origin;
        self.count += summary.count;
        self.sum += count * distance;
        self.squares += summary.squares + count * distance * distance;
    }

    /// The mean of at least one sample.
    pub fn mean(&self) -> f64 {
        self.origin + self.sum / self.count as f64
    }

    /// The variance over one less than the number of samples, or over their number; of one sample 0.
    pub fn variance(&self, sample: bool) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let count = self.count as f64;
        let spread = self.squares - self.sum * self.sum / count;
        let variance = spread / if sample { count - 1.0 } else { count };
        // Rounding may leave a little less than nothing; what is no number stays so.
        if variance < 0.0 { 0.0 } else { variance }
    }
}

/// The least and the greatest Good sample, and those of Uncertain ones.
#[derive(Clone, Copy, Default)]
pub struct Extremes {
    pub least: Option<Extreme>,
    pub greatest: Option<Extreme>,
    pub least_uncertain: Option<f64>,
    pub greatest_uncertain: Option<f64>,
}

impl Extremes {
    pub fn take(&mut self, samples: Samples<'_>) {
        for i in 0..samples.len() {
            let value = samples.values[i];
            match samples.statuses[i] >> 30 {
                0 => {
                    let time = samples.times[i];
                    meet(&mut self.least, value, time, |value, least| value < least);
                    meet(&mut self.greatest, value, time, |value, greatest| value > greatest);
                }
                1 => {
                    self.least_uncertain = Some(self.least_uncertain.map_or(value, |least| least.min(value)));
                    self.greatest_uncertain = Some(self.greatest_uncertain.map_or(value, |most| most.max(value)));
                }
                _ => {}
            }
        }
    }
}

impl Extremes {
    /// Compares with samples that were left out.
    pub fn account_for(&mut self, summary: &Summary) {
        let (Some(least), Some(greatest)) = (summary.least, summary.greatest) else { return };
        match summary.status.quality() {
            Quality::Good => {
                join(&mut self.least, least, |value, least| value < least);
                join(&mut self.greatest, greatest, |value, greatest| value > greatest);
            }
            Quality::Uncertain => {
                self.least_uncertain = Some(self.least_uncertain.map_or(least.value, |known| known.min(least.value)));
                self.greatest_uncertain =
                    Some(self.greatest_uncertain.map_or(greatest.value, |known| known.max(greatest.value)));
            }
            Quality::Bad => {}
        }
    }
}

/// Meets a value that came in between.
fn join(extreme: &mut Option<Extreme>, other: Extreme, is_beyond: impl Fn(f64, f64) -> bool) {
    match extreme {
        Some(known) if other.value == known.value => {
            known.count += other.count;
            known.time = known.time.min(other.time);
        }
        Some(known) if !is_beyond(other.value, known.value) => {}
        _ => *extreme = Some(other),
    }
}

fn meet(extreme: &mut Option<Extreme>, value: f64, time: i64, is_beyond: impl Fn(f64, f64) -> bool) {
    match extreme {
        Some(known) if value == known.value => known.count += 1,
        Some(known) if !is_beyond(value, known.value) => {}
        _ => *extreme = Some(Extreme { value, time, count: 1 }),
    }
}

/// The first and the last sample, and those among the Good ones.
#[derive(Clone, Copy, Default)]
pub struct Ends {
    pub first: Option<Sample>,
    pub last: Option<Sample>,
    pub first_good: Option<Sample>,
    pub last_good: Option<Sample>,
}

impl Ends {
    pub fn take(&mut self, samples: Samples<'_>) {
        let is_good = |status: &u32| Status(*status).quality() == Quality::Good;
        let last = samples.len() - 1;
        self.first = self.first.or(Some(samples.get(0)));
        self.last = Some(samples.get(last));
        if self.first_good.is_none() {
            self.first_good = samples.statuses.iter().position(is_good).map(|i| samples.get(i));
        }
        let last_good = samples.statuses.iter().rposition(is_good).map(|i| samples.get(i));
        self.last_good = last_good.or(self.last_good);
    }
}

/// How often the value changed, from sample to sample that counts as one.
#[derive(Clone, Copy, Default)]
pub struct Transitions {
    pub count: u64,
}

impl Transitions {
    /// `before` is the value before the first of these samples.
    pub fn take(&mut self, samples: Samples<'_>, rules: &Rules, before: Option<f64>) {
        let mut before = before;
        for (value, status) in samples.values.iter().zip(samples.statuses) {
            if rules.is_value(Status(*status)) {
                self.count += u64::from(before != Some(*value));
                before = Some(*value);
            }
        }
    }
}
