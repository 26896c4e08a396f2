//! Runs SQL on threads of its own, so that no query slows the writers' acknowledgements, and hands
//! the result's messages to whoever asked.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::{FlightDataEncoder, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use futures::{Stream, StreamExt, TryStreamExt};
use tagus_sql::{QueryResult, SqlError, SqlService};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tonic::Status;

use crate::grpc::status;
use crate::limits;
use crate::metrics::{Metrics, QueryEnd};

/// Where queries run; clones share it.
#[derive(Clone)]
pub struct Queries {
    sql: SqlService,
    runtime: Handle,
    metrics: Metrics,
}

/// The Arrow messages of a result: the schema, then record batches without dictionaries. Dropping
/// it ends the query.
pub struct Messages {
    receiver: mpsc::Receiver<Result<FlightData, Status>>,
    query: AbortHandle,
}

impl Queries {
    /// Queries of one service on one runtime.
    pub fn new(sql: SqlService, runtime: Handle, metrics: Metrics) -> Queries {
        Queries { sql, runtime, metrics }
    }

    /// The tables by name, with their schemas.
    pub fn tables(&self) -> Vec<(&'static str, SchemaRef)> {
        self.sql.tables()
    }

    /// Starts a query. Errors of planning and of running both come through the messages.
    pub fn run(&self, sql: String) -> Messages {
        let (sender, receiver) = mpsc::channel(limits::RESULT_MESSAGES_QUEUED);
        let (service, metrics) = (self.sql.clone(), self.metrics.clone());
        let task = self.runtime.spawn(async move {
            let _running = metrics.query();
            let mut ended = Ended { metrics, started: Instant::now(), end: QueryEnd::Cancelled };
            ended.end = send_all(&service, &sql, &sender).await;
        });
        Messages { receiver, query: task.abort_handle() }
    }

    /// The schema that the result of a query will have.
    ///
    /// # Errors
    /// Why the query cannot be planned.
    pub async fn schema(&self, sql: String) -> Result<SchemaRef, Status> {
        let session = self.sql.session();
        let task = self.runtime.spawn(async move { session.schema_of(&sql).await });
        // Whoever asked may be gone before the plan is made.
        let _abort = AbortOnDrop(task.abort_handle());
        match task.await {
            Ok(schema) => schema.map_err(|error| status::of_sql(&error)),
            Err(error) => Err(status::of_join(&error)),
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts a query when it ends, also when it is cut off.
struct Ended {
    metrics: Metrics,
    started: Instant,
    end: QueryEnd,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.metrics.query_ended(self.end, self.started.elapsed());
    }
}

async fn send_all(service: &SqlService, sql: &str, sender: &mpsc::Sender<Result<FlightData, Status>>) -> QueryEnd {
    let result = match service.session().query(sql).await {
        Ok(result) => result,
        Err(error) => {
            let _ = sender.send(Err(status::of_sql(&error))).await;
            return QueryEnd::Failed;
        }
    };
    let mut messages = encode(result);
    while let Some(message) = messages.next().await {
        let (message, failed) = match message {
            Ok(message) => (Ok(message), false),
            Err(error) => (Err(of_flight(error)), true),
        };
        if sender.send(message).await.is_err() {
            return QueryEnd::Cancelled;
        }
        if failed {
            return QueryEnd::Failed;
        }
    }
    QueryEnd::Done
}

fn encode(result: QueryResult) -> FlightDataEncoder {
    let batches = result.stream.map_err(|error| FlightError::from_external_error(Box::new(SqlError::from(error))));
    FlightDataEncoderBuilder::new()
        .with_schema(result.schema)
        .with_max_flight_data_size(limits::RESULT_MESSAGE_BYTES)
        .build(batches)
}

fn of_flight(error: FlightError) -> Status {
    match error {
        FlightError::ExternalError(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => status::of_sql(error),
            None => Status::internal(format!("the query failed: {inner}")),
        },
        FlightError::Tonic(status) => *status,
        other => Status::internal(format!("encoding the result failed: {other}")),
    }
}

impl Stream for Messages {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.query.abort();
    }
}
