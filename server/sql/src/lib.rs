//! SQL over the engine: the only crate that names the query planner.
//!
//! [`SqlService`] answers read-only SQL in PostgreSQL's flavour over the tables `samples`, `tags`
//! and `current_values`. A query runs on one read view, which shows every sample acknowledged
//! before it began. Plan nodes hold plain values and no handle of the engine: that comes from the
//! session, so that a plan can be sent elsewhere.

mod blocking;
mod catalog;
mod check;
mod codec;
mod context;
mod counting;
mod error;
mod functions;
mod growing;
mod idle;
mod names;
mod offsets;
mod opaque;
mod output;
mod over_time;
mod parameters;
mod retrieval;
mod samples;
mod service;
mod session;
mod sorts;
mod tables;
#[cfg(test)]
mod tests;

pub use catalog::{CATALOG, SCHEMA};
pub use check::{
    PLAN_NODES_MAX, SQL_BYTES_MAX, SQL_CHAIN_TOKENS_MAX, SQL_EXPRESSION_DEPTH_MAX, SQL_NESTING_MAX, SQL_RELATIONS_MAX,
    STACK_BYTES,
};
pub use codec::PlanCodec;
pub use error::{SqlError, SqlErrorKind};
pub use idle::IDLE_MAX;
pub use parameters::PARAMETERS_MAX;
pub use service::{SqlOptions, SqlService};
pub use session::{Description, QueryResult, Session};
