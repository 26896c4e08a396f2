//! The header of a log file: the first bytes of its first block.

use crate::format::{DecodeError, Decoder, Encoder, crc32c};
use crate::limits::{BLOCK_BYTES, SEQUENCE_MAX};

/// The first bytes of every log file.
const MAGIC: &[u8; 8] = b"TAGUSLOG";
/// The version of the format that this code writes and reads.
pub(super) const VERSION: u32 = 1;
/// Bytes under the checksum, which follows them. Together they lie in one sector.
const CHECKED_BYTES: usize = 56;
/// All bytes of the header; zeros follow to the end of the block.
pub(super) const HEADER_BYTES: usize = CHECKED_BYTES + 4;
/// Set where the log was closed in order: zeros follow to the end of the file.
const FLAG_CLOSED: u32 = 1;

/// What a log file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Random; the frames of this file carry it too.
    pub file_id: u64,
    /// Counts the headers written over the life of the log: tells apart files of the same start.
    pub number: u64,
    /// The last sequence accepted before this file.
    pub start_after: u64,
    /// The last sequence before this file that had a payload, or that segments held.
    pub data_through: u64,
    /// The length of the file.
    pub file_bytes: u64,
    /// Whether the log was closed in order and holds nothing.
    pub closed: bool,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// All zero: a file that was prepared and never used.
    Unused,
    /// A header of another version of the format.
    Version(u32),
    /// Anything else.
    Damaged(String),
}

impl From<DecodeError> for NoHeader {
    fn from(error: DecodeError) -> NoHeader {
        NoHeader::Damaged(error.why)
    }
}

impl Header {
    /// The header block.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(BLOCK_BYTES);
        out.raw(MAGIC);
        out.u32(VERSION);
        out.u32(if self.closed { FLAG_CLOSED } else { 0 });
        out.u64(self.file_id);
        out.u64(self.number);
        out.u64(self.start_after);
        out.u64(self.data_through);
        out.u64(self.file_bytes);
        debug_assert_eq!(out.len(), CHECKED_BYTES);
        let crc = crc32c(out.as_slice());
        out.u32(crc);
        out.pad(BLOCK_BYTES);
        out.into_vec()
    }

    /// Reads a header from the first bytes of a file.
    pub fn parse(block: &[u8]) -> Result<Header, NoHeader> {
        if !block.is_empty() && block.iter().all(|byte| *byte == 0) {
            return Err(NoHeader::Unused);
        }
        let mut input = Decoder::new(block);
        if input.raw(MAGIC.len())? != MAGIC {
            return Err(NoHeader::Damaged("the file does not begin as a log file".into()));
        }
        let version = input.u32()?;
        let flags = input.u32()?;
        let header = Header {
            file_id: input.u64()?,
            number: input.u64()?,
            start_after: input.u64()?,
            data_through: input.u64()?,
            file_bytes: input.u64()?,
            closed: flags & FLAG_CLOSED != 0,
        };
        if input.u32()? != crc32c(&block[..CHECKED_BYTES]) {
            return Err(NoHeader::Damaged("the checksum of the header does not match".into()));
        }
        if version != VERSION || flags > FLAG_CLOSED {
            return Err(NoHeader::Version(version));
        }
        // Counting on from there never ends in an overflow.
        if header.start_after.max(header.number) > SEQUENCE_MAX || header.data_through > header.start_after {
            return Err(NoHeader::Damaged("the header says what cannot be".into()));
        }
        Ok(header)
    }
}
