//! Reads byte ranges of a segment in one request and checks every byte of them.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::checksums::BlockSums;
use crate::env::{File, is_medium_error};
use crate::error::io_words;
use crate::limits::CHECKSUM_BLOCK_BYTES;
use crate::{Error, Result};

/// Verified bytes of a segment.
#[derive(Default)]
pub struct Fetched {
    /// Whole checksum blocks, ascending, that do not touch: offset and bytes.
    parts: Vec<(u64, Bytes)>,
}

impl Fetched {
    /// Reads the blocks that hold `wanted`, ranges before the offset `end`, in one request.
    /// Returns them and how many bytes were read.
    pub fn read(
        file: &Arc<dyn File>,
        path: &Path,
        sums: &BlockSums,
        end: u64,
        mut wanted: Vec<Range<u64>>,
    ) -> Result<(Fetched, u64)> {
        wanted.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in wanted.iter().filter(|range| !range.is_empty()) {
            let range = BlockSums::widen(range, end);
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        let answers = file.read_ranges(&ranges).map_err(|error| read_error(file, path, &ranges, &error))?;
        let mut parts = Vec::with_capacity(ranges.len());
        let mut bytes_read = 0;
        for (range, bytes) in ranges.iter().zip(answers) {
            let length = bytes.len() as u64;
            if length != range.end - range.start {
                return Err(Error::damaged(path, range.start + length, "the file ends too early"));
            }
            sums.check(range.start, &bytes).map_err(|at| Error::damaged(path, at, "a checksum does not match"))?;
            bytes_read += length;
            parts.push((range.start, bytes));
        }
        Ok((Fetched { parts }, bytes_read))
    }

    /// Whether it has a byte of the file.
    pub fn holds(&self, offset: u64) -> bool {
        self.get(&(offset..offset.saturating_add(1))).is_some()
    }

    /// Bytes that were asked for; none where they were not.
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let i = self.parts.partition_point(|(offset, _)| *offset <= range.start).checked_sub(1)?;
        let (offset, bytes) = &self.parts[i];
        let from = usize::try_from(range.start - offset).ok()?;
        let to = usize::try_from(range.end - offset).ok()?;
        (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}

/// The error of a failed read of `ranges`: a file that ends too early and bytes that the medium has
/// lost are damage, at the first byte that is not to be had. The rest is the disk's.
pub fn read_error(file: &Arc<dyn File>, path: &Path, ranges: &[Range<u64>], error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let end = file.len().unwrap_or(0);
        let offset = ranges.iter().find(|range| range.end > end).map_or(end, |range| range.start.max(end));
        return Error::damaged(path, offset, "the file ends too early");
    }
    if is_medium_error(error) {
        return Error::damaged(path, first_unreadable(file, ranges), unreadable(error));
    }
    Error::io("reading", path, error)
}

/// What is wrong with bytes that the medium has lost.
pub fn unreadable(error: &io::Error) -> String {
    format!("the disk cannot read it ({})", io_words(error))
}

/// The first block of `ranges` that cannot be read by itself.
fn first_unreadable(file: &Arc<dyn File>, ranges: &[Range<u64>]) -> u64 {
    let blocks = ranges.iter().flat_map(|range| {
        let starts = range.clone().step_by(CHECKSUM_BLOCK_BYTES);
        starts.map(|start| start..range.end.min(start + CHECKSUM_BLOCK_BYTES as u64))
    });
    let mut failing = blocks.filter(|block| file.read_ranges(std::slice::from_ref(block)).is_err());
    failing.next().or(ranges.first().cloned()).map_or(0, |block| block.start)
}
