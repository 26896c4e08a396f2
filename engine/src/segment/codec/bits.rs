//! Numbers of a fixed width of bits, packed from the lowest bit of the first byte on.

use super::Padded;

/// Bits that `value` needs; 0 for 0.
pub fn width(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Appends values packed to `width` bits each. The last byte is filled with zeros.
pub fn pack(out: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    if width == 0 {
        return;
    }
    let (mut word, mut used) = (0u64, 0u32);
    for value in values {
        word |= value << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            // The bits that did not fit; none where the value ended with the word.
            word = value.checked_shr(width - used).unwrap_or(0);
        }
    }
    let left = used.div_ceil(8) as usize;
    out.extend_from_slice(&word.to_le_bytes()[..left]);
}

/// Value `i` of those packed to `width` bits, 1 to 64; `source` holds it.
#[inline(always)]
pub fn unpack(source: &Padded<'_>, width: u32, i: usize) -> u64 {
    let bit = i * width as usize;
    let (byte, shift) = (bit / 8, (bit % 8) as u32);
    let mut value = source.word(byte) >> shift;
    if width + shift > 64 {
        value |= u64::from(source.bytes[byte + 8]) << (64 - shift);
    }
    value & (u64::MAX >> (64 - width))
}

/// The widest values that [`unpack_short`] takes: with the bits before them they fit in a word.
pub const SHORT_WIDTH_MAX: u32 = 57;

/// The same for widths of 1 to [`SHORT_WIDTH_MAX`], in fewer steps.
#[inline(always)]
pub fn unpack_short(source: &Padded<'_>, width: u32, i: usize) -> u64 {
    let bit = i * width as usize;
    source.word(bit / 8) >> (bit % 8) & (u64::MAX >> (64 - width))
}
