//! Files that tell readers other than Tagus what stands in the manifest: `tags.parquet` and
//! `deletes.parquet`. Both can be written again from it.

use std::path::Path;

use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{crc32c, wide};
use crate::manifest::ListFile;

/// Puts a file of these bytes in the place of the older one.
pub(crate) fn replace(env: &Env, path: &Path, bytes: &[u8]) -> Result<ListFile> {
    let temporary = path.with_extension("tmp");
    let dir = path.parent().unwrap_or(Path::new("."));
    let replace = || -> std::io::Result<()> {
        match env.disk.remove(&temporary) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = env.disk.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        env.disk.rename(&temporary, path)
    };
    replace().map_err(|e| {
        let _ = env.disk.remove(&temporary);
        Error::io("writing", path, &e)
    })?;
    // A directory that could not be synced is not synced again, whatever the reason.
    env.disk.sync_dir(dir).map_err(|e| Error::io("syncing", dir, &e).with_kind(ErrorKind::Io))?;
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
