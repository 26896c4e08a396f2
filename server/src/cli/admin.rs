//! `tagus flush` and `tagus compact`: put segments in order and list them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tagus_proto::v1::{CompactRequest, FlushRequest, Segment};

use super::args::{CompactArgs, FlushArgs, Format};
use super::connect::{self, work};
use super::error::{Failure, Result};
use super::format;
use super::output::Output;

/// Runs `tagus flush`.
pub async fn flush(args: FlushArgs) -> Result<()> {
    let mut client = connect::open(&args.connect).await?.admin();
    let response = work("flushing", client.flush(FlushRequest {})).await?.into_inner();
    print(&response.segments)
}

/// Runs `tagus compact`.
pub async fn compact(args: CompactArgs) -> Result<()> {
    let mut client = connect::open(&args.connect).await?.admin();
    let response = work("compacting", client.compact(CompactRequest {})).await?.into_inner();
    print(&response.segments)
}

fn print(segments: &[Segment]) -> Result<()> {
    let batch = batch(segments)?;
    let mut sink = format::sink(Format::Table, &batch.schema(), Output::open(None)?)?;
    sink.batch(&batch)?;
    sink.finish()
}

fn batch(segments: &[Segment]) -> Result<RecordBatch> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(segments.iter().map(|s| &s.path))),
        Arc::new(Int64Array::from_iter_values(segments.iter().map(|s| number(s.rows)))),
        Arc::new(Int64Array::from_iter_values(segments.iter().map(|s| number(s.bytes)))),
    ];
    let schema = Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
    ]);
    RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|e| Failure::new("printing the segments", e, "use a server and a client of the same version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_become_rows() {
        let segments = [Segment { path: "d/1.parquet".into(), rows: 7, bytes: 4096 }];
        let batch = batch(&segments).unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (1, 3));
    }
}
