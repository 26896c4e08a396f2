//! An immutable segment: finds tags and reads rows.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::damages::{Damages, Part};
use super::directory::{TagRun, decode_block};
use super::fetch::{Fetched, read_error, unreadable};
use super::footers::Footers;
use super::rows::RowReader;
use super::schema::NANOS_PER_MILLI;
use super::tail::Tail;
use super::{Columns, ReadMetrics, SegmentMeta};
use crate::env::{Disk, File, OpenMode, OsClock, is_medium_error};
use crate::format::crc32c;
use crate::tag::TagId;
use crate::{Error, ErrorKind, Result};

/// Bytes of the tag directory that are read at once.
const DIRECTORY_READ_BYTES: u64 = 1 << 20;

/// A segment. Making one opens nothing; the first read verifies the file's tail and keeps what
/// it says as long as there is room. No file stays open between reads.
pub struct Segment(Arc<Inner>);

/// What a segment and its readers share.
pub(super) struct Inner {
    disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub meta: SegmentMeta,
    footers: Arc<Footers>,
    damages: Arc<Damages>,
    /// Held while the tail is read, so that it is read once whoever asks.
    loading: Mutex<()>,
    /// Whether the manifest names it no more, so that its file goes with its last reader.
    retired: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody will ask for the footer of a segment that is gone.
        self.footers.forget(self.meta.id);
        self.damages.forget(self.meta.id);
        // A file that stays is garbage that no manifest names; the next start removes it.
        if *self.retired.get_mut()
            && let Err(error) = self.disk.remove(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a merged segment stays behind");
        }
    }
}

impl Segment {
    /// The segment `meta` in the folder `dir`, which keeps its footer once it is read.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, meta: SegmentMeta) -> Segment {
        let damages = Arc::new(Damages::new(Arc::new(OsClock::new())));
        Segment::sharing(disk, dir, meta, Arc::new(Footers::new(usize::MAX)), damages)
    }

    /// The segment `meta` in the folder `dir`, whose footer is kept, and damage noted, among others.
    pub(crate) fn sharing(
        disk: Arc<dyn Disk>,
        dir: &Path,
        meta: SegmentMeta,
        footers: Arc<Footers>,
        damages: Arc<Damages>,
    ) -> Segment {
        let path = dir.join(&meta.name);
        let (loading, retired) = (Mutex::new(()), AtomicBool::new(false));
        Segment(Arc::new(Inner { disk, path, meta, footers, damages, loading, retired }))
    }

    /// What the manifest says of it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.0.meta
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Removes the file once nobody reads the segment any more.
    pub(crate) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it is known to be damaged, asked for the first time.
    pub(crate) fn mention_damage(&self) -> bool {
        self.0.damages.mention(self.0.meta.id)
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Bytes of memory that its footer takes; 0 before the first read, after [`Segment::forget`],
    /// and when footers of other segments took its room.
    pub fn memory(&self) -> usize {
        self.0.footers.bytes_of(self.0.meta.id)
    }

    /// Gives the memory of its footer back; the next read fetches it again.
    pub fn forget(&self) {
        self.0.footers.forget(self.0.meta.id);
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
        let tail = match self.0.footers.get(self.0.meta.id) {
            Some(tail) => tail,
            None => self.0.tail(&self.0.open()?)?,
        };
        let pages = RunPages::new(&tail, run);
        Ok(pages.between(from.div_euclid(NANOS_PER_MILLI), to.div_euclid(NANOS_PER_MILLI)).unwrap_or(nothing))
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

/// The pages that hold the rows of a run.
///
/// The first and the last of them may hold other tags too, so that their own times say nothing
/// of the run; the pages beside them and the run itself do.
struct RunPages<'a> {
    tail: &'a Tail,
    run: &'a TagRun,
    /// The row groups of the first and the last page.
    groups: (usize, usize),
}

impl<'a> RunPages<'a> {
    fn new(tail: &'a Tail, run: &'a TagRun) -> RunPages<'a> {
        let last_row = run.rows.end.saturating_sub(1);
        RunPages { tail, run, groups: (tail.group_of(run.rows.start), tail.group_of(last_row)) }
    }

    /// The rows of the run in pages that can hold these milliseconds, both included.
    fn between(&self, from: i64, to: i64) -> Option<Range<u64>> {
        let (first, last) = self.groups;
        let group = first_not(first..last + 1, |group| self.latest(group, self.pages(group).end - 1) < from);
        if group > last {
            return None;
        }
        let start = (group, first_not(self.pages(group), |page| self.latest(group, page) < from));
        let group = first_not(first..last + 1, |group| self.earliest(group, self.pages(group).start) <= to);
        let group = group.checked_sub(1).filter(|group| *group >= first)?;
        let past = first_not(self.pages(group), |page| self.earliest(group, page) <= to);
        let end = (group, past.checked_sub(1)?);
        if start > end {
            return None;
        }
        let rows = self.rows(start.0, start.1).start..self.rows(end.0, end.1).end;
        Some(rows.start.max(self.run.rows.start)..rows.end.min(self.run.rows.end))
    }

    /// The pages of one of the row groups that hold rows of the run.
    fn pages(&self, group: usize) -> Range<usize> {
        let pages = &self.tail.groups[group];
        let start = if group == self.groups.0 { pages.page_of(self.run.rows.start) } else { 0 };
        let last_row = self.run.rows.end.saturating_sub(1);
        let end = if group == self.groups.1 { pages.page_of(last_row) + 1 } else { pages.pages.len() };
        start..end
    }

    fn rows(&self, group: usize, page: usize) -> Range<u64> {
        self.tail.groups[group].page_rows(page)
    }

    /// The earliest and the latest millisecond of a page that holds nothing but this run.
    fn own(&self, group: usize, page: usize) -> Option<(i64, i64)> {
        let rows = self.rows(group, page);
        let whole = rows.start >= self.run.rows.start && rows.end <= self.run.rows.end;
        whole.then(|| self.tail.groups[group].pages[page].millis)
    }

    /// No row of the run on this page is earlier.
    fn earliest(&self, group: usize, page: usize) -> i64 {
        let first = self.run.first_time.div_euclid(NANOS_PER_MILLI);
        let before = || {
            if (group, page) <= (self.groups.0, self.pages(self.groups.0).start) {
                return None;
            }
            let before = if page > 0 { (group, page - 1) } else { (group - 1, self.pages(group - 1).end - 1) };
            self.own(before.0, before.1)
        };
        match self.own(group, page) {
            Some((earliest, _)) => earliest,
            None => before().map_or(first, |(_, latest)| latest),
        }
    }

    /// No row of the run on this page is later.
    fn latest(&self, group: usize, page: usize) -> i64 {
        let last = self.run.last_time.div_euclid(NANOS_PER_MILLI);
        let after = || {
            if (group, page + 1) >= (self.groups.1, self.pages(self.groups.1).end) {
                return None;
            }
            let after = if page + 1 < self.pages(group).end { (group, page + 1) } else { (group + 1, 0) };
            self.own(after.0, after.1)
        };
        match self.own(group, page) {
            Some((_, latest)) => latest,
            None => after().map_or(last, |(earliest, _)| earliest),
        }
    }
}

/// The first of the numbers of which `holds` is not true; it is true of those before.
fn first_not(numbers: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (numbers.start, numbers.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

impl Inner {
    /// Opens the file.
    pub fn open(&self) -> Result<Arc<dyn File>> {
        let opened = self.disk.open(&self.path, OpenMode::Read).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::damaged(&self.path, 0, "the file is missing"),
            _ if is_medium_error(&error) => Error::damaged(&self.path, 0, unreadable(&error)),
            _ => Error::io("opening", &self.path, &error),
        });
        self.noted(Part::File, opened, |_, _| true)
    }

    /// Notes what came of a read of some part of the file: damage, or that there is none where the
    /// part holds the byte that was damaged.
    fn noted<T>(&self, part: Part, read: Result<T>, holds: impl Fn(&T, u64) -> bool) -> Result<T> {
        match &read {
            Ok(read) => self.damages.read_well(self.meta.id, part, |offset| holds(read, offset)),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.damages.note(self.meta.id, self.path.clone(), part, error);
            }
            Err(_) => {}
        }
        read
    }

    /// Bytes before the tail, checked; and how many were read for them.
    pub fn fetch(&self, file: &Arc<dyn File>, tail: &Tail, wanted: Vec<Range<u64>>) -> Result<(Fetched, u64)> {
        let read = Fetched::read(file, &self.path, &tail.sums, self.meta.tail_offset, wanted);
        self.noted(Part::Bytes, read, |(fetched, _), offset| fetched.holds(offset))
    }

    /// The error of bytes whose checksum is right and that say what cannot be.
    pub fn meaningless(&self, offset: u64, why: &str) -> Error {
        let error = Error::damaged(&self.path, offset, why);
        self.damages.note(self.meta.id, self.path.clone(), Part::Meaning, &error);
        error
    }

    /// The verified tail.
    pub fn tail(&self, file: &Arc<dyn File>) -> Result<Arc<Tail>> {
        let kept = || self.footers.get(self.meta.id);
        if let Some(tail) = kept() {
            return Ok(tail);
        }
        let _one_at_a_time = self.loading.lock();
        if let Some(tail) = kept() {
            return Ok(tail);
        }
        let tail = Arc::new(self.read_tail(file)?.0);
        self.footers.keep(self.meta.id, Arc::clone(&tail));
        Ok(tail)
    }

    /// Reads and verifies the tail: what it says, and its bytes.
    pub fn read_tail(&self, file: &Arc<dyn File>) -> Result<(Tail, Bytes)> {
        let read = self.tail_bytes(file).and_then(|bytes| Ok((Tail::parse(&self.path, &self.meta, &bytes)?, bytes)));
        self.noted(Part::Tail, read, |_, _| true)
    }

    /// The bytes of the tail, whose checksum is right.
    pub fn tail_bytes(&self, file: &Arc<dyn File>) -> Result<Bytes> {
        let meta = &self.meta;
        let length = file.len().map_err(|error| read_error(file, &self.path, &[], &error))?;
        if length != meta.bytes {
            let why = format!("the file has {length} bytes where {} were written", meta.bytes);
            return Err(Error::damaged(&self.path, length.min(meta.bytes), why));
        }
        let range = meta.tail_offset..meta.bytes;
        let answer = file.read_ranges(std::slice::from_ref(&range));
        let answer = answer.map_err(|error| read_error(file, &self.path, std::slice::from_ref(&range), &error))?;
        let bytes = answer.into_iter().next().unwrap_or_default();
        if bytes.len() as u64 != range.end.saturating_sub(range.start) || crc32c(&bytes) != meta.tail_crc {
            return Err(Error::damaged(&self.path, meta.tail_offset, "the checksum of the file's tail does not match"));
        }
        Ok(bytes)
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
            let read = self.directory_blocks(file, tail, &whole, &ranges);
            runs.extend(self.noted(Part::Bytes, read, |_, offset| whole.contains(&offset))?);
        }
        Ok(runs)
    }

    /// The runs in blocks that lie one after the other and are `whole` together.
    fn directory_blocks(
        &self,
        file: &Arc<dyn File>,
        tail: &Tail,
        whole: &Range<u64>,
        blocks: &[(usize, Range<u64>)],
    ) -> Result<Vec<TagRun>> {
        let answer = file.read_ranges(std::slice::from_ref(whole));
        let answer = answer.map_err(|error| read_error(file, &self.path, std::slice::from_ref(whole), &error))?;
        let bytes = answer.into_iter().next().unwrap_or_default();
        let mut runs = Vec::new();
        for (block, range) in blocks {
            let part = usize::try_from(range.start - whole.start).ok();
            let part = part.zip(usize::try_from(range.end - whole.start).ok());
            let part = part.and_then(|(from, to)| bytes.get(from..to));
            let part = part.ok_or_else(|| Error::damaged(&self.path, range.start, "the file ends too early"))?;
            let found = decode_block(part, tail.blocks[*block].row);
            let found = found.map_err(|error| error.in_file(&self.path, range.start))?;
            if !tail.is_block(*block, &found) {
                let why = "a block of the tag directory is not what its index says";
                return Err(Error::damaged(&self.path, range.start, why));
            }
            runs.extend(found);
        }
        Ok(runs)
    }
}
