//! Exception: samples that differ little from the one passed on last are dropped.

use super::Event;

/// When a sample is passed on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ExceptionSettings {
    /// A value is passed on that differs by more than this, in units of the value.
    pub deviation: f64,
    /// But not sooner than this after the last one, in nanoseconds.
    pub min: u64,
    /// And in any case after this time.
    pub max: u64,
    /// Whether any other value is passed on at once, as those of digital tags are.
    pub any_change: bool,
}

/// Passes samples on, or drops them.
#[derive(Clone, Debug)]
pub struct Exception {
    settings: ExceptionSettings,
    /// Passed on last.
    sent: Option<Event>,
    /// Looked at last.
    seen: Option<Event>,
}

impl Exception {
    /// One that has seen nothing.
    pub fn new(settings: ExceptionSettings) -> Exception {
        Exception { settings, sent: None, seen: None }
    }

    /// Goes on after these samples.
    pub(super) fn resume(&mut self, sent: Event, seen: Event) {
        (self.sent, self.seen) = (Some(sent), Some(seen));
    }

    /// Takes a sample, and answers what is passed on for it: nothing, the sample, or the one before and
    /// the sample, so that a step stays a step.
    pub fn push(&mut self, event: Event) -> impl Iterator<Item = Event> + use<> {
        let before = self.seen.replace(event);
        let Some(sent) = self.sent else {
            self.sent = Some(event);
            return [None, Some(event)].into_iter().flatten();
        };
        if !self.is_exception(&event, &sent) {
            return [None, None].into_iter().flatten();
        }
        self.sent = Some(event);
        [before.filter(|before| before.time != sent.time), Some(event)].into_iter().flatten()
    }

    /// The sample that was looked at last, where it was not passed on.
    pub fn held(&self) -> Option<Event> {
        self.seen.filter(|seen| self.sent.is_none_or(|sent| sent.time != seen.time))
    }

    fn is_exception(&self, event: &Event, sent: &Event) -> bool {
        let ExceptionSettings { deviation, min, max, any_change } = self.settings;
        let elapsed = event.since(sent);
        let differs = match (event.value, sent.value) {
            (Some(value), Some(before)) if any_change => value != before,
            (Some(value), Some(before)) => elapsed >= min && (value - before).abs() > deviation,
            (None, None) => false,
            _ => true,
        };
        elapsed >= max || event.status != sent.status || differs
    }
}
