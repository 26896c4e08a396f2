//! The embeddable storage engine of Tagus: a write-ahead log, memtables, Parquet segments and the
//! scan that merges them.
//!
//! The engine is synchronous and names neither a runtime nor a query planner.

mod archive;
mod backup;
mod changes;
pub mod coerce;
mod commit;
mod config;
pub mod delete;
mod deleting;
mod engine;
pub mod env;
pub mod error;
mod files;
pub mod format;
mod generation;
pub mod ingest;
mod jobs;
pub mod limits;
pub mod manifest;
mod mark;
pub mod memtable;
pub mod planner;
mod queue;
mod recovery;
pub mod reduction;
mod replay;
pub mod retrieval;
mod runtime;
pub mod sample;
pub mod scan;
pub mod segment;
pub mod status;
mod strays;
pub mod tag;
mod tag_table;
mod verify;
pub mod wal;
mod writing;

pub use backup::{Backup, BackupReport, RestoreReport, restore};
pub use changes::Subscription;
pub use commit::Committed;
pub use config::{Config, ReductionRule, Retention};
pub use engine::{Engine, EngineStatus, RecoveryReport};
pub use error::{Error, ErrorKind, Result};
pub use mark::FORMAT_VERSION;
pub use segment::DamagedSegment;
pub use tag_table::{TagTable, glob_matches};
pub use verify::{Unchecked, VerifyReport, verify};
pub use writing::{OpenSource, TagChange, unknown_tag};
