//! `tags.parquet`: the names behind the tag ids of the segments, for readers other than Tagus.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{crc32c, wide};
use crate::manifest::TagsFile;
use crate::tag::Tag;
use crate::tag_table::TagTable;

/// Writes the file anew and puts it in the place of the older one.
pub(crate) fn write(env: &Env, path: &Path, tags: &TagTable) -> Result<TagsFile> {
    let bytes =
        encode(tags).map_err(|e| Error::invalid("writing tags.parquet", e.to_string(), "report this defect"))?;
    let temporary = path.with_extension("tmp");
    let dir = path.parent().unwrap_or(Path::new("."));
    let replace = || -> std::io::Result<()> {
        match env.disk.remove(&temporary) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = env.disk.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        env.disk.rename(&temporary, path)
    };
    replace().map_err(|e| {
        let _ = env.disk.remove(&temporary);
        Error::io("writing", path, &e)
    })?;
    // A directory that could not be synced is not synced again, whatever the reason.
    env.disk.sync_dir(dir).map_err(|e| Error::io("syncing", dir, &e).with_kind(ErrorKind::Io))?;
    Ok(TagsFile { bytes: wide(bytes.len()), crc: crc32c(&bytes) })
}

/// Whether the file holds what the manifest says.
pub(crate) fn is_intact(env: &Env, path: &Path, expected: TagsFile) -> bool {
    let read = || -> std::io::Result<bool> {
        let file = env.disk.open(path, OpenMode::Read)?;
        if file.len()? != expected.bytes {
            return Ok(false);
        }
        let bytes = file.read_ranges(std::slice::from_ref(&(0..expected.bytes)))?;
        Ok(crc32c(&bytes[0]) == expected.crc)
    };
    read().unwrap_or(false)
}

fn encode(tags: &TagTable) -> parquet::errors::Result<Vec<u8>> {
    let texts = |text: fn(&Tag) -> String| -> ArrayRef {
        Arc::new(tags.iter().map(|t| Some(text(t))).collect::<StringArray>())
    };
    let ids = tags.iter().map(|t| i32::try_from(t.id.0).unwrap_or(i32::MAX));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("tag_id", Arc::new(ids.map(Some).collect::<Int32Array>())),
        ("tag", texts(|t| t.spec.name.clone())),
        ("type", texts(|t| t.spec.tag_type.word().into())),
        ("unit", texts(|t| t.spec.unit.clone())),
        ("description", texts(|t| t.spec.description.clone())),
        ("interpolation", texts(|t| t.spec.interpolation.word().into())),
        ("low", Arc::new(tags.iter().map(|t| t.spec.low).collect::<Float64Array>())),
        ("high", Arc::new(tags.iter().map(|t| t.spec.high).collect::<Float64Array>())),
        ("states", texts(|t| t.spec.states_text())),
        ("future", Arc::new(tags.iter().map(|t| Some(t.spec.future)).collect::<BooleanArray>())),
        (
            "created",
            Arc::new(tags.iter().map(|t| Some(t.created)).collect::<TimestampNanosecondArray>().with_timezone("UTC")),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()
}
