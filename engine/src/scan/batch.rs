//! What a scan hands out, and the two things that rows flow into.

use std::ops::Range;

use super::spec::Order;
use crate::limits::SCAN_TEXT_BYTES;
use crate::sample::Rows;
use crate::segment::Columns;
use crate::tag::TagId;

/// Rows of several tags, tag after tag, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanBatch {
    /// The number of rows, at most [`SCAN_BATCH_ROWS`](crate::limits::SCAN_BATCH_ROWS). It is the authority: `rows` is empty
    /// where no column was asked.
    pub len: usize,
    /// Which rows belong to which tag, without gaps.
    pub runs: Vec<(TagId, Range<usize>)>,
    /// The columns. Times are filled where any column was asked, all others where they were;
    /// a column that was not asked is empty, so that it must not be read.
    pub rows: Rows,
}

/// Where matching rows go, in scan order.
pub(super) trait Sink {
    /// How many more rows are wanted now.
    fn room(&self) -> usize;
    /// Takes rows `range` of `rows`, at most as many as there is room for.
    fn take(&mut self, tag: TagId, rows: &Rows, range: Range<usize>);
    /// Takes all of `rows`, which belong to several tags; at most as many as there is room for.
    fn take_all(&mut self, runs: &[(TagId, Range<usize>)], rows: Rows) {
        for (tag, range) in runs {
            self.take(*tag, &rows, range.clone());
        }
    }
}

/// Gathers a batch.
pub(super) struct BatchBuilder {
    columns: Columns,
    /// The batch ends here: the limit of the scan or of the batch.
    end: usize,
    /// Bytes of the texts so far.
    text_bytes: usize,
    batch: ScanBatch,
}

impl BatchBuilder {
    /// An empty batch of at most `end` rows, and at most `batch`.
    pub(super) fn new(columns: Columns, batch: usize, end: u64) -> BatchBuilder {
        let end = usize::try_from(end).map_or(batch, |end| end.min(batch));
        BatchBuilder { columns, end, text_bytes: 0, batch: ScanBatch::default() }
    }

    /// Counts rows of a tag that need no column.
    pub(super) fn count(&mut self, tag: TagId, rows: usize) {
        let start = self.batch.len;
        self.batch.len += rows;
        match self.batch.runs.last_mut() {
            Some((last, range)) if *last == tag => range.end = self.batch.len,
            _ => self.batch.runs.push((tag, start..self.batch.len)),
        }
    }

    fn count_texts(&mut self, rows: &Rows, range: Range<usize>) {
        let texts = rows.texts.get(range).unwrap_or_default();
        self.text_bytes += texts.iter().flatten().map(|text| text.len()).sum::<usize>();
    }

    /// The batch.
    pub(super) fn finish(self) -> ScanBatch {
        self.batch
    }

    /// The number of rows so far.
    pub(super) fn len(&self) -> usize {
        self.batch.len
    }
}

impl Sink for BatchBuilder {
    fn room(&self) -> usize {
        if self.text_bytes > SCAN_TEXT_BYTES { 0 } else { self.end - self.batch.len }
    }

    fn take(&mut self, tag: TagId, rows: &Rows, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.count_texts(rows, range.clone());
        append(&mut self.batch.rows, self.batch.len, rows, range.clone(), self.columns);
        self.count(tag, range.len());
    }

    fn take_all(&mut self, runs: &[(TagId, Range<usize>)], mut rows: Rows) {
        if self.batch.len > 0 {
            for (tag, range) in runs {
                self.take(*tag, &rows, range.clone());
            }
            return;
        }
        for (tag, range) in runs {
            self.count(*tag, range.len());
        }
        self.count_texts(&rows, 0..rows.len());
        drop_columns(&mut rows, self.columns);
        self.batch.rows = rows;
    }
}

/// How many rows there are, and the times of the oldest and the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanStatistics {
    /// The exact number of rows.
    pub rows: u64,
    /// The oldest row's time.
    pub first_time: Option<i64>,
    /// The newest row's time.
    pub last_time: Option<i64>,
}

impl ScanStatistics {
    /// Adds rows whose oldest and newest times are known.
    pub(super) fn add(&mut self, rows: u64, first: i64, last: i64) {
        if rows == 0 {
            return;
        }
        self.rows += rows;
        self.first_time = Some(self.first_time.map_or(first, |t| t.min(first)));
        self.last_time = Some(self.last_time.map_or(last, |t| t.max(last)));
    }

    /// Adds rows that another part of the scan found.
    pub(super) fn merge(&mut self, other: ScanStatistics) {
        if let (Some(first), Some(last)) = (other.first_time, other.last_time) {
            self.add(other.rows, first, last);
        }
    }
}

impl Sink for ScanStatistics {
    fn room(&self) -> usize {
        usize::MAX
    }

    fn take(&mut self, _tag: TagId, rows: &Rows, range: Range<usize>) {
        if let (Some(a), Some(b)) = (rows.times[range.clone()].first(), rows.times[range.clone()].last()) {
            self.add(range.len() as u64, *a.min(b), *a.max(b));
        }
    }
}

/// Appends rows `range` of `from`, of which only `columns` count, to the `len` rows of `to`.
///
/// `Rows::extend_from` does the same for rows that have all columns.
pub(super) fn append(to: &mut Rows, len: usize, from: &Rows, range: Range<usize>, columns: Columns) {
    if columns.is_empty() {
        return;
    }
    let added = range.len();
    to.times.extend_from_slice(&from.times[range.clone()]);
    if columns.contains(Columns::VALUE) {
        to.values.extend_from_slice(&from.values[range.clone()]);
        append_lazily(&mut to.present, len, added, from.present.get(range.clone()), true);
    }
    if columns.contains(Columns::STATUS) {
        append_lazily(&mut to.statuses, len, added, from.statuses.get(range.clone()), 0);
    }
    if columns.contains(Columns::TEXT) {
        append_lazily(&mut to.texts, len, added, from.texts.get(range), None);
    }
}

/// A lazy column is empty while every entry is the default.
fn append_lazily<T: Clone>(column: &mut Vec<T>, len: usize, added: usize, values: Option<&[T]>, default: T) {
    match values {
        Some(values) if !values.is_empty() => {
            column.resize(len, default);
            column.extend_from_slice(values);
        }
        _ if column.is_empty() => {}
        _ => column.resize(len + added, default),
    }
}

/// Empties the columns that were not asked.
fn drop_columns(rows: &mut Rows, columns: Columns) {
    if columns.is_empty() {
        rows.times.clear();
    }
    if !columns.contains(Columns::VALUE) {
        rows.values.clear();
        rows.present.clear();
    }
    if !columns.contains(Columns::STATUS) {
        rows.statuses.clear();
    }
    if !columns.contains(Columns::TEXT) {
        rows.texts.clear();
    }
}

/// Puts the rows of one tag, which ascend in time, in scan order.
pub(super) fn arrange(rows: &mut Rows, order: Order) {
    if order == Order::Descending {
        rows.times.reverse();
        rows.values.reverse();
        rows.present.reverse();
        rows.statuses.reverse();
        rows.texts.reverse();
    }
}
