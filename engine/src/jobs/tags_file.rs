//! `tags.parquet`: the names behind the tag ids of the segments, for readers other than Tagus.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::lists;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::manifest::ListFile;
use crate::tag::Tag;
use crate::tag_table::TagTable;

/// Tags of one batch at most, and bytes of their texts after which a batch ends: a column of texts
/// holds 2 GiB at most, and the states of all tags may be more.
const BATCH_TAGS: usize = 65_536;
const BATCH_TEXT_BYTES: usize = 64 << 20;

/// Writes the file anew and puts it in the place of the older one.
pub(crate) fn write(env: &Env, path: &Path, tags: &TagTable) -> Result<ListFile> {
    lists::replace(env, path, &bytes(tags)?)
}

/// The bytes of the file.
pub(crate) fn bytes(tags: &TagTable) -> Result<Vec<u8>> {
    encode(tags, BATCH_TEXT_BYTES)
        .map_err(|e| Error::invalid("writing tags.parquet", e.to_string(), "report this defect"))
}

fn encode(tags: &TagTable, batch_bytes: usize) -> parquet::errors::Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch(&[])?.schema(), Some(properties))?;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    for tag in tags.iter() {
        waiting.push(tag);
        bytes += tag.spec.states.iter().map(|(_, name)| name.len() + 24).sum::<usize>();
        if waiting.len() >= BATCH_TAGS || bytes >= batch_bytes {
            writer.write(&batch(&waiting)?)?;
            // A row group each: the writer keeps what is not written in memory, uncompressed.
            writer.flush()?;
            waiting.clear();
            bytes = 0;
        }
    }
    writer.write(&batch(&waiting)?)?;
    writer.into_inner()
}

fn batch(tags: &[&Arc<Tag>]) -> parquet::errors::Result<RecordBatch> {
    let texts = |text: fn(&Tag) -> String| -> ArrayRef {
        Arc::new(tags.iter().map(|t| Some(text(t))).collect::<StringArray>())
    };
    let ids = tags.iter().map(|t| i32::try_from(t.id.0).unwrap_or(i32::MAX));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("tag_id", Arc::new(ids.map(Some).collect::<Int32Array>()), false),
        ("tag", texts(|t| t.spec.name.clone()), false),
        ("type", texts(|t| t.spec.tag_type.word().into()), false),
        ("unit", texts(|t| t.spec.unit.clone()), false),
        ("description", texts(|t| t.spec.description.clone()), false),
        ("interpolation", texts(|t| t.spec.interpolation.word().into()), false),
        ("low", Arc::new(tags.iter().map(|t| t.spec.low).collect::<Float64Array>()), true),
        ("high", Arc::new(tags.iter().map(|t| t.spec.high).collect::<Float64Array>()), true),
        ("states", texts(|t| t.spec.states_text()), false),
        ("future", Arc::new(tags.iter().map(|t| Some(t.spec.future)).collect::<BooleanArray>()), false),
        (
            "created",
            Arc::new(tags.iter().map(|t| Some(t.created)).collect::<TimestampNanosecondArray>().with_timezone("UTC")),
            false,
        ),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::tag::{TagId, TagSpec, TagType};

    #[test]
    fn tags_with_much_text_come_in_several_row_groups() {
        let mut tags = TagTable::default();
        for id in 1..=5 {
            let mut spec = TagSpec::new(format!("valve{id}"), TagType::Digital);
            spec.states = vec![(0, "Closed".into()), (1, "Open".into())];
            tags.put(Arc::new(Tag { id: TagId(id), created: 0, spec }));
        }
        for (batch_bytes, groups) in [(1, 5), (100, 3), (1000, 1)] {
            let bytes = Bytes::from(encode(&tags, batch_bytes).unwrap());
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            assert_eq!(reader.metadata().num_row_groups(), groups, "{batch_bytes} bytes a group");
            let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
            assert_eq!(rows, 5);
        }
    }
}
