//! Frames that wait for the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::commit::Committed;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Frame;
use crate::ingest::Slot;
use crate::limits;

/// Answers a frame's writer, once: with what became of it, or, where it is dropped, with the news
/// that nobody will write it. So no writer waits for a thread that a panic has ended.
pub(crate) struct Done {
    /// The door of the source whose batch it is.
    slot: Option<Arc<Slot>>,
    call: Option<Box<dyn FnOnce(Result<Committed>) + Send>>,
}

/// A frame that waits.
pub(crate) struct Queued {
    pub payload: Vec<u8>,
    pub frame: Frame,
    pub done: Done,
}

impl Queued {
    /// Bytes of memory that it takes: the frame as it will be written and as it will be applied.
    fn memory(&self) -> usize {
        self.payload.capacity() + self.frame.memory()
    }
}

/// Frames in the order in which the log will have them.
pub(crate) struct Queue {
    /// Memory of the frames from which on writers wait.
    bytes_max: usize,
    state: Mutex<State>,
    /// Whether a thread commits; without one who waits for a commit makes it.
    served: AtomicBool,
    /// Told when there is a frame, or when the committer is to look up.
    filled: Condvar,
    /// Told when there may be room again.
    room: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with the memory that it takes.
    frames: VecDeque<(usize, Queued)>,
    /// Memory that all of them take.
    bytes: usize,
    closed: bool,
}

impl Done {
    /// An answer to `call`; the batch is in flight in `slot` until then.
    pub fn new(slot: Option<Arc<Slot>>, call: impl FnOnce(Result<Committed>) + Send + 'static) -> Done {
        Done { slot, call: Some(Box::new(call)) }
    }

    /// Whether the frame may be written: not when a batch before it was refused.
    pub fn may_commit(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| slot.may_commit())
    }

    /// Tells what became of the frame.
    pub fn answer(mut self, result: Result<Committed>) {
        self.give(result);
    }

    /// Gives the batch's turn back without an answer.
    fn withdraw(mut self) {
        self.call = None;
        if let Some(slot) = self.slot.take() {
            slot.leave(false);
        }
    }

    fn give(&mut self, result: Result<Committed>) {
        let Some(call) = self.call.take() else { return };
        if let Some(slot) = self.slot.take() {
            slot.leave(result.is_ok());
        }
        call(result);
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.give(Err(closed()));
    }
}

/// The error for what can be written no more.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Exhausted, "writing failed", "the server is stopping", "try again when it is up")
}

impl Queue {
    /// A queue that takes about so much memory.
    pub fn new(bytes_max: usize) -> Queue {
        Queue {
            bytes_max,
            state: Mutex::default(),
            served: AtomicBool::new(false),
            filled: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// Adds a frame if `admit` has no objection: `Ok(false)` lets it wait for room.
    ///
    /// # Errors
    /// What `admit` answers, and `Exhausted` once the queue is closed. Nobody is called then.
    pub fn push(&self, queued: Queued, admit: impl Fn() -> Result<bool>) -> Result<()> {
        let memory = queued.memory();
        let mut state = self.state.lock();
        loop {
            let fits = state.frames.len() < limits::QUEUE_FRAMES_MAX && state.bytes < self.bytes_max;
            let admitted = if state.closed { Err(closed()) } else { admit() };
            match admitted {
                Ok(true) if fits => break,
                Ok(_) => {}
                Err(error) => {
                    drop(state);
                    queued.done.withdraw();
                    return Err(error);
                }
            }
            // Room also appears by what this queue is not told of, such as a fallen query.
            self.room.wait_for(&mut state, Duration::from_millis(100));
        }
        state.bytes += memory;
        state.frames.push_back((memory, queued));
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the frames of one group; none where nothing waits.
    pub fn take_group(&self) -> Vec<Queued> {
        let mut state = self.state.lock();
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some((_, next)) = state.frames.front() {
            if !group.is_empty() && bytes + next.payload.len() > limits::GROUP_BYTES_MAX {
                break;
            }
            bytes += next.payload.len();
            let taken = state.frames.pop_front();
            state.bytes -= taken.as_ref().map_or(0, |(memory, _)| *memory);
            group.extend(taken.map(|(_, queued)| queued));
        }
        self.room.notify_all();
        group
    }

    /// Waits until a frame is there, for at most `timeout`. Says whether one is.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        if state.frames.is_empty() && !state.closed {
            self.filled.wait_for(&mut state, timeout);
        }
        !state.frames.is_empty()
    }

    /// Lets those who wait for room look again.
    pub fn nudge(&self) {
        self.room.notify_all();
    }

    /// Says whether a thread commits.
    pub fn set_served(&self, served: bool) {
        self.served.store(served, Relaxed);
    }

    /// Whether a thread commits.
    pub fn is_served(&self) -> bool {
        self.served.load(Relaxed)
    }

    /// Ends the waiting of the committer and takes no more frames.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests;
