//! PLAIN and BYTE_STREAM_SPLIT: values as their bytes.

use std::sync::Arc;

use super::{DecodeResult, Padded};

/// Appends 64-bit values byte plane after byte plane: all first bytes, then all second bytes.
pub fn encode_split(out: &mut Vec<u8>, values: &[u64]) {
    let start = out.len();
    let n = values.len();
    out.resize(start + n * 8, 0);
    for (plane, bytes) in out[start..].chunks_exact_mut(n.max(1)).enumerate() {
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = (value >> (plane * 8)) as u8;
        }
    }
}

/// Decodes the first `count` of 64-bit values that were written plane by plane to the end of
/// `out`; returns how many there are in all.
pub fn decode_split(source: Padded<'_>, count: usize, out: &mut Vec<i64>) -> DecodeResult<usize> {
    let total = number_of(source, count)?;
    let start = out.len();
    out.resize(start + count, 0);
    for (plane, bytes) in source.as_slice().chunks_exact(total.max(1)).enumerate() {
        for (value, byte) in out[start..].iter_mut().zip(bytes) {
            *value |= i64::from(*byte) << (plane * 8);
        }
    }
    Ok(total)
}

/// Decodes the first `count` of 64-bit values that stand one after another to the end of `out`;
/// returns how many there are in all.
pub fn decode_plain(source: Padded<'_>, count: usize, out: &mut Vec<i64>) -> DecodeResult<usize> {
    let total = number_of(source, count)?;
    out.extend(source.as_slice().as_chunks::<8>().0[..count].iter().map(|bytes| i64::from_le_bytes(*bytes)));
    Ok(total)
}

/// The number of 64-bit values in a page, which has to be `count` at least.
fn number_of(source: Padded<'_>, count: usize) -> DecodeResult<usize> {
    match source.len() / 8 {
        total if total >= count && source.len().is_multiple_of(8) => Ok(total),
        _ => Err("a page holds another number of values than its header says"),
    }
}

/// Decodes the first `count` texts, each after its length.
pub fn decode_plain_texts(mut source: Padded<'_>, count: usize) -> DecodeResult<Vec<Arc<str>>> {
    // Each takes 4 bytes at least, so that the memory taken is bounded by the page.
    if count > source.len() / 4 {
        return Err("a page holds fewer texts than its header says");
    }
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        let length = source.u32()? as usize;
        let bytes = source.take(length)?;
        let text = std::str::from_utf8(bytes.as_slice()).map_err(|_| "a text is not UTF-8")?;
        texts.push(Arc::from(text));
    }
    Ok(texts)
}
