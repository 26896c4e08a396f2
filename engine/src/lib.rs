//! The embeddable storage engine of Tagus: a write-ahead log, memtables, Parquet segments and the
//! scan that merges them.
//!
//! The engine is synchronous and names neither a runtime nor a query planner.

pub mod coerce;
pub mod env;
pub mod error;
pub mod format;
pub mod limits;
pub mod sample;
pub mod segment;
pub mod status;
pub mod tag;

pub use error::{Error, ErrorKind, Result};
