//! The tables that Flight SQL clients can list.

use arrow::array::RecordBatch;
use arrow_flight::sql::CommandGetTables;
pub use tagus_sql::{CATALOG, SCHEMA};
use tonic::Status;

use crate::query::Queries;

/// The type of all tables.
pub const TABLE_TYPE: &str = "TABLE";

/// The tables that a command asks for, with their schemas if it wants them.
pub fn tables(command: CommandGetTables, queries: &Queries) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    for (table, schema) in queries.tables() {
        builder.append(CATALOG, SCHEMA, table, TABLE_TYPE, &schema).map_err(Status::from)?;
    }
    Ok(builder.build()?)
}
