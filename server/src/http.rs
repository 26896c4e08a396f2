//! The HTTP door: is the server alive, is it ready, and its metrics.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tagus_engine::{DamagedSegment, Engine, EngineStatus};

use crate::limits;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the HTTP door knows; clones share it.
#[derive(Clone)]
pub struct Door {
    registry: Arc<Registry>,
    state: Arc<RwLock<Phase>>,
}

/// Where the server is in its life.
#[derive(Clone)]
pub enum Phase {
    /// The log is being replayed.
    Starting,
    /// Requests are served.
    Ready(Engine),
    /// Requests are no more taken.
    Stopping,
}

impl Door {
    /// A door of a server that starts. What the engine counts is added to the registry.
    pub fn new(mut registry: Registry) -> Door {
        let state = Arc::new(RwLock::new(Phase::Starting));
        registry.register_collector(Box::new(EngineMetrics(Arc::clone(&state))));
        Door { registry: Arc::new(registry), state }
    }

    /// Says where the server is now.
    pub fn enter(&self, phase: Phase) {
        *self.state.write() = phase;
    }

    /// The routes.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }
}

async fn ready(State(door): State<Door>) -> impl IntoResponse {
    let refused = |why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    match &*door.state.read() {
        Phase::Starting => refused("starting".into()),
        Phase::Stopping => refused("stopping".into()),
        Phase::Ready(engine) => {
            let status = engine.status();
            match status.latched {
                Some(why) => refused(format!("read-only: {why}")),
                None => (StatusCode::OK, format!("ready\n{}{}", loss(status.frames_lost), damage(&status.damaged))),
            }
        }
    }
}

/// A line where the log was damaged when this server started.
fn loss(frames: u64) -> String {
    match frames {
        0 => String::new(),
        _ => format!("lost: {frames} acknowledged frames of the log could not be read at the start; see quarantine/\n"),
    }
}

/// A line for each damaged segment, without the folder that only those who may log in need to
/// know. The server is ready all the same: everything else is served.
fn damage(segments: &[DamagedSegment]) -> String {
    let name = |segment: &DamagedSegment| {
        segment.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let line = |s: &DamagedSegment| format!("damaged: segment {} at byte {}: {}\n", name(s), s.offset, s.why);
    segments.iter().take(limits::DAMAGES_SHOWN).map(line).collect()
}

async fn metrics(State(door): State<Door>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &door.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            format!("encoding the metrics failed: {error}\n"),
        ),
    }
}

/// Shows the engine's own counts at each scrape.
struct EngineMetrics(Arc<RwLock<Phase>>);

impl fmt::Debug for EngineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineMetrics")
    }
}

impl Collector for EngineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Phase::Ready(engine) = self.0.read().clone() else { return Ok(()) };
        let status = engine.status();
        for (name, help, value) in gauges(&status) {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in counters(&status) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn counters(status: &EngineStatus) -> [(&'static str, &'static str, u64); 4] {
    [
        ("engine_samples", "Samples accepted since the start", status.rows_written),
        ("flushed_bytes", "Bytes of segments that flushes have written", status.flushed_bytes),
        ("merged_bytes", "Bytes of segments that merges have written", status.merged_bytes),
        ("merges", "Merges that put their result in place", status.merges),
    ]
}

fn gauges(status: &EngineStatus) -> [(&'static str, &'static str, i64); 13] {
    let of = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    [
        ("tags", "Tags of the archive", size(status.tags)),
        ("memtable_bytes", "Bytes of unflushed samples in memory", size(status.memtable_bytes)),
        ("memtable_rows", "Unflushed samples in memory", size(status.memtable_rows)),
        ("footer_bytes", "Bytes of segments' footers in memory", size(status.footer_bytes)),
        ("log_bytes", "Bytes of the log on disk", of(status.log_bytes)),
        ("segments", "Live segments", size(status.segments)),
        ("segment_rows", "Rows of live segments", of(status.segment_rows)),
        ("segment_bytes", "Bytes of live segments", of(status.segment_bytes)),
        ("segments_damaged", "Segments that cannot be read in full; the log names them", size(status.damaged.len())),
        ("log_frames_lost", "Acknowledged frames that could not be read at the start", of(status.frames_lost)),
        ("deletes", "Deletes that are not applied to all segments yet", size(status.deletes)),
        ("latched", "1 after a failed write: reads go on, writes need a restart", i64::from(status.latched.is_some())),
        ("disk_full", "1 while writing waits for disk space", i64::from(status.disk_full.is_some())),
    ]
}
