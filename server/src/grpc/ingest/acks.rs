//! Acknowledges batches in order, once they are durable and counted.

use std::time::Instant;

use tagus_engine::Committed;
use tagus_engine::ingest::{Counts, Submitted};
use tagus_proto::v1;
use tagus_proto::v1::write_response::Response as Wire;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tonic::Status;

use super::convert;
use crate::grpc::status;
use crate::limits;
use crate::metrics::Metrics;

/// What is to be acknowledged, in the order of the stream.
pub enum Entry {
    /// A batch that the engine has queued.
    Batch(Submission),
    /// A batch that came before: the acknowledgement is said again.
    Repeated,
    /// What the batches before it took, free again once they are acknowledged.
    Room(OwnedSemaphorePermit),
}

/// A batch that the engine has queued.
pub struct Submission {
    /// Its number.
    pub sequence: u64,
    /// When it was read.
    pub received: Instant,
    /// What was known of it when it was queued.
    pub submitted: Submitted,
    /// Answers once it is durable and visible, or refused.
    pub done: oneshot::Receiver<tagus_engine::Result<Committed>>,
}

/// One stream's acknowledgements.
pub struct Acks {
    sequence: u64,
    counts: Counts,
    metrics: Metrics,
    answers: mpsc::Sender<Result<v1::WriteResponse, Status>>,
}

/// Batches that one acknowledgement speaks of.
#[derive(Default)]
struct Round {
    batches: Vec<(Submission, Committed)>,
    /// Why the batch after them was refused.
    failed: Option<Status>,
    repeated: bool,
    /// How many rejections or handles there are.
    details: usize,
    rooms: Vec<OwnedSemaphorePermit>,
}

impl Acks {
    /// Acknowledgements that follow on `sequence` and `counts`.
    pub fn new(
        sequence: u64,
        counts: Counts,
        metrics: Metrics,
        answers: mpsc::Sender<Result<v1::WriteResponse, Status>>,
    ) -> Acks {
        Acks { sequence, counts, metrics, answers }
    }

    /// Acknowledges what is queued until the queue ends or the client is gone.
    ///
    /// # Errors
    /// Why a batch was not stored; those before it are acknowledged.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Entry>) -> Result<(), Status> {
        let mut waiting = None;
        loop {
            let first = match waiting.take() {
                Some(entry) => entry,
                None => match queue.recv().await {
                    Some(entry) => entry,
                    None => return Ok(()),
                },
            };
            let mut round = Round::default();
            round.wait_for(first).await;
            while round.takes_more()
                && let Ok(next) = queue.try_recv()
            {
                waiting = round.take_if_done(next);
                if waiting.is_some() {
                    break;
                }
            }
            let failed = round.failed.take();
            if (round.repeated || !round.batches.is_empty()) && !self.acknowledge(round).await? {
                return Ok(());
            }
            if let Some(status) = failed {
                return Err(status);
            }
        }
    }

    /// Says whether the client is still there.
    async fn acknowledge(&mut self, round: Round) -> Result<bool, Status> {
        let mut details = Details::default();
        let mut committed = Vec::with_capacity(round.batches.len());
        let mut read = Vec::with_capacity(round.batches.len());
        let last = round.batches.last().map_or(self.sequence, |(submission, _)| submission.sequence);
        for (submission, batch) in round.batches {
            details.add(submission.sequence, submission.submitted);
            committed.push(batch);
            read.push(submission.received);
        }
        let counts = count(committed).await?;
        if !self.send_details(&mut details).await {
            return Ok(false);
        }
        self.sequence = last;
        counts.iter().for_each(|counts| self.counts += *counts);
        let sent = self.send(details.rejections, details.handles).await;
        for (received, counts) in read.iter().zip(&counts) {
            self.metrics.batch(counts, received.elapsed());
        }
        Ok(sent)
    }

    /// Sends what does not fit one acknowledgement ahead, under the sequence and counts before.
    async fn send_details(&mut self, details: &mut Details) -> bool {
        let most = limits::DETAILS_PER_ACK;
        while details.rejections.len() > most || details.handles.len() > most {
            let rejections = details.rejections.drain(..details.rejections.len().min(most)).collect();
            let handles = details.handles.drain(..details.handles.len().min(most)).collect();
            if !self.send(rejections, handles).await {
                return false;
            }
        }
        true
    }

    async fn send(&self, rejections: Vec<v1::Rejection>, handles: Vec<v1::TagHandle>) -> bool {
        let counts = Some(convert::counts(&self.counts));
        let ack = v1::Ack { sequence: self.sequence, counts, rejections, handles };
        self.answers.send(Ok(v1::WriteResponse { response: Some(Wire::Ack(ack)) })).await.is_ok()
    }
}

impl Round {
    async fn wait_for(&mut self, entry: Entry) {
        match entry {
            Entry::Repeated => self.repeated = true,
            Entry::Room(room) => self.rooms.push(room),
            Entry::Batch(mut submission) => {
                let done = (&mut submission.done).await;
                self.enter(submission, done.unwrap_or_else(|_| Err(dropped())));
            }
        }
    }

    /// Takes an entry that needs no waiting; gives back one that does.
    fn take_if_done(&mut self, entry: Entry) -> Option<Entry> {
        match entry {
            Entry::Repeated => self.repeated = true,
            Entry::Room(room) => self.rooms.push(room),
            Entry::Batch(mut submission) => match submission.done.try_recv() {
                Ok(done) => self.enter(submission, done),
                Err(oneshot::error::TryRecvError::Closed) => self.enter(submission, Err(dropped())),
                Err(oneshot::error::TryRecvError::Empty) => return Some(Entry::Batch(submission)),
            },
        }
        None
    }

    fn enter(&mut self, submission: Submission, done: tagus_engine::Result<Committed>) {
        self.details += submission.submitted.rejections.len().max(submission.submitted.handles.len());
        match done {
            Ok(committed) => self.batches.push((submission, committed)),
            Err(error) => self.failed = Some(status::of_engine(&error)),
        }
    }

    fn takes_more(&self) -> bool {
        self.failed.is_none() && self.details < limits::DETAILS_PER_ACK
    }
}

/// The engine went away with the batch: the server is stopping.
fn dropped() -> tagus_engine::Error {
    tagus_engine::Error::new(
        tagus_engine::ErrorKind::Unusable,
        "writing the batch failed",
        "the server is stopping",
        "send it again once the server has started",
    )
}

/// Rejections and handles of a round.
#[derive(Default)]
struct Details {
    rejections: Vec<v1::Rejection>,
    handles: Vec<v1::TagHandle>,
}

impl Details {
    fn add(&mut self, sequence: u64, submitted: Submitted) {
        let rejections = submitted.rejections.into_iter();
        self.rejections.extend(rejections.map(|r| v1::Rejection {
            sequence,
            index: r.index,
            reason: r.reason.to_string(),
        }));
        let handles = submitted.handles.into_iter();
        self.handles.extend(handles.map(|(name, id)| v1::TagHandle { name, handle: id.0 }));
    }
}

/// The counts of each batch. Where late samples have to be looked up in segments, that is done
/// away from the threads that serve connections.
async fn count(batches: Vec<Committed>) -> Result<Vec<Counts>, Status> {
    if batches.iter().all(Committed::is_settled) {
        return Ok(batches.into_iter().map(Committed::counts).collect());
    }
    let counted = tokio::task::spawn_blocking(|| batches.into_iter().map(Committed::counts).collect());
    counted.await.map_err(|error| status::of_join(&error))
}
