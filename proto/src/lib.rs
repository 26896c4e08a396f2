//! The messages and services of `tagus.v1`, generated from the .proto files beside this crate.

mod bounds;
mod codec;
mod retry;

pub use bounds::{
    BATCH_ROWS_MAX, INGEST_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, SOURCE_NAME_BYTES_MAX, TAG_NAME_BYTES_MAX, TAGS_MAX,
    TEXT_BYTES_MAX,
};
pub use codec::decode_write_request;
pub use retry::{exhausted, retry_delay};

/// Package `tagus.v1`.
#[allow(missing_docs)]
pub mod v1 {
    tonic::include_proto!("tagus.v1");
}

/// All descriptors, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tagus.bin"));
