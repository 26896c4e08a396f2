//! The admin service.

use std::path::Path;

use tagus_engine::tag::TagId;
use tagus_engine::{BackupReport, Engine, Error, limits, unknown_tag};
use tagus_proto::v1;
use tagus_proto::v1::admin_server::Admin;
use tonic::{Request, Response, Status};

use super::status;

/// Longest path that is taken, in bytes.
const PATH_BYTES_MAX: usize = 4096;

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

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        let request = request.into_inner();
        status::check_bound("the glob", request.tags.len(), limits::TAG_NAME_BYTES_MAX, "bytes")?;
        let engine = self.engine.clone();
        let deleted = status::blocking(move || delete(&engine, &request));
        let (tags, samples) = deleted.await?;
        Ok(Response::new(v1::DeleteResponse { tags, samples }))
    }

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<v1::BackupResponse>, Status> {
        let to = request.into_inner().to;
        status::check_bound("the path", to.len(), PATH_BYTES_MAX, "bytes")?;
        let engine = self.engine.clone();
        Ok(Response::new(status::blocking(move || backup(&engine, Path::new(&to))).await?))
    }
}

/// What a backup to a directory holds, and what it took.
fn backup(engine: &Engine, to: &Path) -> tagus_engine::Result<v1::BackupResponse> {
    if !to.is_absolute() {
        let what = format!("backing up to {} failed", to.display());
        return Err(Error::invalid(what, "the path is not absolute", "name it from the root on"));
    }
    let report = engine.backup(to).inspect_err(|error| tracing::warn!("{error}"))?;
    let BackupReport { manifest, segments, rows, bytes, copied_segments, copied_bytes } = report;
    tracing::info!("backed up manifest {manifest} to {}: copied {copied_bytes} of {bytes} bytes", to.display());
    let (segments, copied_segments) = (segments as u64, copied_segments as u64);
    Ok(v1::BackupResponse { manifest, segments, rows, bytes, copied_segments, copied_bytes })
}

/// How many tags were named, and how many samples of them were deleted.
fn delete(engine: &Engine, request: &v1::DeleteRequest) -> tagus_engine::Result<(u64, u64)> {
    if request.from >= request.to {
        return Err(Error::invalid("deleting samples failed", "the range is empty", "choose a later end"));
    }
    let table = engine.tags();
    let tags: Vec<TagId> = table.glob(&request.tags).iter().map(|tag| tag.id).collect();
    if tags.is_empty() && !request.tags.contains(['*', '?']) {
        return Err(unknown_tag(&request.tags, &table));
    }
    let samples = engine.delete(&tags, request.from, request.to - 1)?;
    let (count, glob) = (tags.len(), &request.tags);
    tracing::info!("deleted {samples} samples of {count} tags ({glob:?}), {} to {}", request.from, request.to);
    Ok((count as u64, samples))
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
