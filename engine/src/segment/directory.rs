//! The tag directory: what a segment holds of each tag, in blocks of at most 4 KiB.
//!
//! A look-up reads one block: which one, the index in the segment's tail tells. Entries are
//! sorted by tag, and the rows of one tag follow those of the tag before.

use std::ops::Range;

use super::summary::{SUMMARY_ROWS_MIN, Summary};
use crate::format::{DecodeError, Decoder, Encoder, crc32c};
use crate::limits::BLOCK_BYTES;
use crate::status::Quality;
use crate::tag::{TagId, TagType};

/// Bytes before a block's entries: its checksum.
const BLOCK_HEAD: usize = 4;
/// The longest entry: numbers of 64 bits take ten bytes, times eleven at most.
const ENTRY_BYTES_MAX: usize = 128;

/// What a segment holds of one tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TagRun {
    /// The tag.
    pub tag: TagId,
    /// Its type when the segment was written.
    pub tag_type: TagType,
    /// Its rows, counted from the start of the file.
    pub rows: Range<u64>,
    /// The time of the first row in nanoseconds since 1970 UTC.
    pub first_time: i64,
    /// The time of the last row in nanoseconds since 1970 UTC.
    pub last_time: i64,
    /// The worst quality of its rows.
    pub worst: Quality,
    /// Whether any row has a text.
    pub has_text: bool,
    /// Which columns have to be read for its rows.
    pub stored: Stored,
    /// From 64 rows on, unless no row counts.
    pub summary: Option<Summary>,
}

/// Which columns say more of a run than their default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Any time is no whole millisecond.
    pub nanos: bool,
    /// Any value is a double of its own.
    pub doubles: bool,
    /// Any row has no value.
    pub missing: bool,
    /// Any status is not Good without flags.
    pub statuses: bool,
    /// The scale of all mantissas.
    pub scale: RunScale,
}

/// The scale of a run's mantissas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunScale {
    /// There are no mantissas.
    None,
    /// All have this one.
    One(u8),
    /// Several.
    Several,
}

const SCALE_SEVERAL: u8 = 16;
const SCALE_NONE: u8 = 17;

const FLAG_TEXT: u8 = 1 << 2;
const FLAG_NANOS: u8 = 1 << 3;
const FLAG_DOUBLES: u8 = 1 << 4;
const FLAG_MISSING: u8 = 1 << 5;
const FLAG_STATUSES: u8 = 1 << 6;
const FLAG_SUMMARY: u8 = 1 << 7;

impl TagRun {
    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        self.worst as u8
            | flag(self.has_text, FLAG_TEXT)
            | flag(self.stored.nanos, FLAG_NANOS)
            | flag(self.stored.doubles, FLAG_DOUBLES)
            | flag(self.stored.missing, FLAG_MISSING)
            | flag(self.stored.statuses, FLAG_STATUSES)
            | flag(self.summary.is_some(), FLAG_SUMMARY)
    }

    /// Appends the entry; it is told relative to the run `before` it in the block.
    fn encode(&self, before: Option<&TagRun>, out: &mut Encoder) {
        let (tag, time) = before.map_or((0, 0), |run| (run.tag.0, run.first_time));
        out.varint(u64::from(self.tag.0 - tag));
        out.u8(self.tag_type as u8);
        out.u8(self.flags());
        out.u8(match self.stored.scale {
            RunScale::One(scale) => scale,
            RunScale::Several => SCALE_SEVERAL,
            RunScale::None => SCALE_NONE,
        });
        out.varint(self.rows.end - self.rows.start);
        out.zigzag(self.first_time.wrapping_sub(time));
        out.varint(self.last_time.wrapping_sub(self.first_time).cast_unsigned());
        if let Some(summary) = &self.summary {
            out.varint(summary.samples);
            for value in [summary.min, summary.max, summary.sum, summary.integral] {
                out.f64(value);
            }
        }
    }

    fn decode(source: &mut Decoder<'_>, first_row: u64, before: Option<&TagRun>) -> Result<TagRun, DecodeError> {
        let (tag, time) = before.map_or((0, 0), |run| (run.tag.0, run.first_time));
        let step = source.varint_u32()?;
        let tag = tag.checked_add(step).filter(|_| step > 0).ok_or_else(|| source.error("tags do not ascend"))?;
        let tag_type = TagType::from_byte(source.u8()?).ok_or_else(|| source.error("an unknown tag type"))?;
        let flags = source.u8()?;
        let scale = match source.u8()? {
            scale @ 0..=15 => RunScale::One(scale),
            SCALE_SEVERAL => RunScale::Several,
            SCALE_NONE => RunScale::None,
            _ => return Err(source.error("an unknown scale")),
        };
        let count = source.varint()?;
        let end =
            first_row.checked_add(count).filter(|_| count > 0).ok_or_else(|| source.error("an impossible run"))?;
        let first_time = time.wrapping_add(source.zigzag()?);
        let last_time = first_time.wrapping_add(source.varint()?.cast_signed());
        let worst =
            Quality::ALL.get(usize::from(flags & 3)).copied().ok_or_else(|| source.error("an unknown quality"))?;
        if last_time < first_time {
            return Err(source.error("a run ends before it begins"));
        }
        let flag = |flag: u8| flags & flag != 0;
        Ok(TagRun {
            tag: TagId(tag),
            tag_type,
            rows: first_row..end,
            first_time,
            last_time,
            worst,
            has_text: flag(FLAG_TEXT),
            stored: Stored {
                nanos: flag(FLAG_NANOS),
                doubles: flag(FLAG_DOUBLES),
                missing: flag(FLAG_MISSING),
                statuses: flag(FLAG_STATUSES),
                scale,
            },
            summary: if flag(FLAG_SUMMARY) { Some(decode_summary(source)?) } else { None },
        })
    }
}

fn decode_summary(source: &mut Decoder<'_>) -> Result<Summary, DecodeError> {
    let samples = source.varint()?;
    Ok(Summary { samples, min: source.f64()?, max: source.f64()?, sum: source.f64()?, integral: source.f64()? })
}

/// Where a block lies and what it begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockPlace {
    /// Its first tag.
    pub tag: TagId,
    /// The first row of that tag.
    pub row: u64,
    /// Where it starts in the file.
    pub offset: u64,
}

/// Collects the runs of a segment while it is written.
pub struct DirectoryWriter {
    /// Whole blocks.
    blocks: Vec<u8>,
    places: Vec<BlockPlace>,
    open: Encoder,
    /// The last run of the open block.
    last: Option<TagRun>,
    entry: Encoder,
}

impl DirectoryWriter {
    /// No runs yet.
    pub fn new() -> DirectoryWriter {
        DirectoryWriter {
            blocks: Vec::new(),
            places: Vec::new(),
            open: Encoder::new(),
            last: None,
            entry: Encoder::with_capacity(ENTRY_BYTES_MAX),
        }
    }

    /// Adds the next run: of a larger tag than the last, its rows right after it.
    pub fn add(&mut self, run: TagRun) {
        self.entry.clear();
        run.encode(self.last.as_ref(), &mut self.entry);
        if BLOCK_HEAD + self.open.len() + self.entry.len() > BLOCK_BYTES {
            self.close_block();
            self.entry.clear();
            run.encode(None, &mut self.entry);
        }
        if self.open.is_empty() {
            // Offsets are relative until it is known where the directory starts.
            let offset = self.blocks.len() as u64;
            self.places.push(BlockPlace { tag: run.tag, row: run.rows.start, offset });
        }
        self.open.raw(self.entry.as_slice());
        self.last = Some(run);
    }

    fn close_block(&mut self) {
        self.blocks.extend_from_slice(&crc32c(self.open.as_slice()).to_le_bytes());
        self.blocks.extend_from_slice(self.open.as_slice());
        self.open.clear();
        self.last = None;
    }

    /// All blocks, and where they lie once the first is written at `offset`.
    pub fn finish(mut self, offset: u64) -> (Vec<u8>, Vec<BlockPlace>) {
        if !self.open.is_empty() {
            self.close_block();
        }
        for place in &mut self.places {
            place.offset += offset;
        }
        (self.blocks, self.places)
    }
}

/// Appends the index as it stands in the tail.
pub fn encode_places(places: &[BlockPlace], out: &mut Encoder) {
    for place in places {
        out.u32(place.tag.0);
        out.u64(place.row);
        out.u64(place.offset);
    }
}

/// Bytes of one block in the index.
const PLACE_BYTES: usize = 20;

/// Reads the index of `count` blocks.
pub fn decode_places(source: &mut Decoder<'_>, count: usize) -> Result<Vec<BlockPlace>, DecodeError> {
    if source.remaining() / PLACE_BYTES < count {
        return Err(source.error(format!("{count} directory blocks expected")));
    }
    (0..count)
        .map(|_| Ok(BlockPlace { tag: TagId(source.u32()?), row: source.u64()?, offset: source.u64()? }))
        .collect()
}

/// Reads the runs of a block that starts with row `first_row`, checking its checksum.
pub fn decode_block(block: &[u8], first_row: u64) -> Result<Vec<TagRun>, DecodeError> {
    let mut source = Decoder::new(block);
    let sum = source.u32()?;
    if crc32c(&block[BLOCK_HEAD..]) != sum {
        return Err(DecodeError::new(0, "the checksum of a directory block does not match"));
    }
    let mut runs: Vec<TagRun> = Vec::new();
    let mut row = first_row;
    while source.remaining() > 0 {
        let run = TagRun::decode(&mut source, row, runs.last())?;
        row = run.rows.end;
        runs.push(run);
    }
    Ok(runs)
}

/// Whether a run of so many rows carries a summary.
pub fn is_summed(rows: u64) -> bool {
    rows >= SUMMARY_ROWS_MIN
}
