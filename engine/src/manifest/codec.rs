//! A manifest file: a header, an edit, and a CRC32C over both. Versions 1, which knew no deletes, and 2,
//! which knew no reduction, are still read.

use std::sync::Arc;

use super::reducers::{decode_reducer, encode_reducer};
use super::state::{Edit, ListFile, SourceState};
use crate::delete::Delete;
use crate::format::{
    DELETE_BYTES_MIN, DecodeError, Decoder, Encoder, TAG_BYTES_MIN, crc32c, decode_delete, decode_tag, encode_delete,
    encode_tag,
};
use crate::ingest::Counts;
use crate::limits;
use crate::sample::{Cell, Row};
use crate::segment::SegmentMeta;
use crate::status::Status;
use crate::tag::TagId;

const MAGIC: &[u8; 8] = b"TAGUSMAN";
const VERSION: u32 = 3;
/// The oldest version that is read.
const VERSION_MIN: u32 = 1;

/// What a manifest file's edit is applied to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The state of the number before.
    Edit,
    /// An empty state: the file stands for all before it.
    Snapshot,
}

/// Writes a manifest file.
pub fn encode(kind: Kind, archive: u64, number: u64, edit: &Edit) -> Vec<u8> {
    let mut out = Encoder::new();
    out.raw(MAGIC);
    out.u32(VERSION);
    out.u8(match kind {
        Kind::Edit => 1,
        Kind::Snapshot => 2,
    });
    out.u64(archive);
    out.u64(number);
    encode_edit(&mut out, edit);
    let crc = crc32c(out.as_slice());
    out.u32(crc);
    out.into_vec()
}

/// Reads a manifest file of this archive and number.
pub fn decode(bytes: &[u8], archive: u64, number: u64) -> Result<(Kind, Edit), DecodeError> {
    let body = bytes.len().checked_sub(4).ok_or_else(|| DecodeError::new(0, "the file is too short"))?;
    let (body, crc) = bytes.split_at(body);
    if crc32c(body).to_le_bytes() != crc {
        return Err(DecodeError::new(0, "the checksum does not match"));
    }
    let mut input = Decoder::new(body);
    if input.raw(8)? != MAGIC {
        return Err(DecodeError::new(0, "this is no manifest file"));
    }
    let version = input.u32()?;
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(input.error(format!("manifest version {version} is not between {VERSION_MIN} and {VERSION}")));
    }
    let kind = match input.u8()? {
        1 => Kind::Edit,
        2 => Kind::Snapshot,
        other => return Err(input.error(format!("no manifest file is of kind {other}"))),
    };
    if (input.u64()?, input.u64()?) != (archive, number) {
        return Err(input.error("the file belongs to another archive or number"));
    }
    let edit = decode_edit(&mut input, version)?;
    input.finish()?;
    Ok((kind, edit))
}

fn encode_edit(out: &mut Encoder, edit: &Edit) {
    out.u64(edit.log_position);
    out.u64(edit.next_segment_id);
    out.count(edit.added.len());
    edit.added.iter().for_each(|segment| encode_segment(out, segment));
    out.count(edit.removed.len());
    edit.removed.iter().for_each(|id| out.u64(*id));
    out.count(edit.tags.len());
    edit.tags.iter().for_each(|tag| encode_tag(out, tag));
    out.count(edit.sources.len());
    for (name, source) in &edit.sources {
        out.str(name);
        encode_source(out, source);
    }
    out.count(edit.forgotten.len());
    edit.forgotten.iter().for_each(|name| out.str(name));
    out.count(edit.newest.len());
    for (tag, row) in &edit.newest {
        out.u32(tag.0);
        encode_row(out, row);
    }
    encode_list_file(out, edit.tags_file);
    out.count(edit.deletes.len());
    for delete in &edit.deletes {
        out.u64(delete.sequence);
        encode_delete(out, delete);
    }
    out.count(edit.purged.len());
    for (id, through) in &edit.purged {
        out.u64(*id);
        out.u64(*through);
    }
    out.count(edit.newest_gone.len());
    edit.newest_gone.iter().for_each(|tag| out.u32(tag.0));
    encode_list_file(out, edit.deletes_file);
    out.count(edit.reducers.len());
    for (tag, state) in &edit.reducers {
        out.u32(tag.0);
        out.bool(state.is_some());
        if let Some(state) = state {
            encode_reducer(out, state);
        }
    }
}

fn encode_list_file(out: &mut Encoder, file: Option<ListFile>) {
    out.bool(file.is_some());
    if let Some(file) = file {
        out.u64(file.bytes);
        out.u32(file.crc);
    }
}

fn decode_list_file(input: &mut Decoder<'_>) -> Result<Option<ListFile>, DecodeError> {
    Ok(if input.bool()? { Some(ListFile { bytes: input.u64()?, crc: input.u32()? }) } else { None })
}

fn decode_edit(input: &mut Decoder<'_>, version: u32) -> Result<Edit, DecodeError> {
    let mut edit = Edit {
        log_position: input.u64()?,
        next_segment_id: input.u64()?,
        added: list(input, 80, |input| decode_segment(input, version))?,
        removed: list(input, 8, Decoder::u64)?,
        tags: list(input, TAG_BYTES_MIN, |input| decode_tag(input).map(Arc::new))?,
        sources: list(input, 26, |input| {
            Ok((input.str_within(limits::SOURCE_NAME_BYTES_MAX)?.into(), decode_source(input, version)?))
        })?,
        forgotten: list(input, 1, |input| Ok(input.str_within(limits::SOURCE_NAME_BYTES_MAX)?.into()))?,
        newest: list(input, 18, |input| Ok((TagId(input.u32()?), decode_row(input)?)))?,
        tags_file: decode_list_file(input)?,
        ..Edit::default()
    };
    if version > 1 {
        edit.deletes = list(input, DELETE_BYTES_MIN + 8, decode_logged_delete)?;
        edit.purged = list(input, 16, |input| Ok((input.u64()?, input.u64()?)))?;
        edit.newest_gone = list(input, 4, |input| Ok(TagId(input.u32()?)))?;
        edit.deletes_file = decode_list_file(input)?;
    }
    if version > 2 {
        edit.reducers = list(input, 5, |input| {
            let tag = TagId(input.u32()?);
            let state = if input.bool()? { Some(Arc::new(decode_reducer(input)?)) } else { None };
            Ok((tag, state))
        })?;
    }
    Ok(edit)
}

fn decode_logged_delete(input: &mut Decoder<'_>) -> Result<Arc<Delete>, DecodeError> {
    let sequence = input.u64()?;
    decode_delete(input, sequence).map(Arc::new)
}

/// A count and as many entries, each of at least `bytes_min` bytes.
pub(super) fn list<'a, T>(
    input: &mut Decoder<'a>,
    bytes_min: usize,
    entry: impl Fn(&mut Decoder<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..input.count(bytes_min)?).map(|_| entry(input)).collect()
}

fn encode_segment(out: &mut Encoder, segment: &SegmentMeta) {
    out.u64(segment.id);
    out.str(&segment.name);
    for number in [segment.bytes, segment.tail_offset] {
        out.u64(number);
    }
    out.u32(segment.tail_crc);
    for number in [segment.rows, segment.first_sequence, segment.last_sequence, segment.deleted_through] {
        out.u64(number);
    }
    for number in [segment.first_tag.0, segment.last_tag.0, segment.tags] {
        out.u32(number);
    }
    out.i64(segment.first_time);
    out.i64(segment.last_time);
}

fn decode_segment(input: &mut Decoder<'_>, version: u32) -> Result<SegmentMeta, DecodeError> {
    let id = input.u64()?;
    let name = input.str_within(255)?.to_owned();
    if name.is_empty() || name.starts_with('.') || name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
        return Err(input.error("a segment name is no plain file name"));
    }
    let (bytes, tail_offset, tail_crc, rows) = (input.u64()?, input.u64()?, input.u32()?, input.u64()?);
    let (first_sequence, last_sequence) = (input.u64()?, input.u64()?);
    Ok(SegmentMeta {
        id,
        name,
        bytes,
        tail_offset,
        tail_crc,
        rows,
        first_sequence,
        last_sequence,
        deleted_through: if version > 1 { input.u64()? } else { last_sequence },
        first_tag: TagId(input.u32()?),
        last_tag: TagId(input.u32()?),
        tags: input.u32()?,
        first_time: input.i64()?,
        last_time: input.i64()?,
    })
}

fn encode_source(out: &mut Encoder, source: &SourceState) {
    out.str(&source.identity);
    out.u64(source.epoch);
    out.varint(source.sequence);
    let Counts { stored, replaced, duplicate, reduced, coerced, rejected } = source.counts;
    for count in [stored, replaced, duplicate, reduced, coerced, rejected] {
        out.varint(count);
    }
    out.i64(source.received);
    out.count(source.ended.len());
    source.ended.iter().for_each(|epoch| out.u64(*epoch));
}

fn decode_source(input: &mut Decoder<'_>, version: u32) -> Result<SourceState, DecodeError> {
    Ok(SourceState {
        identity: input.str_within(limits::IDENTITY_BYTES_MAX)?.into(),
        epoch: input.u64()?,
        sequence: input.varint()?,
        counts: Counts {
            stored: input.varint()?,
            replaced: input.varint()?,
            duplicate: input.varint()?,
            reduced: input.varint()?,
            coerced: input.varint()?,
            rejected: input.varint()?,
        },
        received: input.i64()?,
        ended: if version > 1 { list(input, 8, Decoder::u64)? } else { Vec::new() },
    })
}

pub(super) fn encode_row(out: &mut Encoder, row: &Row) {
    out.i64(row.time);
    out.u32(row.cell.status.0);
    out.bool(row.cell.value.is_some());
    if let Some(value) = row.cell.value {
        out.u64(value);
    }
    out.bool(row.cell.text.is_some());
    if let Some(text) = &row.cell.text {
        out.str(text);
    }
}

pub(super) fn decode_row(input: &mut Decoder<'_>) -> Result<Row, DecodeError> {
    let time = input.i64()?;
    let status = Status(input.u32()?);
    let value = if input.bool()? { Some(input.u64()?) } else { None };
    let text = if input.bool()? { Some(Arc::from(input.str_within(limits::TEXT_BYTES_MAX)?)) } else { None };
    Ok(Row { time, cell: Cell { value, text, status } })
}
