//! Segment files: tail, tag directory and pages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::Result;
use tagus_engine::format::{Decoder, Encoder, crc32c};
use tagus_engine::segment::{Columns, ReadMetrics, Segment, SegmentMeta, TagRun};
use tagus_engine::tag::TagId;

use crate::one_line;
use crate::rooms::machine;

const DIR: &str = "/archive/segments";
const NAME: &str = "1.parquet";
const SUM_BYTES: usize = 64 * 1024;
const PLACE_BYTES: usize = 20;

/// What stands before the file in an input: its manifest entry, as far as it is not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the tail.
    pub tail_bytes: u32,
    /// Blocks of the tag directory.
    pub blocks: u32,
    /// Rows.
    pub rows: u64,
    /// Tags.
    pub tags: u32,
    /// The first and the last tag.
    pub tag_range: (u32, u32),
    /// The earliest and the latest time.
    pub time_range: (i64, i64),
}

impl Head {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.u32(self.tail_bytes);
        out.u32(self.blocks);
        out.u64(self.rows);
        out.u32(self.tags);
        out.u32(self.tag_range.0);
        out.u32(self.tag_range.1);
        out.i64(self.time_range.0);
        out.i64(self.time_range.1);
        out.into_vec()
    }

    fn decode(data: &[u8]) -> Option<(Head, &[u8])> {
        let mut input = Decoder::new(data);
        let head = Head {
            tail_bytes: input.u32().ok()?,
            blocks: input.u32().ok()?,
            rows: input.u64().ok()?,
            tags: input.u32().ok()?,
            tag_range: (input.u32().ok()?, input.u32().ok()?),
            time_range: (input.i64().ok()?, input.i64().ok()?),
        };
        Some((head, &data[input.offset()..]))
    }

    fn meta(&self, file: &[u8]) -> SegmentMeta {
        let bytes = file.len() as u64;
        let tail_offset = bytes.saturating_sub(self.tail_bytes.into());
        SegmentMeta {
            id: 1,
            name: NAME.into(),
            bytes,
            tail_offset,
            tail_crc: crc32c(&file[file.len() - (bytes - tail_offset) as usize..]),
            rows: self.rows,
            first_sequence: 1,
            last_sequence: 1,
            deleted_through: 1,
            first_tag: TagId(self.tag_range.0),
            last_tag: TagId(self.tag_range.1),
            tags: self.tags,
            first_time: self.time_range.0,
            last_time: self.time_range.1,
        }
    }
}

/// A segment behind its [`Head`]: a reader gives rows that fit each other or an error, and all rows
/// where verifying finds nothing.
pub fn segment(data: &[u8]) {
    let Some((head, file)) = Head::decode(data) else { return };
    let mut file = file.to_vec();
    mend(&mut file, &head);
    let meta = head.meta(&file);
    let sim = machine([(PathBuf::from(DIR).join(NAME), &file[..])]);
    let segment = Segment::new(sim.env().disk, Path::new(DIR), meta);
    let damages = segment.verify();
    damages.iter().for_each(one_line);
    let read = read(&segment);
    match read {
        Err(error) => {
            one_line(&error);
            assert!(!damages.is_empty(), "verify passes over what a reader finds: {error}");
        }
        Ok(rows) => assert!(rows == head.rows || !damages.is_empty(), "{rows} rows of {}", head.rows),
    }
}

/// Reads a segment in all ways that there are; answers how many rows came.
fn read(segment: &Segment) -> Result<u64> {
    let runs = segment.runs(TagId(0)..=TagId(u32::MAX));
    for run in runs.iter().flatten().take(50) {
        // Errors show when all is read.
        if let Ok(found) = segment.run(run.tag) {
            assert!(found.is_none_or(|found| found.tag == run.tag));
        }
        one_run(segment, run);
    }
    let whole = rows(segment, 0..segment.meta().rows, Columns::ALL)?;
    runs?;
    Ok(whole)
}

fn one_run(segment: &Segment, run: &TagRun) {
    let middle = run.first_time.midpoint(run.last_time);
    for (from, to) in [(run.first_time, middle), (middle, run.last_time), (middle, middle)] {
        if let Ok(range) = segment.narrow(run, from, to) {
            assert!(range.start <= range.end && range.start >= run.rows.start && range.end <= run.rows.end);
            if range.end <= segment.meta().rows {
                let _ = rows(segment, range, Columns::TIME | Columns::VALUE);
            }
        }
    }
}

fn rows(segment: &Segment, range: std::ops::Range<u64>, columns: Columns) -> Result<u64> {
    let length = range.end - range.start;
    let mut reader = segment.read(vec![range], columns, &Arc::new(ReadMetrics::default()))?;
    let mut count = 0;
    while let Some(rows) = reader.next(1000)? {
        let n = rows.len();
        assert!((1..=1000).contains(&n));
        assert_eq!(rows.values.len(), n, "values");
        let fits = |length: usize| length == 0 || length == n;
        assert!(fits(rows.present.len()) && fits(rows.statuses.len()) && fits(rows.texts.len()), "columns differ");
        count += n as u64;
    }
    assert_eq!(count, length, "rows");
    Ok(count)
}

/// Mends the checksums of the blocks of the directory and of all before the tail; that of the tail
/// is computed from what is there.
fn mend(file: &mut [u8], head: &Head) {
    let tail = file.len() - (head.tail_bytes as usize).min(file.len());
    let sums = tail.div_ceil(SUM_BYTES);
    let (before, tail_bytes) = file.split_at_mut(tail);
    let places = tail_bytes.get(sums * 4..).unwrap_or(&[]);
    let offset = |place: &[u8]| u64::from_le_bytes(place[12..20].try_into().expect("eight bytes"));
    let mut starts: Vec<usize> = places
        .chunks_exact(PLACE_BYTES)
        .take(head.blocks as usize)
        .map_while(|place| usize::try_from(offset(place)).ok().filter(|start| *start < tail))
        .collect();
    starts.push(tail);
    for pair in starts.windows(2) {
        if let Some(block) = before.get_mut(pair[0]..pair[1]).filter(|block| block.len() > 4) {
            let crc = crc32c(&block[4..]);
            block[..4].copy_from_slice(&crc.to_le_bytes());
        }
    }
    for (sum, block) in tail_bytes.chunks_exact_mut(4).zip(before.chunks(SUM_BYTES)) {
        sum.copy_from_slice(&crc32c(block).to_le_bytes());
    }
}
