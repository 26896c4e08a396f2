//! JSON lines: one object a row, every column present.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::Sink;
use super::value::{Column, push_json_text};
use crate::cli::error::Result;
use crate::cli::output::Output;

/// Writes JSON lines.
pub struct JsonSink {
    output: Output,
    /// `"name":` of each column.
    keys: Vec<Vec<u8>>,
    line: Vec<u8>,
}

impl JsonSink {
    /// Prepares the keys.
    pub fn new(schema: &SchemaRef, output: Output) -> Result<JsonSink> {
        let key = |name: &str| {
            let mut key = Vec::new();
            push_json_text(&mut key, name);
            key.push(b':');
            key
        };
        let keys = schema.fields().iter().map(|field| key(field.name())).collect();
        Ok(JsonSink { output, keys, line: Vec::new() })
    }
}

impl Sink for JsonSink {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.line.clear();
            self.line.push(b'{');
            for (index, (key, column)) in self.keys.iter().zip(&columns).enumerate() {
                if index > 0 {
                    self.line.push(b',');
                }
                self.line.extend_from_slice(key);
                column.json(row, &mut self.line)?;
            }
            self.line.extend_from_slice(b"}\n");
            self.output.write(&self.line)?;
        }
        self.output.flush()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.output.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn every_column_is_in_every_line() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("tag", Arc::new(StringArray::from(vec!["a\"\\b", "ü"]))),
            ("time", Arc::new(TimestampNanosecondArray::from(vec![0, 1]).with_timezone("UTC"))),
            ("value", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.1)]))),
            ("status", Arc::new(Int64Array::from(vec![None, Some(2_157_641_728)]))),
            ("on \"q\"", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut sink = Box::new(JsonSink::new(&batch.schema(), Output::open(Some(&path)).unwrap()).unwrap());
        sink.batch(&batch).unwrap();
        sink.finish().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text,
            r#"{"tag":"a\"\\b","time":"1970-01-01T00:00:00Z","value":null,"status":null,"on \"q\"":true}
{"tag":"ü","time":"1970-01-01T00:00:00.000000001Z","value":0.1,"status":2157641728,"on \"q\"":null}
"#
        );
        for line in text.lines() {
            let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(parsed.as_object().unwrap().len(), 5);
        }
    }
}
