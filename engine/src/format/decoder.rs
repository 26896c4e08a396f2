//! Reads values back from bytes that may be anything.

use std::fmt;
use std::path::Path;

use super::wide;
use crate::Error;

/// Bytes that do not say what they should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Where, in bytes from the start of what was decoded.
    pub offset: usize,
    /// What is wrong there.
    pub why: String,
}

impl DecodeError {
    /// An error at `offset`.
    pub fn new(offset: usize, why: impl Into<String>) -> DecodeError {
        DecodeError { offset, why: why.into() }
    }

    /// The engine's error for bytes that stand at `base` in the file `path`.
    pub fn in_file(&self, path: &Path, base: u64) -> Error {
        Error::damaged(path, base.saturating_add(wide(self.offset)), &self.why)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.why, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// A checked reader over bytes; it takes no memory and never panics, whatever the bytes.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// A reader from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Ends the reading: bytes left over are an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(format!("{left} bytes more than expected"))),
        }
    }

    /// An error at the place reached.
    pub fn error(&self, why: impl Into<String>) -> DecodeError {
        DecodeError::new(self.offset, why)
    }

    /// The next `length` bytes as they are.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.bytes.split_at_checked(length) else {
            return Err(self.error(format!("{length} bytes expected where {} are left", self.remaining())));
        };
        self.bytes = tail;
        self.offset += length;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.error(format!("{N} bytes expected where {} are left", self.remaining())));
        };
        self.bytes = tail;
        self.offset += N;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// The eight bytes of a double, bit for bit.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.u64().map(f64::from_bits)
    }

    /// One byte, 0 or 1; any other is an error.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let at = self.offset;
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::new(at, format!("0 or 1 expected, found {other}"))),
        }
    }

    /// A varint; one that is too long for 64 bits or not in its shortest form is an error.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let at = self.offset;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::new(at, "a number is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::new(at, "a number is longer than 64 bits"))
    }

    /// A varint that has to fit in 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        let at = self.offset;
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| DecodeError::new(at, format!("{value} is longer than 32 bits")))
    }

    /// A signed number.
    pub fn zigzag(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The number of entries that follow, each of at least `entry_bytes_min` (1 or more) bytes: a
    /// count that the bytes left cannot hold is an error, so that memory may be taken for it.
    pub fn count(&mut self, entry_bytes_min: usize) -> Result<usize, DecodeError> {
        let at = self.offset;
        let value = self.varint()?;
        let room = self.remaining() / entry_bytes_min.max(1);
        match usize::try_from(value) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(DecodeError::new(at, format!("a count of {value} where at most {room} fit"))),
        }
    }

    /// A varint length, then as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count(1)?;
        self.raw(length)
    }

    /// The same with at most `bytes_max` bytes.
    pub fn bytes_within(&mut self, bytes_max: usize) -> Result<&'a [u8], DecodeError> {
        let at = self.offset;
        let bytes = self.bytes()?;
        if bytes.len() > bytes_max {
            return Err(DecodeError::new(at, format!("{} bytes where at most {bytes_max} may be", bytes.len())));
        }
        Ok(bytes)
    }

    /// A varint length in bytes, then UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.offset;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::new(at, "a text is not UTF-8"))
    }

    /// The same with at most `bytes_max` bytes.
    pub fn str_within(&mut self, bytes_max: usize) -> Result<&'a str, DecodeError> {
        let at = self.offset;
        let bytes = self.bytes_within(bytes_max)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::new(at, "a text is not UTF-8"))
    }

    /// Zeros up to the next multiple of `alignment` from the start; anything else is an error.
    pub fn pad(&mut self, alignment: usize) -> Result<(), DecodeError> {
        let at = self.offset;
        let padding = self.raw(at.next_multiple_of(alignment) - at)?;
        match padding.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(i) => Err(DecodeError::new(at + i, "padding is not zero")),
        }
    }
}

/// Arrays of numbers of one width.
impl Decoder<'_> {
    /// Four bytes each.
    pub fn u32s(&mut self, count: usize) -> Result<Vec<u32>, DecodeError> {
        self.array_of(count, u32::from_le_bytes)
    }

    /// Eight bytes each.
    pub fn u64s(&mut self, count: usize) -> Result<Vec<u64>, DecodeError> {
        self.array_of(count, u64::from_le_bytes)
    }

    /// Eight bytes each, two's complement.
    pub fn i64s(&mut self, count: usize) -> Result<Vec<i64>, DecodeError> {
        self.array_of(count, i64::from_le_bytes)
    }

    /// One bit each, as [`super::Encoder::bits`] writes them.
    pub fn bits(&mut self, count: usize) -> Result<Vec<bool>, DecodeError> {
        let bytes = self.raw(count.div_ceil(8))?;
        Ok((0..count).map(|i| bytes[i / 8] >> (i % 8) & 1 == 1).collect())
    }

    fn array_of<T, const N: usize>(
        &mut self,
        count: usize,
        value: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, DecodeError> {
        let bytes = self.raw(count.checked_mul(N).ok_or_else(|| self.error("a count is too large"))?)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect())
    }
}
