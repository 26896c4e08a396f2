//! The writer: what a gateway holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tagus_proto::{BATCH_ROWS_MAX, SOURCE_NAME_BYTES_MAX};
use tokio::task::JoinHandle;
use tokio::time::Duration;

use crate::backoff::Backoff;
use crate::counts::Counts;
use crate::driver::{Driver, OnRejection, OnUnseen, Plan};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::{Limits, Named, Pushed, Queue};
use crate::value::{Status, Value};

const WINDOW_MAX: usize = 1024;

/// Numbers writers, so that a tag's key is not used with another one.
static WRITERS: AtomicU32 = AtomicU32::new(0);

/// Writes samples: buffers them, sends them in batches, keeps batches until they are
/// acknowledged, and comes back after a break without losing or doubling any.
///
/// It lives in a tokio runtime. Methods take `&self`; share it in an [`Arc`] where several tasks
/// write. Dropped without [`close`](Writer::close) it forgets what is not acknowledged yet.
pub struct Writer {
    queue: Arc<Queue>,
    driver: JoinHandle<()>,
    number: u32,
}

/// How a writer works; see [`Writer::builder`].
pub struct WriterBuilder {
    endpoint: Endpoint,
    source: String,
    limits: Limits,
    window: usize,
    give_up: Option<Duration>,
    retry_delays: (Duration, Duration),
    on_rejection: Option<OnRejection>,
    on_unseen: Option<OnUnseen>,
}

/// A tag's name, looked up once; only for the writer that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TagKey {
    writer: u32,
    index: u32,
}

/// A tag by name or by key.
#[derive(Clone, Copy, Debug)]
pub enum TagRef<'a> {
    /// The name, in any case.
    Name(&'a str),
    /// What [`Writer::tag`] gave.
    Key(TagKey),
}

/// A sample that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// How many samples were written through this writer before it.
    pub ordinal: u64,
    /// The name as it was first written.
    pub tag: Arc<str>,
    /// Nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Why, as the server words it.
    pub reason: String,
}

/// Samples that became durable while the connection was broken, so that their acknowledgement was
/// lost, and of which the server refused some.
#[derive(Clone, Debug, PartialEq)]
pub struct Unseen {
    /// How many of `samples` the server refused.
    pub rejected: u64,
    /// The samples in the order they were written, without those whose refusal was reported.
    pub samples: Vec<Sent>,
}

/// A sample as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// How many samples were written through this writer before it.
    pub ordinal: u64,
    /// The name as it was first written.
    pub tag: Arc<str>,
    /// Nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// What it carries.
    pub value: Value,
    /// Its quality.
    pub status: Status,
}

impl<'a> From<&'a str> for TagRef<'a> {
    fn from(name: &'a str) -> TagRef<'a> {
        TagRef::Name(name)
    }
}

impl<'a> From<&'a String> for TagRef<'a> {
    fn from(name: &'a String) -> TagRef<'a> {
        TagRef::Name(name)
    }
}

impl From<TagKey> for TagRef<'_> {
    fn from(key: TagKey) -> Self {
        TagRef::Key(key)
    }
}

impl WriterBuilder {
    /// Who writes: 1 to 255 bytes, the same at every start of this gateway and used by nobody
    /// else. Without it, batches that were on their way when a connection broke are sent again
    /// and counted as duplicates if they had arrived.
    pub fn source(mut self, name: impl Into<String>) -> WriterBuilder {
        self.source = name.into();
        self
    }

    /// Samples of a full batch; default 16,384. A batch is also full at 7 MiB.
    pub fn batch_rows(mut self, rows: usize) -> WriterBuilder {
        self.limits.batch_rows = rows;
        self
    }

    /// How long a sample waits for its batch to fill; default 100 ms.
    pub fn batch_age(mut self, age: Duration) -> WriterBuilder {
        self.limits.batch_age = age;
        self
    }

    /// Batches on their way at most; default 8. They are kept in memory until acknowledged.
    pub fn window(mut self, batches: usize) -> WriterBuilder {
        self.window = batches;
        self
    }

    /// Samples that wait for their batch at most, 40 bytes each and their text; beyond it
    /// [`Writer::write`] waits. Default 262,144.
    pub fn queue_rows(mut self, rows: usize) -> WriterBuilder {
        self.limits.queue_rows = rows;
        self
    }

    /// End with an error after this time without an acknowledgement while there is something to
    /// send, or without a connection. Default: never.
    pub fn give_up(mut self, after: Duration) -> WriterBuilder {
        self.give_up = Some(after);
        self
    }

    /// The delay before a broken stream is opened again, at first and at most; it doubles in
    /// between. Default 100 ms and 10 s.
    pub fn retry_delays(mut self, first: Duration, longest: Duration) -> WriterBuilder {
        self.retry_delays = (first, longest);
        self
    }

    /// Called for each sample that the server refuses, before [`Writer::flush`] returns for it.
    /// It runs in the sending task and should be quick. For refusals whose acknowledgement was
    /// lost with a connection see [`on_unseen`](WriterBuilder::on_unseen).
    pub fn on_rejection(mut self, report: impl FnMut(Rejection) + Send + 'static) -> WriterBuilder {
        self.on_rejection = Some(Box::new(report));
        self
    }

    /// Called after a connection broke, where the server refused samples and the reasons were on
    /// their way: it keeps the number of refusals, not which they were. It runs in the sending task
    /// and should be quick.
    pub fn on_unseen(mut self, report: impl FnMut(Unseen) + Send + 'static) -> WriterBuilder {
        self.on_unseen = Some(Box::new(report));
        self
    }

    /// Starts writing and waits until the server has opened the source.
    ///
    /// # Errors
    /// What [`start`](WriterBuilder::start) refuses; what the server answers for good; and
    /// `Unavailable` where a time to give up is set and passes.
    pub async fn open(self) -> Result<Writer> {
        let writer = self.start()?;
        writer.queue.wait_for(|progress| progress.opened).await?;
        Ok(writer)
    }

    /// Starts writing at once; samples wait until the server can be reached. Call it within a
    /// tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` where the source's name or a number is out of bounds.
    pub fn start(mut self) -> Result<Writer> {
        self.check()?;
        self.limits.batch_rows = self.limits.batch_rows.min(self.limits.queue_rows);
        let queue = Arc::new(Queue::new(self.limits));
        let plan = Plan {
            endpoint: self.endpoint,
            source: self.source,
            window: self.window,
            give_up: self.give_up,
            backoff: Backoff::new(self.retry_delays.0, self.retry_delays.1),
            on_rejection: self.on_rejection,
            on_unseen: self.on_unseen,
        };
        let driver = tokio::spawn(Driver::new(queue.clone(), plan).run());
        Ok(Writer { queue, driver, number: WRITERS.fetch_add(1, Ordering::Relaxed) })
    }

    fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, "opening a writer", why, "change it"));
        let source = &self.source;
        if source.len() > SOURCE_NAME_BYTES_MAX || source.chars().any(char::is_control) {
            return refuse(format!(
                "the source name has {} bytes of at most {SOURCE_NAME_BYTES_MAX}, or a control character",
                source.len()
            ));
        }
        let bounds = [
            ("batch_rows", self.limits.batch_rows, BATCH_ROWS_MAX),
            ("window", self.window, WINDOW_MAX),
            ("queue_rows", self.limits.queue_rows, usize::MAX),
        ];
        for (option, value, most) in bounds {
            if value == 0 || value > most {
                return refuse(format!("{option} is {value} and may be 1 to {most}"));
            }
        }
        Ok(())
    }
}

impl Writer {
    /// A writer for the server at `endpoint`, to be configured.
    pub fn builder(endpoint: Endpoint) -> WriterBuilder {
        WriterBuilder {
            endpoint,
            source: String::new(),
            limits: Limits { batch_rows: 16_384, batch_age: Duration::from_millis(100), queue_rows: 262_144 },
            window: 8,
            give_up: None,
            retry_delays: (Duration::from_millis(100), Duration::from_secs(10)),
            on_rejection: None,
            on_unseen: None,
        }
    }

    /// Looks a name up once, for writers of many samples.
    ///
    /// # Errors
    /// `InvalidInput` where it is empty, longer than 1024 bytes or has control characters.
    pub fn tag(&self, name: &str) -> Result<TagKey> {
        Ok(TagKey { writer: self.number, index: self.queue.intern(name)? })
    }

    /// Takes one sample; waits while the queue is full. `time_ns` is nanoseconds since 1970 UTC.
    /// It returns when the sample waits for its batch: [`flush`](Writer::flush) says when it is
    /// durable.
    ///
    /// # Errors
    /// `InvalidInput` for a name or a text out of bounds; otherwise why the writer has ended.
    pub async fn write<'a>(
        &self,
        tag: impl Into<TagRef<'a>>,
        time_ns: i64,
        value: impl Into<Value>,
        status: Status,
    ) -> Result<()> {
        let tag = self.named(tag.into())?;
        let mut value = value.into();
        loop {
            match self.queue.push(tag, time_ns, value, status)? {
                Pushed::Queued => return Ok(()),
                Pushed::Full(back) => value = back,
            }
            let room = self.queue.room.notified();
            match self.queue.push(tag, time_ns, value, status)? {
                Pushed::Queued => return Ok(()),
                Pushed::Full(back) => value = back,
            }
            room.await;
        }
    }

    /// Takes one sample, or refuses it while the queue is full.
    ///
    /// # Errors
    /// `Exhausted` while the queue is full, and those of [`write`](Writer::write).
    pub fn try_write<'a>(
        &self,
        tag: impl Into<TagRef<'a>>,
        time_ns: i64,
        value: impl Into<Value>,
        status: Status,
    ) -> Result<()> {
        match self.queue.push(self.named(tag.into())?, time_ns, value.into(), status)? {
            Pushed::Queued => Ok(()),
            Pushed::Full(_) => {
                let advice = "wait for the server, or write less";
                Err(Error::new(ErrorKind::Exhausted, "writing a sample", "the queue is full", advice))
            }
        }
    }

    fn named<'a>(&self, tag: TagRef<'a>) -> Result<Named<'a>> {
        match tag {
            TagRef::Name(name) => Ok(Named::Name(name)),
            TagRef::Key(key) if key.writer == self.number => Ok(Named::Index(key.index)),
            TagRef::Key(_) => {
                let why = "the tag's key was made by another writer";
                Err(Error::new(ErrorKind::InvalidInput, "writing a sample", why, "look the tag up in this writer"))
            }
        }
    }

    /// Waits until all samples written so far are acknowledged: durable and visible.
    ///
    /// # Errors
    /// Why the writer has ended.
    pub async fn flush(&self) -> Result<()> {
        let target = self.queue.request_flush();
        self.queue.wait_for(|progress| progress.durable >= target).await
    }

    /// What became of the samples acknowledged so far.
    pub fn counts(&self) -> Counts {
        self.queue.progress().counts
    }

    /// How many samples were written and are not acknowledged yet.
    pub fn unacknowledged(&self) -> u64 {
        let progress = self.queue.progress();
        progress.written - progress.durable
    }

    /// Flushes, ends the stream, and says what became of all samples.
    ///
    /// # Errors
    /// Why the writer has ended before everything was acknowledged.
    pub async fn close(mut self) -> Result<Counts> {
        self.flush().await?;
        self.queue.request_close();
        // A panic of the task has been reported through the queue where it mattered.
        let _ = (&mut self.driver).await;
        Ok(self.counts())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
