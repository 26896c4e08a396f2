//! What reduction has left out, on its way into machines that account for it.
//!
//! 1. A summary counts where the samples that stay in it are those that it was made with: a sample that
//!    came late, a value that was replaced or a sample that was deleted since make its stretch of time
//!    inexact, and those that lines lead to from there.
//! 2. What a summary adds to an area is the difference from the lines, or the steps, between the samples
//!    that stay.
//! 3. A sample goes on to a machine once it is known what was left out before it and at it.

use std::collections::VecDeque;

use super::grid::{Grid, Interval};
use super::points::between;
use super::sample::{Sample, Samples};
use crate::reduction::{LeftOut, MINUTE, Start, Summary, minute_of};
use crate::status::Status;

/// Samples and summaries that wait for each other.
#[derive(Default)]
pub struct Waiting {
    times: Vec<i64>,
    values: Vec<f64>,
    statuses: Vec<u32>,
    /// So many of the samples have gone on.
    fed: usize,
    /// So many may.
    ready: usize,
    left_out: VecDeque<Told>,
    /// How the last summary that was judged leads on.
    before: Before,
}

/// A summary, as far as it is known what it adds.
struct Told {
    summary: Summary,
    /// Whether part of its minute was deleted.
    is_cut: bool,
    /// Known once a sample at its end or after it is.
    added: Option<Option<Added>>,
}

/// What is known of the end of a summary.
#[derive(Clone, Copy, Default)]
struct Before {
    to: i64,
    /// Whether lines that lead out of it are those of the samples that came.
    is_led_to: bool,
    /// Whether another one goes on there.
    is_open: bool,
}

/// A stretch of time in which samples were left out.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub summary: Summary,
    /// What it adds to areas; none where it was not made with the samples that stay.
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
        let told = |summary: Summary, is_cut: bool| Told { summary, is_cut, added: None };
        let mut all: Vec<Told> = summaries.iter().map(|summary| told(*summary, is_cut(summary))).collect();
        // A minute in which samples were deleted is not exact, whether any is known to have been left out.
        all.extend(inexact.iter().map(|minute| told(unknown(*minute, minute.saturating_add(MINUTE)), true)));
        all.sort_by_key(|told| told.summary.from);
        self.left_out.extend(all);
    }

    /// Takes samples, after what was left out before them and between them.
    pub fn hold(&mut self, samples: Samples<'_>) {
        // The last one that went on is where lines come from.
        let gone = self.fed.saturating_sub(1);
        self.times.drain(..gone);
        self.values.drain(..gone);
        self.statuses.drain(..gone);
        (self.fed, self.ready) = (self.fed - gone, self.ready - gone);
        self.times.extend(samples.times);
        self.values.extend(samples.values);
        self.statuses.extend(samples.statuses);
    }

    /// The samples that are held.
    pub fn samples(&self) -> Samples<'_> {
        Samples { times: &self.times, values: &self.values, statuses: &self.statuses }
    }

    /// Those of them that may go on and have not.
    pub fn ready(&self) -> std::ops::Range<usize> {
        self.fed..self.ready
    }

    /// So many of the samples have gone on.
    pub fn pass(&mut self, fed: usize) {
        self.fed = fed;
    }

    /// Finds out what was left out, as far as that can be known; all of it where no sample follows. More
    /// samples may go on after that. Parts ascend in where they begin.
    pub fn judge(&mut self, is_complete: bool) -> Vec<Part> {
        let last = if is_complete { Some(i64::MAX) } else { self.times.last().copied() };
        self.compare(last);
        let mut parts = Vec::new();
        while let Some(leads_on) = self.leads_on() {
            let Some(Told { summary, added, .. }) = self.left_out.pop_front() else { break };
            self.add(&summary, added.flatten(), leads_on, &mut parts);
        }
        let Before { to, is_open, .. } = self.before;
        if is_open && self.left_out.is_empty() && last.is_some_and(|last| last > to) {
            // What goes on there was deleted.
            self.add_hole(to, i64::MAX, &mut parts);
            self.before.is_open = false;
        }
        let next = self.left_out.front().map_or(i64::MAX, |told| told.summary.from);
        self.ready = self.times.partition_point(|time| *time < next).max(self.ready);
        parts
    }

    /// Compares summaries with the samples that stay, up to a time that these are known to.
    fn compare(&mut self, known: Option<i64>) {
        let samples = Samples { times: &self.times, values: &self.values, statuses: &self.statuses };
        for told in &mut self.left_out {
            if known.is_none_or(|known| told.summary.to > known) {
                return;
            }
            told.added.get_or_insert_with(|| if told.is_cut { None } else { added(&told.summary, samples) });
        }
    }

    /// Whether lines that lead out of the first summary are those of the samples that came; none while
    /// that is not known.
    fn leads_on(&self) -> Option<bool> {
        let mut all = self.left_out.iter().peekable();
        while let Some(Told { summary, added, .. }) = all.next() {
            added.as_ref()?;
            if summary.end.is_some() {
                return Some(true);
            }
            let next = match all.peek() {
                Some(next) if next.summary.from == summary.to => next,
                // More is told of than is held: a summary that is missing was deleted.
                _ => return Some(false),
            };
            // A line through a stretch without samples is as good as the samples that it leads to.
            match &next.added {
                None => return None,
                Some(None) => return Some(false),
                Some(Some(_)) if next.summary.count + next.summary.kept > 0 => return Some(true),
                Some(Some(_)) => {}
            }
        }
        None
    }

    fn add(&mut self, summary: &Summary, added: Option<Added>, leads_on: bool, parts: &mut Vec<Part>) {
        let Summary { from, to, start, end, count, kept, .. } = *summary;
        let goes_on = self.before.is_open && self.before.to == from;
        if self.before.is_open && !goes_on {
            self.add_hole(self.before.to, from, parts);
        }
        let is_led_to = matches!(start, Start::Sample(_)) || (goes_on && self.before.is_led_to);
        if (matches!(start, Start::Between { .. }) || added.is_none()) && !goes_on {
            let at = self.times.partition_point(|time| *time < from);
            let before = at.checked_sub(1).map_or(i64::MIN, |before| self.times[before]);
            self.add_hole(before, from, parts);
        }
        parts.push(Part { summary: *summary, added, is_exact: added.is_some() && is_led_to && leads_on });
        let is_led_to = added.is_some() && (count + kept > 0 || is_led_to);
        // Where samples are others than they were, so may be what lines lead to.
        self.before = Before { to, is_led_to, is_open: end.is_none() || added.is_none() };
    }

    /// Between two samples that stay something was left out, and of this part of the time it is not known
    /// what: it was deleted.
    fn add_hole(&self, from: i64, to: i64, parts: &mut Vec<Part>) {
        let to =
            self.times[self.times.partition_point(|time| *time <= from)..].first().map_or(to, |next| to.min(*next));
        if from < to {
            parts.push(Part { summary: unknown(from, to), added: None, is_exact: false });
            parts.sort_by_key(|part| part.summary.from);
        }
    }
}

/// A stretch of time of which it is not known what was left out in it.
fn unknown(from: i64, to: i64) -> Summary {
    Summary { to, ..Summary::new(from, Status::GOOD, Start::Between { line: 0.0, held: 0.0 }) }
}

/// What a summary adds to these samples, if it was made with those of them that lie in it. There are some
/// after it, or none at all.
fn added(summary: &Summary, samples: Samples<'_>) -> Option<Added> {
    let Summary { from, to, status, end, .. } = *summary;
    let first = samples.times.partition_point(|time| *time < from);
    let stop = samples.times.partition_point(|time| *time < to);
    let last = if end.is_some() { samples.times.partition_point(|time| *time <= to) } else { stop };
    let is_of_it = |sample: Sample| sample.status == status;
    let kept: Vec<Sample> = (first..last).map(|i| samples.get(i)).collect();
    let sum =
        (1..).zip(&kept).map(|(place, sample)| f64::from(place) * sample.value).fold(0.0, |sum, value| sum + value);
    if !summary.has_kept(kept.len() as u64, sum) || !kept.iter().copied().all(is_of_it) {
        return None;
    }
    let is = |sample: Option<&Sample>, time: i64, value: f64| {
        sample.is_some_and(|sample| sample.time == time && (status.is_bad() || sample.value == value))
    };
    let starts = match summary.start {
        Start::Sample(value) => is(kept.first(), from, value),
        Start::Between { .. } => first > 0 && is_of_it(samples.get(first - 1)),
    };
    let ends = match end {
        Some(value) => is(kept.last(), to, value),
        None => stop < samples.len() && is_of_it(samples.get(stop)),
    };
    if !starts || !ends {
        return None;
    }
    let (mut sloped, mut stepped) = (summary.sloped, summary.stepped);
    for i in first.max(1)..(stop + 1).min(samples.len()) {
        let (a, b) = (samples.get(i - 1), samples.get(i));
        let (begin, finish) = (a.time.max(from), b.time.min(to));
        if begin < finish {
            let seconds = finish.abs_diff(begin) as f64 / 1e9;
            sloped -= seconds * (between(a, b, begin) / 2.0 + between(a, b, finish) / 2.0);
            stepped -= seconds * a.value;
        }
    }
    Some(Added { sloped, stepped })
}

/// Parts that wait for their intervals.
#[derive(Default)]
pub struct Parts(VecDeque<Part>);

impl Parts {
    pub fn push(&mut self, part: Part) {
        self.0.push_back(part);
    }

    /// Takes the parts that begin before the end of an interval, and that which begins there. What reaches
    /// into the next one stays for that, too.
    pub fn take_until(&mut self, interval: Interval) -> Vec<Part> {
        let count = self.0.partition_point(|part| part.summary.from <= interval.high);
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

    /// Whether the areas of an interval are not exact for its sake: it is not exact itself, or lies in the
    /// interval in part only.
    pub fn spoils_areas(&self, interval: Interval) -> bool {
        let touches = self.summary.from < interval.high && self.summary.to > interval.low;
        touches && !(self.is_exact && self.is_within(interval))
    }

    /// Whether an interval has samples, or part of them, that are missing for its sake.
    pub fn leaves_out(&self, interval: Interval) -> bool {
        self.summary.count > 0 && self.summary.from <= interval.high && self.summary.to > interval.low
    }

    /// Whether the values that hold in an interval are not those of the samples that stay.
    pub fn spoils_states(&self, interval: Interval) -> bool {
        let is_same = |added: Added| {
            self.summary.squares == 0.0 && added.stepped.abs() <= 1e-9 * (1.0 + self.summary.stepped.abs())
        };
        let touches = self.summary.from <= interval.high && self.summary.to > interval.low;
        touches && !(self.is_exact && self.added.is_some_and(is_same))
    }

    /// Whether what is known of the samples of an interval is not exact for its sake. Backwards, samples at
    /// the starts of minutes are of the interval before, and a summary does not tell them apart.
    pub fn spoils_samples(&self, interval: Interval, grid: &Grid) -> bool {
        let touches = self.summary.from <= interval.high && self.summary.to > interval.low;
        self.spoils_areas(interval) || (grid.is_reverse() && touches && self.summary.count > 0)
    }
}
