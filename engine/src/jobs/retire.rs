//! Retention: what is too old is deleted.
//!
//! 1. What the clock says is held to what the plant says: nothing is too old that is not so by the
//!    newest sample, too. A clock that runs years ahead therefore deletes nothing.
//! 2. After the clock has jumped by a day, also while nothing ran, nothing is deleted for a day: people
//!    see it first.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::delete::{Cause, TagRanges};
use crate::deleting::left_out_in;
use crate::engine::Shared;
use crate::error::{ErrorKind, Result};
use crate::planner::{Expiry, expiries};
use crate::reduction::minute_of;
use crate::scan::{ScanRequest, TagSelection};
use crate::tag::TagId;

const MINUTE: u64 = 60_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;

/// When retention was looked at last, by both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Looked {
    now: i64,
    monotonic: u64,
    /// Monotonic time of the next look.
    due: u64,
    /// Monotonic time before which nothing is deleted.
    rests_until: u64,
}

impl Shared {
    /// Deletes what is past its retention, once in a while; says whether anything was.
    pub(crate) fn retire_step(&self) -> Result<bool> {
        if self.config.retention.is_empty() || self.latched().is_some() || !self.look() {
            return Ok(false);
        }
        let Some(newest) = self.newest_of_all() else { return Ok(false) };
        let now = newest.min(self.env.clock.now());
        let tags = self.tags.read().clone();
        let mut any = Ok(false);
        for expiry in expiries(&tags, &self.config.retention, now) {
            match self.retire(&expiry) {
                Ok(done) => any = any.map(|any| any || done),
                // The other rules may free the room that this one wants for.
                Err(error) => any = any.and(Err(error)),
            }
        }
        if any.is_err() {
            self.look_again_soon();
        }
        any
    }

    /// Lets the next look come in a minute.
    fn look_again_soon(&self) {
        if let Some(looked) = &mut *self.turns.retired.lock() {
            looked.due = looked.monotonic.saturating_add(MINUTE);
        }
    }

    /// Notes that retention is looked at; whether it is time for that, and the clock can be trusted.
    fn look(&self) -> bool {
        let (now, monotonic) = (self.env.clock.now(), self.env.clock.monotonic());
        let due = monotonic.saturating_add(self.retention_interval());
        let mut looked = self.turns.retired.lock();
        let Some(before) = *looked else {
            let jumped = self.turns.clock_jumped.load(Relaxed);
            let rests_until = if jumped { monotonic.saturating_add(DAY) } else { monotonic };
            *looked = Some(Looked { now, monotonic, due, rests_until });
            return !jumped;
        };
        if monotonic < before.due {
            return false;
        }
        let passed = monotonic.saturating_sub(before.monotonic);
        let expected = before.now.saturating_add_unsigned(passed);
        let mut rests_until = before.rests_until;
        if now.abs_diff(expected) >= DAY {
            tracing::warn!("the clock has jumped: retention deletes nothing for a day");
            rests_until = monotonic.saturating_add(DAY);
        }
        *looked = Some(Looked { now, monotonic, due, rests_until });
        monotonic >= rests_until
    }

    /// Notes, at a start, whether the clock is far from where it was at the last batch of any source: it
    /// may have been set wrong. Where it was only a long stop, a day more does no harm.
    pub(crate) fn compare_clocks(&self) {
        let last = self.published.read().base.sources.values().map(|source| source.received).max();
        let jumped = last.is_some_and(|last| last.abs_diff(self.env.clock.now()) >= DAY);
        self.turns.clock_jumped.store(jumped, Relaxed);
        if jumped && !self.config.retention.is_empty() {
            tracing::warn!(
                "the clock is a day or more from that of the last batch: retention deletes nothing for a day"
            );
        }
    }

    /// The oldest time up to `to` in a segment that may hold rows of these tags.
    fn oldest_segment(&self, tags: &TagRanges, to: i64) -> Option<i64> {
        let published = self.published.read();
        let concerned = published.base.segments.iter().filter(|segment| {
            tags.ranges().iter().any(|(first, last)| *first <= segment.last_tag && *last >= segment.first_tag)
        });
        concerned.map(|segment| segment.first_time).min().filter(|first| *first <= to)
    }

    /// Often enough for the shortest retention, in nanoseconds.
    fn retention_interval(&self) -> u64 {
        let shortest = self.config.retention.iter().map(|rule| rule.age.unsigned_abs()).min().unwrap_or(DAY);
        (shortest / 64).clamp(HOUR, DAY)
    }

    /// The time of the newest sample of all tags that do not lie in the future.
    fn newest_of_all(&self) -> Option<i64> {
        let tags = self.tags.read().clone();
        let mut newest = None;
        for tag in tags.iter().filter(|tag| !tag.spec.future) {
            newest = newest.max(self.newest_time(tag.id));
        }
        newest
    }

    /// Deletes from the oldest sample on that is left: older segments have nothing of it, and are
    /// not looked into again.
    fn retire(&self, expiry: &Expiry) -> Result<bool> {
        let _one_at_a_time = self.turns.deleting.lock();
        let ids: Vec<TagId> = expiry.tags.ids().collect();
        let view = self.published.read().view(&self.tags.read());
        let is_reduced = |tag: &TagId| view.tags().get(*tag).is_some_and(|tag| tag.spec.reduction.is_some());
        // Whole minutes of what was left out.
        let to = if ids.iter().any(is_reduced) { minute_of(expiry.to.saturating_add(1)) - 1 } else { expiry.to };
        let request = ScanRequest { to, ..ScanRequest::of(TagSelection::Ids(ids.clone())) };
        let found = view.statistics(&request, Arc::default()).and_then(|found| {
            let left_out = left_out_in(&view, &ids, i64::MIN, to)?;
            Ok(found.first_time.into_iter().chain(left_out).min())
        });
        drop(view);
        let oldest = match found {
            Ok(oldest) => oldest,
            // What cannot be read can be deleted all the same.
            Err(error) if error.kind() == ErrorKind::Damaged => self.oldest_segment(&expiry.tags, to),
            Err(error) => return Err(error),
        };
        let Some(oldest) = oldest else { return Ok(false) };
        let (tags, days) =
            (expiry.tags.ids().count(), self.env.clock.now().saturating_sub(expiry.to) / DAY.cast_signed());
        tracing::info!("retention: samples of {tags} tags that are older than {days} days are deleted");
        self.write_delete(Cause::Retention, &expiry.tags, oldest, to)?;
        Ok(true)
    }
}
