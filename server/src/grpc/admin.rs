//! The admin service.

use tagus_engine::Engine;
use tagus_proto::v1;
use tagus_proto::v1::admin_server::Admin;
use tonic::{Request, Response, Status};

use super::status;

/// Serves `tagus.v1.Admin`.
pub struct AdminService {
    engine: Engine,
}

impl AdminService {
    /// A service of one engine.
    pub fn new(engine: Engine) -> AdminService {
        AdminService { engine }
    }

    /// The live segments once some work is done.
    async fn after(
        &self,
        work: impl FnOnce(&Engine) -> tagus_engine::Result<()> + Send + 'static,
    ) -> Result<Response<v1::SegmentsResponse>, Status> {
        let engine = self.engine.clone();
        let segments = status::blocking(move || {
            work(&engine)?;
            Ok(live_segments(&engine))
        });
        Ok(Response::new(v1::SegmentsResponse { segments: segments.await? }))
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn flush(&self, _request: Request<v1::FlushRequest>) -> Result<Response<v1::SegmentsResponse>, Status> {
        self.after(Engine::flush).await
    }

    async fn compact(&self, _request: Request<v1::CompactRequest>) -> Result<Response<v1::SegmentsResponse>, Status> {
        self.after(Engine::compact).await
    }
}

fn live_segments(engine: &Engine) -> Vec<v1::Segment> {
    let metas = engine.segments();
    let mut segments: Vec<v1::Segment> = metas
        .iter()
        .map(|meta| v1::Segment {
            path: engine.segment_path(meta).display().to_string(),
            rows: meta.rows,
            bytes: meta.bytes,
        })
        .collect();
    segments.sort_by(|a, b| a.path.cmp(&b.path));
    segments
}
