//! How bytes on disk are written, read and checked. No I/O, and no `as`: a length that does not
//! fit is an error, never a truncation under a valid checksum.
//!
//! All integers are little endian. A *varint* is LEB128 of an unsigned 64-bit number in its
//! shortest form; a *zigzag* is a varint of a signed number with the sign in its lowest bit.

mod checksum;
mod decoder;
mod delete;
mod encoder;
mod frame;
mod tag;
#[cfg(test)]
mod tests;

pub use checksum::{Checksum, crc32c};
pub use decoder::{DecodeError, Decoder};
pub use delete::{DELETE_BYTES_MIN, decode_delete, encode_delete};
pub use encoder::Encoder;
pub use frame::{BlockTags, Frame, FrameBlock, SampleFrame, SourceMark, decode_frame, encode_frame};
pub use tag::{TAG_BYTES_MIN, decode_tag, encode_tag};

/// A length in memory as it is written.
pub fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("no machine this runs on has addresses of more than 64 bits")
}
