//! Copies a segment's file, for backups: no byte is written before its checksum was right.

use std::path::Path;
use std::sync::Arc;

use super::Segment;
use super::output::Output;
use crate::env::{Disk, OpenMode};
use crate::limits::CHECKSUM_BLOCK_BYTES;
use crate::{Error, Result};

/// Bytes that are copied at once; a multiple of the checksum blocks.
const CHUNK: u64 = 16 * CHECKSUM_BLOCK_BYTES as u64;

impl Segment {
    /// Whether the file has the length and the tail that the manifest says. The tail has the
    /// checksums of all that is before it: this tells files apart without reading them, and finds
    /// damage of the tail only.
    pub(crate) fn is_alike(&self, disk: &Arc<dyn Disk>) -> bool {
        let inner = self.inner();
        // A file that is not there is no damage, and is not to be noted as one.
        disk.open(&inner.path, OpenMode::Read).is_ok_and(|file| inner.tail_bytes(&file).is_ok())
    }

    /// Copies the file to `to`, which must not exist, and syncs it. Takes a chunk of memory beside
    /// the tail. `step` is told the bytes of each chunk; its error ends the copying.
    ///
    /// # Errors
    /// `Damaged` where bytes are not what was written, `Exhausted` where the disk is full, or the
    /// step's. Then `to` is removed again.
    pub(crate) fn copy(&self, disk: &Arc<dyn Disk>, to: &Path, step: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let (inner, meta) = (self.inner(), self.meta());
        let file = inner.open()?;
        let (tail, tail_bytes) = inner.read_tail(&file)?;
        let mut output = Output::create(disk, to.to_owned())?;
        let mut start = 0;
        while start < meta.tail_offset {
            let range = start..(start + CHUNK).min(meta.tail_offset);
            let (fetched, _) = inner.fetch(&file, &tail, vec![range.clone()])?;
            let bytes = fetched.get(&range);
            output.write(&bytes.ok_or_else(|| Error::damaged(&inner.path, start, "the file ends too early"))?)?;
            step(range.end - start)?;
            start = range.end;
        }
        output.write(&tail_bytes)?;
        step(meta.bytes - meta.tail_offset)?;
        output.finish()
    }
}
