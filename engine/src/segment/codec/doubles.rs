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

/// Decodes exactly `count` 64-bit values that were written plane by plane.
pub fn decode_split(source: Padded<'_>, count: usize) -> DecodeResult<Vec<u64>> {
    let bytes = exact(source, count)?;
    let mut values = vec![0u64; count];
    for (plane, bytes) in bytes.chunks_exact(count.max(1)).enumerate() {
        for (value, byte) in values.iter_mut().zip(bytes) {
            *value |= u64::from(*byte) << (plane * 8);
        }
    }
    Ok(values)
}

/// Decodes exactly `count` 64-bit values that stand one after another.
pub fn decode_plain_i64(source: Padded<'_>, count: usize) -> DecodeResult<Vec<u64>> {
    let bytes = exact(source, count)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
}

fn exact(source: Padded<'_>, count: usize) -> DecodeResult<&[u8]> {
    match count.checked_mul(8) {
        Some(bytes) if bytes == source.len() => Ok(source.as_slice()),
        _ => Err("a page holds another number of values than its header says"),
    }
}

/// Decodes exactly `count` texts, each after its length.
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
