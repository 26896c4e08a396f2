//! Reading the rows of many tags of one segment in one go.

use std::ops::Range;
use std::sync::Arc;
use std::vec;

use parking_lot::Mutex;

use super::batch::{Sink, arrange};
use super::inventory::{Origin, TagSource};
use super::merge::matching;
use super::source::{Reading, Source, clip, read_all, within};
use super::spec::Order;
use crate::error::Result;
use crate::sample::Rows;
use crate::segment::{Columns, RowReader, Segment};
use crate::tag::TagId;

/// One tag's rows in the file.
struct Slice {
    tag: TagId,
    /// Rows of it that are not read yet.
    left: u64,
    /// First and last time asked for, where rows outside of them can be met.
    clip: Option<(i64, i64)>,
    needs_filter: bool,
    /// Rows that may still be taken.
    quota: u64,
}

/// A reader over the rows of several tags, which ascend, and what to expect of it.
struct Stretch {
    reader: Option<RowReader>,
    slices: vec::IntoIter<Slice>,
    columns: Columns,
}

impl Stretch {
    /// Opens the runs of `sources`, which are all of one segment, ascending by tag.
    fn open(segment: &Segment, sources: &[TagSource], reading: &Reading, quota: u64) -> Result<Stretch> {
        let columns = reading.columns_of(sources.iter().any(|source| source.needs_filter(reading.qualities)));
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut slices = Vec::with_capacity(sources.len());
        for source in sources {
            let Origin::Segment(_, run) = &source.origin else { continue };
            let rows = match source.whole {
                true => run.rows.clone(),
                false => segment.narrow(run, source.first, source.last)?,
            };
            if rows.is_empty() {
                continue;
            }
            slices.push(Slice {
                tag: source.tag,
                left: rows.end - rows.start,
                clip: (!source.whole).then_some((source.first, source.last)),
                needs_filter: source.needs_filter(reading.qualities),
                quota,
            });
            match ranges.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => ranges.push(rows),
            }
        }
        let reader = match ranges.is_empty() {
            true => None,
            false => Some(segment.read(ranges, columns, &reading.metrics)?),
        };
        Ok(Stretch { reader, slices: slices.into_iter(), columns })
    }
}

/// Tags that only one segment has, one after the other.
pub(super) struct Sweep {
    stretch: Stretch,
    reading: Reading,
    /// The tag at which the reader stands.
    slice: Option<Slice>,
    /// Backwards: the rows of that tag in scan order, and how many of them are done.
    held: (Rows, usize),
}

impl Sweep {
    /// Opens the sweep. `sources` are all of one segment, ascending by tag; of each tag `quota`
    /// rows are handed out at most.
    pub(super) fn open(segment: &Segment, sources: &[TagSource], reading: &Reading, quota: u64) -> Result<Sweep> {
        let mut stretch = Stretch::open(segment, sources, reading, quota)?;
        let slice = stretch.slices.next();
        Ok(Sweep { stretch, reading: reading.clone(), slice, held: (Rows::default(), 0) })
    }

    /// Hands rows to `sink` until it has no more room; false when there are no more rows.
    pub(super) fn fill<S: Sink>(&mut self, sink: &mut S) -> Result<bool> {
        while sink.room() > 0 {
            let more = match self.reading.order {
                Order::Ascending => self.forward(sink)?,
                Order::Descending => self.backward(sink)?,
            };
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn forward<S: Sink>(&mut self, sink: &mut S) -> Result<bool> {
        let Some(reader) = &mut self.stretch.reader else { return Ok(false) };
        let Some(rows) = reader.next(sink.room().min(self.reading.sizes.batch))? else { return Ok(false) };
        let mut at = 0;
        let mut whole: Vec<(TagId, Range<usize>)> = Vec::new();
        let mut done = 0;
        while at < rows.len() {
            let Some(slice) = &mut self.slice else { break };
            let count = usize::try_from(slice.left).map_or(rows.len() - at, |left| left.min(rows.len() - at));
            slice.left -= count as u64;
            let range = at..at + count;
            at = range.end;
            if slice.clip.is_none() && !slice.needs_filter && slice.quota == u64::MAX && done == range.start {
                whole.push((slice.tag, range));
                done = at;
            } else {
                for (tag, range) in whole.drain(..) {
                    sink.take(tag, &rows, range);
                }
                slice.hand(&rows, range, &self.reading, sink);
            }
            if slice.left == 0 {
                self.slice = self.stretch.slices.next();
            }
        }
        if done == rows.len() {
            sink.take_all(&whole, rows);
        } else {
            for (tag, range) in whole {
                sink.take(tag, &rows, range);
            }
        }
        Ok(true)
    }

    fn backward<S: Sink>(&mut self, sink: &mut S) -> Result<bool> {
        if self.held.1 == self.held.0.len() && !self.hold_next()? {
            return Ok(false);
        }
        let Some(slice) = &mut self.slice else { return Ok(false) };
        let (rows, at) = &mut self.held;
        let end = rows.len().min(at.saturating_add(sink.room()));
        slice.take(rows, *at..end, &self.reading, sink);
        *at = if slice.quota == 0 { rows.len() } else { end };
        Ok(true)
    }

    /// Reads all rows of the next tag that has some and turns them round.
    fn hold_next(&mut self) -> Result<bool> {
        let Some(reader) = &mut self.stretch.reader else { return Ok(false) };
        loop {
            if self.slice.as_ref().is_some_and(|slice| slice.left == 0) {
                self.slice = self.stretch.slices.next();
            }
            let Some(slice) = &mut self.slice else { return Ok(false) };
            let mut rows = read_all(reader, std::mem::take(&mut slice.left), self.stretch.columns)?;
            if let Some((from, to)) = slice.clip {
                clip(&mut rows, from, to, self.stretch.columns);
            }
            arrange(&mut rows, Order::Descending);
            if !rows.is_empty() {
                self.held = (rows, 0);
                return Ok(true);
            }
        }
    }
}

impl Slice {
    /// Hands on those rows of the slice that were asked for.
    fn hand<S: Sink>(&mut self, rows: &Rows, range: Range<usize>, reading: &Reading, sink: &mut S) {
        let range = match self.clip {
            Some((from, to)) => {
                let inside = within(&rows.times[range.clone()], from, to);
                range.start + inside.start..range.start + inside.end
            }
            None => range,
        };
        self.take(rows, range, reading, sink);
    }

    fn take<S: Sink>(&mut self, rows: &Rows, range: Range<usize>, reading: &Reading, sink: &mut S) {
        let mut take = |range: Range<usize>| {
            let count = usize::try_from(self.quota).map_or(range.len(), |quota| quota.min(range.len()));
            self.quota -= count as u64;
            sink.take(self.tag, rows, range.start..range.start + count);
        };
        if self.needs_filter {
            matching(rows, range.start, range.end, reading.qualities, take);
        } else {
            take(range);
        }
    }
}

/// The rows of many tags of one segment, which the merges of these tags take in turn.
///
/// Where runs are small, one page holds the rows of many tags: reading them in file order
/// decodes each page once, not once a tag.
pub(super) struct Shared {
    segment: Arc<Segment>,
    sources: Vec<TagSource>,
    reading: Reading,
    open: Option<Open>,
}

/// A shared reader in use.
struct Open {
    stretch: Stretch,
    slice: Option<Slice>,
}

impl Shared {
    /// Shares the runs of `segment` that are added before the first rows are asked for.
    pub(super) fn new(segment: &Arc<Segment>, reading: &Reading) -> Shared {
        Shared { segment: Arc::clone(segment), sources: Vec::new(), reading: reading.clone(), open: None }
    }

    /// Adds a run of this segment; tags ascend.
    pub(super) fn add(&mut self, source: TagSource) {
        self.sources.push(source);
    }

    /// The next rows of `tag`, in file order; tags ascend from call to call.
    fn next(&mut self, tag: TagId, whole: bool) -> Result<Rows> {
        if self.open.is_none() {
            let mut stretch = Stretch::open(&self.segment, &self.sources, &self.reading, u64::MAX)?;
            self.sources = Vec::new();
            self.open = Some(Open { slice: stretch.slices.next(), stretch });
        }
        let Some(Open { stretch, slice }) = &mut self.open else { return Ok(Rows::default()) };
        let Some(reader) = &mut stretch.reader else { return Ok(Rows::default()) };
        while let Some(earlier) = slice.take_if(|slice| slice.tag < tag) {
            read_away(reader, earlier.left, self.reading.sizes.batch)?;
            *slice = stretch.slices.next();
        }
        let Some(slice) = slice.as_mut().filter(|slice| slice.tag == tag) else { return Ok(Rows::default()) };
        let count = if whole { slice.left } else { slice.left.min(self.reading.sizes.batch as u64) };
        let mut rows = read_all(reader, count, stretch.columns)?;
        slice.left -= count;
        if let Some((from, to)) = slice.clip {
            clip(&mut rows, from, to, stretch.columns);
        }
        Ok(rows)
    }

    /// Whether all rows of `tag` are read.
    fn is_done(&self, tag: TagId) -> bool {
        match &self.open {
            Some(Open { slice: Some(slice), .. }) => slice.tag > tag || (slice.tag == tag && slice.left == 0),
            Some(Open { slice: None, .. }) => true,
            None => false,
        }
    }
}

/// Reads rows that nobody wants any more.
fn read_away(reader: &mut RowReader, mut count: u64, batch: usize) -> Result<()> {
    while count > 0 {
        let step = usize::try_from(count).map_or(batch, |count| count.min(batch));
        let Some(rows) = reader.next(step)? else { break };
        count -= rows.len() as u64;
    }
    Ok(())
}

/// One tag's rows out of a shared reader.
pub(super) struct SharedSource {
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) tag: TagId,
    pub(super) order: Order,
}

impl Source for SharedSource {
    fn next(&mut self) -> Result<Option<Rows>> {
        let mut shared = self.shared.lock();
        while !shared.is_done(self.tag) {
            let mut rows = shared.next(self.tag, self.order == Order::Descending)?;
            if !rows.is_empty() {
                arrange(&mut rows, self.order);
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}
