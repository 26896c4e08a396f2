//! Starts servers, and speaks to them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use futures::{StreamExt, TryStreamExt};
use tagus_proto::v1;
use tagus_proto::v1::ingest_client::IngestClient;
use tagus_proto::v1::query_client::QueryClient;
use tagus_proto::v1::write_request::Request as Wire;
use tagus_proto::v1::write_response::Response as Answer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub grpc: String,
    pub http: String,
    /// Kept, so that the server can go on writing to it.
    _stdout: BufReader<ChildStdout>,
}

/// `tagus serve` on free ports.
pub fn serve_command(data: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagus"));
    command.args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--data"]);
    command.arg(data).args(more).env("RUST_LOG", "warn");
    command
}

impl Server {
    pub fn start(data: &Path) -> Server {
        Server::start_with(data, &[])
    }

    /// Starts a server and waits for the line that says that it is ready.
    pub fn start_with(data: &Path, more: &[&str]) -> Server {
        let mut command = serve_command(data, more);
        command.stdout(Stdio::piped());
        Server::spawned(command)
    }

    /// Runs a command that becomes a server, and waits until it is ready.
    pub fn spawned(mut command: Command) -> Server {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(" ready: "), "the server said: {line:?}");
        let address = |scheme: &str| {
            let start = line.find(scheme).unwrap() + scheme.len();
            line[start..].split([',', '\n']).next().unwrap().to_owned()
        };
        let (grpc, http) = (address("Flight SQL on http://"), address("HTTP on http://"));
        Server { child, grpc, http, _stdout: stdout }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits, while clients go on.
    pub async fn stop(mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Cuts it off as a crash of the process would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    pub async fn open(&self, source: &str, epoch: u64) -> Stream {
        Stream::open(self.channel().await, source, epoch).await.unwrap()
    }

    /// The only cell of a query's result, as an integer.
    pub async fn number(&self, sql: &str) -> i64 {
        let batches = self.sql(sql).await.unwrap();
        let rows: Vec<&RecordBatch> = batches.iter().filter(|batch| batch.num_rows() > 0).collect();
        let column = rows.first().expect("the result has a row").column(0);
        let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64).unwrap();
        arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&column).value(0)
    }

    pub async fn sql(&self, sql: &str) -> Result<Vec<RecordBatch>, Status> {
        let mut client = QueryClient::new(self.channel().await);
        let answer = client.sql(v1::SqlRequest { sql: sql.to_owned() }).await?.into_inner();
        let flight = answer.map(|message| {
            let v1::SqlResponse { header, body } = message?;
            Ok(FlightData { data_header: header, data_body: body, ..FlightData::default() })
        });
        let batches = FlightRecordBatchStream::new_from_flight_data(flight.map_err(|e: Status| e.into()));
        batches.try_collect().await.map_err(Status::from)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One writer's stream.
pub struct Stream {
    requests: mpsc::Sender<v1::WriteRequest>,
    answers: Streaming<v1::WriteResponse>,
    pub opened: v1::Opened,
}

impl Stream {
    pub async fn open(channel: Channel, source: &str, epoch: u64) -> Result<Stream, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let open = v1::Open { source: source.to_owned(), epoch };
        requests.send(v1::WriteRequest { request: Some(Wire::Open(open)) }).await.unwrap();
        let mut client = IngestClient::new(channel);
        let mut answers = client.write(ReceiverStream::new(receiver)).await?.into_inner();
        match next(&mut answers).await? {
            Some(Answer::Opened(opened)) => Ok(Stream { requests, answers, opened }),
            other => panic!("expected to be told of the opening, not {other:?}"),
        }
    }

    pub async fn send(&self, sequence: u64, blocks: Vec<v1::Block>) {
        self.send_request(v1::WriteRequest { request: Some(Wire::Batch(v1::Batch { sequence, blocks })) }).await;
    }

    pub async fn send_request(&self, request: v1::WriteRequest) {
        // A stream that the server has ended is seen where the answer is awaited.
        let _ = self.requests.send(request).await;
    }

    /// The next acknowledgement.
    pub async fn ack(&mut self) -> Result<v1::Ack, Status> {
        match next(&mut self.answers).await? {
            Some(Answer::Ack(ack)) => Ok(ack),
            other => panic!("expected an acknowledgement, not {other:?}"),
        }
    }

    /// Waits until everything up to `sequence` is acknowledged; all that the acknowledgements said.
    pub async fn acknowledged(&mut self, sequence: u64) -> v1::Ack {
        let mut all = v1::Ack::default();
        while all.sequence < sequence {
            let ack = self.ack().await.unwrap();
            (all.sequence, all.counts) = (ack.sequence, ack.counts);
            all.rejections.extend(ack.rejections);
            all.handles.extend(ack.handles);
        }
        all
    }

    pub async fn write(&mut self, sequence: u64, blocks: Vec<v1::Block>) -> v1::Ack {
        self.send(sequence, blocks).await;
        self.acknowledged(sequence).await
    }

    /// Ends this side, and gives what the server says last.
    pub async fn end(mut self) -> Option<Answer> {
        drop(self.requests);
        next(&mut self.answers).await.unwrap()
    }

    /// The error that the server ends the stream with.
    pub async fn failure(&mut self) -> Status {
        loop {
            match next(&mut self.answers).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => return status,
            }
        }
    }
}

async fn next(answers: &mut Streaming<v1::WriteResponse>) -> Result<Option<Answer>, Status> {
    let answer = tokio::time::timeout(PATIENCE, answers.message()).await.expect("the server answers");
    Ok(answer?.and_then(|answer| answer.response))
}

pub const SECOND: i64 = 1_000_000_000;
/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600 * SECOND;

/// One time, many tags by name.
pub fn scan(time: i64, names: &[&str], values: &[f64]) -> v1::Block {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    v1::Block {
        shape: Some(v1::block::Shape::Scan(v1::Scan { time, handles: Vec::new(), names })),
        values: Some(v1::block::Values::Doubles(v1::Doubles { values: values.to_vec() })),
        statuses: Vec::new(),
    }
}

/// One tag, one sample a second.
pub fn series(name: &str, first_second: i64, values: &[f64]) -> v1::Block {
    let times = (first_second..).take(values.len()).map(|second| START + second * SECOND).collect();
    v1::Block {
        shape: Some(v1::block::Shape::Series(v1::Series { tag: Some(v1::series::Tag::Name(name.to_owned())), times })),
        values: Some(v1::block::Values::Doubles(v1::Doubles { values: values.to_vec() })),
        statuses: Vec::new(),
    }
}

pub fn texts(block: v1::Block, values: &[&str]) -> v1::Block {
    let values = values.iter().map(|text| (*text).to_owned()).collect();
    v1::Block { values: Some(v1::block::Values::Texts(v1::Texts { values })), ..block }
}

/// Asks again until it holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a command of the binary.
pub fn tagus(arguments: &[&str], url: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagus"));
    command.args(arguments).env("TAGUS_URL", url).output().unwrap()
}

fn line(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

/// The line that a command ends with.
pub fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    line(&output.stdout)
}

/// A command ends with this status and one line with these words.
pub fn fails(output: &Output, status: i32, words: &str) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let error = line(&output.stderr);
    assert!(
        error.starts_with("error: ") && error.contains(words) && (status == 2 || error.contains(" failed: ")),
        "{error}"
    );
    assert_eq!(error.matches("error").count(), 1, "{error}");
}
