//! Reads byte ranges of a segment in one request and checks every byte of them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::checksums::BlockSums;
use crate::env::File;
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
        let answers = file.read_ranges(&ranges).map_err(|error| read_error(path, &ranges, &error))?;
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

    /// Bytes that were asked for; none where they were not.
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let i = self.parts.partition_point(|(offset, _)| *offset <= range.start).checked_sub(1)?;
        let (offset, bytes) = &self.parts[i];
        let from = usize::try_from(range.start - offset).ok()?;
        let to = usize::try_from(range.end - offset).ok()?;
        (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}

/// The error of a failed read: a file that ends too early is damaged, the rest is the disk's.
pub fn read_error(path: &Path, ranges: &[Range<u64>], error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            let offset = ranges.first().map_or(0, |range| range.start);
            Error::damaged(path, offset, "the file ends too early")
        }
        _ => Error::io("reading", path, error),
    }
}
