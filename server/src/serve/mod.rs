//! Runs the server: from its settings to a clean stop.

mod address;
pub mod command;
mod doors;
mod handles;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;

use tagus_engine::env::Env;
use tagus_engine::{Config as EngineConfig, Engine, Error, ErrorKind, RecoveryReport, Result};
use tagus_sql::STACK_BYTES;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::config::Config;
use crate::http::{Door, Phase};
use crate::limits;
use crate::metrics::{self, Metrics};

/// Where a running server is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// gRPC and Flight SQL.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

impl Addresses {
    /// What clients take as `--url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }
}

/// How a server ended.
pub type Outcome = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Ready once the server is asked to stop.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a server, and `work` beside it once requests are served, until that ends: by itself, or
/// because SIGINT or SIGTERM made what it was given ready. Then takes no more requests,
/// acknowledges what it has, flushes and returns.
///
/// # Errors
/// Why it cannot start, what failed while stopping, or the work's own error.
pub fn run<W>(config: &Config, work: impl FnOnce(Addresses, Stop) -> W) -> Outcome
where
    W: Future<Output = Outcome> + Send + 'static,
{
    handles::raise_limit();
    let grpc = address::listen(&config.grpc_addr, "--grpc-addr", config.insecure)?;
    let http = address::listen(&config.http_addr, "--http-addr", config.insecure)?;
    // Queries have threads of their own, so that none of them delays an acknowledgement.
    let queries = runtime("tagus-query")?;
    let connections = runtime("tagus-serve")?;
    let result = connections.block_on(serve(config.clone(), grpc, http, queries.handle().clone(), work));
    queries.shutdown_background();
    connections.shutdown_background();
    result
}

fn runtime(name: &str) -> Result<Runtime> {
    Builder::new_multi_thread().thread_name(name).thread_stack_size(STACK_BYTES).enable_all().build().map_err(|error| {
        let advice = "raise the limit of threads";
        Error::new(ErrorKind::Unusable, "starting the server's threads failed", error.to_string(), advice)
    })
}

async fn serve<W>(
    config: Config,
    grpc: TcpListener,
    http: TcpListener,
    queries: Handle,
    work: impl FnOnce(Addresses, Stop) -> W,
) -> Outcome
where
    W: Future<Output = Outcome> + Send + 'static,
{
    let mut signals = Signals::new()?;
    let addresses = Addresses { grpc: address_of(&grpc)?, http: address_of(&http)? };
    let mut registry = metrics::registry();
    let metrics = Metrics::new(&mut registry);
    let door = Door::new(registry);
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(crate::memory::give_back());
    // HTTP answers from the first moment, so that a long replay can be told from a dead server.
    let http = tokio::spawn(doors::http(http, door.routes(), stopping.clone()));
    let budget = config.memory_budget.unwrap_or_else(default_budget);
    let Some(engine) = open(&config, budget, &mut signals).await? else { return Ok(()) };
    let queries = doors::queries(&engine, &config.data, budget, queries, metrics.clone())?;
    let doors = doors::Doors { engine: engine.clone(), queries, metrics, stopping };
    let grpc = tokio::spawn(doors.grpc(grpc));
    door.enter(Phase::Ready(engine.clone()));
    announce(&addresses, &config.data);
    let worked = beside(work, addresses, signals).await;
    tracing::info!("stopping: no more requests are taken");
    door.enter(Phase::Stopping);
    stop.send_replace(true);
    drain(grpc).await;
    doors::remove_spilled(&config.data);
    let closed = close(engine).await;
    http.abort();
    worked.and(closed.map_err(Into::into))
}

/// Does the work until it ends.
async fn beside<W>(work: impl FnOnce(Addresses, Stop) -> W, addresses: Addresses, mut signals: Signals) -> Outcome
where
    W: Future<Output = Outcome> + Send + 'static,
{
    let stop = Box::pin(async move { signals.asked_to_stop().await });
    tokio::spawn(work(addresses, stop)).await?
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| {
        Error::new(ErrorKind::Unusable, "listening failed", error.to_string(), "choose another address")
    })
}

/// Opens the engine; `None` where the server was asked to stop meanwhile.
async fn open(config: &Config, budget: u64, signals: &mut Signals) -> Result<Option<Engine>> {
    let (data, settings) = (config.data.clone(), engine_config(config, budget));
    let opened = tokio::task::spawn_blocking(move || {
        let (engine, report) = Engine::open(Env::os(), &data, settings)?;
        log_recovery(&report);
        engine.start();
        Ok(engine)
    });
    tokio::select! {
        opened = opened => match opened {
            Ok(engine) => engine.map(Some),
            Err(_) => Err(Error::new(
                ErrorKind::Unusable,
                format!("opening data directory {} failed", config.data.display()),
                "the engine panicked",
                "please report it",
            )),
        },
        // What was replayed is in the log still: nothing has to be saved.
        () = signals.asked_to_stop() => Ok(None),
    }
}

fn log_recovery(report: &RecoveryReport) {
    if report.frames > 0 {
        tracing::info!("replayed {} frames of {} bytes from the log", report.frames, report.bytes);
    }
    for (first, last) in &report.lost {
        tracing::error!("log frames {first} to {last} were acknowledged and cannot be read");
    }
    for path in &report.quarantined {
        tracing::error!("a damaged or doubtful file was put to {}", path.display());
    }
}

fn engine_config(config: &Config, budget: u64) -> EngineConfig {
    EngineConfig {
        memory_budget: usize::try_from(budget).unwrap_or(usize::MAX),
        max_future: i64::try_from(config.max_future.as_nanos()).unwrap_or(i64::MAX),
        auto_create: config.auto_create,
        retention: config.retention.clone(),
        reduction: config.reduction.clone(),
        ..EngineConfig::default()
    }
}

/// A quarter of the memory that this process may use.
fn default_budget() -> u64 {
    const LEAST: u64 = 64 << 20;
    let first_number = |path: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        text.split_whitespace().find_map(|word| word.parse::<u64>().ok())
    };
    // `MemTotal:  N kB` comes first; a control group without a limit says `max`.
    let machine = first_number("/proc/meminfo").map(|kib| kib.saturating_mul(1024));
    let group = first_number("/sys/fs/cgroup/memory.max");
    let memory = [machine, group].into_iter().flatten().min();
    memory.map_or(1 << 30, |memory| (memory / 4).max(LEAST))
}

/// One line that says that and where requests are served.
fn announce(addresses: &Addresses, data: &Path) {
    let (version, url, http) = (env!("CARGO_PKG_VERSION"), addresses.url(), addresses.http);
    let data = data.display();
    say(&format!("tagus {version} ready: gRPC and Flight SQL on {url}, HTTP on http://{http}, data in {data}"));
}

/// Prints a line to stdout. Where nobody listens, the server goes on.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Waits until requests in flight have ended; queries that take long are cut off.
async fn drain(grpc: tokio::task::JoinHandle<Result<()>>) {
    match tokio::time::timeout(limits::DRAIN_TIME, grpc).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::error!("{error}"),
        Ok(Err(_)) => tracing::error!("serving ended by a panic"),
        Err(_) => tracing::warn!("requests that still ran after {} s were cut off", limits::DRAIN_TIME.as_secs()),
    }
}

async fn close(engine: Engine) -> Result<()> {
    let closed = tokio::task::spawn_blocking(move || engine.close()).await;
    closed.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Io, "flushing failed", "the engine panicked", "start again; the log has everything"))
    })
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Unusable, "listening for signals failed", error.to_string(), "check the system")
        };
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate()).map_err(failed)? })
    }

    async fn asked_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
