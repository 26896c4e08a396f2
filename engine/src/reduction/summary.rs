//! Summaries: what samples that were left out say together of a minute.
//!
//! 1. A summary lies within one minute of UTC. It begins and ends with samples that stay, or with the
//!    minute where something was left out on both sides of that: another one goes on there.
//! 2. Its areas are those under all samples that came, also those that stay.

use super::Event;
use crate::status::Status;

/// Nanoseconds of a minute.
pub const MINUTE: i64 = 60_000_000_000;

/// The start of the minute of a time.
pub fn minute_of(time: i64) -> i64 {
    time.div_euclid(MINUTE).saturating_mul(MINUTE)
}

/// What was left out in a stretch of time, and which samples stay in it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Summary {
    /// Where the stretch begins.
    pub from: i64,
    /// Where it ends, not included.
    pub to: i64,
    /// The status of all samples in it.
    pub status: Status,
    /// Samples that stay, one at its end included.
    pub kept: u64,
    /// The sum of their values, each times its place among them: other values hardly have the same.
    pub kept_sum: f64,
    /// Samples that were left out.
    pub count: u64,
    /// The sum of their values.
    pub sum: f64,
    /// The sum of the squares of their distances from their mean.
    pub squares: f64,
    /// The area under straight lines between samples, in values times seconds.
    pub sloped: f64,
    /// The area where values hold until the next.
    pub stepped: f64,
    /// The least value that was left out.
    pub least: Option<Extreme>,
    /// The greatest.
    pub greatest: Option<Extreme>,
    /// What lies at its beginning.
    pub start: Start,
    /// The value of the sample that stays where it ends, if one does.
    pub end: Option<f64>,
}

/// A value, when it first was, and how often.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Extreme {
    /// The value.
    pub value: f64,
    /// When it first was.
    pub time: i64,
    /// How often.
    pub count: u64,
}

/// What lies at the beginning of a summary.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Start {
    /// A sample that stays, with this value; 0 where it has none.
    Sample(f64),
    /// The middle of what was left out.
    Between {
        /// On the line between samples.
        line: f64,
        /// Of the last sample.
        held: f64,
    },
}

impl Summary {
    /// One that begins at a time and has nothing in it.
    pub(crate) fn new(from: i64, status: Status, start: Start) -> Summary {
        Summary {
            from,
            to: from,
            status,
            kept: 0,
            kept_sum: 0.0,
            count: 0,
            sum: 0.0,
            squares: 0.0,
            sloped: 0.0,
            stepped: 0.0,
            least: None,
            greatest: None,
            start,
            end: None,
        }
    }

    /// The start of the next minute.
    pub(super) fn minute_end(&self) -> i64 {
        minute_of(self.from).saturating_add(MINUTE)
    }

    /// Takes in the way from one sample to another as far as `to`.
    pub(super) fn reach(&mut self, a: &Event, b: &Event, to: i64) {
        let seconds = to.abs_diff(self.to) as f64 / 1e9;
        self.sloped += seconds * (line(a, b, self.to) / 2.0 + line(a, b, to) / 2.0);
        self.stepped += seconds * a.number();
        (self.to, self.end) = (to, None);
    }

    /// Takes in a sample that stays, at its end.
    pub(super) fn keep(&mut self, event: &Event) {
        self.kept += 1;
        self.kept_sum += self.kept as f64 * event.number();
        self.end = Some(event.number());
    }

    /// Takes in a sample at its end.
    pub(super) fn add(&mut self, event: &Event) {
        if event.time == self.from && matches!(self.start, Start::Between { .. }) {
            self.start = Start::Between { line: event.number(), held: event.number() };
        }
        let Some(value) = event.value else {
            self.count += 1;
            return;
        };
        let one = Extreme { value, time: event.time, count: 1 };
        self.join_sums(1, value, 0.0);
        self.least = nearer(self.least, Some(one), |new, known| new < known);
        self.greatest = nearer(self.greatest, Some(one), |new, known| new > known);
    }

    /// Takes in the summary that begins where this one ends.
    pub(super) fn join(&mut self, next: &Summary) {
        (self.to, self.end) = (next.to, next.end);
        self.sloped += next.sloped;
        self.stepped += next.stepped;
        self.join_sums(next.count, next.sum, next.squares);
        self.least = nearer(self.least, next.least, |new, known| new < known);
        self.greatest = nearer(self.greatest, next.greatest, |new, known| new > known);
    }

    fn join_sums(&mut self, count: u64, sum: f64, squares: f64) {
        if count > 0 && self.count > 0 {
            let distance = sum / count as f64 - self.sum / self.count as f64;
            let weight = self.count as f64 * count as f64 / (self.count + count) as f64;
            self.squares += distance * distance * weight;
        }
        self.count += count;
        self.sum += sum;
        self.squares += squares;
    }
}

fn nearer(known: Option<Extreme>, new: Option<Extreme>, is_beyond: impl Fn(f64, f64) -> bool) -> Option<Extreme> {
    match (known, new) {
        (Some(known), Some(new)) if known.value == new.value => {
            Some(Extreme { count: known.count + new.count, ..known })
        }
        (Some(known), Some(new)) if !is_beyond(new.value, known.value) => Some(known),
        (known, new) => new.or(known),
    }
}

/// The value at a time between two samples, on the line from one to the other.
pub(super) fn line(a: &Event, b: &Event, time: i64) -> f64 {
    let (from, to) = (a.number(), b.number());
    if time == b.time {
        return to;
    }
    let share = time.abs_diff(a.time) as f64 / b.since(a) as f64;
    (from * (1.0 - share) + to * share).clamp(from.min(to), from.max(to))
}
