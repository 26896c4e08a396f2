//! One writer's stream: batches are read and handed to the engine in order, while another part
//! acknowledges what has become durable.
//!
//! What is read and not yet acknowledged is bounded; at the bound nothing more is read, and the
//! client's own flow control stops it.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use tagus_engine::ingest::Batch;
use tagus_engine::{Error, ErrorKind, OpenSource};
use tagus_proto::v1;
use tagus_proto::v1::write_request::Request as Wire;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tonic::{Status, Streaming};

use super::acks::{Acks, Entry, Submission};
use super::openings::Opening;
use super::{IngestService, convert};
use crate::grpc::status;
use crate::limits;

/// Until tokens exist, every writer is nobody in particular.
const IDENTITY: &str = "anonymous";
/// Bytes that one permit of the room for unacknowledged batches stands for.
const PERMIT_BYTES: usize = 1024;
const PERMITS: usize = limits::UNACKNOWLEDGED_BYTES_MAX / PERMIT_BYTES;

type Answers = mpsc::Sender<Result<v1::WriteResponse, Status>>;

/// Serves a stream to its end.
///
/// # Errors
/// The status that the stream ends with, when everything read before is acknowledged.
pub async fn serve(
    service: &IngestService,
    mut requests: Streaming<v1::WriteRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let mut stopping = service.stopping.clone();
    let open = tokio::select! {
        biased;
        () = stopped(&mut stopping) => return Err(status::stopping()),
        open = opening_request(&mut requests) => open?,
    };
    let opening = service.openings.take(&open.source);
    let engine = service.engine.clone();
    let source = status::blocking(move || engine.open_source(&open.source, IDENTITY, open.epoch)).await?;
    let (last_sequence, counts) = (source.last_sequence(), source.counts());
    let opened = v1::Opened { last_sequence, counts: Some(convert::counts(&counts)) };
    let opened = v1::WriteResponse { response: Some(v1::write_response::Response::Opened(opened)) };
    if answers.send(Ok(opened)).await.is_err() {
        return Ok(());
    }
    let (queue, queued) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(PERMITS));
    let ends = Ends { opening, stopping };
    let reader = Reader { source: Arc::new(source), requests, queue, room, last_sequence, ends };
    let acks = Acks::new(last_sequence, counts, service.metrics.clone(), answers.clone()).run(queued);
    tokio::pin!(acks);
    let read = tokio::select! {
        read = reader.run() => read,
        // While the reader lives, acknowledging ends only if it fails.
        failed = &mut acks => return failed,
    };
    acks.await?;
    read
}

async fn opening_request(requests: &mut Streaming<v1::WriteRequest>) -> Result<v1::Open, Status> {
    match requests.message().await?.and_then(|request| request.request) {
        Some(Wire::Open(open)) => Ok(open),
        Some(Wire::Batch(_)) => Err(malformed("the first request is a batch; open a source first")),
        None => Err(malformed("the first request is empty; open a source first")),
    }
}

fn malformed(why: &str) -> Status {
    Status::invalid_argument(format!("writing failed: {why}"))
}

fn superseded() -> Status {
    Status::aborted(
        "writing to the source failed: a newer connection has opened it; give every writer a source name of its own",
    )
}

/// Returns once the server is asked to stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A dropped sender means that the server is gone.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// What ends a stream from this side.
struct Ends {
    opening: Opening,
    stopping: watch::Receiver<bool>,
}

impl Ends {
    /// What `work` gives, unless the stream has to end before.
    async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Status> {
        tokio::select! {
            biased;
            () = self.opening.superseded() => Err(superseded()),
            () = stopped(&mut self.stopping) => Err(status::stopping()),
            done = work => Ok(done),
        }
    }
}

/// Reads batches and hands them to the engine.
struct Reader {
    source: Arc<OpenSource>,
    requests: Streaming<v1::WriteRequest>,
    queue: mpsc::UnboundedSender<Entry>,
    room: Arc<Semaphore>,
    /// Of the batches read so far.
    last_sequence: u64,
    ends: Ends,
}

/// Batches that are handed over together.
#[derive(Default)]
struct Group {
    items: Vec<Item>,
    bytes: usize,
    /// How the stream ends after them.
    end: Option<Result<(), Status>>,
}

enum Item {
    Batch {
        sequence: u64,
        batch: Batch,
        received: Instant,
    },
    /// A batch that came before.
    Repeated,
}

impl Reader {
    async fn run(mut self) -> Result<(), Status> {
        loop {
            let group = self.next_group().await?;
            let permits = u32::try_from((group.bytes / PERMIT_BYTES + 1).min(PERMITS)).unwrap_or(u32::MAX);
            let room = self.ends.unless(Arc::clone(&self.room).acquire_many_owned(permits)).await?;
            // The semaphore is never closed.
            let room = room.map_err(|_| status::stopping())?;
            let (source, queue) = (Arc::clone(&self.source), self.queue.clone());
            let submitted = tokio::task::spawn_blocking(move || submit(&source, group.items, &queue, room)).await;
            submitted.map_err(|error| status::of_join(&error))??;
            if let Some(end) = group.end {
                return end;
            }
        }
    }

    /// The next batches: one is waited for, others are taken if they are there.
    async fn next_group(&mut self) -> Result<Group, Status> {
        let mut group = Group::default();
        let first = self.ends.unless(self.requests.message()).await?;
        self.add(first, &mut group);
        while group.end.is_none() && group.bytes < limits::SUBMIT_BYTES {
            let Some(next) = self.requests.message().now_or_never() else { break };
            self.add(next, &mut group);
        }
        Ok(group)
    }

    fn add(&mut self, request: Result<Option<v1::WriteRequest>, Status>, group: &mut Group) {
        match request {
            Ok(Some(request)) => match self.check(request) {
                Ok((item, bytes)) => {
                    group.items.push(item);
                    group.bytes += bytes;
                }
                Err(status) => group.end = Some(Err(status)),
            },
            Ok(None) => group.end = Some(Ok(())),
            Err(status) => group.end = Some(Err(status)),
        }
    }

    /// A batch whose turn it is, and about how many bytes it takes.
    fn check(&mut self, request: v1::WriteRequest) -> Result<(Item, usize), Status> {
        let batch = match request.request {
            Some(Wire::Batch(batch)) => batch,
            Some(Wire::Open(_)) => {
                return Err(malformed("the stream has opened a source already; open another stream"));
            }
            None => return Err(malformed("a request is neither an opening nor a batch; correct the client")),
        };
        let (sequence, next) = (batch.sequence, self.last_sequence + 1);
        if sequence == 0 {
            return Err(malformed("a batch has sequence 0; number batches from 1"));
        }
        if sequence < next {
            return Ok((Item::Repeated, 0));
        }
        if sequence > next {
            return Err(Status::failed_precondition(format!(
                "writing failed: batch {sequence} came where {next} is next; send the batches between first"
            )));
        }
        let bytes = convert::weight(&batch);
        let batch = convert::batch(batch).map_err(|why| malformed(&format!("{why}; correct the client")))?;
        self.last_sequence = sequence;
        Ok((Item::Batch { sequence, batch, received: Instant::now() }, bytes))
    }
}

/// Hands batches to the engine, which blocks while its queue is full, and queues them to be
/// acknowledged. The room is free again once the last of them is.
fn submit(
    source: &OpenSource,
    items: Vec<Item>,
    queue: &mpsc::UnboundedSender<Entry>,
    room: OwnedSemaphorePermit,
) -> Result<(), Status> {
    for item in items {
        let entry = match item {
            Item::Repeated => Entry::Repeated,
            Item::Batch { sequence, batch, received } => {
                let (sender, done) = oneshot::channel();
                // The receiver is gone where the stream has ended.
                let submitted = source.submit(sequence, batch, move |result| drop(sender.send(result)));
                match submitted.map_err(|error| of_submit(&error))? {
                    Some(submitted) => Entry::Batch(Submission { sequence, received, submitted, done }),
                    None => Entry::Repeated,
                }
            }
        };
        // Without a receiver the stream is ending; the batches become durable all the same.
        let _ = queue.send(entry);
    }
    let _ = queue.send(Entry::Room(room));
    Ok(())
}

fn of_submit(error: &Error) -> Status {
    match error.kind() {
        ErrorKind::Conflict => superseded(),
        _ => status::of_engine(error),
    }
}
