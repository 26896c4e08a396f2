//! Streams of one tag's rows from one source, a chunk at a time.

use std::ops::Range;
use std::sync::Arc;

use super::batch::{append, arrange};
use super::inventory::{Origin, TagSource};
use super::spec::{Order, QualitySet, ScanSpec};
use crate::error::Result;
use crate::limits::{PAGE_ROWS, SCAN_BATCH_ROWS, SCAN_TEXT_ROWS};
use crate::memtable::{End, Flushed, Memtable};
use crate::sample::Rows;
use crate::segment::{Columns, ReadMetrics, RowReader, Segment, TagRun};
use crate::tag::TagId;

/// How many rows are handled at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Rows of a batch and of a chunk of a source, at most.
    pub(super) batch: usize,
    /// Rows of a page. Reads that begin and end with pages decode none of them twice.
    pub(super) page: u64,
}

impl Sizes {
    pub(super) const USUAL: Sizes = Sizes { batch: SCAN_BATCH_ROWS, page: PAGE_ROWS as u64 };
}

/// A source's rows of one tag.
pub(super) trait Source: Send {
    /// The next rows in scan order (times ascend, or descend), never none; None at the end.
    fn next(&mut self) -> Result<Option<Rows>>;
}

/// What all sources of a scan have to know.
#[derive(Clone)]
pub(super) struct Reading {
    /// The columns that are handed out.
    pub(super) columns: Columns,
    pub(super) qualities: QualitySet,
    pub(super) order: Order,
    /// No more rows than these will be needed, if all match.
    pub(super) rows_hint: u64,
    pub(super) sizes: Sizes,
    pub(super) metrics: Arc<ReadMetrics>,
}

impl Reading {
    /// How the rows of a planned scan are read.
    pub(super) fn of(spec: &ScanSpec, sizes: Sizes, metrics: Arc<ReadMetrics>) -> Reading {
        Reading {
            columns: spec.columns,
            qualities: spec.qualities,
            order: spec.order,
            rows_hint: spec.limit.unwrap_or(u64::MAX).min(spec.limit_per_tag.unwrap_or(u64::MAX)).max(1),
            sizes,
            metrics,
        }
    }

    /// The columns to decode: times to merge and clip by, statuses where rows are chosen by them.
    pub(super) fn columns_of(&self, needs_filter: bool) -> Columns {
        let columns = self.columns | Columns::TIME;
        if needs_filter { columns | Columns::STATUS } else { columns }
    }

    /// Opens a source. Nothing is read before the first rows are asked for.
    pub(super) fn open(&self, source: &TagSource) -> Box<dyn Source> {
        match &source.origin {
            Origin::Segment(segment, run) => {
                let clip = (!source.whole).then_some((source.first, source.last));
                let columns = self.columns_of(source.needs_filter(self.qualities));
                Box::new(SegmentSource::new(Arc::clone(segment), run.clone(), clip, columns, self))
            }
            Origin::Held(rows) => Box::new(HeldSource { rows: Some(Rows::clone(rows)), order: self.order }),
            Origin::Memtable(memtable, _) => Box::new(MemtableSource {
                memtable: Arc::clone(memtable),
                tag: source.tag,
                left: Some((source.first, source.last)),
                chunk: usize::try_from(self.rows_hint).unwrap_or(usize::MAX).max(64).min(self.sizes.batch),
                reading: self.clone(),
                rest: None,
            }),
        }
    }
}

/// A run of a segment, read by ranges of rows. Backwards it is read from its end, a page at a
/// time, and each page is turned round.
struct SegmentSource {
    segment: Arc<Segment>,
    run: TagRun,
    /// First and last time asked for, where rows outside of them can be met.
    clip: Option<(i64, i64)>,
    columns: Columns,
    order: Order,
    sizes: Sizes,
    /// Rows of the file not read yet; None before the page index was asked.
    left: Option<Range<u64>>,
    /// Rows of the next read: what the limit needs first, then more and more.
    window: u64,
    reader: Option<RowReader>,
    metrics: Arc<ReadMetrics>,
}

impl SegmentSource {
    fn new(
        segment: Arc<Segment>,
        run: TagRun,
        clip: Option<(i64, i64)>,
        columns: Columns,
        reading: &Reading,
    ) -> SegmentSource {
        let Reading { rows_hint, order, mut sizes, .. } = *reading;
        if run.has_text && columns.contains(Columns::TEXT) && order == Order::Descending {
            // What is read at once is turned round, and texts may be long.
            sizes.page = sizes.page.min(SCAN_TEXT_ROWS as u64);
        }
        SegmentSource {
            segment,
            run,
            clip,
            columns,
            order,
            sizes,
            left: None,
            // At a clipped end a page begins with rows that were not asked for.
            window: if clip.is_none() { rows_hint } else { rows_hint.max(sizes.page) },
            reader: None,
            metrics: Arc::clone(&reading.metrics),
        }
    }

    /// Takes the next range of file rows to read.
    fn take_window(&mut self) -> Result<Option<Range<u64>>> {
        let left = match self.left.take() {
            Some(left) => left,
            None => match self.clip {
                Some((from, to)) => self.segment.narrow(&self.run, from, to)?,
                None => self.run.rows.clone(),
            },
        };
        if left.is_empty() {
            self.left = Some(left);
            return Ok(None);
        }
        let page = self.sizes.page;
        let window = match self.order {
            Order::Ascending if self.window < page => left.start..left.end.min(left.start + self.window),
            Order::Ascending => {
                left.start..left.end.min((left.start / page).saturating_add(self.window / page).saturating_mul(page))
            }
            Order::Descending if self.window < page => left.end.saturating_sub(self.window).max(left.start)..left.end,
            Order::Descending => left.start.max((left.end - 1) / page * page)..left.end,
        };
        self.left = Some(match self.order {
            Order::Ascending => window.end..left.end,
            Order::Descending => left.start..window.start,
        });
        self.window = self.window.saturating_mul(4).max(page);
        Ok(Some(window))
    }

    fn open_next(&mut self) -> Result<Option<RowReader>> {
        let Some(window) = self.take_window()? else { return Ok(None) };
        self.segment.read(vec![window], self.columns, &self.metrics).map(Some)
    }

    fn next_ascending(&mut self) -> Result<Option<Rows>> {
        loop {
            if self.reader.is_none() {
                self.reader = self.open_next()?;
            }
            let Some(reader) = &mut self.reader else { return Ok(None) };
            match reader.next(self.sizes.batch)? {
                Some(rows) => return Ok(Some(rows)),
                None => self.reader = None,
            }
        }
    }

    fn next_descending(&mut self) -> Result<Option<Rows>> {
        let Some(mut reader) = self.open_next()? else { return Ok(None) };
        read_all(&mut reader, u64::MAX, self.columns).map(Some)
    }
}

impl Source for SegmentSource {
    fn next(&mut self) -> Result<Option<Rows>> {
        loop {
            let rows = match self.order {
                Order::Ascending => self.next_ascending()?,
                Order::Descending => self.next_descending()?,
            };
            let Some(mut rows) = rows else { return Ok(None) };
            if let Some((from, to)) = self.clip {
                clip(&mut rows, from, to, self.columns);
            }
            if !rows.is_empty() {
                arrange(&mut rows, self.order);
                return Ok(Some(rows));
            }
        }
    }
}

/// Samples that are not decided on: at most a few.
struct HeldSource {
    rows: Option<Rows>,
    order: Order,
}

impl Source for HeldSource {
    fn next(&mut self) -> Result<Option<Rows>> {
        let mut rows = self.rows.take();
        if let Some(rows) = &mut rows {
            arrange(rows, self.order);
        }
        Ok(rows)
    }
}

/// A tag of a memtable, copied some rows at a time.
struct MemtableSource {
    memtable: Arc<Memtable>,
    tag: TagId,
    /// Times not read yet.
    left: Option<(i64, i64)>,
    /// Rows of the next copy: what the limit needs first, then more and more.
    chunk: usize,
    reading: Reading,
    /// The rest of the rows, once the memtable is flushed.
    rest: Option<SegmentSource>,
}

impl MemtableSource {
    /// Goes on in the segment that holds the rows from `from` to `to` by now.
    fn go_on_in(&mut self, segment: Arc<Segment>, from: i64, to: i64) -> Result<Option<Rows>> {
        self.left = None;
        let Some(run) = segment.run(self.tag)? else { return Ok(None) };
        let columns = self.reading.columns_of(!self.reading.qualities.is_all());
        self.rest.insert(SegmentSource::new(segment, run, Some((from, to)), columns, &self.reading)).next()
    }
}

impl Source for MemtableSource {
    fn next(&mut self) -> Result<Option<Rows>> {
        if let Some(rest) = &mut self.rest {
            return rest.next();
        }
        let Some((from, to)) = self.left else { return Ok(None) };
        let order = self.reading.order;
        let end = if order == Order::Ascending { End::First } else { End::Last };
        let mut rows = match self.memtable.some_rows(self.tag, from, to, self.chunk, end) {
            Ok(rows) => rows,
            Err(Flushed(segment)) => return self.go_on_in(segment, from, to),
        };
        let (Some(first), Some(last)) = (rows.times.first(), rows.times.last()) else {
            self.left = None;
            return Ok(None);
        };
        self.left = match end {
            End::First => last.checked_add(1).map(|next| (next, to)),
            End::Last => first.checked_sub(1).map(|next| (from, next)),
        };
        self.left = self.left.filter(|(from, to)| rows.len() == self.chunk && from <= to);
        self.chunk = self.chunk.saturating_mul(4).min(self.reading.sizes.batch);
        arrange(&mut rows, order);
        Ok(Some(rows))
    }
}

/// Which of the ascending times lie from `from` to `to`.
pub(super) fn within(times: &[i64], from: i64, to: i64) -> Range<usize> {
    let start = times.partition_point(|t| *t < from);
    start..start + times[start..].partition_point(|t| *t <= to)
}

/// Keeps the rows from `from` to `to`.
pub(super) fn clip(rows: &mut Rows, from: i64, to: i64, columns: Columns) {
    let range = within(&rows.times, from, to);
    if range.len() < rows.len() {
        let mut clipped = Rows::default();
        append(&mut clipped, 0, rows, range, columns);
        *rows = clipped;
    }
}

/// Reads `count` rows, fewer where there are no more.
pub(super) fn read_all(reader: &mut RowReader, count: u64, columns: Columns) -> Result<Rows> {
    let mut all = Rows::default();
    while (all.len() as u64) < count {
        let left = usize::try_from(count - all.len() as u64).unwrap_or(usize::MAX);
        let Some(rows) = reader.next(left.min(PAGE_ROWS))? else { break };
        let len = all.len();
        if len == 0 {
            all = rows;
        } else {
            append(&mut all, len, &rows, 0..rows.len(), columns);
        }
    }
    Ok(all)
}
