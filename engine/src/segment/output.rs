//! The file of a segment while it is written, front to back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checksums::{BlockSummer, BlockSums};
use crate::env::{Disk, File, OpenMode};
use crate::{Error, Result};

/// Bytes after which what was written is synced: a sync at the end alone would hold up the
/// log's own for as long as the whole file takes.
const SYNC_BYTES: usize = 4 << 20;

/// A file that grows at its end. Unless it is kept, it is removed when dropped.
pub struct Output {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn File>,
    offset: u64,
    unsynced: usize,
    sums: BlockSummer,
    keep: bool,
}

impl Output {
    /// Creates the file, which must not exist.
    pub fn create(disk: &Arc<dyn Disk>, path: PathBuf) -> Result<Output> {
        let file = disk.open(&path, OpenMode::CreateNew).map_err(|e| Error::creating(&path, &e))?;
        let disk = disk.clone();
        Ok(Output { disk, path, file, offset: 0, unsynced: 0, sums: BlockSummer::new(), keep: false })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(SYNC_BYTES) {
            self.file.write_all_at(part, self.offset).map_err(|e| Error::io("writing", &self.path, &e))?;
            self.sums.add(part);
            self.offset += part.len() as u64;
            self.unsynced += part.len();
            if self.unsynced >= SYNC_BYTES {
                self.sync()?;
            }
        }
        Ok(())
    }

    /// The checksums of all bytes so far; what follows is not summed.
    pub fn take_sums(&mut self) -> BlockSums {
        std::mem::replace(&mut self.sums, BlockSummer::new()).finish()
    }

    /// Makes everything durable and keeps the file.
    pub fn finish(&mut self) -> Result<()> {
        self.sync()?;
        self.keep = true;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("syncing", &self.path, &e))?;
        self.unsynced = 0;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Room on the disk may be what was lacking. A file that stays is garbage that no
        // manifest names.
        if !self.keep
            && let Err(error) = self.disk.remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished segment stays behind");
        }
    }
}
