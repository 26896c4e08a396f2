//! The payload of a log frame: tags, samples of one batch in columns, or a delete.

use std::sync::Arc;

use super::tag::{TAG_BYTES_MIN, decode_tag, encode_tag};
use super::{DecodeError, Decoder, Encoder, decode_delete, encode_delete};
use crate::delete::Delete;
use crate::limits;
use crate::sample::Rows;
use crate::tag::{Tag, TagId};

/// What one log frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Tags that are new or changed.
    Tags(Vec<Arc<Tag>>),
    /// Samples.
    Samples(SampleFrame),
    /// Samples that are there no more. Its sequence is that of the frame, which the log knows.
    Delete(Delete),
}

/// One accepted batch of a writer.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleFrame {
    /// Whose batch it is; none for a writer that keeps no sequence.
    pub source: Option<SourceMark>,
    /// The server's clock when the batch was taken, nanoseconds since 1970 UTC.
    pub received: i64,
    /// Samples of the batch that were refused and are not here.
    pub rejected: u64,
    /// The others.
    pub blocks: Vec<FrameBlock>,
}

/// A batch's place in its source's sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceMark {
    /// The source.
    pub name: Arc<str>,
    /// Who it is bound to.
    pub identity: Arc<str>,
    /// The epoch.
    pub epoch: u64,
    /// The batch's number in the epoch.
    pub sequence: u64,
}

/// Samples of one tag, or of one tag each. Times are in order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameBlock {
    /// Whose samples they are.
    pub tags: BlockTags,
    /// The samples; unlike elsewhere, times may repeat or go back.
    pub rows: Rows,
    /// Which of them were coerced; empty where none was.
    pub coerced: Vec<bool>,
}

/// The tags of a block's samples.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockTags {
    /// All of one tag.
    One(TagId),
    /// One tag each.
    Each(Vec<TagId>),
}

impl Frame {
    /// Bytes of memory that the decoded frame takes, about.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Frame::Tags(tags) => tags.iter().map(|tag| size_of::<Tag>() + tag.spec.memory()).sum(),
            Frame::Samples(frame) => frame.blocks.iter().map(FrameBlock::memory).sum(),
            Frame::Delete(delete) => size_of::<Delete>() + size_of_val(delete.tags.ranges()),
        }
    }
}

impl FrameBlock {
    fn memory(&self) -> usize {
        let tags = match &self.tags {
            BlockTags::One(_) => 0,
            BlockTags::Each(tags) => tags.len() * size_of::<TagId>(),
        };
        size_of::<FrameBlock>() + tags + self.rows.memory() + self.coerced.len()
    }

    /// The tag of sample `i`.
    pub fn tag(&self, i: usize) -> TagId {
        match &self.tags {
            BlockTags::One(tag) => *tag,
            BlockTags::Each(tags) => tags[i],
        }
    }
}

const TAGS: u8 = 1;
const SAMPLES: u8 = 2;
const DELETE: u8 = 3;

const ONE_TAG: u8 = 1;
const ONE_TIME: u8 = 2;
const PRESENT: u8 = 4;
const ONE_STATUS: u8 = 8;
const EACH_STATUS: u8 = 16;
const TEXTS: u8 = 32;
const COERCED: u8 = 64;

/// Writes a frame's payload.
pub fn encode_frame(frame: &Frame) -> Vec<u8> {
    match frame {
        Frame::Tags(tags) => {
            let mut out = Encoder::new();
            out.u8(TAGS);
            out.count(tags.len());
            tags.iter().for_each(|tag| encode_tag(&mut out, tag));
            out.into_vec()
        }
        Frame::Samples(frame) => encode_samples(frame),
        Frame::Delete(delete) => {
            let mut out = Encoder::new();
            out.u8(DELETE);
            encode_delete(&mut out, delete);
            out.into_vec()
        }
    }
}

/// Reads a frame's payload.
pub fn decode_frame(payload: &[u8]) -> Result<Frame, DecodeError> {
    let mut input = Decoder::new(payload);
    let frame = match input.u8()? {
        TAGS => {
            let count = input.count(TAG_BYTES_MIN)?;
            Frame::Tags((0..count).map(|_| decode_tag(&mut input).map(Arc::new)).collect::<Result<_, _>>()?)
        }
        SAMPLES => Frame::Samples(decode_samples(&mut input)?),
        DELETE => Frame::Delete(decode_delete(&mut input, 0)?),
        other => return Err(input.error(format!("no frame is of kind {other}"))),
    };
    input.finish()?;
    Ok(frame)
}

fn encode_samples(frame: &SampleFrame) -> Vec<u8> {
    let rows: usize = frame.blocks.iter().map(|b| b.rows.len()).sum();
    let mut out = Encoder::with_capacity(rows * 20 + 128);
    out.u8(SAMPLES);
    out.i64(frame.received);
    out.bool(frame.source.is_some());
    if let Some(source) = &frame.source {
        out.str(&source.name);
        out.str(&source.identity);
        out.u64(source.epoch);
        out.varint(source.sequence);
    }
    out.varint(frame.rejected);
    out.count(frame.blocks.len());
    frame.blocks.iter().for_each(|block| encode_block(&mut out, block));
    out.into_vec()
}

fn encode_block(out: &mut Encoder, block: &FrameBlock) {
    let rows = &block.rows;
    let one_time = rows.times.first().filter(|first| rows.times.iter().all(|t| t == *first));
    let one_status = rows.statuses.first().filter(|first| rows.statuses.iter().all(|s| s == *first));
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    out.u8(flag(matches!(block.tags, BlockTags::One(_)), ONE_TAG)
        | flag(one_time.is_some(), ONE_TIME)
        | flag(!rows.present.is_empty(), PRESENT)
        | flag(one_status.is_some(), ONE_STATUS)
        | flag(!rows.statuses.is_empty() && one_status.is_none(), EACH_STATUS)
        | flag(!rows.texts.is_empty(), TEXTS)
        | flag(!block.coerced.is_empty(), COERCED));
    out.count(rows.len());
    match &block.tags {
        BlockTags::One(tag) => out.u32(tag.0),
        BlockTags::Each(tags) => tags.iter().for_each(|tag| out.u32(tag.0)),
    }
    match one_time {
        Some(time) => out.i64(*time),
        None => out.i64s(&rows.times),
    }
    out.u64s(&rows.values);
    out.bits(&rows.present);
    match one_status {
        Some(status) => out.u32(*status),
        None => out.u32s(&rows.statuses),
    }
    for text in &rows.texts {
        out.bool(text.is_some());
        if let Some(text) = text {
            out.str(text);
        }
    }
    out.bits(&block.coerced);
}

fn decode_samples(input: &mut Decoder<'_>) -> Result<SampleFrame, DecodeError> {
    let received = input.i64()?;
    let source = if input.bool()? { Some(decode_source(input)?) } else { None };
    let rejected = input.varint()?;
    // A block has at least its flags and its count.
    let blocks = input.count(2)?;
    let blocks = (0..blocks).map(|_| decode_block(input)).collect::<Result<_, _>>()?;
    Ok(SampleFrame { source, received, rejected, blocks })
}

fn decode_source(input: &mut Decoder<'_>) -> Result<SourceMark, DecodeError> {
    let name = input.str_within(limits::SOURCE_NAME_BYTES_MAX)?.into();
    let identity = input.str_within(limits::IDENTITY_BYTES_MAX)?.into();
    Ok(SourceMark { name, identity, epoch: input.u64()?, sequence: input.varint()? })
}

fn decode_block(input: &mut Decoder<'_>) -> Result<FrameBlock, DecodeError> {
    let flags = input.u8()?;
    let has = |bit: u8| flags & bit != 0;
    // Each sample has at least eight bytes of value.
    let count = input.count(8)?;
    let tags = if has(ONE_TAG) {
        BlockTags::One(TagId(input.u32()?))
    } else {
        BlockTags::Each(input.u32s(count)?.into_iter().map(TagId).collect())
    };
    let times = if has(ONE_TIME) { vec![input.i64()?; count] } else { input.i64s(count)? };
    let values = input.u64s(count)?;
    let present = if has(PRESENT) { input.bits(count)? } else { Vec::new() };
    let statuses = match (has(ONE_STATUS), has(EACH_STATUS)) {
        (true, _) => vec![input.u32()?; count],
        (false, true) => input.u32s(count)?,
        (false, false) => Vec::new(),
    };
    let mut texts = Vec::new();
    if has(TEXTS) {
        for _ in 0..count {
            texts.push(if input.bool()? { Some(Arc::from(input.str_within(limits::TEXT_BYTES_MAX)?)) } else { None });
        }
    }
    let coerced = if has(COERCED) { input.bits(count)? } else { Vec::new() };
    Ok(FrameBlock { tags, rows: Rows { times, values, present, statuses, texts }, coerced })
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
