//! Writes values into a growing buffer.

use super::wide;

/// Writes values one after another; [`super::Decoder`] reads them back.
#[derive(Clone, Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// A writer into an empty buffer.
    pub fn new() -> Encoder {
        Encoder(Vec::new())
    }

    /// A writer into an empty buffer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Encoder {
        Encoder(Vec::with_capacity(bytes))
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// The eight bytes of a double, bit for bit.
    pub fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// One to ten bytes, fewer for smaller numbers.
    pub fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// One to ten bytes, fewer for numbers nearer to 0.
    pub fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// The number of entries of what follows, as a varint.
    pub fn count(&mut self, entries: usize) {
        self.varint(wide(entries));
    }

    /// A varint length, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A varint length in bytes, then UTF-8.
    pub fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// The bytes alone: the reader knows how many.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Zeros up to the next multiple of `alignment` from the start of the buffer.
    pub fn pad(&mut self, alignment: usize) {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// What was written, to fill in what is known only at the end.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Forgets what was written and keeps the room it took.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The buffer.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Arrays of numbers of one width: the reader knows how many.
impl Encoder {
    /// Four bytes each.
    pub fn u32s(&mut self, values: &[u32]) {
        self.array(values, |v| v.to_le_bytes());
    }

    /// Eight bytes each.
    pub fn u64s(&mut self, values: &[u64]) {
        self.array(values, |v| v.to_le_bytes());
    }

    /// Eight bytes each, two's complement.
    pub fn i64s(&mut self, values: &[i64]) {
        self.array(values, |v| v.to_le_bytes());
    }

    /// One bit each from the lowest of the first byte on; the last byte is filled up with zeros.
    pub fn bits(&mut self, values: &[bool]) {
        for eight in values.chunks(8) {
            self.u8((0u8..).zip(eight).fold(0, |byte, (i, bit)| byte | (u8::from(*bit) << i)));
        }
    }

    fn array<T: Copy, const N: usize>(&mut self, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
        let start = self.0.len();
        self.0.resize(start + values.len() * N, 0);
        for (place, value) in self.0[start..].chunks_exact_mut(N).zip(values) {
            place.copy_from_slice(&bytes(*value));
        }
    }
}
