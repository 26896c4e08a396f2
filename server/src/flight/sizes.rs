//! How large the messages of each call may be.
//!
//! Calls that carry rows take large messages, whose bytes are kept as they came. The others name
//! things: a few bytes on the wire can be a list entry in memory, so those messages are small.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_flight::flight_service_server::FlightServiceServer;
use tagus_proto::MESSAGE_BYTES_MAX;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Service, StdError};
use tonic::server::NamedService;

use super::FlightDoor;
use crate::limits;

/// The calls that carry rows.
const WITH_ROWS: [&str; 2] = ["DoPut", "DoExchange"];

/// The Flight service with a bound for each call.
#[derive(Clone)]
pub struct FlightServer {
    rows: FlightServiceServer<FlightDoor>,
    names: FlightServiceServer<FlightDoor>,
}

impl FlightServer {
    /// Serves a door.
    pub fn new(door: FlightDoor) -> FlightServer {
        let door = Arc::new(door);
        let server = || FlightServiceServer::from_arc(Arc::clone(&door));
        FlightServer {
            rows: server().max_decoding_message_size(MESSAGE_BYTES_MAX),
            names: server().max_decoding_message_size(limits::FLIGHT_COMMAND_BYTES_MAX),
        }
    }
}

impl NamedService for FlightServer {
    const NAME: &'static str = FlightServiceServer::<FlightDoor>::NAME;
}

impl<B> Service<Request<B>> for FlightServer
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Both servers are ready at any time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        if WITH_ROWS.contains(&method) { self.rows.call(request) } else { self.names.call(request) }
    }
}
