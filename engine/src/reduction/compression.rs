//! Compression: samples near the line between those that are kept are dropped (the swinging door).
//!
//! Invariant: between two samples that are kept, no sample lies more than the deviation off the line
//! from one to the other, where `min` is 0.

use super::Event;

/// When a sample is kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CompressionSettings {
    /// How far a sample may lie off the line, in units of the value.
    pub deviation: f64,
    /// Nothing is kept sooner than this after the last one but for its status, in nanoseconds.
    pub min: u64,
    /// No two samples that are kept are further apart, as far as samples come.
    pub max: u64,
    /// Whether values hold until the next one, so that there is no line.
    pub stepped: bool,
}

/// Keeps samples, or drops them.
#[derive(Clone, Debug)]
pub struct Compression {
    settings: CompressionSettings,
    /// Kept last.
    kept: Option<Event>,
    /// The newest sample: whether it is kept is known once the next one is here.
    held: Option<Event>,
    door: Door,
}

/// The slopes of all lines from the sample kept last that pass near enough to all samples since.
#[derive(Clone, Copy, Debug)]
struct Door {
    least: f64,
    greatest: f64,
}

impl Door {
    const OPEN: Door = Door { least: f64::NEG_INFINITY, greatest: f64::INFINITY };

    /// Lets only lines pass that come near `event`.
    fn narrow(&mut self, from: &Event, event: &Event, deviation: f64) {
        let (Some(start), Some(value)) = (from.value, event.value) else { return };
        let run = event.since(from) as f64;
        self.least = self.least.max((value - deviation - start) / run);
        self.greatest = self.greatest.min((value + deviation - start) / run);
    }

    /// Whether the line to `event` passes.
    fn admits(&self, from: &Event, event: &Event) -> bool {
        let (Some(start), Some(value)) = (from.value, event.value) else { return true };
        let slope = (value - start) / event.since(from) as f64;
        self.least <= slope && slope <= self.greatest
    }
}

impl Compression {
    /// One that has seen nothing.
    pub fn new(settings: CompressionSettings) -> Compression {
        Compression { settings, kept: None, held: None, door: Door::OPEN }
    }

    /// Goes on after these samples, with the least and the greatest slope that pass.
    pub(super) fn resume(&mut self, kept: Event, held: Option<Event>, (least, greatest): (f64, f64)) {
        (self.kept, self.held, self.door) = (Some(kept), held, Door { least, greatest });
    }

    /// The least and the greatest slope of the lines that pass.
    pub(super) fn door(&self) -> (f64, f64) {
        (self.door.least, self.door.greatest)
    }

    /// Takes a sample, and answers the one that is kept for it, if any: the first sample itself, later
    /// the one before it.
    pub fn push(&mut self, event: Event) -> Option<Event> {
        let Some(kept) = self.kept else {
            self.kept = Some(event);
            return Some(event);
        };
        let held = self.held.replace(event)?;
        self.door.narrow(&kept, &held, self.settings.deviation);
        if !self.must_keep(&held, &kept, &event) {
            return None;
        }
        (self.kept, self.door) = (Some(held), Door::OPEN);
        Some(held)
    }

    /// The newest sample, where it is not kept yet.
    pub fn held(&self) -> Option<Event> {
        self.held
    }

    fn must_keep(&self, held: &Event, kept: &Event, next: &Event) -> bool {
        let CompressionSettings { deviation, min, max, stepped } = self.settings;
        if next.status != held.status || held.status != kept.status || next.since(kept) > max {
            return true;
        }
        if held.since(kept) < min {
            return false;
        }
        match stepped {
            true => match (held.value, kept.value) {
                (Some(value), Some(before)) => (value - before).abs() >= deviation,
                (value, before) => value.is_some() != before.is_some(),
            },
            false => !self.door.admits(kept, next),
        }
    }
}
