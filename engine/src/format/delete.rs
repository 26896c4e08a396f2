//! A delete, but for its place in the log.

use super::{DecodeError, Decoder, Encoder};
use crate::delete::{Cause, Delete, TagRanges};
use crate::tag::TagId;

/// What the shortest delete takes: one range of tags.
pub const DELETE_BYTES_MIN: usize = 28;

/// Writes a delete without its log sequence.
pub fn encode_delete(out: &mut Encoder, delete: &Delete) {
    out.i64(delete.received);
    out.u8(match delete.cause {
        Cause::Request => 1,
        Cause::Retention => 2,
    });
    out.i64(delete.from);
    out.i64(delete.to);
    out.count(delete.tags.ranges().len());
    let mut next = 0;
    for (first, last) in delete.tags.ranges() {
        out.varint(u64::from(first.0 - next));
        out.varint(u64::from(last.0 - first.0));
        next = last.0;
    }
}

/// Reads a delete whose frame has this log sequence.
pub fn decode_delete(input: &mut Decoder<'_>, sequence: u64) -> Result<Delete, DecodeError> {
    let received = input.i64()?;
    let cause = match input.u8()? {
        1 => Cause::Request,
        2 => Cause::Retention,
        other => return Err(input.error(format!("no delete has cause {other}"))),
    };
    let (from, to) = (input.i64()?, input.i64()?);
    if from > to {
        return Err(input.error("a delete ends before it begins"));
    }
    let mut tags = TagRanges::default();
    let mut next = 0u32;
    for _ in 0..input.count(2)? {
        let first = id_after(input, next)?;
        // Ranges ascend and do not touch: between two of them lies a tag that is not deleted.
        if first == 0 || (next > 0 && first < next.saturating_add(2)) {
            return Err(input.error("ranges of tags do not ascend"));
        }
        next = id_after(input, first)?;
        tags.push(TagId(first), TagId(next));
    }
    if tags.ranges().is_empty() {
        return Err(input.error("a delete names no tags"));
    }
    Ok(Delete { sequence, received, cause, tags, from, to })
}

fn id_after(input: &mut Decoder<'_>, before: u32) -> Result<u32, DecodeError> {
    let step = input.varint()?;
    let id = u32::try_from(step).ok().and_then(|step| before.checked_add(step));
    id.ok_or_else(|| input.error("a tag id has more than 32 bits"))
}
