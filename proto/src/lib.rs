//! The messages and services of `tagus.v1`, generated from the .proto files beside this crate.

mod bounds;
mod codec;
mod retry;

pub use retry::{exhausted, retry_delay};

/// Package `tagus.v1`.
#[allow(missing_docs)]
pub mod v1 {
    tonic::include_proto!("tagus.v1");
}

/// All descriptors, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tagus.bin"));

/// Largest message of the ingest stream that is accepted, in bytes.
pub const INGEST_MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Largest message of the other services that is accepted, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Most samples in one batch.
pub const BATCH_ROWS_MAX: usize = 500_000;
