//! What the server counts. No metric names a tag or a source.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tagus_engine::ingest::Counts;

/// The counters of a running server; clones share them.
#[derive(Clone)]
pub struct Metrics {
    samples: Family<Outcome, Counter>,
    coerced: Counter,
    batches: Counter,
    writers: Gauge,
    ack_seconds: Histogram,
    queries: Family<Ended, Counter>,
    query_seconds: Histogram,
    running: Gauge,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

/// How a query ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryEnd {
    /// All rows were delivered.
    Done,
    /// An error was reported.
    Failed,
    /// The client went away.
    Cancelled,
}

impl Metrics {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Metrics {
        // From 100 microseconds to 13 seconds, and from a quarter of a millisecond to 33 seconds.
        let metrics = Metrics {
            samples: Family::default(),
            coerced: Counter::default(),
            batches: Counter::default(),
            writers: Gauge::default(),
            ack_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 18)),
            queries: Family::default(),
            query_seconds: Histogram::new(exponential_buckets(0.00025, 2.0, 18)),
            running: Gauge::default(),
        };
        let m = &metrics;
        registry.register("ingest_samples", "Acknowledged samples by what became of them", m.samples.clone());
        registry.register("ingest_samples_coerced", "Samples that were changed to fit", m.coerced.clone());
        registry.register("ingest_batches", "Acknowledged batches", m.batches.clone());
        registry.register("ingest_streams", "Open streams of writers", m.writers.clone());
        let help = "From reading a batch to acknowledging it";
        registry.register_with_unit("ingest_ack_latency", help, Unit::Seconds, m.ack_seconds.clone());
        registry.register("queries", "Queries by how they ended", m.queries.clone());
        let help = "From receiving a query to its last row";
        registry.register_with_unit("query_latency", help, Unit::Seconds, m.query_seconds.clone());
        registry.register("queries_running", "Queries that run now", m.running.clone());
        metrics
    }

    /// Counts an acknowledged batch, and how long it took.
    pub fn batch(&self, counts: &Counts, taken: Duration) {
        let outcomes = [
            ("stored", counts.stored),
            ("replaced", counts.replaced),
            ("duplicate", counts.duplicate),
            ("reduced", counts.reduced),
            ("rejected", counts.rejected),
        ];
        for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
            self.samples.get_or_create(&Outcome { outcome }).inc_by(count);
        }
        self.coerced.inc_by(counts.coerced);
        self.batches.inc();
        self.ack_seconds.observe(taken.as_secs_f64());
    }

    /// Counts a writer's stream until the guard is dropped.
    pub fn writer(&self) -> impl Drop + Send + use<> {
        Counted::new(&self.writers)
    }

    /// Counts a query as running until the guard is dropped.
    pub fn query(&self) -> impl Drop + Send + use<> {
        Counted::new(&self.running)
    }

    /// Counts an ended query, and how long it took.
    pub fn query_ended(&self, end: QueryEnd, taken: Duration) {
        let result = match end {
            QueryEnd::Done => "done",
            QueryEnd::Failed => "failed",
            QueryEnd::Cancelled => "cancelled",
        };
        self.queries.get_or_create(&Ended { result }).inc();
        self.query_seconds.observe(taken.as_secs_f64());
    }
}

/// One in a gauge for as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// An empty registry whose metrics begin with `tagus_`.
pub fn registry() -> Registry {
    Registry::with_prefix("tagus")
}
