//! DELTA_BINARY_PACKED: blocks of differences, each miniblock packed to a width of its own.

use super::bits::{SHORT_WIDTH_MAX, pack, unpack, unpack_short, width};
use super::{DecodeResult, Padded, put_varint, put_zigzag};

const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;
/// The largest block a decoder takes; it bounds what a page header can ask for.
const BLOCK_MAX: u64 = 1 << 16;

/// Appends `values`. Differences wrap around, so that all 64 bits are exact.
pub fn encode_delta(out: &mut Vec<u8>, values: &[i64]) {
    put_varint(out, BLOCK as u64);
    put_varint(out, (BLOCK / MINIBLOCK) as u64);
    put_varint(out, values.len() as u64);
    put_zigzag(out, values.first().copied().unwrap_or(0));
    let mut deltas = [0i64; BLOCK];
    let mut start = 1;
    while start < values.len() {
        let count = (values.len() - start).min(BLOCK);
        let (before, after) = (&values[start - 1..][..count], &values[start..][..count]);
        for ((delta, a), b) in deltas.iter_mut().zip(before).zip(after) {
            *delta = b.wrapping_sub(*a);
        }
        encode_block(out, &deltas[..count]);
        start += count;
    }
}

fn encode_block(out: &mut Vec<u8>, deltas: &[i64]) {
    let least = deltas.iter().copied().min().unwrap_or(0);
    put_zigzag(out, least);
    let widths = out.len();
    out.resize(widths + BLOCK / MINIBLOCK, 0);
    for (i, part) in deltas.chunks(MINIBLOCK).enumerate() {
        let above = |delta: i64| delta.wrapping_sub(least).cast_unsigned();
        let bits = width(part.iter().fold(0, |all, delta| all | above(*delta)));
        out[widths + i] = bits as u8;
        // A miniblock is always written whole; what is missing counts as zeros.
        let missing = std::iter::repeat_n(0, MINIBLOCK - part.len());
        pack(out, bits, part.iter().map(|delta| above(*delta)).chain(missing));
    }
}

/// Decodes the first `count` values to the end of `out`; returns how many there are in all.
pub fn decode_delta(mut source: Padded<'_>, count: usize, out: &mut Vec<i64>) -> DecodeResult<usize> {
    let block = source.varint()?;
    let miniblocks = source.varint()?;
    let total = usize::try_from(source.varint()?).map_err(|_| "a page holds too many values")?;
    let mut value = source.zigzag()?;
    if block == 0 || block > BLOCK_MAX || miniblocks == 0 || block % miniblocks != 0 || (block / miniblocks) % 8 != 0 {
        return Err("a page of differences has impossible blocks");
    }
    if total < count {
        return Err("a page holds fewer values than its header says");
    }
    let (miniblocks, miniblock) = (miniblocks as usize, (block / miniblocks) as usize);
    if count == 0 {
        return Ok(total);
    }
    out.reserve(count);
    out.push(value);
    let mut left = count - 1;
    while left > 0 {
        let least = source.zigzag()?;
        let widths = source.take(miniblocks)?;
        for i in 0..miniblocks {
            if left == 0 {
                break;
            }
            let n = left.min(miniblock);
            let width = u32::from(widths.bytes[i]);
            if width > 64 {
                return Err("a page of differences has an impossible width");
            }
            let packed = source.take(miniblock / 8 * width as usize)?;
            value = decode_miniblock(&packed, width, least, value, n, out);
            left -= n;
        }
    }
    Ok(total)
}

/// Decodes `n` values that follow `value`; returns the last.
fn decode_miniblock(packed: &Padded<'_>, width: u32, least: i64, value: i64, n: usize, out: &mut Vec<i64>) -> i64 {
    let mut value = value;
    let mut add = |delta: u64| {
        value = value.wrapping_add(least).wrapping_add(delta.cast_signed());
        value
    };
    match width {
        0 => out.extend((0..n).map(|_| add(0))),
        1..=SHORT_WIDTH_MAX => out.extend((0..n).map(|i| add(unpack_short(packed, width, i)))),
        _ => out.extend((0..n).map(|i| add(unpack(packed, width, i)))),
    }
    value
}
