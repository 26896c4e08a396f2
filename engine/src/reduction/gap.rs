//! Gaps: what was left out between two samples that stay, as summaries of each minute.

use super::Event;
use super::summary::{Start, Summary, line};

/// Samples that were left out after one that may stay.
#[derive(Clone, PartialEq, Debug)]
pub struct Gap {
    /// The last sample that was left out.
    pub(crate) last: Event,
    /// Minutes that have ended, ascending.
    pub(crate) done: Vec<Summary>,
    /// From there to the last sample.
    pub(crate) open: Summary,
}

impl Gap {
    /// Nothing left out yet after a sample.
    pub(super) fn after(start: &Event) -> Gap {
        let open = Summary::new(start.time, start.status, Start::Sample(start.number()));
        Gap { last: *start, done: Vec::new(), open }
    }

    /// Leaves a later sample out.
    pub(super) fn leave_out(&mut self, event: &Event) {
        self.reach(event);
        self.open.add(event);
        self.last = *event;
    }

    /// Leaves out the sample at its end, and what was left out after that.
    pub(super) fn join(&mut self, end: &Event, next: Option<Gap>) {
        self.leave_out(end);
        let Some(next) = next else { return };
        let mut rest = next.done.into_iter().chain([next.open]);
        // The first of them begins at the sample, in the minute that is open.
        if let Some(first) = rest.next() {
            self.open.join(&first);
        }
        for summary in rest {
            self.done.push(std::mem::replace(&mut self.open, summary));
        }
        self.last = next.last;
    }

    /// All of its summaries, where this sample stays at its end.
    pub(super) fn close(mut self, end: &Event) -> Vec<Summary> {
        self.reach(end);
        if self.open.from < end.time {
            self.done.push(self.open);
        }
        self.done
    }

    /// Goes along the line to a sample, through all minutes up to it.
    fn reach(&mut self, event: &Event) {
        loop {
            let minute_end = self.open.minute_end();
            self.open.reach(&self.last, event, event.time.min(minute_end));
            if event.time < minute_end {
                return;
            }
            let start = Start::Between { line: line(&self.last, event, minute_end), held: self.last.number() };
            let next = Summary::new(minute_end, self.open.status, start);
            self.done.push(std::mem::replace(&mut self.open, next));
        }
    }
}
