//! Flight SQL, on the same port as gRPC.
//!
//! The library's own server trait leaves GetSchema and PollFlightInfo unanswered and needs two
//! methods for every command. Here a command is resolved once to what it asks for, and every call
//! answers from that.

mod ask;
mod keys;
mod sizes;
mod sql_info;
mod tables;
mod xdbc;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, Command, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, IpcMessage, PollInfo, PutResult, Result as ActionResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Request, Response, Status, Streaming};

use crate::query::Queries;
use ask::Ask;
pub use sizes::FlightServer;

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = BoxStream<'static, Result<T, Status>>;

const CREATE_PREPARED: &str = "CreatePreparedStatement";
const CLOSE_PREPARED: &str = "ClosePreparedStatement";

/// Serves `arrow.flight.protocol.FlightService`.
pub struct FlightDoor {
    queries: Queries,
}

impl FlightDoor {
    /// A door to the queries.
    pub fn new(queries: Queries) -> FlightDoor {
        FlightDoor { queries }
    }

    async fn info(&self, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let command = command(&descriptor.cmd)?;
        let (schema, ticket, rows) = match ask::resolve(command, &self.queries)? {
            Ask::Query(sql) => {
                let schema = self.queries.schema(sql.clone()).await?;
                // The ticket is the statement itself: the server keeps nothing for it.
                (schema, TicketStatementQuery { statement_handle: sql.into() }.as_any().encode_to_vec().into(), -1)
            }
            Ask::Rows(batch) => (batch.schema(), descriptor.cmd.clone(), i64::try_from(batch.num_rows()).unwrap_or(-1)),
        };
        let info = FlightInfo::new().try_with_schema(&schema).map_err(encoding)?;
        let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
        Ok(info.with_endpoint(endpoint).with_descriptor(descriptor).with_total_records(rows).with_ordered(true))
    }

    async fn schema(&self, descriptor: FlightDescriptor) -> Result<SchemaRef, Status> {
        match ask::resolve(command(&descriptor.cmd)?, &self.queries)? {
            Ask::Query(sql) => self.queries.schema(sql).await,
            Ask::Rows(batch) => Ok(batch.schema()),
        }
    }

    async fn prepare(&self, body: &Bytes) -> Result<ActionResult, Status> {
        let request: ActionCreatePreparedStatementRequest = unpacked(body)?;
        ask::no_transaction(request.transaction_id.as_ref())?;
        ask::check_sql(&request.query)?;
        let schema = self.queries.schema(request.query.clone()).await?;
        // Like a ticket, the handle is the statement itself, so there is nothing to forget.
        let result = ActionCreatePreparedStatementResult {
            prepared_statement_handle: request.query.into(),
            dataset_schema: schema_bytes(&schema)?,
            parameter_schema: schema_bytes(&Schema::empty())?,
        };
        Ok(ActionResult { body: result.as_any().encode_to_vec().into() })
    }
}

/// The command of a descriptor or ticket.
fn command(bytes: &Bytes) -> Result<Command, Status> {
    if bytes.is_empty() {
        return Err(Status::invalid_argument(
            "the request failed: it has no Flight SQL command; use a Flight SQL client",
        ));
    }
    let any = Any::decode(bytes.clone()).map_err(|error| undecodable(&error))?;
    Command::try_from(any).map_err(|error| undecodable(&error))
}

fn unpacked<M: ProstMessageExt>(body: &Bytes) -> Result<M, Status> {
    let any = Any::decode(body.clone()).map_err(|error| undecodable(&error))?;
    let message = any.unpack().map_err(|error| undecodable(&error))?;
    message.ok_or_else(|| undecodable(&format!("it is no {}", M::type_url())))
}

fn undecodable(why: &dyn std::fmt::Display) -> Status {
    Status::invalid_argument(format!("the request failed: its command cannot be read ({why}); correct the client"))
}

fn encoding(error: ArrowError) -> Status {
    Status::internal(format!("encoding the answer failed: {error}"))
}

fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(encoding)?;
    Ok(bytes)
}

fn encoded(batch: RecordBatch) -> Answers<FlightData> {
    let encoder = FlightDataEncoderBuilder::new().with_schema(batch.schema());
    encoder.build(futures::stream::iter([Ok(batch)])).map_err(Status::from).boxed()
}

fn unsupported<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("the request failed: {what}")))
}

#[tonic::async_trait]
impl FlightService for FlightDoor {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<ActionResult>;
    type ListActionsStream = Answers<ActionType>;

    async fn handshake(&self, _request: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        unsupported("there is no handshake here; connect without a user name")
    }

    async fn list_flights(&self, _request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        unsupported("flights are not listed; use a Flight SQL client")
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        self.info(request.into_inner()).await.map(Response::new)
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        // Results are made while they are fetched: at once there is nothing left to poll for.
        let info = self.info(request.into_inner()).await?;
        Ok(Response::new(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let schema = self.schema(request.into_inner()).await?;
        Ok(Response::new(SchemaResult { schema: schema_bytes(&schema)? }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let answer = match ask::resolve(command(&request.into_inner().ticket)?, &self.queries)? {
            Ask::Query(sql) => self.queries.run(sql).boxed(),
            Ask::Rows(batch) => encoded(batch),
        };
        Ok(Response::new(answer))
    }

    async fn do_put(&self, _request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        unsupported(
            "Flight SQL only reads here, and takes no parameters; write with the ingest service or `tagus import`",
        )
    }

    async fn do_exchange(&self, _request: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        unsupported("there is nothing to exchange; use a Flight SQL client")
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        let action = request.into_inner();
        let results = match action.r#type.as_str() {
            CREATE_PREPARED => vec![Ok(self.prepare(&action.body).await?)],
            CLOSE_PREPARED => {
                let ActionClosePreparedStatementRequest { .. } = unpacked(&action.body)?;
                Vec::new()
            }
            other => return unsupported(&format!("there is no action {}", tagus_engine::tag::quoted(other))),
        };
        Ok(Response::new(futures::stream::iter(results).boxed()))
    }

    async fn list_actions(&self, _request: Request<Empty>) -> Answer<Self::ListActionsStream> {
        let action = |name: &str, description: &str| {
            Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() })
        };
        let actions = [
            action(CREATE_PREPARED, "Plans a statement and gives a handle for it"),
            action(CLOSE_PREPARED, "Forgets a prepared statement"),
        ];
        Ok(Response::new(futures::stream::iter(actions).boxed()))
    }
}

/// A batch of one schema that no column outgrows: for the small answers about the server itself.
fn batch(schema: &Arc<Schema>, columns: Vec<arrow::array::ArrayRef>) -> Result<RecordBatch, Status> {
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(encoding)
}
