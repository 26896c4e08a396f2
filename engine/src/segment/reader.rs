//! An immutable segment: finds tags and reads rows.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::directory::{TagRun, decode_block};
use super::fetch::read_error;
use super::rows::RowReader;
use super::schema::NANOS_PER_MILLI;
use super::tail::Tail;
use super::{Columns, ReadMetrics, SegmentMeta};
use crate::env::{Disk, File, OpenMode};
use crate::format::crc32c;
use crate::tag::TagId;
use crate::{Error, Result};

/// Bytes of the tag directory that are read at once.
const DIRECTORY_READ_BYTES: u64 = 1 << 20;

/// A segment. Making one opens nothing; the first read verifies the file's tail and keeps what
/// it says. No file stays open between reads.
pub struct Segment(Arc<Inner>);

/// What a segment and its readers share.
pub(super) struct Inner {
    disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub meta: SegmentMeta,
    tail: Mutex<Option<Arc<Tail>>>,
}

impl Segment {
    /// The segment `meta` in the folder `dir`.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, meta: SegmentMeta) -> Segment {
        let path = dir.join(&meta.name);
        Segment(Arc::new(Inner { disk, path, meta, tail: Mutex::new(None) }))
    }

    /// What the manifest says of it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.0.meta
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Bytes of memory that its footer takes; 0 before the first read and after [`Segment::forget`].
    pub fn memory(&self) -> usize {
        self.0.tail.lock().as_ref().map_or(0, |tail| tail.memory())
    }

    /// Gives the memory of its footer back; the next read fetches it again.
    pub fn forget(&self) {
        *self.0.tail.lock() = None;
    }

    /// What it holds of a tag. Reads one block of the directory.
    ///
    /// Errors: `Damaged` where bytes are not what was written, else those of the disk.
    pub fn run(&self, tag: TagId) -> Result<Option<TagRun>> {
        if tag < self.0.meta.first_tag || tag > self.0.meta.last_tag {
            return Ok(None);
        }
        let file = self.0.open()?;
        let tail = self.0.tail(&file)?;
        let Some(block) = tail.block_of_tag(tag) else {
            return Ok(None);
        };
        let runs = self.0.directory(&file, &tail, block..block + 1)?;
        Ok(runs.into_iter().find(|run| run.tag == tag))
    }

    /// What it holds of a range of tags, ascending.
    ///
    /// Errors: as [`Segment::run`].
    pub fn runs(&self, tags: RangeInclusive<TagId>) -> Result<Vec<TagRun>> {
        let (first, last) = tags.into_inner();
        if first > last || last < self.0.meta.first_tag || first > self.0.meta.last_tag {
            return Ok(Vec::new());
        }
        let file = self.0.open()?;
        let tail = self.0.tail(&file)?;
        let from = tail.block_of_tag(first).unwrap_or(0);
        let to = tail.block_of_tag(last).map_or(0, |block| block + 1);
        let mut runs = self.0.directory(&file, &tail, from..to)?;
        runs.retain(|run| run.tag >= first && run.tag <= last);
        Ok(runs)
    }

    /// The rows of `run` in pages that can hold times in `from..=to`, counted from the start of
    /// the file; an empty range where there are none.
    ///
    /// Errors: as [`Segment::run`].
    pub fn narrow(&self, run: &TagRun, from: i64, to: i64) -> Result<Range<u64>> {
        let nothing = run.rows.start..run.rows.start;
        if from > to || to < run.first_time || from > run.last_time {
            return Ok(nothing);
        }
        if from <= run.first_time && to >= run.last_time {
            return Ok(run.rows.clone());
        }
        let tail = self.0.tail(&self.0.open()?)?;
        let pages = pages_of(&tail, run);
        let mut found = nothing;
        for (i, page) in pages.iter().enumerate() {
            let (first, last) = times_within(run, &pages, i);
            if first <= to && last >= from {
                let start = if found.start == found.end { page.rows.start } else { found.start };
                found = start..page.rows.end;
            }
        }
        // Pages at the ends of the run hold other tags too.
        Ok(found.start.max(run.rows.start)..found.end.min(run.rows.end))
    }

    /// Reads rows of the file, given as ascending ranges that do not overlap.
    ///
    /// Errors: `InvalidInput` for other ranges, else as [`Segment::run`].
    pub fn read(&self, rows: Vec<Range<u64>>, columns: Columns, metrics: &Arc<ReadMetrics>) -> Result<RowReader> {
        let ordered = rows.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let whole = rows.iter().all(|range| range.start <= range.end && range.end <= self.0.meta.rows);
        if !ordered || !whole {
            let what = format!("reading {} failed", self.path().display());
            return Err(Error::invalid(what, "row ranges that do not ascend within the file", "report this"));
        }
        RowReader::open(self.0.clone(), rows, columns, metrics.clone())
    }
}

/// A page of which a run has rows.
struct PageOfRun {
    rows: Range<u64>,
    /// The earliest and the latest time of all its rows, in nanoseconds.
    times: (i64, i64),
    /// Whether all its rows are the run's.
    whole: bool,
}

fn pages_of(tail: &Tail, run: &TagRun) -> Vec<PageOfRun> {
    let mut pages = Vec::new();
    for group in tail.groups.iter().skip(tail.group_of(run.rows.start)) {
        for (i, page) in group.pages.iter().enumerate().skip(group.page_of(run.rows.start)) {
            let rows = group.page_rows(i);
            if rows.start >= run.rows.end {
                return pages;
            }
            let (first, last) = page.millis;
            let first = first.saturating_mul(NANOS_PER_MILLI);
            let last = last.saturating_mul(NANOS_PER_MILLI).saturating_add(NANOS_PER_MILLI - 1);
            let whole = rows.start >= run.rows.start && rows.end <= run.rows.end;
            pages.push(PageOfRun { rows, times: (first, last), whole });
        }
    }
    pages
}

/// Between which times the run's rows in page `i` lie. A page that it shares with other tags
/// tells nothing by itself, but times ascend within a run, so that the page before and the page
/// after do.
fn times_within(run: &TagRun, pages: &[PageOfRun], i: usize) -> (i64, i64) {
    let page = &pages[i];
    if page.whole {
        return page.times;
    }
    let before = i.checked_sub(1).map(|before| &pages[before]).filter(|page| page.whole);
    let after = pages.get(i + 1).filter(|page| page.whole);
    let first = before.map_or(page.times.0.max(run.first_time), |before| before.times.1 - (NANOS_PER_MILLI - 1));
    let last = after.map_or(page.times.1.min(run.last_time), |after| after.times.0 + (NANOS_PER_MILLI - 1));
    (first, last)
}

impl Inner {
    /// Opens the file.
    pub fn open(&self) -> Result<Arc<dyn File>> {
        self.disk.open(&self.path, OpenMode::Read).map_err(|error| Error::io("opening", &self.path, &error))
    }

    /// The verified tail.
    pub fn tail(&self, file: &Arc<dyn File>) -> Result<Arc<Tail>> {
        let mut kept = self.tail.lock();
        if let Some(tail) = &*kept {
            return Ok(tail.clone());
        }
        let meta = &self.meta;
        let length = file.len().map_err(|error| Error::io("measuring", &self.path, &error))?;
        if length != meta.bytes {
            let why = format!("the file has {length} bytes where {} were written", meta.bytes);
            return Err(Error::damaged(&self.path, length.min(meta.bytes), why));
        }
        let range = meta.tail_offset..meta.bytes;
        let answer = file.read_ranges(std::slice::from_ref(&range));
        let answer = answer.map_err(|error| read_error(&self.path, std::slice::from_ref(&range), &error))?;
        let bytes = answer.into_iter().next().unwrap_or_default();
        if bytes.len() as u64 != range.end.saturating_sub(range.start) || crc32c(&bytes) != meta.tail_crc {
            return Err(Error::damaged(&self.path, meta.tail_offset, "the checksum of the file's tail does not match"));
        }
        let tail = Arc::new(Tail::parse(&self.path, meta, &bytes)?);
        *kept = Some(tail.clone());
        Ok(tail)
    }

    /// The runs in some blocks of the tag directory.
    pub fn directory(&self, file: &Arc<dyn File>, tail: &Tail, blocks: Range<usize>) -> Result<Vec<TagRun>> {
        let mut runs = Vec::new();
        let mut next = blocks.start;
        while next < blocks.end {
            let start = tail.blocks[next].offset;
            let mut ranges = Vec::new();
            while next < blocks.end && tail.blocks[next].offset < start + DIRECTORY_READ_BYTES {
                ranges.push((next, tail.block_range(next)));
                next += 1;
            }
            let whole = start..ranges.last().map_or(start, |(_, range)| range.end);
            let answer = file.read_ranges(std::slice::from_ref(&whole));
            let answer = answer.map_err(|error| read_error(&self.path, std::slice::from_ref(&whole), &error))?;
            let bytes = answer.into_iter().next().unwrap_or_default();
            for (block, range) in ranges {
                let part = usize::try_from(range.start - start).ok().zip(usize::try_from(range.end - start).ok());
                let part = part.and_then(|(from, to)| bytes.get(from..to));
                let part = part.ok_or_else(|| Error::damaged(&self.path, range.start, "the file ends too early"))?;
                let found = decode_block(part, tail.blocks[block].row);
                runs.extend(found.map_err(|error| error.in_file(&self.path, range.start))?);
            }
        }
        Ok(runs)
    }
}
