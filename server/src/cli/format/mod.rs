//! Results in the formats that users ask for.

pub mod csv;
pub mod json;
pub mod parquet;
pub mod table;
pub mod value;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::args::Format;
use super::error::Result;
use super::output::Output;

/// Takes a result, batch after batch, and writes it in one format.
pub trait Sink {
    /// Writes the rows of one batch, which has the schema that the sink was made for.
    fn batch(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Writes what comes after the last row, and completes the output.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A sink of `format`.
pub fn sink(format: Format, schema: &SchemaRef, output: Output) -> Result<Box<dyn Sink>> {
    Ok(match format {
        Format::Table => Box::new(table::TableSink::new(schema, output)),
        Format::Csv => Box::new(csv::CsvSink::new(schema, output)?),
        Format::Json => Box::new(json::JsonSink::new(schema, output)?),
        Format::Parquet => Box::new(parquet::ParquetSink::new(schema, output)?),
    })
}
