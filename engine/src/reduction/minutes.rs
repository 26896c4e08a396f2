//! Gaps and the samples that stay between them become one summary a minute.

use super::Event;
use super::summary::{Start, Summary, minute_of};

/// The minute that is not over yet. What it is told of ascends in time.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Minutes {
    /// From the first gap of the minute to the sample that stays after the last one.
    pub(crate) open: Option<Summary>,
    /// The same and the samples after that, which count if another gap follows.
    pub(crate) ahead: Option<Summary>,
}

impl Minutes {
    /// Part of a gap.
    pub(super) fn gap(&mut self, part: Summary, out: &mut Vec<Summary>) {
        let goes_on = |open: &Summary| minute_of(open.from) == minute_of(part.from) && open.status == part.status;
        if let Some(mut open) = self.ahead.take().or(self.open).filter(goes_on) {
            open.join(&part);
            self.open = Some(open);
            return;
        }
        self.end(out);
        let mut open = part;
        if let Start::Sample(value) = part.start {
            (open.kept, open.kept_sum) = (1, value);
        }
        self.open = Some(open);
    }

    /// A sample that stays, right after a gap.
    pub(super) fn keep(&mut self, event: &Event) {
        if let Some(open) = self.ahead.as_mut().or(self.open.as_mut()) {
            open.keep(event);
        }
    }

    /// A sample that stays, after another one with nothing between them.
    pub(super) fn go_on(&mut self, from: &Event, to: &Event, out: &mut Vec<Summary>) {
        let Some(mut ahead) = self.ahead.or(self.open) else { return };
        if minute_of(ahead.from) != minute_of(to.time) || from.status != to.status {
            return self.end(out);
        }
        ahead.reach(from, to, to.time);
        ahead.keep(to);
        self.ahead = Some(ahead);
    }

    /// The minute is over, or nothing is added to it any more.
    pub(super) fn end(&mut self, out: &mut Vec<Summary>) {
        out.extend(self.open.take());
        self.ahead = None;
    }
}
