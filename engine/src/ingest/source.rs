//! Who is writing: at most one opening of a source at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Result};

/// All sources that are open or were since the start.
#[derive(Default)]
pub(crate) struct Sources {
    slots: Mutex<HashMap<Arc<str>, Arc<Slot>>>,
}

/// One source's door: the newest opening holds it.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<SlotState>,
    drained: Condvar,
}

#[derive(Default)]
struct SlotState {
    /// Counts the openings.
    opening: u64,
    /// Batches of any opening that are queued and neither applied nor refused.
    in_flight: usize,
    /// The last batch that the newest opening has queued.
    submitted: u64,
    /// A batch was refused: those queued behind it must be too, until the source is opened anew.
    failed: bool,
}

/// What a batch's number says about it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// It is the next; the slot counts it as in flight.
    Next,
    /// It is queued or durable already.
    Old,
}

impl Sources {
    /// The slot of a source.
    pub fn slot(&self, name: &Arc<str>) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if slots.len() >= crate::limits::SOURCES_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(Arc::clone(name)).or_default())
    }
}

impl Slot {
    /// Ends older openings and waits until none of their batches is in flight.
    pub fn open(&self) -> u64 {
        let mut state = self.state.lock();
        state.opening += 1;
        let opening = state.opening;
        self.drained.wait_while(&mut state, |s| s.in_flight > 0 && s.opening == opening);
        opening
    }

    /// Tells the newest opening where its sequence stands.
    pub fn start(&self, opening: u64, last_sequence: u64) {
        let mut state = self.state.lock();
        if state.opening == opening {
            state.submitted = last_sequence;
            state.failed = false;
        }
    }

    /// Whether a batch is queued or durable already, so that it need not be looked into.
    ///
    /// # Errors
    /// Those of [`Slot::take`]: a batch of an opening that may write no more is never old.
    pub fn is_old(&self, opening: u64, sequence: u64) -> Result<bool> {
        let state = self.state.lock();
        state.check(opening)?;
        Ok(sequence <= state.submitted)
    }

    /// Takes a batch's turn.
    pub fn take(&self, opening: u64, sequence: u64) -> Result<Turn> {
        let mut state = self.state.lock();
        state.check(opening)?;
        if sequence <= state.submitted {
            return Ok(Turn::Old);
        }
        if sequence != state.submitted + 1 {
            return Err(Error::invalid(
                format!("batch {sequence}"),
                format!("the next of this source is {}", state.submitted + 1),
                "send the batches between first",
            ));
        }
        state.submitted = sequence;
        state.in_flight += 1;
        Ok(Turn::Next)
    }

    /// Whether a queued batch may be written: not when one before it was refused.
    pub fn may_commit(&self) -> bool {
        !self.state.lock().failed
    }

    /// A queued batch is applied, or refused.
    pub fn leave(&self, applied: bool) {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        state.failed |= !applied;
        if state.in_flight == 0 {
            self.drained.notify_all();
        }
    }
}

impl SlotState {
    /// Whether an opening may write.
    fn check(&self, opening: u64) -> Result<()> {
        if self.opening != opening {
            return Err(superseded());
        }
        if self.failed {
            return Err(behind_a_failed_batch());
        }
        Ok(())
    }
}

fn superseded() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "writing to this source failed",
        "a newer connection has opened it",
        "give every writer a source name of its own",
    )
}

fn behind_a_failed_batch() -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "writing the batch failed",
        "one before it was refused",
        "open the source again and resend from its last sequence",
    )
}
