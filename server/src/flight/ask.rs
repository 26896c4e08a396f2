//! What a Flight SQL command asks for: rows of a query, or rows about the server.

use arrow::array::RecordBatch;
use arrow_flight::sql::{Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes};
use prost::bytes::Bytes;
use tonic::Status;

use super::{keys, sql_info, tables, unsupported, xdbc};
use crate::grpc::status;
use crate::limits;
use crate::query::Queries;

/// What is to be answered.
pub enum Ask {
    /// The result of a statement.
    Query(String),
    /// These rows.
    Rows(RecordBatch),
}

/// What a command asks for.
///
/// # Errors
/// INVALID_ARGUMENT for a malformed command, UNIMPLEMENTED for one that is not served.
pub fn resolve(command: Command, queries: &Queries) -> Result<Ask, Status> {
    match command {
        Command::CommandStatementQuery(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            query(command.query)
        }
        Command::TicketStatementQuery(ticket) => query(text(&ticket.statement_handle)?),
        Command::CommandPreparedStatementQuery(command) => query(text(&command.prepared_statement_handle)?),
        Command::CommandGetCatalogs(command) => catalogs(command).map(Ask::Rows),
        Command::CommandGetDbSchemas(command) => schemas(command).map(Ask::Rows),
        Command::CommandGetTables(command) => tables::tables(command, queries).map(Ask::Rows),
        Command::CommandGetTableTypes(command) => table_types(command).map(Ask::Rows),
        Command::CommandGetSqlInfo(command) => sql_info::answer(command).map(Ask::Rows),
        Command::CommandGetXdbcTypeInfo(command) => xdbc::answer(command).map(Ask::Rows),
        Command::CommandGetPrimaryKeys(command) => keys::primary(&command).map(Ask::Rows),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign().map(Ask::Rows),
        Command::CommandStatementSubstraitPlan(_) => unsupported("Substrait plans are not read; send SQL"),
        other => unsupported(&format!("{} is not served", tagus_engine::tag::quoted(other.type_url()))),
    }
}

fn query(sql: String) -> Result<Ask, Status> {
    check_sql(&sql)?;
    Ok(Ask::Query(sql))
}

/// Refuses SQL that is too long.
pub fn check_sql(sql: &str) -> Result<(), Status> {
    status::check_bound("the SQL", sql.len(), limits::SQL_BYTES_MAX, "bytes")
}

/// Refuses a statement that is to run within a transaction.
pub fn no_transaction(id: Option<&Bytes>) -> Result<(), Status> {
    match id.filter(|id| !id.is_empty()) {
        Some(_) => Err(Status::invalid_argument("the request failed: there are no transactions here; leave them out")),
        None => Ok(()),
    }
}

fn text(handle: &Bytes) -> Result<String, Status> {
    check_length(handle)?;
    String::from_utf8(handle.to_vec())
        .map_err(|_| Status::invalid_argument("the request failed: its handle was not given by this server; ask anew"))
}

fn check_length(handle: &Bytes) -> Result<(), Status> {
    status::check_bound("the handle", handle.len(), limits::SQL_BYTES_MAX, "bytes")
}

fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(tables::CATALOG);
    Ok(builder.build()?)
}

fn schemas(command: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(tables::CATALOG, tables::SCHEMA);
    Ok(builder.build()?)
}

fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(tables::TABLE_TYPE);
    Ok(builder.build()?)
}
