//! A server in this process that keeps what it is sent, and misbehaves by a seed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use tagus_client::Endpoint;
use tagus_client::messages::ingest_server::{Ingest, IngestServer};
use tagus_client::messages::write_request::Request as Body;
use tagus_client::messages::write_response::Response as Answer;
use tagus_client::messages::{Ack, Block, Counts, Opened, Rejection, TagHandle, WriteRequest, WriteResponse};
use tagus_client::messages::{block, series};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// A sample as it was applied: tag, time, value in words, status.
pub type Applied = (String, i64, String, u32);

/// One source as the server keeps it.
#[derive(Default, Clone)]
pub struct Source {
    pub epoch: u64,
    pub last: u64,
    pub counts: Counts,
    /// What each accepted batch held, in order, over all epochs.
    pub batches: Vec<Vec<Applied>>,
    pub epochs: Vec<u64>,
}

/// What the server does at a point where it can misbehave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// An error before the batch is applied.
    Refuse,
    /// RESOURCE_EXHAUSTED with a delay of a millisecond.
    Exhausted,
    /// The batch is applied; its acknowledgement is left out.
    DropAck,
    /// The batch is applied and the stream fails.
    FailAfter,
    /// The batch is applied and the stream ends without an error.
    EndAfter,
    /// The acknowledgement comes late.
    Late,
}

#[derive(Default)]
pub struct State {
    pub sources: HashMap<String, Source>,
    /// Answers to openings, in order, before they succeed.
    pub refuse_open: Vec<Status>,
    /// Rejected samples: those with this tag.
    pub reject_tag: Option<String>,
    /// No batch is taken while set.
    pub stalled: bool,
    /// Samples that came with a name, and with a handle.
    pub by_name: u64,
    pub by_handle: u64,
    pub streams: u64,
    pub largest_batch: usize,
}

#[derive(Clone)]
pub struct Fake {
    pub state: Arc<Mutex<State>>,
    faults: Arc<Mutex<Option<Pcg64>>>,
    pub resume: Arc<Notify>,
    /// Ends every open stream with an error.
    pub break_streams: Arc<Notify>,
}

impl Fake {
    /// Starts a server; with a seed it misbehaves at one of three points.
    pub async fn start(seed: Option<u64>) -> (Fake, Endpoint) {
        let fake = Fake {
            state: Arc::default(),
            faults: Arc::new(Mutex::new(seed.map(|seed| Pcg64::new(seed.into(), 5)))),
            resume: Arc::default(),
            break_streams: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let service = IngestServer::new(fake.clone()).max_decoding_message_size(8 << 20);
        let serve = tonic::transport::Server::builder().add_service(service);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(serve.serve_with_incoming(incoming));
        (fake, endpoint)
    }

    fn fault(&self) -> Fault {
        let mut faults = self.faults.lock().unwrap();
        let Some(random) = faults.as_mut() else { return Fault::None };
        match random.next_u32() % 18 {
            0 => Fault::Refuse,
            1 => Fault::Exhausted,
            2 => Fault::DropAck,
            3 => Fault::FailAfter,
            4 => Fault::EndAfter,
            5 => Fault::Late,
            _ => Fault::None,
        }
    }

    /// The source as it stands.
    pub fn source(&self, name: &str) -> Source {
        self.state.lock().unwrap().sources.get(name).cloned().unwrap_or_default()
    }

    fn open(&self, source: &str, epoch: u64) -> Result<Opened, Status> {
        let mut state = self.state.lock().unwrap();
        state.streams += 1;
        if !state.refuse_open.is_empty() {
            return Err(state.refuse_open.remove(0));
        }
        let source_state = state.sources.entry(source.to_owned()).or_default();
        if source_state.epoch != epoch || source.is_empty() {
            source_state.epoch = epoch;
            source_state.epochs.push(epoch);
            source_state.last = 0;
            source_state.counts = Counts::default();
        }
        Ok(Opened { last_sequence: source_state.last, counts: Some(source_state.counts) })
    }
}

/// What a stream knows of its tags.
struct Tags {
    base: u32,
    names: Vec<String>,
}

impl Tags {
    fn name(&self, handle: u32) -> Result<String, Status> {
        let known = handle.checked_sub(self.base).and_then(|at| self.names.get(at as usize));
        known.cloned().ok_or_else(|| Status::invalid_argument(format!("handle {handle} is not of this stream")))
    }
}

#[tonic::async_trait]
impl Ingest for Fake {
    type WriteStream = ReceiverStream<Result<WriteResponse, Status>>;

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Result<Response<Self::WriteStream>, Status> {
        let mut requests = request.into_inner();
        let Some(WriteRequest { request: Some(Body::Open(open)) }) = requests.message().await? else {
            return Err(Status::invalid_argument("the first request is no opening"));
        };
        let opened = self.open(&open.source, open.epoch)?;
        let (answers, receiver) = mpsc::channel(64);
        let fake = self.clone();
        tokio::spawn(async move {
            let broken = fake.break_streams.notified();
            let _ = answers.send(Ok(WriteResponse { response: Some(Answer::Opened(opened)) })).await;
            let served = tokio::select! {
                served = fake.serve(&open.source, open.epoch, requests, &answers) => served,
                () = broken => Err(Status::unavailable("the test breaks all streams")),
            };
            if let Err(status) = served {
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Fake {
    async fn serve(
        &self,
        source: &str,
        epoch: u64,
        mut requests: Streaming<WriteRequest>,
        answers: &mpsc::Sender<Result<WriteResponse, Status>>,
    ) -> Result<(), Status> {
        let streams = self.state.lock().unwrap().streams;
        let mut tags = Tags { base: streams as u32 * 1000, names: Vec::new() };
        let mut owed: Option<Ack> = None;
        loop {
            // An acknowledgement that is left out must not leave the client waiting for ever.
            let message = match &owed {
                Some(_) => match timeout(Duration::from_millis(20), requests.message()).await {
                    Ok(message) => message?,
                    Err(_) => return Err(Status::unavailable("the acknowledgement was left out")),
                },
                None => requests.message().await?,
            };
            let Some(WriteRequest { request: Some(Body::Batch(batch)) }) = message else { return Ok(()) };
            while self.state.lock().unwrap().stalled {
                self.resume.notified().await;
            }
            let fault = self.fault();
            match fault {
                Fault::Refuse => return Err(Status::internal("refused")),
                Fault::Exhausted => return Err(tagus_proto::exhausted("too much", Duration::from_millis(1))),
                _ => {}
            }
            let mut ack = self.apply(source, epoch, batch.sequence, batch.blocks, &mut tags)?;
            if let Some(before) = owed.take() {
                ack.handles.splice(0..0, before.handles);
                ack.rejections.splice(0..0, before.rejections);
            }
            match fault {
                Fault::DropAck => {
                    owed = Some(ack);
                    continue;
                }
                Fault::FailAfter => return Err(Status::unavailable("going away")),
                Fault::EndAfter => return Ok(()),
                Fault::Late => tokio::time::sleep(Duration::from_millis(2)).await,
                _ => {}
            }
            let answer = WriteResponse { response: Some(Answer::Ack(ack)) };
            if answers.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
        }
    }

    fn apply(
        &self,
        source: &str,
        epoch: u64,
        sequence: u64,
        blocks: Vec<Block>,
        tags: &mut Tags,
    ) -> Result<Ack, Status> {
        let mut state = self.state.lock().unwrap();
        let (mut named, mut handled, mut handles) = (0, 0, Vec::new());
        let mut rows = Vec::new();
        for block in blocks {
            rows.extend(read_block(block, tags, &mut handles, &mut named, &mut handled)?);
        }
        state.by_name += named;
        state.by_handle += handled;
        state.largest_batch = state.largest_batch.max(rows.len());
        let reject_tag = state.reject_tag.clone();
        let kept = state.sources.get_mut(source).unwrap();
        if kept.epoch != epoch {
            return Err(Status::aborted("writing failed: a newer epoch took over; stop one of the writers"));
        }
        let mut ack = Ack { sequence: kept.last, counts: Some(kept.counts), rejections: Vec::new(), handles };
        if sequence <= kept.last {
            return Ok(ack);
        }
        if sequence != kept.last + 1 {
            return Err(Status::invalid_argument(format!("batch {sequence} came after {}", kept.last)));
        }
        for (index, row) in (0..).zip(&rows) {
            if Some(&row.0) == reject_tag.as_ref() {
                ack.rejections.push(Rejection { sequence, index, reason: format!("no {}", row.2) });
            }
        }
        let rejected = ack.rejections.len() as u64;
        kept.counts.rows += rows.len() as u64;
        kept.counts.rejected += rejected;
        kept.counts.stored += rows.len() as u64 - rejected;
        kept.last = sequence;
        kept.batches.push(rows);
        (ack.sequence, ack.counts) = (sequence, Some(kept.counts));
        Ok(ack)
    }
}

fn read_block(
    block: Block,
    tags: &mut Tags,
    handles: &mut Vec<TagHandle>,
    named: &mut u64,
    handled: &mut u64,
) -> Result<Vec<Applied>, Status> {
    let mut keys: Vec<(String, i64)> = Vec::new();
    let mut learn = |name: String, handles: &mut Vec<TagHandle>| {
        let at = tags.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            tags.names.push(name.clone());
            tags.names.len() - 1
        });
        handles.push(TagHandle { name: name.clone(), handle: tags.base + at as u32 });
        name
    };
    match block.shape.ok_or_else(|| Status::invalid_argument("no shape"))? {
        block::Shape::Scan(scan) => {
            *handled += scan.handles.len() as u64;
            *named += scan.names.len() as u64;
            let names: Vec<String> = scan.names.into_iter().map(|name| learn(name, handles)).collect();
            for handle in scan.handles {
                keys.push((tags.name(handle)?, scan.time));
            }
            keys.extend(names.into_iter().map(|name| (name, scan.time)));
        }
        block::Shape::Series(series) => {
            let name = match series.tag.ok_or_else(|| Status::invalid_argument("no tag"))? {
                series::Tag::Name(name) => {
                    *named += 1;
                    learn(name, handles)
                }
                series::Tag::Handle(handle) => {
                    *handled += 1;
                    tags.name(handle)?
                }
            };
            keys.extend(series.times.into_iter().map(|time| (name.clone(), time)));
        }
    }
    let rows = keys.len();
    let values: Vec<String> = match block.values.ok_or_else(|| Status::invalid_argument("no values"))? {
        block::Values::Doubles(v) => v.values.iter().map(|v| format!("{v:?}")).collect(),
        block::Values::Integers(v) => v.values.iter().map(|v| format!("int {v}")).collect(),
        block::Values::Booleans(v) => v.values.iter().map(|v| format!("{v}")).collect(),
        block::Values::Texts(v) => v.values.iter().map(|v| format!("text {v}")).collect(),
        block::Values::NoValues(_) => vec!["empty".to_owned(); rows],
    };
    let statuses = match block.statuses.len() {
        0 => vec![0; rows],
        1 => vec![block.statuses[0]; rows],
        _ => block.statuses,
    };
    if values.len() != rows || statuses.len() != rows || rows == 0 {
        return Err(Status::invalid_argument("columns of different lengths"));
    }
    let samples = keys.into_iter().zip(values).zip(statuses);
    Ok(samples.map(|(((tag, time), value), status)| (tag, time, value, status)).collect())
}
