//! Reduction on ingest: samples of a tag come in order, and it is decided of each whether it stays.
//!
//! 1. A sample is decided on once later ones are here; until then it is *held*, and at most two are.
//! 2. What stays came, and stays in order. What does not stay is in a summary.
//! 3. The newest sample is held, or has been kept.

use super::gap::Gap;
use super::minutes::Minutes;
use super::summary::Summary;
use super::{Compression, Event, Exception, Settings};
use crate::sample::{Cell, Row};

/// Decides on the samples of one tag.
#[derive(Clone, Debug)]
pub struct Reducer {
    settings: Settings,
    is_float: bool,
    exception: Option<Exception>,
    compression: Option<Compression>,
    /// The last sample that stays; none before the first.
    kept: Option<Row>,
    /// What it had seen before that, and has forgotten: older samples are late.
    seen_to: i64,
    held: Vec<Held>,
    /// Up to the sample that stays, or to the last minute of the gap after it that is over.
    minutes: Minutes,
    /// Samples that were left out and are still to be counted so.
    owed: u8,
}

/// A sample that is not decided on.
#[derive(Clone, PartialEq, Debug)]
pub struct Held {
    /// The sample.
    pub row: Row,
    /// What was left out between it and the one before.
    pub gap: Option<Box<Gap>>,
}

/// What a reducer has to remember over a restart.
#[derive(Clone, PartialEq, Debug)]
pub struct ReducerState {
    /// The last sample that stays; none before the first.
    pub kept: Option<Row>,
    /// What it had seen before that, and has forgotten.
    pub seen_to: i64,
    /// Those after it that are not decided on.
    pub held: Vec<Held>,
    /// What is known of the minute that is not over.
    pub minutes: Minutes,
    /// The least and the greatest slope of the lines that pass.
    pub door: (f64, f64),
    /// Whether the newest sample was an exception.
    pub newest_passed: bool,
    /// Samples that were left out and are still to be counted so.
    pub owed: u8,
}

/// What was decided.
#[derive(Clone, Default, Debug)]
pub struct Decided {
    /// Samples that stay, ascending.
    pub kept: Vec<Row>,
    /// Summaries of what does not, ascending.
    pub summaries: Vec<Summary>,
}

/// What is held, and what would be summarised if that stayed.
#[derive(Clone, PartialEq, Debug)]
pub struct Tail {
    /// The samples, ascending.
    pub rows: Vec<Row>,
    /// The time of the newest sample.
    pub newest: i64,
    /// Summaries from here on are these.
    pub from: i64,
    /// The summaries.
    pub summaries: Vec<Summary>,
}

impl Reducer {
    /// One that has seen nothing.
    pub fn new(settings: Settings, is_float: bool) -> Reducer {
        Reducer {
            settings,
            is_float,
            exception: settings.exception.map(Exception::new),
            compression: settings.compression.map(Compression::new),
            kept: None,
            seen_to: i64::MIN,
            held: Vec::new(),
            minutes: Minutes::default(),
            owed: 0,
        }
    }

    /// One that goes on where another was.
    pub fn resume(settings: Settings, is_float: bool, state: &ReducerState) -> Reducer {
        let ReducerState { kept, seen_to, held, minutes, door, newest_passed, owed } = state.clone();
        let mut reducer = Reducer { seen_to, minutes, owed, ..Reducer::new(settings, is_float) };
        let Some(kept) = kept else { return reducer };
        let events: Vec<Event> =
            [&kept].into_iter().chain(held.iter().map(|h| &h.row)).map(|r| reducer.event(r)).collect();
        let last = events.len() - 1;
        if let Some(exception) = &mut reducer.exception {
            exception.resume(events[if newest_passed { last } else { last.saturating_sub(1) }], events[last]);
        }
        if let Some(compression) = &mut reducer.compression {
            let passed =
                if newest_passed || reducer.settings.exception.is_none() { last } else { last.saturating_sub(1) };
            compression.resume(events[0], (passed > 0).then(|| events[1]), door);
        }
        (reducer.kept, reducer.held) = (Some(kept), held);
        reducer
    }

    /// What it has to remember; nothing before the first sample.
    pub fn state(&self) -> Option<ReducerState> {
        (self.newest_time() > i64::MIN).then(|| ReducerState {
            kept: self.kept.clone(),
            seen_to: self.seen_to,
            held: self.held.clone(),
            minutes: self.minutes,
            door: self.compression.as_ref().map_or((f64::NEG_INFINITY, f64::INFINITY), Compression::door),
            newest_passed: self.exception.as_ref().is_none_or(|exception| exception.held().is_none()),
            owed: self.owed,
        })
    }

    /// What its filters work with.
    pub fn settings(&self) -> (Settings, bool) {
        (self.settings, self.is_float)
    }

    /// The newest sample.
    pub fn newest(&self) -> Option<&Row> {
        self.held.last().map(|held| &held.row).or(self.kept.as_ref())
    }

    /// The time of the newest sample it has seen; samples that are not newer are late.
    pub fn newest_time(&self) -> i64 {
        self.newest().map_or(self.seen_to, |newest| newest.time)
    }

    /// The last sample that stays.
    pub fn kept(&self) -> Option<&Row> {
        self.kept.as_ref()
    }

    /// What is not decided on, ascending.
    pub fn held(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.held.iter().map(|held| &held.row)
    }

    /// What a reader has to know beside the samples and summaries that are settled.
    pub fn tail(&self) -> Option<Tail> {
        let kept = self.kept.as_ref()?;
        let mut summaries = Vec::new();
        let mut minutes = self.minutes;
        let mut before = self.event(kept);
        for held in &self.held {
            let event = self.event(&held.row);
            step(&mut minutes, &before, &event, held.gap.as_deref().cloned(), &mut summaries);
            before = event;
        }
        minutes.end(&mut summaries);
        let newest = self.newest()?.time;
        let rows: Vec<Row> = self.held().cloned().collect();
        let from = self.minutes.open.map_or(kept.time, |open| open.from);
        Some(Tail { rows, newest, from, summaries })
    }

    /// Takes a sample that is newer than all before. Says whether one is to be counted as left out;
    /// otherwise there is one more.
    pub fn push(&mut self, row: Row, decided: &mut Decided) -> bool {
        // A system state is kept with what was before it.
        if self.newest().is_some_and(|newest| newest.cell.text != row.cell.text) {
            self.finish(decided);
        }
        let event = self.event(&row);
        if self.kept.is_none() {
            if let Some(exception) = &mut self.exception {
                let _ = exception.push(event);
            }
            if let Some(compression) = &mut self.compression {
                let _ = compression.push(event);
            }
            decided.kept.push(row.clone());
            self.kept = Some(row);
            return self.is_owed(0);
        }
        self.held.push(Held { row, gap: None });
        let left_out = match &mut self.exception {
            None => self.pass(event, decided),
            Some(exception) => {
                let before = exception.held();
                let passed = exception.push(event);
                let (mut any, mut left_out) = (false, 0);
                for event in passed {
                    any = true;
                    left_out += self.pass(event, decided);
                }
                match before {
                    Some(before) if !any => self.leave_out(before.time, decided),
                    _ => left_out,
                }
            }
        };
        self.is_owed(left_out)
    }

    /// Lets everything stay that is not decided on, and forgets what it has seen.
    pub fn finish(&mut self, decided: &mut Decided) {
        while !self.held.is_empty() {
            self.keep_first(decided);
        }
        self.minutes.end(&mut decided.summaries);
        let seen_to = self.newest_time();
        *self = Reducer { seen_to, owed: self.owed, ..Reducer::new(self.settings, self.is_float) };
    }

    /// Passes a sample on to the second filter; answers how many samples were left out.
    fn pass(&mut self, event: Event, decided: &mut Decided) -> u8 {
        let Some(compression) = &mut self.compression else {
            self.keep_first(decided);
            return 0;
        };
        let held = compression.held();
        match (compression.push(event), held) {
            (Some(_), _) => {
                self.keep_first(decided);
                0
            }
            (None, Some(held)) => self.leave_out(held.time, decided),
            (None, None) => 0,
        }
    }

    fn keep_first(&mut self, decided: &mut Decided) {
        let Held { row, gap } = self.held.remove(0);
        if let Some(kept) = &self.kept {
            let (from, to) = (self.event(kept), self.event(&row));
            step(&mut self.minutes, &from, &to, gap.map(|gap| *gap), &mut decided.summaries);
        }
        decided.kept.push(row.clone());
        self.kept = Some(row);
        self.settle(decided);
    }

    /// Leaves out the sample of a time; there is one after it.
    fn leave_out(&mut self, time: i64, decided: &mut Decided) -> u8 {
        let Some(at) = self.held.iter().position(|held| held.row.time == time) else { return 0 };
        let Held { row, gap } = self.held.remove(at);
        let event = self.event(&row);
        let before = at.checked_sub(1).map(|before| &self.held[before].row).or(self.kept.as_ref());
        let mut gap = match (gap, before) {
            (Some(gap), _) => gap,
            (None, Some(before)) => Box::new(Gap::after(&self.event(before))),
            (None, None) => return 0,
        };
        gap.join(&event, self.held[at].gap.take().map(|gap| *gap));
        self.held[at].gap = Some(gap);
        if at == 0 {
            self.settle(decided);
        }
        1
    }

    /// Minutes right after the sample that stays are settled once they have ended.
    fn settle(&mut self, decided: &mut Decided) {
        let Reducer { held, minutes, .. } = self;
        if let Some(gap) = held.first_mut().and_then(|held| held.gap.as_mut()) {
            gap.done.drain(..).for_each(|part| minutes.gap(part, &mut decided.summaries));
        }
    }

    fn is_owed(&mut self, left_out: u8) -> bool {
        self.owed += left_out;
        let is_owed = self.owed > 0;
        self.owed -= u8::from(is_owed);
        is_owed
    }

    fn event(&self, row: &Row) -> Event {
        Event { time: row.time, value: number(&row.cell, self.is_float), status: row.cell.status }
    }
}

/// Tells minutes of a sample that stays, after the one that stays before and what was left out between.
fn step(minutes: &mut Minutes, from: &Event, to: &Event, gap: Option<Gap>, out: &mut Vec<Summary>) {
    let Some(gap) = gap else { return minutes.go_on(from, to, out) };
    gap.close(to).into_iter().for_each(|part| minutes.gap(part, out));
    minutes.keep(to);
}

/// The value of a sample as a number.
fn number(cell: &Cell, is_float: bool) -> Option<f64> {
    let bits = cell.value?;
    Some(if is_float { f64::from_bits(bits) } else { bits.cast_signed() as f64 })
}
