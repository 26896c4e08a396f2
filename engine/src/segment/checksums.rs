//! One CRC32C for each 64 KiB of a segment before its tail.

use std::ops::Range;

use crate::format::{Checksum, DecodeError, Decoder, Encoder, crc32c};
use crate::limits::CHECKSUM_BLOCK_BYTES;

const BLOCK: u64 = CHECKSUM_BLOCK_BYTES as u64;

/// Sums bytes up as they are written, one after another.
pub struct BlockSummer {
    sums: Vec<u32>,
    open: Checksum,
    open_bytes: usize,
}

impl BlockSummer {
    /// No bytes yet.
    pub fn new() -> BlockSummer {
        BlockSummer { sums: Vec::new(), open: Checksum::new(), open_bytes: 0 }
    }

    /// Adds the next bytes of the file.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(CHECKSUM_BLOCK_BYTES - self.open_bytes));
            self.open.update(head);
            self.open_bytes += head.len();
            bytes = tail;
            if self.open_bytes == CHECKSUM_BLOCK_BYTES {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.sums.push(std::mem::take(&mut self.open).value());
        self.open_bytes = 0;
    }

    /// The checksums; the last block may be shorter than the others.
    pub fn finish(mut self) -> BlockSums {
        if self.open_bytes > 0 {
            self.close();
        }
        BlockSums(self.sums)
    }
}

/// The checksums of a segment's blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSums(Vec<u32>);

impl BlockSums {
    /// The number of blocks.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends the checksums as they stand in the file.
    pub fn encode(&self, out: &mut Encoder) {
        for sum in &self.0 {
            out.u32(*sum);
        }
    }

    /// Reads those of a file with `bytes` bytes before its tail.
    pub fn decode(source: &mut Decoder<'_>, bytes: u64) -> Result<BlockSums, DecodeError> {
        let count = usize::try_from(bytes.div_ceil(BLOCK)).map_err(|_| source.error("too many blocks"))?;
        if source.remaining() / 4 < count {
            return Err(source.error(format!("{count} block checksums expected")));
        }
        (0..count).map(|_| source.u32()).collect::<Result<_, _>>().map(BlockSums)
    }

    /// The whole blocks that hold a range of bytes, in a file with `end` bytes before its tail.
    pub fn widen(range: &Range<u64>, end: u64) -> Range<u64> {
        range.start / BLOCK * BLOCK..range.end.next_multiple_of(BLOCK).min(end)
    }

    /// Checks bytes that start at a block's offset and end with a block; on a mismatch the
    /// offset of the first wrong block.
    pub fn check(&self, offset: u64, bytes: &[u8]) -> Result<(), u64> {
        for (at, block) in (offset / BLOCK..).zip(bytes.chunks(CHECKSUM_BLOCK_BYTES)) {
            let sum = usize::try_from(at).ok().and_then(|at| self.0.get(at));
            if sum != Some(&crc32c(block)) {
                return Err(at * BLOCK);
            }
        }
        Ok(())
    }
}
