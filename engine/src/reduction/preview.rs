//! What settings would keep of samples, and how far off the rest would be.

use super::{Compression, CompressionSettings, Event, Exception, ExceptionSettings};

/// Both filters; each may be left out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// The first.
    pub exception: Option<ExceptionSettings>,
    /// The second, for what the first passes on.
    pub compression: Option<CompressionSettings>,
    /// Whether values hold until the next one.
    pub stepped: bool,
}

/// Runs samples through both filters and compares them with what is kept.
pub struct Preview {
    exception: Option<Exception>,
    compression: Option<Compression>,
    stepped: bool,
    /// Samples since the one that was kept last, which the next one that is kept is compared with.
    since: Vec<Event>,
    kept_last: Option<Event>,
    /// The samples that came.
    pub samples: u64,
    /// Those that are kept.
    pub kept: u64,
    /// The largest distance of a sample from what is kept: the line between its neighbours, or the value
    /// that holds.
    pub error: f64,
}

/// Samples that wait for the next one that is kept, at most: more of them are compared with the line to
/// the newest one, which is counted as kept.
const WAITING_MAX: usize = 1 << 20;

impl Preview {
    /// One that has seen nothing.
    pub fn new(settings: Settings) -> Preview {
        Preview {
            exception: settings.exception.map(Exception::new),
            compression: settings.compression.map(Compression::new),
            stepped: settings.stepped,
            since: Vec::new(),
            kept_last: None,
            samples: 0,
            kept: 0,
            error: 0.0,
        }
    }

    /// Takes a sample; what is kept for it goes to `kept`.
    pub fn push(&mut self, event: Event, kept: &mut Vec<Event>) {
        self.samples += 1;
        self.since.push(event);
        let passed: Vec<Event> = match &mut self.exception {
            Some(exception) => exception.push(event).collect(),
            None => vec![event],
        };
        for event in passed {
            let found = match &mut self.compression {
                Some(compression) => compression.push(event),
                None => Some(event),
            };
            if let Some(found) = found {
                self.keep(found, kept);
            }
        }
        if self.since.len() >= WAITING_MAX {
            self.keep(event, kept);
        }
    }

    /// Takes the newest sample as kept: it is the current value.
    pub fn finish(&mut self, kept: &mut Vec<Event>) {
        if let Some(newest) = self.since.last().copied() {
            self.keep(newest, kept);
        }
    }

    fn keep(&mut self, found: Event, kept: &mut Vec<Event>) {
        if self.kept_last.is_some_and(|last| last.time >= found.time) {
            return;
        }
        self.kept += 1;
        kept.push(found);
        let before = self.kept_last.replace(found);
        let waits_from = self.since.partition_point(|event| event.time <= found.time);
        for event in self.since.drain(..waits_from) {
            let (Some(value), Some(expected)) = (event.value, expected(before, found, event.time, self.stepped)) else {
                continue;
            };
            self.error = self.error.max((value - expected).abs());
        }
    }
}

/// What is read at a time between two samples that are kept.
fn expected(before: Option<Event>, after: Event, time: i64, stepped: bool) -> Option<f64> {
    let Some(before) = before.filter(|_| time != after.time) else { return after.value };
    match (before.value, after.value) {
        (Some(a), Some(b)) if !stepped => {
            let share = time.abs_diff(before.time) as f64 / after.since(&before) as f64;
            Some(a + (b - a) * share)
        }
        (value, _) => value,
    }
}
