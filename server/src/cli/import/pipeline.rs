//! From files to the server: one thread reads, this task hands over to the writer, and the writer
//! reports what was rejected.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tagus_client::{Counts, Status, TagKey, Unseen, Writer};
use tokio::sync::mpsc;

use super::chunk::{Chunk, Names};
use super::name::SourceName;
use super::progress::Progress;
use super::refusal;
use super::report::Report;
use super::source::{self, Source};
use super::time::TimeUnit;
use crate::cli::args::ConnectArgs;
use crate::cli::connect::{self, PATIENCE};
use crate::cli::error::{Failure, Result, io_words};
use crate::cli::output::print_line;

/// Chunks that are read ahead of the writer.
const CHUNKS_AHEAD: usize = 8;

/// Where rows come from.
pub enum Input {
    /// A file.
    File(PathBuf),
    /// CSV lines from stdin.
    Stdin,
}

/// What the reading thread has to say.
enum Message {
    /// A chunk of the input of this name.
    Chunk(Arc<str>, Chunk),
    /// Nothing more can be read.
    Failed(Failure),
}

/// Sends all rows of all inputs, prints the accounting line, and answers what went wrong.
/// `again` says what to do about rejected rows.
pub async fn send(
    args: &ConnectArgs,
    inputs: Vec<Input>,
    unit: Option<TimeUnit>,
    report: Report,
    again: &str,
) -> Result<()> {
    let report = Arc::new(Mutex::new(report));
    // A name of its own lets the writer go on where it was after the server has restarted.
    let name = SourceName::take();
    let writer = open_writer(args, &name, &report).await?;
    let files = inputs.iter().filter_map(|input| if let Input::File(path) = input { Some(path) } else { None });
    let progress = Progress::new(files, "importing");
    let mut reading = start_reading(inputs, unit, progress.done.clone())?;
    let sent = Sender { args, writer: &writer, keys: Vec::new(), sent: 0, report: &report, progress: &progress }
        .run(&mut reading)
        .await;
    let (counts, settled) = settle(writer).await;
    let explained = explain(args, &report).await;
    progress.finish();
    let report = std::mem::take(&mut *lock(&report));
    let own = Counts { rows: report.own(), rejected: report.own(), ..Counts::default() };
    let counts = counts + own;
    print_line(&counts.to_string())?;
    let rejections = report.finish(counts.rows, counts.rejected, again);
    sent.and(settled).and(explained).and(rejections)
}

async fn open_writer(args: &ConnectArgs, name: &SourceName, report: &Arc<Mutex<Report>>) -> Result<Writer> {
    let endpoint = connect::endpoint(args)?;
    let (report, unseen) = (report.clone(), report.clone());
    let opened = Writer::builder(endpoint)
        .source(name.as_str())
        .give_up(PATIENCE)
        .on_rejection(move |rejection| lock(&report).rejected(&rejection))
        .on_unseen(move |samples| lock(&unseen).unseen(samples))
        .open()
        .await?;
    Ok(opened)
}

/// The report is only ever changed in whole steps, so it is sound after a panic elsewhere.
fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until everything is acknowledged; counts what was in any case.
async fn settle(writer: Writer) -> (Counts, Result<()>) {
    match writer.flush().await {
        Ok(()) => {
            let counts = writer.counts();
            match writer.close().await {
                Ok(counts) => (counts, Ok(())),
                Err(error) => (counts, Err(Failure::from(error))),
            }
        }
        Err(error) => (writer.counts(), Err(Failure::from(error))),
    }
}

/// Explains refusals whose reasons were lost with a connection.
async fn explain(args: &ConnectArgs, report: &Mutex<Report>) -> Result<()> {
    loop {
        // The lock must not be held while the server is asked.
        let taken = lock(report).take_unseen();
        let Some((unseen, places)) = taken else { return Ok(()) };
        match refused(args, &unseen).await {
            Ok(refused) => {
                let mut report = lock(report);
                for (index, reason) in refused {
                    let sample = &unseen.samples[index];
                    report.explain(places[index].clone(), &sample.tag, sample.time_ns, &reason);
                }
            }
            Err(failure) => {
                lock(report).put_back((unseen, places));
                return Err(failure);
            }
        }
    }
}

async fn refused(args: &ConnectArgs, unseen: &Unseen) -> Result<Vec<(usize, String)>> {
    let connection = connect::patiently(|| connect::open(args)).await?;
    refusal::find(&connection, unseen).await
}

/// Hands rows to the writer.
struct Sender<'a> {
    args: &'a ConnectArgs,
    writer: &'a Writer,
    keys: Vec<TagKey>,
    sent: u64,
    report: &'a Mutex<Report>,
    progress: &'a Progress,
}

impl Sender<'_> {
    async fn run(&mut self, reading: &mut mpsc::Receiver<Message>) -> Result<()> {
        while let Some(message) = reading.recv().await {
            match message {
                Message::Chunk(file, chunk) => self.send(file, chunk).await?,
                Message::Failed(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn send(&mut self, file: Arc<str>, chunk: Chunk) -> tagus_client::Result<()> {
        for name in &chunk.names {
            self.keys.push(self.writer.tag(name)?);
        }
        {
            let mut report = lock(self.report);
            report.refused(&file, &chunk.refused);
            report.settled(self.sent - self.writer.unacknowledged());
            // Before the rows are sent: their rejections may come at once.
            report.sending(self.sent, file, chunk.kept);
        }
        for row in chunk.rows {
            // Names travel with the first chunk that uses them.
            let key = self.keys[row.tag as usize];
            self.writer.write(key, row.time, row.value, Status(row.status)).await?;
            self.sent += 1;
        }
        self.progress.rows(self.sent);
        // Where it fails because the server is gone again, it is done at the end.
        let _ = explain(self.args, self.report).await;
        Ok(())
    }
}

fn start_reading(inputs: Vec<Input>, unit: Option<TimeUnit>, done: Arc<AtomicU64>) -> Result<mpsc::Receiver<Message>> {
    let (messages, reading) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::Builder::new()
        .name("import".to_string())
        .spawn(move || {
            if let Err(failure) = read_all(inputs, unit, &done, &messages) {
                // Where nobody listens any more, the reason is known there.
                let _ = messages.blocking_send(Message::Failed(failure));
            }
        })
        .map_err(|e| Failure::new("starting a thread", io_words(&e), "check the limits of this user"))?;
    Ok(reading)
}

fn read_all(
    inputs: Vec<Input>,
    unit: Option<TimeUnit>,
    done: &Arc<AtomicU64>,
    messages: &mpsc::Sender<Message>,
) -> Result<()> {
    let mut names = Names::default();
    for input in inputs {
        let (label, mut source): (Arc<str>, Box<dyn Source>) = match &input {
            Input::File(path) => (path.display().to_string().into(), source::open(path, unit, done)?),
            Input::Stdin => ("stdin".into(), source::stdin(unit)?),
        };
        loop {
            let mut chunk = Chunk::default();
            let more = source.read(&mut names, &mut chunk);
            // Rows before a damage count as well.
            if !chunk.is_empty() && messages.blocking_send(Message::Chunk(label.clone(), chunk)).is_err() {
                return Ok(());
            }
            if !more? {
                break;
            }
        }
    }
    Ok(())
}
