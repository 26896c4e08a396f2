//! The ingest service: writers' streams.

mod acks;
mod convert;
mod openings;
mod stream;

use std::pin::Pin;

use futures::Stream;
use tagus_engine::Engine;
use tagus_proto::v1;
use tagus_proto::v1::ingest_server::Ingest;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::limits;
use crate::metrics::Metrics;
use openings::Openings;

/// Serves `tagus.v1.Ingest`.
#[derive(Clone)]
pub struct IngestService {
    engine: Engine,
    metrics: Metrics,
    openings: Openings,
    stopping: watch::Receiver<bool>,
}

impl IngestService {
    /// A service whose streams end, all acknowledged, once `stopping` holds true.
    pub fn new(engine: Engine, metrics: Metrics, stopping: watch::Receiver<bool>) -> IngestService {
        IngestService { engine, metrics, openings: Openings::default(), stopping }
    }
}

#[tonic::async_trait]
impl Ingest for IngestService {
    type WriteStream = Pin<Box<dyn Stream<Item = Result<v1::WriteResponse, Status>> + Send>>;

    async fn write(
        &self,
        request: Request<Streaming<v1::WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        // The answer begins at once: a client may wait for it before it sends its opening.
        let (answers, receiver) = mpsc::channel(limits::ACKS_QUEUED);
        let service = self.clone();
        tokio::spawn(async move {
            let _counted = service.metrics.writer();
            if let Err(status) = stream::serve(&service, request.into_inner(), &answers).await {
                // A client that is gone needs no reason.
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
