//! Parquet's encodings of values and of page headers, for the types that segments use.
//!
//! The rows of a segment come in long runs of equal tags, statuses, scales and levels, and its
//! columns are known: encoders that take runs, and decoders that give whole runs back, do in a
//! fraction of a nanosecond a row what general ones do in several.

mod bits;
mod delta;
mod doubles;
mod header;
mod rle;
#[cfg(test)]
mod tests;

pub use delta::{decode_delta, encode_delta};
pub use doubles::{decode_plain, decode_plain_texts, decode_split, encode_split};
pub use header::{PageHeader, PageKind};
pub use rle::{Runs, Series, decode_hybrid, encode_hybrid};

pub use bits::width;

/// Zero bytes that follow every buffer handed to a decoder, so that it may read whole words.
pub const PADDING: usize = 16;

/// Why bytes could not be decoded.
pub type DecodeResult<T> = Result<T, &'static str>;

/// Bytes to decode: `bytes[..len]` count, and at least [`PADDING`] more follow.
#[derive(Clone, Copy)]
pub struct Padded<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Padded<'a> {
    /// The bytes before the last [`PADDING`]; none where there are fewer.
    pub fn new(bytes: &'a [u8]) -> Padded<'a> {
        match bytes.len().checked_sub(PADDING) {
            Some(len) => Padded { bytes, len },
            None => Padded { bytes: &[0; PADDING], len: 0 },
        }
    }

    /// The number of bytes that count.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes that count.
    pub fn as_slice(&self) -> &'a [u8] {
        &self.bytes[..self.len]
    }

    /// The first `n` bytes, taken off; they too may be read beyond their end.
    fn take(&mut self, n: usize) -> DecodeResult<Padded<'a>> {
        if n > self.len {
            return Err("a page ends too early");
        }
        let head = Padded { bytes: self.bytes, len: n };
        *self = Padded { bytes: &self.bytes[n..], len: self.len - n };
        Ok(head)
    }

    /// One byte, taken off.
    pub fn take_byte(&mut self) -> DecodeResult<u8> {
        self.take(1).map(|head| head.bytes[0])
    }

    /// Four bytes as a number, taken off.
    pub fn u32(&mut self) -> DecodeResult<u32> {
        let head = self.take(4)?;
        Ok(u32::from_le_bytes([head.bytes[0], head.bytes[1], head.bytes[2], head.bytes[3]]))
    }

    /// Everything after the first `n` bytes.
    pub fn skip(mut self, n: usize) -> DecodeResult<Padded<'a>> {
        self.take(n)?;
        Ok(self)
    }

    /// The first `n` bytes.
    pub fn head(mut self, n: usize) -> DecodeResult<Padded<'a>> {
        self.take(n)
    }

    /// The word at a byte, which has to lie before the padding's last 8.
    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[at..at + 8]);
        u64::from_le_bytes(word)
    }

    /// A LEB128 number, taken off.
    fn varint(&mut self) -> DecodeResult<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take_byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is longer than 64 bits")
    }

    /// A zigzag number, taken off.
    fn zigzag(&mut self) -> DecodeResult<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

/// Appends a LEB128 number.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag number.
fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}
