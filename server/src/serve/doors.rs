//! The services behind each address.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tagus_engine::env::Env;
use tagus_engine::{Engine, Error, ErrorKind, Result};
use tagus_proto::v1::admin_server::{AdminServer, SERVICE_NAME as ADMIN};
use tagus_proto::v1::ingest_server::{IngestServer, SERVICE_NAME as INGEST};
use tagus_proto::v1::query_server::{QueryServer, SERVICE_NAME as QUERY};
use tagus_proto::v1::tags_server::{SERVICE_NAME as TAGS, TagsServer};
use tagus_proto::{FILE_DESCRIPTOR_SET, INGEST_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX};
use tagus_sql::{SqlOptions, SqlService};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::flight::{FlightDoor, FlightServer};
use crate::grpc::admin::AdminService;
use crate::grpc::ingest::IngestService;
use crate::grpc::query::QueryService;
use crate::grpc::tags::TagsService;
use crate::limits;
use crate::metrics::Metrics;
use crate::query::Queries;

/// How often a silent connection is asked whether its client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How often health looks whether the engine still writes.
const HEALTH_TICK: Duration = Duration::from_secs(1);
/// Part of the data directory where queries spill.
const SPILL: &str = "spill";

/// What the gRPC address serves from.
pub struct Doors {
    /// The engine.
    pub engine: Engine,
    /// Where queries run.
    pub queries: Queries,
    /// What is counted.
    pub metrics: Metrics,
    /// Holds true once the server is asked to stop.
    pub stopping: watch::Receiver<bool>,
}

/// Queries of an engine on a runtime.
///
/// # Errors
/// The folder for spilled results cannot be made.
pub fn queries(engine: &Engine, data: &Path, budget: u64, runtime: Handle, metrics: Metrics) -> Result<Queries> {
    // Memtables take five sixteenths of the budget, footers and frames that wait for the log an eighth;
    // three sixteenths are for merges and for what is not counted.
    let memory_limit = usize::try_from(budget / 8 * 3).unwrap_or(usize::MAX);
    // Writers keep at least half of the space that is free now.
    let free = Env::os().disk.free_bytes(data).map_err(|e| Error::io("measuring", data, &e))?;
    let options = SqlOptions {
        memory_limit,
        target_partitions: runtime.metrics().num_workers(),
        spill_dir: data.join(SPILL),
        spill_bytes_max: free / 2,
    };
    let service = SqlService::new(engine.clone(), options).map_err(|error| {
        Error::new(ErrorKind::Unusable, "starting the queries failed", error.to_string(), "check the data directory")
    })?;
    Ok(Queries::new(service, runtime, metrics))
}

/// Removes what queries have spilled: those that still run are cut off.
pub fn remove_spilled(data: &Path) {
    let dir = data.join(SPILL);
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        tracing::warn!("removing {} failed: {error}", dir.display());
    }
}

/// Serves HTTP until the server is asked to stop.
pub async fn http(listener: TcpListener, routes: axum::Router, mut stopping: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("serving HTTP failed: {error}"),
    };
    let stop = async move {
        // A dropped sender means that the server is gone.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
        tracing::error!("serving HTTP failed: {error}");
    }
}

impl Doors {
    /// Serves gRPC and Flight SQL until the server is asked to stop and open requests have ended.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn grpc(self, listener: TcpListener) -> Result<()> {
        let failed = |why: String| {
            Error::new(ErrorKind::Unusable, "serving gRPC failed", why, "look into the log and start again")
        };
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| failed(error.to_string()))?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEP_ALIVE));
        let Doors { engine, queries, metrics, mut stopping } = self;
        let watched = engine.clone();
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let ingest = IngestServer::new(IngestService::new(engine.clone(), metrics, stopping.clone()))
            .max_decoding_message_size(INGEST_MESSAGE_BYTES_MAX);
        let tags = TagsServer::new(TagsService::new(engine.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let query = QueryServer::new(QueryService::new(engine.clone(), queries.clone(), stopping.clone()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let admin = AdminServer::new(AdminService::new(engine)).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let flight = FlightServer::new(FlightDoor::new(queries));
        let stop = async move {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = tell_of_latch(&health, &watched) => {}
            }
            set_health(&health, ServingStatus::NotServing).await;
        };
        // Clients ask for either version.
        let v1 = reflection().build_v1().map_err(|error| failed(error.to_string()))?;
        let v1alpha = reflection().build_v1alpha().map_err(|error| failed(error.to_string()))?;
        builder()
            .add_service(health_service)
            .add_service(v1)
            .add_service(v1alpha)
            .add_service(ingest)
            .add_service(tags)
            .add_service(query)
            .add_service(admin)
            .add_service(flight)
            .serve_with_incoming_shutdown(incoming, stop)
            .await
            .map_err(|error| failed(error.to_string()))
    }
}

/// Says of the server as a whole, and of each service, whether it serves.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in ["", INGEST, TAGS, QUERY, ADMIN, FlightServer::NAME] {
        health.set_service_status(service, status).await;
    }
}

/// Once nothing can be written any more, says so of the services that write. Never returns.
async fn tell_of_latch(health: &HealthReporter, engine: &Engine) {
    while engine.status().latched.is_none() {
        tokio::time::sleep(HEALTH_TICK).await;
    }
    for service in [INGEST, TAGS] {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    std::future::pending::<()>().await;
}

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(limits::HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
}

/// Descriptors of the services that reflection tells of.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
