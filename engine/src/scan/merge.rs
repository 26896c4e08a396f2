//! The rows of one tag from all its sources, newest write wins.

use super::batch::Sink;
use super::inventory::TagSource;
use super::source::{Reading, Source};
use super::spec::{Order, QualitySet};
use crate::error::Result;
use crate::sample::Rows;
use crate::tag::TagId;

/// Merges the sources of one tag.
///
/// A source is opened when the merge arrives at its first row, so that sources that follow one
/// another in time are read one after the other. Stretches in which one source is alone are
/// taken at once.
pub(super) struct Merge {
    tag: TagId,
    order: Order,
    qualities: QualitySet,
    /// In the order in which they begin.
    lanes: Vec<Lane>,
    /// Rows that may still be taken.
    quota: u64,
}

/// One source and the rows of it that come next.
struct Lane {
    stream: Stream,
    /// No row of the source comes before this key.
    start: i64,
    started: bool,
    chunk: Rows,
    at: usize,
}

/// One source and what the merge has to know of it.
pub(super) struct Stream {
    pub(super) rank: usize,
    /// No row of the source comes before this time.
    pub(super) start: i64,
    /// Whether its rows have to be compared with the qualities asked for.
    pub(super) needs_filter: bool,
    pub(super) source: Box<dyn Source>,
}

impl Stream {
    /// What is known of `source`, whose rows come from `rows`.
    pub(super) fn of(source: &TagSource, reading: &Reading, rows: Box<dyn Source>) -> Stream {
        let start = match reading.order {
            Order::Ascending => source.first,
            Order::Descending => source.last,
        };
        Stream { rank: source.rank, start, needs_filter: source.needs_filter(reading.qualities), source: rows }
    }
}

impl Merge {
    /// A merge of all `sources` of a tag. Hands out `quota` rows at most.
    pub(super) fn new(tag: TagId, sources: &[TagSource], reading: &Reading, quota: u64) -> Merge {
        let streams = sources.iter().map(|source| Stream::of(source, reading, reading.open(source)));
        Merge::of_streams(tag, streams.collect(), reading.order, reading.qualities, quota)
    }

    /// A merge of streams.
    pub(super) fn of_streams(
        tag: TagId,
        streams: Vec<Stream>,
        order: Order,
        qualities: QualitySet,
        quota: u64,
    ) -> Merge {
        let mut lanes: Vec<Lane> = streams
            .into_iter()
            .map(|stream| Lane {
                start: key(order, stream.start),
                stream,
                started: false,
                chunk: Rows::default(),
                at: 0,
            })
            .collect();
        lanes.sort_by_key(|lane| lane.start);
        Merge { tag, order, qualities, lanes, quota }
    }

    /// Hands rows to `sink` until it has no more room; false when there are no more rows.
    pub(super) fn fill<S: Sink>(&mut self, sink: &mut S) -> Result<bool> {
        while sink.room() > 0 {
            if self.quota == 0 || !self.load()? {
                return Ok(false);
            }
            self.advance(sink);
        }
        Ok(true)
    }

    /// Makes the next rows of all lanes that take part known; false where no lane is left.
    fn load(&mut self) -> Result<bool> {
        let mut i = 0;
        let mut next = i64::MAX;
        while i < self.lanes.len() {
            let lane = &mut self.lanes[i];
            if lane.at == lane.chunk.len() {
                if !lane.started && i > 0 && lane.start > next {
                    // The lanes are in the order of their beginnings: none of the rest takes part.
                    break;
                }
                lane.started = true;
                match lane.stream.source.next()? {
                    Some(rows) => (lane.chunk, lane.at) = (rows, 0),
                    None => {
                        self.lanes.remove(i);
                        continue;
                    }
                }
            }
            next = next.min(self.head(i));
            i += 1;
        }
        Ok(!self.lanes.is_empty())
    }

    fn head(&self, i: usize) -> i64 {
        let lane = &self.lanes[i];
        key(self.order, lane.chunk.times[lane.at])
    }

    /// Takes the longest stretch in which one lane is alone, or one row that several have.
    fn advance<S: Sink>(&mut self, sink: &mut S) {
        let mut best = 0;
        let mut best_key = self.head(0);
        // No row of another lane comes before this key.
        let mut bound = i64::MAX;
        let mut alone = true;
        for i in 1..self.lanes.len() {
            let lane = &self.lanes[i];
            if !lane.started {
                bound = bound.min(lane.start);
                alone = false;
                break;
            }
            let head = self.head(i);
            alone = false;
            if head < best_key || (head == best_key && lane.stream.rank > self.lanes[best].stream.rank) {
                bound = bound.min(best_key);
                (best, best_key) = (i, head);
            } else {
                bound = bound.min(head);
            }
        }
        let order = self.order;
        let lane = &self.lanes[best];
        let count =
            if alone { lane.chunk.len() - lane.at } else { stretch(&lane.chunk.times[lane.at..], order, bound) };
        if count == 0 {
            self.take(best, 1, sink);
            self.skip(best, best_key);
        } else {
            self.take(best, count, sink);
        }
    }

    /// Drops the rows of all lanes but `winner` at a time that it has taken.
    fn skip(&mut self, winner: usize, at: i64) {
        for i in (0..self.lanes.len()).filter(|i| *i != winner) {
            if self.lanes[i].started && self.head(i) == at {
                self.lanes[i].at += 1;
            }
        }
    }

    /// Takes up to `count` rows of a lane, as many as there is room for, those that match.
    fn take<S: Sink>(&mut self, lane: usize, count: usize, sink: &mut S) {
        let lane = &mut self.lanes[lane];
        let room = sink.room().min(usize::try_from(self.quota).unwrap_or(usize::MAX));
        let (start, end) = (lane.at, lane.at + count.min(room));
        lane.at = end;
        let mut taken = 0;
        if lane.stream.needs_filter {
            matching(&lane.chunk, start, end, self.qualities, |range| {
                taken += range.len();
                sink.take(self.tag, &lane.chunk, range);
            });
        } else {
            taken = end - start;
            sink.take(self.tag, &lane.chunk, start..end);
        }
        self.quota -= taken as u64;
    }
}

/// Calls `found` for each stretch of rows from `start` to `end` whose quality is in `qualities`.
pub(super) fn matching(
    rows: &Rows,
    start: usize,
    end: usize,
    qualities: QualitySet,
    mut found: impl FnMut(std::ops::Range<usize>),
) {
    let mut at = start;
    while at < end {
        let matches = qualities.contains(rows.status(at).quality());
        let until = if rows.statuses.is_empty() {
            end
        } else {
            (at..end).find(|i| qualities.contains(rows.status(*i).quality()) != matches).unwrap_or(end)
        };
        if matches {
            found(at..until);
        }
        at = until;
    }
}

/// Times as keys that ascend in scan order.
fn key(order: Order, time: i64) -> i64 {
    match order {
        Order::Ascending => time,
        Order::Descending => !time,
    }
}

/// How many of these times, which are in scan order, come before `bound`. Fast where they are
/// few and where they are all.
fn stretch(times: &[i64], order: Order, bound: i64) -> usize {
    let before = |time: &i64| key(order, *time) < bound;
    if times.last().is_some_and(before) {
        return times.len();
    }
    let mut step = 1;
    while step < times.len() && before(&times[step]) {
        step *= 2;
    }
    let (low, high) = (step / 2, times.len().min(step + 1));
    low + times[low..high].partition_point(before)
}
