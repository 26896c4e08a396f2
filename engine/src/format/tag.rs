//! A tag with its metadata.

use std::sync::Arc;

use super::{DecodeError, Decoder, Encoder};
use crate::limits;
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
    out.bool(spec.future);
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
    let future = input.bool()?;
    let spec = TagSpec { name, tag_type, unit, description, interpolation, low, high, states, future };
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
