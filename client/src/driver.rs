//! The task that sends: connects, opens the source, cuts batches, sends them, takes
//! acknowledgements, and begins again after a break.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;

use tagus_proto::v1;
use tagus_proto::v1::write_request::Request;
use tagus_proto::v1::write_response::Response;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::backoff::{Backoff, random};
use crate::batch::Shaper;
use crate::block::Handles;
use crate::counts::Counts;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::Queue;
use crate::sequence::{Opening, Pending, Sequence};
use crate::value::Status as SampleStatus;
use crate::writer::{Rejection, Sent, Unseen};

/// Time that a server may take to answer an opening.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that a server may take to end the stream after everything is acknowledged.
const END_TIMEOUT: Duration = Duration::from_secs(2);

const UNREACHABLE_ADVICE: &str = "check that the server runs and can be reached";

/// Called for each sample that the server refused.
pub(crate) type OnRejection = Box<dyn FnMut(Rejection) + Send>;

/// Called with samples of which the server refused some, nobody knows which.
pub(crate) type OnUnseen = Box<dyn FnMut(Unseen) + Send>;

/// What the task needs to know.
pub(crate) struct Plan {
    pub endpoint: Endpoint,
    pub source: String,
    /// Batches in flight at most.
    pub window: usize,
    pub give_up: Option<Duration>,
    pub backoff: Backoff,
    pub on_rejection: Option<OnRejection>,
    pub on_unseen: Option<OnUnseen>,
}

/// The sending task's state.
pub(crate) struct Driver {
    queue: Arc<Queue>,
    plan: Plan,
    shaper: Shaper,
    sequence: Sequence,
    /// Samples of batches in flight that are known to be refused. The server may say it again.
    refused: HashSet<u64>,
    /// Since when there is something to do and nothing was acknowledged.
    waiting_since: Option<Instant>,
    /// What broke a stream since the last acknowledgement; what the server said before what was
    /// seen here.
    trouble: Option<Error>,
}

/// One open stream.
struct Session {
    outbox: mpsc::Sender<v1::WriteRequest>,
    inbox: Streaming<v1::WriteResponse>,
    handles: Handles,
}

/// Why a session ended early.
enum Break {
    /// Nothing will change it.
    Fatal(Error),
    /// Open again after the delay asked for, or after one's own.
    Retry { error: Error, asked: Option<Duration> },
    /// Open again at once.
    Reopen,
}

/// Tells the callers when the task ends in a way that it did not choose.
struct EndGuard(Arc<Queue>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(Error::new(ErrorKind::Server, "writing", "the writer's task has ended", "open a new writer"));
    }
}

impl Driver {
    pub fn new(queue: Arc<Queue>, plan: Plan) -> Driver {
        let sequence = Sequence::new(random(), plan.source.is_empty());
        Driver {
            queue,
            plan,
            shaper: Shaper::default(),
            sequence,
            refused: HashSet::new(),
            waiting_since: Some(Instant::now()),
            trouble: None,
        }
    }

    /// Runs until the writer is closed or an error is final.
    pub async fn run(mut self) {
        let guard = EndGuard(self.queue.clone());
        if let Err(error) = self.keep_going().await {
            tracing::error!(%error, "writing has ended");
            guard.0.end(error);
        }
    }

    async fn keep_going(&mut self) -> Result<()> {
        loop {
            let (error, asked) = match self.session().await {
                Ok(()) => return Ok(()),
                Err(Break::Fatal(error)) => return Err(error),
                Err(Break::Reopen) => continue,
                Err(Break::Retry { error, asked }) => (error, asked),
            };
            let delay = self.plan.backoff.next(asked, random());
            tracing::warn!(%error, delay_ms = delay.as_millis(), "the stream broke; it is opened again");
            if error.is_worded() || !self.trouble.as_ref().is_some_and(Error::is_worded) {
                self.trouble = Some(error);
            }
            if self.pause(delay).await? {
                return Ok(());
            }
        }
    }

    /// Waits before the next try; whether there is nothing left to try for.
    async fn pause(&mut self, delay: Duration) -> Result<bool> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let again = Instant::now() + delay;
        let end = self.plan.give_up.map_or(again, |give_up| again.min(since + give_up));
        loop {
            if self.is_done() {
                return Ok(true);
            }
            if timeout_at(end, self.queue.work.notified()).await.is_err() {
                break;
            }
        }
        if self.give_up_at().is_some_and(|at| Instant::now() >= at) {
            return Err(self.gave_up());
        }
        Ok(false)
    }

    fn is_done(&self) -> bool {
        self.queue.is_closing() && self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.sequence.in_flight() == 0 && self.queue.is_empty()
    }

    fn give_up_at(&self) -> Option<Instant> {
        Some(self.waiting_since? + self.plan.give_up?)
    }

    fn gave_up(&self) -> Error {
        let after = self.plan.give_up.unwrap_or_default().as_secs_f64();
        let (why, advice) = match &self.trouble {
            Some(error) if error.is_worded() => (format!("no progress for {after} s: {error}"), ""),
            Some(error) => (format!("no progress for {after} s ({})", error.why()), UNREACHABLE_ADVICE),
            None => (format!("no progress for {after} s (nothing was acknowledged)"), UNREACHABLE_ADVICE),
        };
        Error::new(ErrorKind::Unavailable, self.what(), why, advice)
    }

    fn what(&self) -> String {
        let Plan { endpoint, source, .. } = &self.plan;
        match source.as_str() {
            "" => format!("writing to {}", endpoint.url()),
            source => format!("writing to {} as {source:?}", endpoint.url()),
        }
    }

    /// One stream from its opening to its end; `Ok` when the writer was closed.
    async fn session(&mut self) -> std::result::Result<(), Break> {
        let started = Instant::now();
        let mut limit = started + OPEN_TIMEOUT;
        if let Some(give_up) = self.give_up_at() {
            limit = limit.min(give_up.max(started));
        }
        let mut session = match timeout_at(limit, self.open()).await {
            Ok(opened) => opened?,
            Err(_) => return Err(self.retry("the server did not answer the opening in time")),
        };
        self.send_again(&mut session);
        self.queue.opened();
        self.serve(&mut session).await?;
        let Session { outbox, mut inbox, .. } = session;
        drop(outbox);
        // Everything is acknowledged: whatever the server answers now changes nothing.
        let _ = timeout(END_TIMEOUT, async { while let Ok(Some(_)) = inbox.message().await {} }).await;
        Ok(())
    }

    fn retry(&self, why: &str) -> Break {
        let advice = "it is tried again";
        Break::Retry { error: Error::new(ErrorKind::Unavailable, self.what(), why, advice), asked: None }
    }

    async fn open(&mut self) -> std::result::Result<Session, Break> {
        let connected = self.plan.endpoint.connect().await;
        let connection = connected.map_err(|error| Break::Retry { error, asked: None })?;
        // Batches in flight never exceed the window, so that there is always room to send one.
        let (outbox, requests) = mpsc::channel(self.plan.window + 1);
        let open = v1::Open { source: self.plan.source.clone(), epoch: self.sequence.epoch() };
        let first = v1::WriteRequest { request: Some(Request::Open(open)) };
        outbox.try_send(first).map_err(|_| self.retry("the request stream has no room"))?;
        let response = connection.ingest().write(ReceiverStream::new(requests)).await;
        let mut inbox = response.map_err(|status| self.broken(&status))?.into_inner();
        let opened = match inbox.message().await.map_err(|status| self.broken(&status))? {
            Some(v1::WriteResponse { response: Some(Response::Opened(opened)) }) => opened,
            Some(_) => return Err(self.puzzled("the first answer does not open the source")),
            None => return Err(self.retry("the server ended the stream")),
        };
        self.opened(&opened)?;
        Ok(Session { outbox, inbox, handles: Handles::default() })
    }

    fn opened(&mut self, opened: &v1::Opened) -> std::result::Result<(), Break> {
        let counts = opened.counts.unwrap_or_default().into();
        self.report_unseen(opened.last_sequence, &counts);
        match self.sequence.open(opened.last_sequence, counts, random()) {
            Opening::Continue { durable_rows } => {
                self.acknowledged(durable_rows);
                Ok(())
            }
            Opening::Renewed => {
                tracing::warn!(source = self.plan.source, "the server does not know the sequence; a new one begins");
                Err(Break::Reopen)
            }
            Opening::Lost { acknowledged, durable } => {
                let why = format!("batch {acknowledged} was acknowledged and the server now has up to {durable}");
                let advice = "write again what came since the server's last backup, then open a new writer";
                Err(Break::Fatal(Error::new(ErrorKind::DataLoss, self.what(), why, advice)))
            }
            Opening::Foreign { sent, durable } => {
                let why = format!("the server has batches up to {durable} where {sent} were sent");
                let advice = "check who else writes under this name";
                Err(Break::Fatal(Error::new(ErrorKind::Conflict, self.what(), why, advice)))
            }
        }
    }

    /// Hands over the samples of batches that became durable while the connection was broken,
    /// where some of them were refused without a word that arrived.
    fn report_unseen(&mut self, last: u64, counts: &Counts) {
        let (Some(report), Some((refused, batches))) =
            (&mut self.plan.on_unseen, self.sequence.refused_unseen(last, counts))
        else {
            return;
        };
        let mut samples = Vec::new();
        for batch in batches {
            for block in &batch.blocks {
                for i in 0..block.rows() {
                    let Some((tag, time_ns, origin)) = block.sample(i) else { continue };
                    let (value, status) = block.content(i);
                    let ordinal = batch.first + u64::from(origin);
                    let (tag, status) = (self.queue.name(tag), SampleStatus(status));
                    samples.push(Sent { ordinal, tag, time_ns, value, status });
                }
            }
        }
        samples.retain(|sample| !self.refused.contains(&sample.ordinal));
        let rejected = refused.saturating_sub(self.refused.len() as u64);
        if rejected > 0 {
            samples.sort_by_key(|sample| sample.ordinal);
            report(Unseen { rejected, samples });
        }
    }

    fn acknowledged(&mut self, rows: u64) {
        if rows > 0 {
            // Every refusal that is known is of the batches that are durable now.
            self.refused.clear();
            self.plan.backoff.reset();
            self.waiting_since = Some(Instant::now());
            self.trouble = None;
        }
        self.queue.acknowledged(rows, self.sequence.counts());
    }

    /// What came before the break and is not durable goes first.
    fn send_again(&mut self, session: &mut Session) {
        for number in self.sequence.unacknowledged() {
            self.send(session, number);
        }
    }

    /// Sends batches and takes answers until the writer is closed.
    async fn serve(&mut self, session: &mut Session) -> std::result::Result<(), Break> {
        loop {
            self.fill(session);
            if self.is_done() {
                return Ok(());
            }
            self.waiting_since = match self.is_idle() {
                true => None,
                false => self.waiting_since.or_else(|| Some(Instant::now())),
            };
            let room = self.sequence.in_flight() < self.plan.window;
            let due = self.queue.due().filter(|_| room);
            tokio::select! {
                answer = session.inbox.message() => match answer {
                    Ok(Some(answer)) => self.receive(session, answer)?,
                    Ok(None) => return Err(self.retry("the server ended the stream")),
                    Err(status) => return Err(self.broken(&status)),
                },
                () = self.queue.work.notified() => {}
                () = sleep_until_some(due) => {}
                () = sleep_until_some(self.give_up_at()) => {
                    return Err(Break::Fatal(self.gave_up()));
                }
            }
        }
    }

    /// Cuts and sends what is due, as far as the window has room.
    fn fill(&mut self, session: &mut Session) {
        while self.sequence.in_flight() < self.plan.window {
            let Some(cut) = self.queue.cut(Instant::now()) else { return };
            let rows = cut.samples.len() as u64;
            let blocks = self.shaper.shape(cut.samples);
            self.sequence.append(Pending { blocks, first: cut.first, rows });
            self.send(session, self.sequence.last());
        }
    }

    fn send(&mut self, session: &mut Session, number: u64) {
        let Some(pending) = self.sequence.get_mut(number) else { return };
        let name = |tag| self.queue.name(tag).to_string();
        let blocks = pending.blocks.iter_mut().map(|block| block.encode(&session.handles, &name)).collect();
        let request = Request::Batch(v1::Batch { sequence: number, blocks });
        // It fails only where the stream has broken; then its answer says why, and the batch is
        // sent again on the next.
        let _ = session.outbox.try_send(v1::WriteRequest { request: Some(request) });
    }

    fn receive(&mut self, session: &mut Session, answer: v1::WriteResponse) -> std::result::Result<(), Break> {
        let Some(Response::Ack(ack)) = answer.response else {
            return Err(self.puzzled("an answer is no acknowledgement"));
        };
        for rejection in ack.rejections {
            self.rejected(rejection);
        }
        for v1::TagHandle { name, handle } in ack.handles {
            if let Some(tag) = self.queue.index(&name) {
                session.handles.set(tag, handle);
            }
        }
        match self.sequence.acknowledge(ack.sequence, ack.counts.unwrap_or_default().into()) {
            Some(rows) => self.acknowledged(rows),
            None => return Err(self.puzzled(&format!("batch {} is acknowledged and was not sent", ack.sequence))),
        }
        Ok(())
    }

    /// Finds the sample by the batch as it was sent, and hands it to the caller.
    fn rejected(&mut self, rejection: v1::Rejection) {
        let (Some(report), Some(batch)) = (&mut self.plan.on_rejection, self.sequence.get_mut(rejection.sequence))
        else {
            return;
        };
        let mut index = rejection.index as usize;
        for block in &batch.blocks {
            if let Some((tag, time_ns, origin)) = block.sample(index) {
                let ordinal = batch.first + u64::from(origin);
                if self.refused.insert(ordinal) {
                    let tag = self.queue.name(tag);
                    report(Rejection { ordinal, tag, time_ns, reason: rejection.reason });
                }
                return;
            }
            index -= block.rows();
        }
    }

    fn puzzled(&self, why: &str) -> Break {
        let advice = "use a client and a server of the same version";
        Break::Fatal(Error::new(ErrorKind::Server, self.what(), why, advice))
    }

    /// What an error of the stream means for the next try.
    fn broken(&self, status: &Status) -> Break {
        let error = Error::from_status(&self.what(), status);
        match status.code() {
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::NotFound
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Aborted
            | Code::AlreadyExists
            | Code::Unimplemented => Break::Fatal(error),
            _ => Break::Retry { error, asked: tagus_proto::retry_delay(status) },
        }
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
