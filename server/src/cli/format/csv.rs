//! Comma-separated values: a header line, RFC 4180 quotes only where needed.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::Sink;
use super::value::Column;
use crate::cli::error::Result;
use crate::cli::output::Output;

/// Writes CSV.
pub struct CsvSink {
    output: Output,
    line: Vec<u8>,
    field: Vec<u8>,
}

impl CsvSink {
    /// Writes the header line.
    pub fn new(schema: &SchemaRef, output: Output) -> Result<CsvSink> {
        let mut sink = CsvSink { output, line: Vec::new(), field: Vec::new() };
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                sink.line.push(b',');
            }
            push_field(&mut sink.line, field.name().as_bytes());
        }
        sink.end_line()?;
        Ok(sink)
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.push(b'\n');
        self.output.write(&self.line)?;
        self.line.clear();
        Ok(())
    }
}

impl Sink for CsvSink {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    self.line.push(b',');
                }
                if column.is_null(row) {
                    continue;
                }
                self.field.clear();
                column.text(row, &mut self.field)?;
                push_field(&mut self.line, &self.field);
            }
            if self.line.is_empty() {
                // A blank line is no record to most readers.
                self.line.extend_from_slice(b"\"\"");
            }
            self.end_line()?;
        }
        self.output.flush()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.output.finish()
    }
}

/// Appends a field that is not NULL, in quotes where it needs them. An empty text needs them: it
/// is not NULL.
pub fn push_field(line: &mut Vec<u8>, field: &[u8]) {
    if !field.is_empty() && !field.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        line.extend_from_slice(field);
        return;
    }
    line.push(b'"');
    for byte in field {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn written(columns: Vec<(&str, ArrayRef)>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut sink = Box::new(CsvSink::new(&batch.schema(), Output::open(Some(&path)).unwrap()).unwrap());
        sink.batch(&batch).unwrap();
        sink.finish().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn quotes_stand_only_where_needed() {
        let text = written(vec![
            ("tag", Arc::new(StringArray::from(vec!["a b", "a,b", "a\"b", "a\nb", "", "ä'|;"]))),
            ("a \"name\"", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4), Some(5), Some(6)]))),
        ]);
        assert_eq!(text, "tag,\"a \"\"name\"\"\"\na b,1\n\"a,b\",\n\"a\"\"b\",3\n\"a\nb\",4\n\"\",5\nä'|;,6\n");
    }

    #[test]
    fn nulls_are_empty_and_times_are_utc() {
        let text = written(vec![
            ("time", Arc::new(TimestampNanosecondArray::from(vec![Some(999_000_000), None]).with_timezone("UTC"))),
            ("value", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
        ]);
        assert_eq!(text, "time,value\n1970-01-01T00:00:00.999Z,1.5\n,\n");
    }

    #[test]
    fn a_lone_null_is_still_a_record() {
        let text = written(vec![("value", Arc::new(Int64Array::from(vec![None, Some(1)])))]);
        assert_eq!(text, "value\n\"\"\n1\n");
    }
}
