//! Reads rows page by page, with bounded memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::codec::{DecodeResult, Series};
use super::decimal;
use super::decode::{ColumnPage, Dictionary, PageSize, Unpacker, Values};
use super::directory::{RunScale, TagRun};
use super::fetch::Fetched;
use super::plan::{ColumnSet, Piece, columns_for, next_piece};
use super::reader::Inner;
use super::schema::{COLUMNS, MANTISSA, NANOS, NANOS_PER_MILLI, SCALE, STATUS, TEXT, TIME, VALUE};
use super::tail::{Place, Tail};
use super::{Columns, ReadMetrics};
use crate::env::File;
use crate::sample::Rows;
use crate::{Error, Result};

/// What one request asks the disk for at most, unless a single page is larger.
const BATCH_BYTES_MAX: u64 = 1 << 20;
/// Pages of the first request and of any later one, at most: each asks for twice as many as the
/// one before, so that whoever wants few rows does not wait for many.
const BATCH_PAGES_FIRST: usize = 2;
const BATCH_PAGES_MAX: usize = 32;
/// Runs of one request from which on it takes no more pages: in a page of tags that have one row
/// each they take more memory than the rows.
const BATCH_RUNS_MAX: usize = 1 << 16;

/// Gives the rows that [`super::Segment::read`] was asked for, in file order.
pub struct RowReader {
    segment: Arc<Inner>,
    file: Arc<dyn File>,
    tail: Arc<Tail>,
    columns: Columns,
    /// Rows that are in no batch yet.
    ranges: VecDeque<Range<u64>>,
    batch: VecDeque<Planned>,
    batch_pages: usize,
    fetched: Fetched,
    page: Option<OpenPage>,
    directory: DirectoryCursor,
    dictionaries: Dictionaries,
    /// There until the reader is dropped.
    unpacker: Option<Unpacker>,
    metrics: Arc<ReadMetrics>,
    pages_read: u64,
}

/// A piece whose bytes are fetched.
struct Planned {
    piece: Piece,
    runs: Vec<TagRun>,
    columns: ColumnSet,
}

/// The blocks of the tag directory that were read last.
#[derive(Default)]
struct DirectoryCursor {
    blocks: Range<usize>,
    runs: Vec<TagRun>,
}

/// The dictionaries of the row group that was read last.
#[derive(Default)]
struct Dictionaries {
    group: usize,
    columns: [Option<Dictionary>; COLUMNS],
}

impl Dictionaries {
    fn known(&self) -> ColumnSet {
        std::array::from_fn(|column| self.columns[column].is_some())
    }
}

impl RowReader {
    pub(super) fn open(
        segment: Arc<Inner>,
        rows: Vec<Range<u64>>,
        columns: Columns,
        metrics: Arc<ReadMetrics>,
    ) -> Result<RowReader> {
        let file = segment.open()?;
        let tail = segment.tail(&file)?;
        let unpacker = Unpacker::new().map_err(|error| Error::io("reading", &segment.path, &error))?;
        if rows.iter().any(|range| !range.is_empty()) {
            metrics.count_pages(segment.meta.id, tail.page_count(), 0);
        }
        Ok(RowReader {
            segment,
            file,
            tail,
            columns,
            ranges: rows.into(),
            batch: VecDeque::new(),
            batch_pages: BATCH_PAGES_FIRST,
            fetched: Fetched::default(),
            page: None,
            directory: DirectoryCursor::default(),
            dictionaries: Dictionaries::default(),
            unpacker: Some(unpacker),
            metrics,
            pages_read: 0,
        })
    }

    /// The next rows, at least one and at most `max`, or `None` at the end. They may span tags;
    /// columns that were not asked for hold their defaults (time 0, value bits 0, no text,
    /// status Good).
    ///
    /// Errors: `Damaged` where bytes are not what was written, else those of the disk. After an
    /// error the reader is of no more use.
    pub fn next(&mut self, max: usize) -> Result<Option<Rows>> {
        loop {
            if let Some(page) = &mut self.page {
                if let Some(rows) = page.take(max.max(1)) {
                    ReadMetrics::add(&self.metrics.rows_read, rows.len() as u64);
                    return Ok(Some(rows));
                }
                self.close_page();
            }
            match self.batch.pop_front() {
                Some(planned) => self.page = Some(self.decode(planned)?),
                None => {
                    if !self.fetch()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Keeps the room that the page took for the next.
    fn close_page(&mut self) {
        if let (Some(page), Some(unpacker)) = (self.page.take(), &mut self.unpacker) {
            page.columns.into_iter().flatten().for_each(|column| unpacker.recycle(column));
        }
    }

    /// Plans the next batch and reads its bytes; false at the end.
    fn fetch(&mut self) -> Result<bool> {
        let mut wanted = Vec::new();
        let (mut bytes, mut run_count) = (0, 0);
        // The dictionaries that are at hand once this batch is, and whose row group's they are.
        let (mut group, mut known) = (self.dictionaries.group, self.dictionaries.known());
        while self.batch.len() < self.batch_pages && bytes < BATCH_BYTES_MAX && run_count < BATCH_RUNS_MAX {
            let Some(piece) = next_piece(&self.tail, &mut self.ranges) else {
                break;
            };
            let runs = self.runs_of(&piece)?;
            let columns = columns_for(self.columns, runs.iter());
            if group != piece.group {
                (group, known) = (piece.group, [false; COLUMNS]);
            }
            let chunks = &self.tail.groups[piece.group].chunks;
            for (column, chunk) in chunks.iter().enumerate().filter(|(column, _)| columns[*column]) {
                let place = chunk.pages[piece.page];
                self.pages_read += 1;
                ReadMetrics::add(&self.metrics.pages_read, 1);
                bytes += u64::from(place.bytes);
                wanted.push(place.range());
                if let Some(place) = chunk.dictionary.filter(|_| !known[column]) {
                    known[column] = true;
                    bytes += u64::from(place.bytes);
                    wanted.push(place.range());
                }
            }
            run_count += runs.len();
            self.batch.push_back(Planned { piece, runs, columns });
        }
        if self.batch.is_empty() {
            return Ok(false);
        }
        let (fetched, bytes) = self.segment.fetch(&self.file, &self.tail, wanted)?;
        ReadMetrics::add(&self.metrics.bytes_read, bytes);
        self.fetched = fetched;
        self.batch_pages = (self.batch_pages * 2).min(BATCH_PAGES_MAX);
        Ok(true)
    }

    /// The runs that wanted rows of a piece belong to.
    fn runs_of(&mut self, piece: &Piece) -> Result<Vec<TagRun>> {
        let (Some(first), Some(last)) = (piece.wanted.first(), piece.wanted.last()) else {
            return Ok(Vec::new());
        };
        let row = |i: usize| piece.first_row + i as u64;
        let blocks = self.tail.block_of_row(row(first.start))..self.tail.block_of_row(row(last.end - 1)) + 1;
        let cursor = &mut self.directory;
        if cursor.blocks != blocks {
            cursor.runs = self.segment.directory(&self.file, &self.tail, blocks.clone())?;
            cursor.blocks = blocks;
        }
        let mut runs = Vec::new();
        let mut next = 0;
        for wanted in &piece.wanted {
            let wanted = row(wanted.start)..row(wanted.end);
            next = cursor.runs.partition_point(|run| run.rows.end <= wanted.start).max(next);
            while let Some(run) = cursor.runs.get(next).filter(|run| run.rows.start < wanted.end) {
                runs.push(run.clone());
                next += 1;
            }
        }
        Ok(runs)
    }

    fn decode(&mut self, planned: Planned) -> Result<OpenPage> {
        let Planned { piece, runs, columns } = planned;
        if self.dictionaries.group != piece.group {
            self.dictionaries = Dictionaries { group: piece.group, ..Dictionaries::default() };
        }
        let size = PageSize { rows: piece.rows, wanted: piece.wanted.last().map_or(0, |wanted| wanted.end) };
        let tail = self.tail.clone();
        let mut decoded: [Option<ColumnPage>; COLUMNS] = Default::default();
        for (column, chunk) in tail.groups[piece.group].chunks.iter().enumerate().filter(|(column, _)| columns[*column])
        {
            if let Some(place) = chunk.dictionary.filter(|_| self.dictionaries.columns[column].is_none()) {
                let read = self.unpack(place, |unpacker, bytes| unpacker.dictionary(column, bytes))?;
                self.dictionaries.columns[column] = Some(read);
            }
            let dictionary = self.dictionaries.columns[column].take();
            let read = self.unpack(chunk.pages[piece.page], |unpacker, bytes| {
                unpacker.page(column, bytes, size, dictionary.as_ref())
            });
            self.dictionaries.columns[column] = dictionary;
            decoded[column] = Some(read?);
        }
        Ok(OpenPage {
            columns: decoded,
            asked: self.columns,
            first_row: piece.first_row,
            wanted: piece.wanted.into(),
            runs,
        })
    }

    /// Decodes the page at `place`.
    fn unpack<T>(&mut self, place: Place, decode: impl FnOnce(&mut Unpacker, &[u8]) -> DecodeResult<T>) -> Result<T> {
        let decoded = match (self.fetched.get(&place.range()), &mut self.unpacker) {
            (Some(bytes), Some(unpacker)) => decode(unpacker, &bytes),
            _ => Err("a page was not read"),
        };
        decoded.map_err(|why| self.segment.meaningless(place.offset, why))
    }
}

impl Drop for RowReader {
    fn drop(&mut self) {
        self.close_page();
        if let Some(unpacker) = self.unpacker.take() {
            unpacker.retire();
        }
        if self.pages_read > 0 {
            self.metrics.count_pages(self.segment.meta.id, self.tail.page_count(), self.pages_read);
        }
    }
}

/// A decoded page and the rows of it that are still to be given.
struct OpenPage {
    columns: [Option<ColumnPage>; COLUMNS],
    asked: Columns,
    first_row: u64,
    wanted: VecDeque<Range<usize>>,
    /// The runs that wanted rows belong to, ascending.
    runs: Vec<TagRun>,
}

impl OpenPage {
    /// At most `max` wanted rows.
    fn take(&mut self, max: usize) -> Option<Rows> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut count = 0;
        while let Some(range) = self.wanted.front_mut().filter(|_| count < max) {
            let end = range.end.min(range.start + (max - count));
            count += end - range.start;
            ranges.push(range.start..end);
            range.start = end;
            if range.start == range.end {
                self.wanted.pop_front();
            }
        }
        (count > 0).then(|| self.rows(&ranges, count))
    }

    fn rows(&self, ranges: &[Range<usize>], count: usize) -> Rows {
        let mut rows = Rows { times: Vec::with_capacity(count), values: Vec::with_capacity(count), ..Rows::default() };
        let parts: Vec<(Range<usize>, &TagRun)> = ranges.iter().flat_map(|range| self.parts(range)).collect();
        if self.asked.contains(Columns::TIME) {
            ranges.iter().for_each(|range| self.add_times(range, &mut rows.times));
        } else {
            rows.times.resize(count, 0);
        }
        if self.asked.contains(Columns::VALUE) {
            let missing = parts.iter().any(|(_, run)| run.stored.missing);
            for (range, run) in &parts {
                self.add_values(range, run, &mut rows.values);
                if missing {
                    self.add_present(range, run, &mut rows.present);
                }
            }
        } else {
            rows.values.resize(count, 0);
        }
        if self.asked.contains(Columns::STATUS) && parts.iter().any(|(_, run)| run.stored.statuses) {
            rows.statuses.reserve(count);
            ranges.iter().for_each(|range| rows.statuses.extend(range.clone().map(|i| self.number(STATUS, i) as u32)));
        }
        if self.asked.contains(Columns::TEXT)
            && parts.iter().any(|(_, run)| run.has_text)
            && let Some(ColumnPage { values: Values::Texts(texts), .. }) = &self.columns[TEXT]
        {
            ranges.iter().for_each(|range| rows.texts.extend_from_slice(&texts[range.clone()]));
        }
        rows
    }

    /// Cuts a range of rows at the ends of runs.
    fn parts(&self, range: &Range<usize>) -> Vec<(Range<usize>, &TagRun)> {
        let relative = |row: u64| usize::try_from(row.saturating_sub(self.first_row)).unwrap_or(usize::MAX);
        let first = self.runs.partition_point(|run| relative(run.rows.end) <= range.start);
        let runs = self.runs[first..].iter().take_while(|run| relative(run.rows.start) < range.end);
        runs.map(|run| (relative(run.rows.start).max(range.start)..relative(run.rows.end).min(range.end), run))
            .collect()
    }

    fn number(&self, column: usize, i: usize) -> i64 {
        match &self.columns[column] {
            Some(ColumnPage { values: Values::Numbers(series), .. }) => series.at(i),
            _ => 0,
        }
    }

    fn is_there(&self, column: usize, i: usize) -> bool {
        self.columns[column].as_ref().is_some_and(|page| page.presence.at(i))
    }

    /// Numbers of a column where each row has its own.
    fn each(&self, column: usize, range: &Range<usize>) -> Option<&[i64]> {
        match &self.columns[column] {
            Some(ColumnPage { values: Values::Numbers(Series::Each(values)), .. }) => values.get(range.clone()),
            _ => None,
        }
    }

    fn add_times(&self, range: &Range<usize>, times: &mut Vec<i64>) {
        let nanos = match &self.columns[NANOS] {
            Some(ColumnPage { values: Values::Numbers(Series::Each(nanos)), .. }) => Some(&nanos[range.clone()]),
            _ => None,
        };
        let millis = |millis: i64| millis.wrapping_mul(NANOS_PER_MILLI);
        match (self.each(TIME, range), nanos) {
            (Some(times_of), Some(nanos)) => {
                times.extend(times_of.iter().zip(nanos).map(|(time, nanos)| millis(*time).wrapping_add(*nanos)));
            }
            (Some(times_of), None) => {
                let same = self.number(NANOS, range.start);
                times.extend(times_of.iter().map(|time| millis(*time).wrapping_add(same)));
            }
            (None, _) => {
                times.extend(range.clone().map(|i| millis(self.number(TIME, i)).wrapping_add(self.number(NANOS, i))));
            }
        }
    }

    fn add_values(&self, range: &Range<usize>, run: &TagRun, values: &mut Vec<u64>) {
        let stored = &run.stored;
        let float = run.tag_type.is_float();
        match (stored.scale, self.each(MANTISSA, range), self.each(VALUE, range)) {
            (RunScale::One(scale), Some(mantissas), _) if float && !stored.doubles && !stored.missing => {
                let power = decimal::power(scale);
                values.extend(mantissas.iter().map(|mantissa| (*mantissa as f64 / power).to_bits()));
            }
            (RunScale::One(0), Some(mantissas), _) if !float && !stored.missing => {
                values.extend(mantissas.iter().map(|mantissa| mantissa.cast_unsigned()));
            }
            (RunScale::None, _, Some(doubles)) if !stored.missing => {
                values.extend(doubles.iter().map(|bits| bits.cast_unsigned()));
            }
            (scale, ..) => values.extend(range.clone().map(|i| self.value(scale, float, i))),
        }
    }

    /// The value bits of row `i`; 0 where it has none.
    fn value(&self, scale: RunScale, float: bool, i: usize) -> u64 {
        if scale != RunScale::None && self.is_there(MANTISSA, i) {
            let mantissa = self.number(MANTISSA, i);
            let scale = match scale {
                RunScale::One(scale) => scale,
                _ => u8::try_from(self.number(SCALE, i)).unwrap_or(u8::MAX),
            };
            return if float { decimal::join(mantissa, scale).to_bits() } else { mantissa.cast_unsigned() };
        }
        if self.is_there(VALUE, i) { self.number(VALUE, i).cast_unsigned() } else { 0 }
    }

    fn add_present(&self, range: &Range<usize>, run: &TagRun, present: &mut Vec<bool>) {
        match run.stored {
            stored if !stored.missing => present.resize(present.len() + range.len(), true),
            stored => {
                let mantissas = stored.scale != RunScale::None;
                let there =
                    |i| (mantissas && self.is_there(MANTISSA, i)) || (stored.doubles && self.is_there(VALUE, i));
                present.extend(range.clone().map(there));
            }
        }
    }
}
