//! Samples that wait for their batch: what the callers and the task that sends share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tagus_proto::{TAG_NAME_BYTES_MAX, TAGS_MAX, TEXT_BYTES_MAX};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::block::Sample;
use crate::counts::Counts;
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Status, Value};

/// Text that waits at most, in bytes; beyond it writers wait.
const QUEUE_TEXT_BYTES_MAX: usize = 64 << 20;
/// Encoded bytes of one batch at most: below what a server takes, with room for the envelope.
const BATCH_BYTES_MAX: usize = 7 << 20;
/// Encoded bytes of a sample beyond its name and its text, where it has a block of its own.
const SAMPLE_BYTES: usize = 48;

/// When a batch is cut, and when writers wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub batch_rows: usize,
    pub batch_age: Duration,
    pub queue_rows: usize,
}

/// The queue, and the signals around it.
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// The sending task has something to look at.
    pub work: Notify,
    /// Writers find room again, or an error.
    pub room: Notify,
    /// Something was acknowledged, opened, or ended.
    pub changed: Notify,
}

#[derive(Default)]
struct State {
    names: Names,
    /// Full batches, oldest first.
    full: VecDeque<Chunk>,
    /// The batch that fills.
    open: Chunk,
    /// Samples that wait, and the bytes of their texts.
    rows: usize,
    text_bytes: usize,
    progress: Progress,
    closing: bool,
}

/// Samples of one batch.
#[derive(Default)]
struct Chunk {
    samples: Vec<Sample>,
    /// When the first was written.
    started: Option<Instant>,
    /// Encoded bytes at most.
    bytes: usize,
    text_bytes: usize,
}

/// How far things have come; samples are counted from the writer's start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub written: u64,
    /// Put into batches.
    pub cut: u64,
    /// Acknowledged.
    pub durable: u64,
    /// Wanted acknowledged soon.
    pub flush_to: u64,
    pub opened: bool,
    pub counts: Counts,
    /// Why nothing more is sent.
    pub ended: Option<Error>,
}

/// Names by index, and back. Names that differ by case alone are one tag.
#[derive(Default)]
struct Names {
    /// Of each name as it came first, and of its lowercase.
    indices: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

/// A tag as callers give it.
#[derive(Clone, Copy)]
pub(crate) enum Named<'a> {
    Name(&'a str),
    Index(u32),
}

/// The samples of one batch.
pub(crate) struct Cut {
    pub samples: Vec<Sample>,
    /// How many were written before them.
    pub first: u64,
}

/// What became of a sample that was to wait.
pub(crate) enum Pushed {
    Queued,
    /// There is no room; the value is handed back.
    Full(Value),
}

impl Queue {
    pub fn new(limits: Limits) -> Queue {
        Queue { limits, state: Mutex::default(), work: Notify::new(), room: Notify::new(), changed: Notify::new() }
    }

    /// The state is only ever changed in whole steps, so it is sound after a panic elsewhere.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a name, from now on.
    pub fn intern(&self, name: &str) -> Result<u32> {
        self.state().names.intern(name)
    }

    /// Takes a sample, unless there is no room.
    pub fn push(&self, tag: Named<'_>, time: i64, value: Value, status: Status) -> Result<Pushed> {
        let text_bytes = value.text_bytes();
        if text_bytes > TEXT_BYTES_MAX {
            let why = format!("the text has {text_bytes} bytes and the limit is {TEXT_BYTES_MAX}");
            return Err(Error::new(ErrorKind::InvalidInput, "writing a sample", why, "shorten it"));
        }
        let mut state = self.state();
        if let Some(error) = &state.progress.ended {
            return Err(error.clone());
        }
        if state.rows >= self.limits.queue_rows || state.text_bytes > QUEUE_TEXT_BYTES_MAX {
            return Ok(Pushed::Full(value));
        }
        let tag = match tag {
            Named::Name(name) => state.names.intern(name)?,
            Named::Index(index) => index,
        };
        let tell = state.push(Sample { tag, status: status.0, time, value }, text_bytes, &self.limits);
        drop(state);
        if tell {
            self.work.notify_one();
        }
        Ok(Pushed::Queued)
    }

    /// Takes the samples of the next batch out, where one is due.
    pub fn cut(&self, now: Instant) -> Option<Cut> {
        let mut state = self.state();
        if state.due(&self.limits)? > now {
            return None;
        }
        let chunk = state.full.pop_front().unwrap_or_else(|| std::mem::take(&mut state.open));
        let first = state.progress.cut;
        state.rows -= chunk.samples.len();
        state.text_bytes -= chunk.text_bytes;
        state.progress.cut += chunk.samples.len() as u64;
        drop(state);
        self.room.notify_waiters();
        Some(Cut { samples: chunk.samples, first })
    }

    /// When the next batch is due; `None` while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.state().due(&self.limits)
    }

    /// Whether nothing waits for a batch.
    pub fn is_empty(&self) -> bool {
        self.state().rows == 0
    }

    /// The name of an index that was given out.
    pub fn name(&self, index: u32) -> Arc<str> {
        self.state().names.names[index as usize].clone()
    }

    /// The index of a name that was written before.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.state().names.indices.get(name).copied()
    }

    /// How far things have come.
    pub fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// Asks for everything written so far to be sent now; how many samples that is.
    pub fn request_flush(&self) -> u64 {
        let mut state = self.state();
        state.progress.flush_to = state.progress.written;
        let target = state.progress.written;
        drop(state);
        self.work.notify_one();
        target
    }

    /// Asks the sending task to end once nothing is left.
    pub fn request_close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }

    pub fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// The server answered the first opening.
    pub fn opened(&self) {
        self.state().progress.opened = true;
        self.changed.notify_waiters();
    }

    /// `rows` more samples are durable; the counts are those of all so far.
    pub fn acknowledged(&self, rows: u64, counts: Counts) {
        let mut state = self.state();
        state.progress.durable += rows;
        state.progress.counts = counts;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nothing more is sent. The first reason stays.
    pub fn end(&self, why: Error) {
        self.state().progress.ended.get_or_insert(why);
        self.changed.notify_waiters();
        self.room.notify_waiters();
    }

    /// Waits until `reached` says yes.
    ///
    /// # Errors
    /// Why nothing more is sent, where that comes first.
    pub async fn wait_for(&self, reached: impl Fn(&Progress) -> bool) -> Result<()> {
        loop {
            let changed = self.changed.notified();
            let progress = self.progress();
            if reached(&progress) {
                return Ok(());
            }
            if let Some(error) = progress.ended {
                return Err(error);
            }
            changed.await;
        }
    }
}

impl State {
    /// Whether the sending task has to be told.
    fn push(&mut self, sample: Sample, text_bytes: usize, limits: &Limits) -> bool {
        let bytes = SAMPLE_BYTES + self.names.names[sample.tag as usize].len() + text_bytes;
        if self.open.bytes + bytes > BATCH_BYTES_MAX {
            self.close_chunk();
        }
        self.rows += 1;
        self.text_bytes += text_bytes;
        self.progress.written += 1;
        self.open.bytes += bytes;
        self.open.text_bytes += text_bytes;
        self.open.samples.push(sample);
        let begins = self.open.samples.len() == 1;
        if begins {
            self.open.started = Some(Instant::now());
        }
        let ends = self.open.samples.len() >= limits.batch_rows;
        if ends {
            self.close_chunk();
        }
        begins || ends
    }

    fn close_chunk(&mut self) {
        // The next batch is likely as long as this one.
        let samples = Vec::with_capacity(self.open.samples.len());
        let full = std::mem::replace(&mut self.open, Chunk { samples, ..Chunk::default() });
        self.full.push_back(full);
    }

    fn due(&self, limits: &Limits) -> Option<Instant> {
        if let Some(full) = self.full.front() {
            return full.started;
        }
        let started = self.open.started?;
        Some(if self.progress.flush_to > self.progress.cut { started } else { started + limits.batch_age })
    }
}

impl Names {
    fn intern(&mut self, name: &str) -> Result<u32> {
        if let Some(index) = self.indices.get(name) {
            return Ok(*index);
        }
        let folded = name.to_lowercase();
        if let Some(index) = self.indices.get(&*folded) {
            return Ok(*index);
        }
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, "naming a tag", why, "change the name"));
        if name.is_empty() || name.len() > TAG_NAME_BYTES_MAX {
            return refuse(format!("the name has {} bytes and may have 1 to {TAG_NAME_BYTES_MAX}", name.len()));
        }
        if name.chars().any(char::is_control) {
            return refuse(format!("the name {name:?} has a control character"));
        }
        if self.names.len() >= TAGS_MAX {
            return refuse(format!("this writer has {TAGS_MAX} names, the limit"));
        }
        let index = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.indices.insert(if folded == *name { name.clone() } else { folded.into() }, index);
        self.indices.insert(name, index);
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(batch_rows: usize, queue_rows: usize) -> Queue {
        Queue::new(Limits { batch_rows, batch_age: Duration::from_secs(3600), queue_rows })
    }

    fn push(queue: &Queue, value: Value) -> bool {
        matches!(queue.push(Named::Name("a"), 1, value, Status::GOOD).unwrap(), Pushed::Queued)
    }

    #[test]
    fn a_batch_is_cut_when_full_or_old_or_asked_for() {
        let queue = queue(3, 10);
        assert!(queue.cut(Instant::now()).is_none());
        for _ in 0..2 {
            assert!(push(&queue, Value::Empty));
        }
        assert!(queue.cut(Instant::now()).is_none());
        let old = queue.cut(Instant::now() + Duration::from_secs(3601)).unwrap();
        assert_eq!((old.first, old.samples.len()), (0, 2));
        for _ in 0..5 {
            assert!(push(&queue, Value::Empty));
        }
        assert_eq!(queue.cut(Instant::now()).map(|cut| (cut.first, cut.samples.len())), Some((2, 3)));
        assert!(queue.cut(Instant::now()).is_none());
        assert_eq!(queue.request_flush(), 7);
        assert_eq!(queue.cut(Instant::now()).map(|cut| (cut.first, cut.samples.len())), Some((5, 2)));
        assert!(queue.due().is_none());
    }

    #[test]
    fn a_full_queue_hands_the_value_back() {
        let queue = queue(2, 2);
        assert!(push(&queue, Value::Empty) && push(&queue, Value::Empty));
        let text = Value::from("kept");
        match queue.push(Named::Name("a"), 1, text.clone(), Status::GOOD).unwrap() {
            Pushed::Full(value) => assert_eq!(value, text),
            Pushed::Queued => panic!("the queue is full"),
        }
        assert!(queue.cut(Instant::now()).is_some());
        assert!(push(&queue, text));
    }

    #[test]
    fn long_texts_are_cut_by_their_bytes() {
        let queue = queue(100_000, 100_000);
        let text = "x".repeat(TEXT_BYTES_MAX);
        for _ in 0..300 {
            assert!(push(&queue, Value::from(text.as_str())));
        }
        let cut = queue.cut(Instant::now()).expect("enough text for a batch");
        let bytes: usize = cut.samples.iter().map(|sample| sample.value.text_bytes()).sum();
        assert!(bytes < BATCH_BYTES_MAX && bytes > BATCH_BYTES_MAX / 2, "{bytes}");
        assert!(queue.push(Named::Name("a"), 1, Value::from(text + "x"), Status::GOOD).is_err());
    }

    #[test]
    fn names_are_checked_and_kept_once() {
        let queue = queue(1, 1);
        assert_eq!(queue.intern("a").unwrap(), 0);
        assert_eq!(queue.intern("b").unwrap(), 1);
        assert_eq!(queue.intern("a").unwrap(), 0);
        assert_eq!(&*queue.name(1), "b");
        for name in ["FIC1.Größe", "fic1.GRÖßE", "FIC1.GRÖßE", "fic1.größe"] {
            assert_eq!(queue.intern(name).unwrap(), 2, "{name}");
        }
        assert_eq!(queue.intern("FIC1.GRÖSSE").unwrap(), 3);
        assert_eq!((&*queue.name(2), queue.index("FIC1.Größe")), ("FIC1.Größe", Some(2)));
        for name in ["", "a\nb", &"n".repeat(1025)] {
            assert_eq!(queue.intern(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn the_first_reason_to_end_stays() {
        let queue = queue(1, 1);
        for why in ["first", "second"] {
            queue.end(Error::new(ErrorKind::Server, "writing", why, "stop"));
        }
        let error = queue.push(Named::Name("a"), 1, Value::Empty, Status::GOOD).err().expect("it ended");
        assert_eq!(error.to_string(), "writing failed: first; stop");
    }
}
