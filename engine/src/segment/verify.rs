//! Checks everything that a segment says, for `tagus verify`.

use std::ops::Range;
use std::sync::Arc;

use super::Segment;
use super::codec::Series;
use super::decode::{ColumnPage, Dictionary, PageSize, Unpacker, Values};
use super::directory::TagRun;
use super::fetch::read_error;
use super::reader::Inner;
use super::schema::{COLUMNS, NANOS, NANOS_PER_MILLI, STATUS, TAG, TIME};
use super::tail::{Place, Tail};
use crate::env::File;
use crate::limits::CHECKSUM_BLOCK_BYTES;
use crate::status::{Quality, Status};
use crate::{Error, Result};

/// Bytes that are checked at once; a multiple of the checksum blocks.
const CHUNK: u64 = 64 * CHECKSUM_BLOCK_BYTES as u64;

impl Segment {
    /// Checks every checksum, and where they are right every page, the directory and the meta
    /// data against each other. Returns all damages, each an error that names file and offset.
    pub fn verify(&self) -> Vec<Error> {
        self.forget();
        let opened = self.inner().open().and_then(|file| Ok((self.inner().tail(&file)?, file)));
        let (tail, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return vec![error],
        };
        let check = Check { inner: self.inner(), file, tail };
        let mut damages = Vec::new();
        check.checksums(&mut damages);
        if damages.is_empty()
            && let Err(error) = check.contents()
        {
            damages.push(error);
        }
        self.forget();
        damages
    }
}

struct Check<'a> {
    inner: &'a Inner,
    file: Arc<dyn File>,
    tail: Arc<Tail>,
}

impl Check<'_> {
    fn damaged<T>(&self, offset: u64, why: impl std::fmt::Display) -> Result<T> {
        Err(Error::damaged(&self.inner.path, offset, why))
    }

    /// Checks all blocks before the tail; goes on after each that is damaged.
    fn checksums(&self, damages: &mut Vec<Error>) {
        let end = self.inner.meta.tail_offset;
        let mut start = 0;
        while start < end {
            let range = start..(start + CHUNK).min(end);
            match self.file.read_ranges(std::slice::from_ref(&range)) {
                Ok(parts) => self.chunk(&range, parts.first().map_or(&[], |bytes| bytes), damages),
                Err(_) => self.blocks(&range, damages),
            }
            start = range.end;
        }
    }

    /// Checks each block by itself where not all of them can be read.
    fn blocks(&self, range: &Range<u64>, damages: &mut Vec<Error>) {
        for start in range.clone().step_by(CHECKSUM_BLOCK_BYTES) {
            let block = start..range.end.min(start + CHECKSUM_BLOCK_BYTES as u64);
            let wanted = std::slice::from_ref(&block);
            match self.file.read_ranges(wanted) {
                Ok(parts) => self.chunk(&block, parts.first().map_or(&[], |bytes| bytes), damages),
                Err(error) => damages.push(read_error(&self.file, &self.inner.path, wanted, &error)),
            }
        }
    }

    fn chunk(&self, range: &Range<u64>, bytes: &[u8], damages: &mut Vec<Error>) {
        for (offset, block) in (range.start..).step_by(CHECKSUM_BLOCK_BYTES).zip(bytes.chunks(CHECKSUM_BLOCK_BYTES)) {
            if self.tail.sums.check(offset, block).is_err() {
                damages.push(Error::damaged(&self.inner.path, offset, "a checksum does not match"));
            }
        }
        if bytes.len() as u64 != range.end - range.start {
            let offset = range.start + bytes.len() as u64;
            damages.push(Error::damaged(&self.inner.path, offset, "the file ends too early"));
        }
    }

    /// Checks that directory, meta data and rows agree.
    fn contents(&self) -> Result<()> {
        let meta = &self.inner.meta;
        let runs = self.inner.directory(&self.file, &self.tail, 0..self.tail.blocks.len())?;
        let offset = self.tail.blocks.first().map_or(0, |block| block.offset);
        let follow = runs.windows(2).all(|pair| pair[0].tag < pair[1].tag && pair[0].rows.end == pair[1].rows.start);
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return self.damaged(offset, "the tag directory is empty");
        };
        if !follow || first.rows.start != 0 || last.rows.end != meta.rows {
            return self.damaged(offset, "the tag directory does not fit the rows");
        }
        let times = runs.iter().map(|run| run.first_time).min().zip(runs.iter().map(|run| run.last_time).max());
        let tags = (first.tag, last.tag, runs.len() as u64);
        if tags != (meta.first_tag, meta.last_tag, u64::from(meta.tags))
            || times != Some((meta.first_time, meta.last_time))
        {
            return self.damaged(offset, "the tag directory and the manifest disagree");
        }
        self.rows(&runs)
    }

    /// Decodes all pages and holds them to the directory.
    fn rows(&self, runs: &[TagRun]) -> Result<()> {
        let mut unpacker = Unpacker::new().map_err(|error| Error::io("reading", &self.inner.path, &error))?;
        let mut walk = Walk { runs: runs.iter(), run: None, last_time: i64::MIN, worst: Quality::Good };
        for group in &self.tail.groups {
            let mut dictionaries: [Option<Dictionary>; COLUMNS] = Default::default();
            for (column, chunk) in group.chunks.iter().enumerate() {
                if let Some(place) = chunk.dictionary {
                    let read = unpacker.dictionary(column, &self.fetch(place)?);
                    dictionaries[column] = Some(read.or_else(|why| self.damaged(place.offset, why))?);
                }
            }
            for i in 0..group.pages.len() {
                let rows = group.page_rows(i);
                let count = (rows.end - rows.start) as usize;
                let size = PageSize { rows: count, wanted: count };
                let mut columns = Vec::with_capacity(COLUMNS);
                for (column, chunk) in group.chunks.iter().enumerate() {
                    let place = chunk.pages[i];
                    let page = unpacker.page(column, &self.fetch(place)?, size, dictionaries[column].as_ref());
                    columns.push(page.or_else(|why| self.damaged(place.offset, why))?);
                }
                let offset = group.chunks[TAG].pages[i].offset;
                walk.page(&rows, &columns).or_else(|why| self.damaged(offset, why))?;
            }
        }
        Ok(())
    }

    fn fetch(&self, place: Place) -> Result<bytes::Bytes> {
        let range = place.range();
        let (fetched, _) = self.inner.fetch(&self.file, &self.tail, vec![range.clone()])?;
        fetched.get(&range).map_or_else(|| self.damaged(place.offset, "a page was not read"), Ok)
    }
}

/// Follows the rows through the runs of the directory.
struct Walk<'a> {
    runs: std::slice::Iter<'a, TagRun>,
    run: Option<&'a TagRun>,
    last_time: i64,
    worst: Quality,
}

impl Walk<'_> {
    fn page(&mut self, rows: &Range<u64>, columns: &[ColumnPage]) -> std::result::Result<(), &'static str> {
        let number = |column: usize, i: usize| match &columns[column].values {
            Values::Numbers(series @ (Series::Same(_) | Series::Each(_))) => series.at(i),
            Values::Texts(_) => 0,
        };
        for (i, row) in rows.clone().enumerate() {
            let nanos = number(NANOS, i);
            let time = number(TIME, i).wrapping_mul(NANOS_PER_MILLI).wrapping_add(nanos);
            let status = u32::try_from(number(STATUS, i)).map_err(|_| "a status has more than 32 bits")?;
            if !(0..NANOS_PER_MILLI).contains(&nanos) {
                return Err("the nanoseconds of a row are a millisecond or more");
            }
            if self.run.is_none_or(|run| run.rows.start <= row && run.rows.end == row) {
                self.run = self.runs.next();
                (self.last_time, self.worst) = (i64::MIN, Quality::Good);
            }
            let run = self.run.ok_or("the tag directory ends before the rows")?;
            if number(TAG, i) != i64::from(run.tag.0) {
                return Err("a row has another tag than the tag directory says");
            }
            self.row(run, row, time, Status(status))?;
        }
        Ok(())
    }

    fn row(&mut self, run: &TagRun, row: u64, time: i64, status: Status) -> std::result::Result<(), &'static str> {
        let (first, last) = (row == run.rows.start, row + 1 == run.rows.end);
        if !first && time <= self.last_time {
            return Err("times do not ascend within a tag");
        }
        self.last_time = time;
        self.worst = self.worst.max(status.quality());
        if (first && time != run.first_time) || (last && (time != run.last_time || self.worst != run.worst)) {
            return Err("the tag directory and the rows disagree");
        }
        Ok(())
    }
}
