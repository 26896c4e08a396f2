//! The gRPC doors: `tagus.v1`, health and reflection.

pub mod admin;
pub mod ingest;
mod live;
pub mod query;
pub mod status;
pub mod tags;
