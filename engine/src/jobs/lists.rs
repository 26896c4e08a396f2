//! Files that tell readers other than Tagus what stands in the manifest: `tags.parquet` and
//! `deletes.parquet`. Both can be written again from it.

use std::path::Path;

use crate::env::{Env, OpenMode};
use crate::error::Result;
use crate::files;
use crate::format::{crc32c, wide};
use crate::manifest::ListFile;

/// Puts a file of these bytes in the place of the older one.
pub(crate) fn replace(env: &Env, path: &Path, bytes: &[u8]) -> Result<ListFile> {
    files::replace(env, path, bytes)?;
    Ok(described(bytes))
}

/// What the manifest says of a file of these bytes.
pub(crate) fn described(bytes: &[u8]) -> ListFile {
    ListFile { bytes: wide(bytes.len()), crc: crc32c(bytes) }
}

/// Whether a file holds what the manifest says.
pub(crate) fn is_intact(env: &Env, path: &Path, expected: ListFile) -> bool {
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
