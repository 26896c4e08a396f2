//! A Parquet file, written row group by row group.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::Sink;
use crate::cli::error::{Failure, Result};
use crate::cli::output::{NewFile, Output};

/// Encoded bytes that wait for their row group to be complete, at most.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;
/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Writes a Parquet file.
pub struct ParquetSink {
    writer: ArrowWriter<NewFile>,
}

impl ParquetSink {
    /// Starts the file. Stdout is refused: a Parquet file is no stream.
    pub fn new(schema: &SchemaRef, output: Output) -> Result<ParquetSink> {
        let Output::File(file) = output else {
            return Err(Failure::usage("writing Parquet", "stdout cannot take it", "give --output FILE"));
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(|e| failure(&e))?;
        Ok(ParquetSink { writer })
    }
}

impl Sink for ParquetSink {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|e| failure(&e))?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
            self.writer.flush().map_err(|e| failure(&e))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.writer.into_inner().map_err(|e| failure(&e))?.keep()
    }
}

fn failure(error: &ParquetError) -> Failure {
    Failure::new("writing the Parquet file", error, "check the disk, or use --format csv")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn what_was_written_reads_back() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("tag", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("time", Arc::new(TimestampNanosecondArray::from(vec![1, 2]).with_timezone("UTC"))),
            ("value", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.parquet");
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut sink = Box::new(ParquetSink::new(&batch.schema(), Output::open(Some(&path)).unwrap()).unwrap());
        sink.batch(&batch).unwrap();
        assert!(!path.exists());
        sink.finish().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
        let back: Vec<RecordBatch> = reader.map(|b| b.unwrap()).collect();
        assert_eq!(back, [batch]);
    }

    #[test]
    fn stdout_is_refused() {
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let Err(Failure::Usage(text)) = ParquetSink::new(&schema, Output::open(None).unwrap()) else {
            panic!("it must be refused");
        };
        assert_eq!(text, "writing Parquet failed: stdout cannot take it; give --output FILE");
    }
}
