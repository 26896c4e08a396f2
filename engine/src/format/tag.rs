//! A tag with its metadata.

use std::sync::Arc;

use super::{DecodeError, Decoder, Encoder};
use crate::limits;
use crate::reduction::{Deadband, Deviation, Reduction};
use crate::tag::{Interpolation, Tag, TagId, TagSpec, TagType};

/// What the shortest tag takes: a name of one byte, and nothing else that has a length.
pub const TAG_BYTES_MIN: usize = 38;

/// Writes a tag.
pub fn encode_tag(out: &mut Encoder, tag: &Tag) {
    out.u32(tag.id.0);
    out.i64(tag.created);
    let spec = &tag.spec;
    out.str(&spec.name);
    out.u8(match spec.tag_type {
        TagType::Float64 => 1,
        TagType::Float32 => 2,
        TagType::Int64 => 3,
        TagType::Bool => 4,
        TagType::Digital => 5,
        TagType::Text => 6,
    });
    out.str(&spec.unit);
    out.str(&spec.description);
    out.u8(match spec.interpolation {
        Interpolation::Linear => 1,
        Interpolation::Step => 2,
    });
    for limit in [spec.low, spec.high] {
        out.bool(limit.is_some());
        out.f64(limit.unwrap_or(0.0));
    }
    out.count(spec.states.len());
    for (code, name) in &spec.states {
        out.zigzag(*code);
        out.str(name);
    }
    let future = if spec.future { FUTURE } else { 0 };
    out.u8(future | if spec.reduction.is_some() { REDUCED } else { 0 });
    if let Some(Reduction { exception, compression }) = spec.reduction {
        encode_filter(out, exception);
        encode_filter(out, compression);
    }
}

/// The tag's samples may lie in the future.
const FUTURE: u8 = 1;
/// Its reduction follows. Before version 3 of the layout there is none.
const REDUCED: u8 = 2;

fn encode_filter(out: &mut Encoder, filter: Option<Deadband>) {
    let Some(Deadband { deviation, min, max }) = filter else { return out.u8(0) };
    let (kind, number) = match deviation {
        Deviation::Units(units) => (1, units),
        Deviation::Percent(percent) => (2, percent),
    };
    out.u8(kind);
    out.f64(number);
    out.varint(min);
    out.varint(max);
}

fn decode_filter(input: &mut Decoder<'_>) -> Result<Option<Deadband>, DecodeError> {
    let deviation = match input.u8()? {
        0 => return Ok(None),
        1 => Deviation::Units(input.f64()?),
        2 => Deviation::Percent(input.f64()?),
        other => return Err(input.error(format!("no deviation is of kind {other}"))),
    };
    Ok(Some(Deadband { deviation, min: input.varint()?, max: input.varint()? }))
}

/// Reads a tag.
pub fn decode_tag(input: &mut Decoder<'_>) -> Result<Tag, DecodeError> {
    let start = input.clone();
    let id = TagId(input.u32()?);
    let created = input.i64()?;
    let name = input.str_within(limits::TAG_NAME_BYTES_MAX)?.to_owned();
    let tag_type = input.u8()?;
    let tag_type =
        TagType::from_byte(tag_type).ok_or_else(|| input.error(format!("no tag type has number {tag_type}")))?;
    let unit = input.str_within(limits::METADATA_BYTES_MAX)?.to_owned();
    let description = input.str_within(limits::METADATA_BYTES_MAX)?.to_owned();
    let byte = input.u8()?;
    let interpolation =
        Interpolation::from_byte(byte).ok_or_else(|| input.error(format!("no interpolation has number {byte}")))?;
    let low = limit(input)?;
    let high = limit(input)?;
    let mut states = Vec::new();
    for _ in 0..input.count(2)? {
        states.push((input.zigzag()?, Arc::from(input.str_within(limits::TEXT_BYTES_MAX)?)));
    }
    let flags = input.u8()?;
    if flags & !(FUTURE | REDUCED) != 0 {
        return Err(input.error(format!("a tag has the flags {flags}")));
    }
    let reduction = match flags & REDUCED {
        0 => None,
        _ => Some(Reduction { exception: decode_filter(input)?, compression: decode_filter(input)? }),
    };
    let future = flags & FUTURE != 0;
    let spec = TagSpec { name, tag_type, unit, description, interpolation, low, high, states, future, reduction };
    if id.0 == 0 {
        return Err(start.error("a tag has number 0"));
    }
    spec.check().map_err(|e| start.error(e.to_string()))?;
    Ok(Tag { id, created, spec })
}

fn limit(input: &mut Decoder<'_>) -> Result<Option<f64>, DecodeError> {
    let there = input.bool()?;
    let value = input.f64()?;
    Ok(there.then_some(value))
}
