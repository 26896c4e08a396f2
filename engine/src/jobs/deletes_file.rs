//! `deletes.parquet`: which rows of the segments are deleted, for readers other than Tagus. A row of
//! a listed tag and time counts no more if the sequence in its file's name is below the delete's.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::delete::Delete;
use crate::error::{Error, Result};
use crate::tag::TagId;

/// The bytes of the file: a row for each range of tags of each delete.
pub(crate) fn encode(deletes: &[Arc<Delete>]) -> Result<Vec<u8>> {
    encoded(deletes).map_err(|e| Error::invalid("writing deletes.parquet", e.to_string(), "report this defect"))
}

fn encoded(deletes: &[Arc<Delete>]) -> parquet::errors::Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch(&[])?.schema(), Some(properties))?;
    writer.write(&batch(deletes)?)?;
    writer.into_inner()
}

fn batch(deletes: &[Arc<Delete>]) -> parquet::errors::Result<RecordBatch> {
    let rows = || deletes.iter().flat_map(|delete| delete.tags.ranges().iter().map(move |range| (delete, range)));
    let id = |tag: TagId| i32::try_from(tag.0).unwrap_or(i32::MAX);
    let sequence = |delete: &Delete| i64::try_from(delete.sequence).unwrap_or(i64::MAX);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("sequence", Arc::new(rows().map(|(delete, _)| Some(sequence(delete))).collect::<Int64Array>()), false),
        ("first_tag_id", Arc::new(rows().map(|(_, range)| Some(id(range.0))).collect::<Int32Array>()), false),
        ("last_tag_id", Arc::new(rows().map(|(_, range)| Some(id(range.1))).collect::<Int32Array>()), false),
        ("from_ns", Arc::new(rows().map(|(delete, _)| Some(delete.from)).collect::<Int64Array>()), false),
        ("to_ns", Arc::new(rows().map(|(delete, _)| Some(delete.to)).collect::<Int64Array>()), false),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
