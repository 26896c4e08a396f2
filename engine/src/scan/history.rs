//! What retrieval needs of tags: the samples of a range of time, and a few around it, found from
//! tag directories.
//!
//! Many tags are read together, so that a page with a few samples of each is read once.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::inventory::{Inventory, TagSource};
use super::plan::whole_cell;
use super::spec::{Order, QualitySet, ScanRequest, TagSelection};
use super::{ReadView, ScanBatch, ScanCursor};
use crate::error::Result;
use crate::reduction::{Field, LeftOut, MINUTE, Tail, minute_of};
use crate::retrieval::{Context, Span, is_marker};
use crate::sample::{Row, Rows};
use crate::segment::{Columns, ReadMetrics};
use crate::tag::TagId;

/// Tags that are read together: what lies around the range is held for all of them.
const TAGS_TOGETHER: usize = 1024;
/// The same where texts are read, which may be long.
const TEXTS_TOGETHER: usize = 64;

/// Minutes of which it is told together what was left out.
const MINUTES_TOGETHER: i64 = 2048;
/// How far beyond the range that is told of, too: to where lines lead that cross its ends.
const BEYOND: i64 = 64 * MINUTE;

/// What is asked.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// The tags, ascending.
    pub tags: Vec<TagId>,
    /// The first time of the range.
    pub low: i64,
    /// Its last time, included.
    pub high: i64,
    /// What is needed around it.
    pub context: Context,
    /// Which qualities count as values.
    pub values: QualitySet,
    /// Whether the times of the first and the last sample that is data matter. Samples that are not
    /// data are left out then.
    pub spans: bool,
    /// Which columns are filled.
    pub columns: Columns,
    /// Whether what reduction has left out is told of.
    pub left_out: bool,
}

/// Part of an answer. Each tag begins, has samples that ascend, and ends.
pub enum HistoryPart {
    /// What follows is of this tag. Within the range, and around it as far as that is read, its data
    /// lies in the span; none where it has none.
    Begin(TagId, Span),
    /// Samples.
    Samples(Arc<Rows>, Range<usize>),
    /// What was left out, after the samples before and before those that follow. A tag of which nothing
    /// ever was has none.
    LeftOut(LeftOut),
    /// That was all of the tag.
    End(TagId),
}

/// Reads the histories of tags, tag after tag.
pub struct Histories {
    view: ReadView,
    request: HistoryRequest,
    metrics: Arc<ReadMetrics>,
    /// Tags whose group is not begun, from here on.
    next: usize,
    group: Option<Group>,
    ready: VecDeque<HistoryPart>,
}

/// Tags that are read together.
struct Group {
    /// What is read goes on to this time.
    high: i64,
    /// Those that have not ended, the next one first.
    tags: VecDeque<TagId>,
    around: BTreeMap<TagId, Around>,
    /// Of tags with reduction.
    ends: BTreeMap<TagId, LiveEnd>,
    cursor: ScanCursor,
    /// What was read and not handed on yet.
    runs: VecDeque<(TagId, Arc<Rows>, Range<usize>)>,
    has_begun: bool,
    /// Whether samples outside the spans are left out.
    only_data: bool,
}

/// The end of the history of a tag with reduction, as it was before anything of it was read: samples
/// that were not decided on then, and what was left out between them.
struct LiveEnd {
    tail: Option<Tail>,
    /// Samples of the tail in the range that were not handed on yet.
    rows: VecDeque<Row>,
    /// From here on it was not told yet what was left out.
    next: i64,
}

/// What lies around the range.
#[derive(Default)]
struct Around {
    /// Ascending.
    before: Vec<Row>,
    after: Vec<Row>,
    span: Span,
}

impl ReadView {
    /// Begins to read histories.
    pub fn histories(&self, request: HistoryRequest, metrics: Arc<ReadMetrics>) -> Histories {
        assert!(request.tags.is_sorted(), "tags ascend");
        Histories { view: self.clone(), request, metrics, next: 0, group: None, ready: VecDeque::new() }
    }
}

impl Iterator for Histories {
    type Item = Result<HistoryPart>;

    fn next(&mut self) -> Option<Result<HistoryPart>> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Some(Ok(part));
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    (self.next, self.group) = (self.request.tags.len(), None);
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Histories {
    /// Reads a little; false where there is nothing left.
    fn read(&mut self) -> Result<bool> {
        let Some(mut group) = self.group.take() else {
            let rest = &self.request.tags[self.next..];
            let most = if self.request.columns.contains(Columns::TEXT) { TEXTS_TOGETHER } else { TAGS_TOGETHER };
            let Some(first) = rest.first() else { return Ok(false) };
            // Those of which samples may have been left out are read further.
            let is_reduced = self.is_reduced(*first);
            let alike = rest.iter().take(most).take_while(|tag| self.is_reduced(**tag) == is_reduced);
            let tags: Vec<TagId> = alike.copied().collect();
            self.next += tags.len();
            self.group = Some(self.begin(tags, is_reduced)?);
            return Ok(true);
        };
        if let Some(run) = group.runs.pop_front() {
            self.pass(&mut group, run)?;
        } else if let Some(batch) = group.cursor.next().transpose()? {
            let rows = Arc::new(batch.rows);
            group.runs.extend(batch.runs.into_iter().map(|(tag, range)| (tag, Arc::clone(&rows), range)));
        } else if !self.end_tag(&mut group, None)? {
            return Ok(true);
        }
        self.group = Some(group);
        Ok(true)
    }

    fn is_reduced(&self, tag: TagId) -> bool {
        self.request.left_out && self.view.tags.get(tag).is_some_and(|tag| tag.spec.reduction.is_some())
    }

    fn begin(&self, tags: Vec<TagId>, is_reduced: bool) -> Result<Group> {
        let beyond = if is_reduced { BEYOND } else { 0 };
        let (low, high) = (self.request.low.saturating_sub(beyond), self.request.high.saturating_add(beyond));
        let mut ends = if is_reduced { self.live_ends(&tags, low, high) } else { BTreeMap::new() };
        let mut around = self.around(&tags, low, high)?;
        for (tag, end) in &mut ends {
            if let Some(around) = around.get_mut(tag) {
                end.complete(around, low, high);
            }
        }
        let columns = self.request.columns;
        let request = ScanRequest { from: low, to: high, columns, ..ScanRequest::of(TagSelection::Ids(tags.clone())) };
        let cursor = self.view.open(&self.view.plan(&request, 1)?, 0, Arc::clone(&self.metrics))?;
        Ok(Group {
            tags: tags.into(),
            high,
            around,
            ends,
            cursor,
            runs: VecDeque::new(),
            has_begun: false,
            only_data: self.request.spans,
        })
    }

    fn live_ends(&self, tags: &[TagId], low: i64, high: i64) -> BTreeMap<TagId, LiveEnd> {
        let end = |tag: &TagId| {
            let tail = self.view.held.as_ref().and_then(|memtable| memtable.tail(*tag));
            let rows = tail.iter().flat_map(|tail| &tail.rows);
            let rows = rows.filter(|row| (low..=high).contains(&row.time)).cloned().collect();
            (*tag, LiveEnd { tail, rows, next: minute_of(low) })
        };
        tags.iter().map(end).collect()
    }

    /// Hands on samples of a tag, or as many of them as it is told of what was left out.
    fn pass(&mut self, group: &mut Group, run: (TagId, Arc<Rows>, Range<usize>)) -> Result<()> {
        if group.tags.front().is_some_and(|next| *next != run.0) {
            self.end_tag(group, Some(run))?;
            return Ok(());
        }
        let (tag, rows, range) = run;
        self.begin_tag(group)?;
        let told = group.told(tag);
        let known = range.start + rows.times[range.clone()].partition_point(|time| *time < told);
        group.pass(tag, &rows, range.start..known, &mut self.ready);
        if known < range.end {
            self.tell_left_out(group, tag)?;
            group.runs.push_front((tag, rows, known..range.end));
        }
        Ok(())
    }

    fn begin_tag(&mut self, group: &mut Group) -> Result<()> {
        let Some(tag) = group.tags.front().copied().filter(|_| !group.has_begun) else { return Ok(()) };
        group.has_begun = true;
        let span = group.around.get(&tag).and_then(|around| around.span);
        self.ready.push_back(HistoryPart::Begin(tag, span));
        self.tell_left_out(group, tag)?;
        push_rows(group.around.get(&tag).map_or(&[], |around| &around.before), &mut self.ready);
        Ok(())
    }

    /// Ends the next tag, or tells more of what was left out of it; then `run` is the next one again. False
    /// where there is no tag.
    fn end_tag(&mut self, group: &mut Group, run: Option<(TagId, Arc<Rows>, Range<usize>)>) -> Result<bool> {
        if let Some(run) = run {
            group.runs.push_front(run);
        }
        self.begin_tag(group)?;
        let Some(tag) = group.tags.front().copied() else { return Ok(false) };
        if group.told(tag) <= group.high {
            self.tell_left_out(group, tag)?;
        } else {
            group.end_tag(tag, &mut self.ready);
        }
        Ok(true)
    }

    /// Tells more of what was left out of a tag.
    fn tell_left_out(&mut self, group: &mut Group, tag: TagId) -> Result<()> {
        let Some(end) = group.ends.get_mut(&tag).filter(|end| end.next <= group.high) else { return Ok(()) };
        let (from, last) = (end.next, end.next.saturating_add(MINUTES_TOGETHER * MINUTE - 1).min(group.high));
        let mut left_out = LeftOut::default();
        let columns = Columns::TIME | Columns::VALUE | Columns::STATUS;
        let series = TagSelection::Ids(Field::all_of(tag).collect());
        let request = ScanRequest { from, to: last, columns, ..ScanRequest::of(series) };
        for batch in self.view.open(&self.view.plan(&request, 1)?, 0, Arc::clone(&self.metrics))? {
            let ScanBatch { runs, rows, .. } = batch?;
            runs.into_iter().for_each(|(series, range)| left_out.take(series, &rows, range));
        }
        if let Some(tail) = &end.tail {
            let unsettled = tail.summaries.iter().filter(|summary| (from..=last).contains(&summary.from));
            left_out.end_with(tail.from, unsettled);
        }
        end.next = last.saturating_add(1);
        if left_out.summaries.is_empty() && left_out.inexact.is_empty() && end.next <= group.high {
            // Where nothing was left out for long, nothing is read for long.
            let request = ScanRequest { from: end.next, to: group.high, ..request };
            let settled = self.view.statistics(&request, Arc::clone(&self.metrics))?.first_time;
            let unsettled = end.tail.as_ref().and_then(|tail| tail.summaries.first()).map(|summary| summary.from);
            let unsettled = unsettled.filter(|from| *from >= end.next);
            let next = settled.into_iter().chain(unsettled).min();
            end.next = next.map_or(group.high.saturating_add(1), |next| next.min(group.high.saturating_add(1)));
        }
        self.ready.push_back(HistoryPart::LeftOut(left_out));
        Ok(())
    }

    fn around(&self, tags: &[TagId], low: i64, high: i64) -> Result<BTreeMap<TagId, Around>> {
        let mut around: BTreeMap<TagId, Around> = tags.iter().map(|tag| (*tag, Around::default())).collect();
        self.look_before(&mut around, low)?;
        self.look_after(&mut around, high)?;
        if self.request.spans {
            self.find_spans(&mut around)?;
            // Nothing is interpolated towards what is no data.
            for Around { before, after, span } in around.values_mut() {
                let is_data = |row: &Row| span.is_some_and(|(first, last)| (first..=last).contains(&row.time));
                before.retain(is_data);
                after.retain(is_data);
            }
        }
        Ok(around)
    }

    fn look_before(&self, around: &mut BTreeMap<TagId, Around>, low: i64) -> Result<()> {
        let wanted = self.request.context.values_before;
        let Some(to) = low.checked_sub(1) else { return Ok(()) };
        let ends = Ends { from: i64::MIN, to, order: Order::Descending };
        // In most histories the samples right before are the values.
        let count = wanted.max(1);
        let mut found = self.look(around.keys().copied().collect(), &ends, QualitySet::ALL, count)?;
        let lacks =
            |rows: &Vec<Row>| rows.len() == count && rows.iter().filter(|row| self.is_value(row)).count() < wanted;
        let deeper: Vec<TagId> = found.iter().filter(|(_, rows)| lacks(rows)).map(|(tag, _)| *tag).collect();
        let mut values = self.look(deeper.clone(), &ends, self.request.values, wanted)?;
        for tag in deeper {
            let rows = found.entry(tag).or_default();
            rows.truncate(1);
            rows.extend(values.remove(&tag).unwrap_or_default());
        }
        for (tag, mut rows) in found {
            rows.sort_unstable_by_key(|row| row.time);
            rows.dedup_by_key(|row| row.time);
            around.entry(tag).or_default().before = rows;
        }
        Ok(())
    }

    fn look_after(&self, around: &mut BTreeMap<TagId, Around>, high: i64) -> Result<()> {
        let Some(from) = high.checked_add(1) else { return Ok(()) };
        let ends = Ends { from, to: i64::MAX, order: Order::Ascending };
        let mut found = self.look(around.keys().copied().collect(), &ends, QualitySet::ALL, 1)?;
        // A value also tells that what comes before it is data.
        let wants_value = self.request.context.value_after || self.request.spans;
        let lacks = |rows: &Vec<Row>| wants_value && !rows.iter().any(|row| self.is_value(row));
        let deeper = found.iter().filter(|(_, rows)| lacks(rows)).map(|(tag, _)| *tag).collect();
        for (tag, values) in self.look(deeper, &ends, self.request.values, 1)? {
            found.entry(tag).or_default().extend(values);
        }
        for (tag, rows) in found {
            around.entry(tag).or_default().after = rows;
        }
        Ok(())
    }

    fn is_value(&self, row: &Row) -> bool {
        self.request.values.contains(row.cell.status.quality())
    }

    /// Finds the first and the last sample that is data, as far as they are not known to lie before
    /// and after the range.
    fn find_spans(&self, around: &mut BTreeMap<TagId, Around>) -> Result<()> {
        let is_data = |row: &&Row| !is_marker(row.cell.status);
        let mut ends: BTreeMap<TagId, (Option<i64>, Option<i64>)> = BTreeMap::new();
        for (tag, Around { before, after, .. }) in around.iter() {
            let first = before.iter().find(is_data).map(|row| row.time);
            let last = after.iter().rfind(is_data).map(|row| row.time);
            ends.insert(*tag, (first, last));
        }
        let unknown = ends.iter().filter(|(_, (first, last))| first.is_none() || last.is_none());
        for (tag, (first, last)) in self.ends_in_directories(unknown.map(|(tag, _)| *tag).collect())? {
            let known = ends.entry(tag).or_default();
            *known = (known.0.or(Some(first)), known.1.or(Some(last)));
        }
        for order in [Order::Ascending, Order::Descending] {
            let end = |ends: &(Option<i64>, Option<i64>)| if order == Order::Ascending { ends.0 } else { ends.1 };
            let unknown: Vec<TagId> = ends.iter().filter(|(_, e)| end(e).is_none()).map(|(tag, _)| *tag).collect();
            let whole = Ends { from: i64::MIN, to: i64::MAX, order };
            for (tag, rows) in self.look(unknown, &whole, QualitySet::ALL, 1)? {
                let time = rows.iter().find(is_data).map(|row| row.time);
                let time = if time.is_some() { time } else { self.end_of_data(tag, order)? };
                let ends = ends.entry(tag).or_default();
                *(if order == Order::Ascending { &mut ends.0 } else { &mut ends.1 }) = time;
            }
        }
        for (tag, (first, last)) in ends {
            if let Some(around) = around.get_mut(&tag) {
                around.span = first.zip(last);
            }
        }
        Ok(())
    }

    /// The first and the last sample of those tags of which directories tell that these are data.
    fn ends_in_directories(&self, tags: Vec<TagId>) -> Result<Vec<(TagId, (i64, i64))>> {
        let mut ends = Vec::new();
        if tags.is_empty() {
            return Ok(ends);
        }
        let all = ScanRequest::of(TagSelection::Ids(tags));
        let cell = whole_cell(&all);
        let segments = self.view.segments_of(&cell);
        let mut inventory = Inventory::new(&self.view, segments, &all.tags, QualitySet::ALL, &cell);
        while let Some(sources) = inventory.next()? {
            for of_tag in
                sources.chunk_by(|a, b| a.tag == b.tag).filter(|of_tag| of_tag.iter().all(TagSource::ends_are_sound))
            {
                let first = of_tag.iter().map(|source| source.first).min();
                let last = of_tag.iter().map(|source| source.last).max();
                ends.extend(first.zip(last).map(|both| (of_tag[0].tag, both)));
            }
        }
        Ok(ends)
    }

    /// The first sample of a tag in this order that is data, behind any number of others.
    fn end_of_data(&self, tag: TagId, order: Order) -> Result<Option<i64>> {
        let columns = Columns::TIME | Columns::STATUS;
        let request = ScanRequest { order, columns, ..ScanRequest::of(TagSelection::Ids(vec![tag])) };
        for batch in self.view.open(&self.view.plan(&request, 1)?, 0, Arc::clone(&self.metrics))? {
            let rows = batch?.rows;
            if let Some(at) = (0..rows.len()).find(|i| !is_marker(rows.status(*i))) {
                return Ok(Some(rows.times[at]));
            }
        }
        Ok(None)
    }

    /// The first `count` rows of each tag at an end of its history.
    fn look(
        &self,
        tags: Vec<TagId>,
        ends: &Ends,
        qualities: QualitySet,
        count: usize,
    ) -> Result<BTreeMap<TagId, Vec<Row>>> {
        let mut found: BTreeMap<TagId, Vec<Row>> = BTreeMap::new();
        if tags.is_empty() || count == 0 {
            return Ok(found);
        }
        let request = ScanRequest {
            from: ends.from,
            to: ends.to,
            order: ends.order,
            qualities,
            columns: self.request.columns,
            limit_per_tag: Some(count as u64),
            ..ScanRequest::of(TagSelection::Ids(tags))
        };
        for batch in self.view.open(&self.view.plan(&request, 1)?, 0, Arc::clone(&self.metrics))? {
            let ScanBatch { runs, rows, .. } = batch?;
            for (tag, range) in runs {
                let row = |i: usize| Row { time: rows.times[i], cell: rows.cell(i) };
                found.entry(tag).or_default().extend(range.map(row));
            }
        }
        Ok(found)
    }
}

/// Where rows are looked up.
struct Ends {
    from: i64,
    to: i64,
    order: Order,
}

impl LiveEnd {
    /// Puts the samples that were not decided on with those around the range.
    fn complete(&mut self, around: &mut Around, low: i64, high: i64) {
        let Some(tail) = &self.tail else { return };
        around.before.extend(tail.rows.iter().filter(|row| row.time < low).cloned());
        around.after.extend(tail.rows.iter().filter(|row| row.time > high).cloned());
        // What came later is not of this end.
        around.after.retain(|row| row.time <= tail.newest);
        around.span = around.span.map(|(first, last)| (first, last.min(tail.newest)));
        for rows in [&mut around.before, &mut around.after] {
            rows.sort_by_key(|row| row.time);
            rows.dedup_by_key(|row| row.time);
        }
    }

    /// The samples up to a time that were not handed on yet.
    fn take_rows(&mut self, to: i64) -> Vec<Row> {
        let count = self.rows.partition_point(|row| row.time <= to);
        self.rows.drain(..count).collect()
    }
}

impl Group {
    /// Up to this time it was told what was left out before samples of a tag, and at lines that lead on.
    fn told(&self, tag: TagId) -> i64 {
        match self.ends.get(&tag) {
            Some(end) if end.next <= self.high => end.next.saturating_sub(BEYOND),
            _ => i64::MAX,
        }
    }

    /// Hands on samples of the tag that has begun.
    fn pass(&mut self, tag: TagId, rows: &Arc<Rows>, range: Range<usize>, ready: &mut VecDeque<HistoryPart>) {
        let (first, last) = match self.around.get(&tag).and_then(|around| around.span) {
            Some(span) => span,
            None if self.only_data => return,
            None => (i64::MIN, i64::MAX),
        };
        let end = self.ends.get_mut(&tag);
        let newest = end.as_ref().and_then(|end| end.tail.as_ref()).map_or(i64::MAX, |tail| tail.newest);
        let times = &rows.times[range.clone()];
        let start = times.partition_point(|time| *time < first);
        let stop = times.partition_point(|time| *time <= last.min(newest)).max(start);
        let mut at = start;
        // What was decided on meanwhile is put back where it is missing.
        for row in end.map_or(Vec::new(), |end| end.take_rows(times.last().copied().unwrap_or(i64::MIN))) {
            let before = times.partition_point(|time| *time < row.time).clamp(at, stop);
            if times.get(before) != Some(&row.time) && (first..=last).contains(&row.time) {
                push_range(rows, range.start + at..range.start + before, ready);
                push_rows(std::slice::from_ref(&row), ready);
                at = before;
            }
        }
        push_range(rows, range.start + at..range.start + stop, ready);
    }

    fn end_tag(&mut self, tag: TagId, ready: &mut VecDeque<HistoryPart>) {
        self.tags.pop_front();
        self.has_begun = false;
        if let Some(end) = self.ends.get_mut(&tag) {
            push_rows(&end.take_rows(i64::MAX), ready);
        }
        let around = self.around.remove(&tag).unwrap_or_default();
        push_rows(&around.after, ready);
        ready.push_back(HistoryPart::End(tag));
    }
}

fn push_range(rows: &Arc<Rows>, range: Range<usize>, ready: &mut VecDeque<HistoryPart>) {
    if !range.is_empty() {
        ready.push_back(HistoryPart::Samples(Arc::clone(rows), range));
    }
}

fn push_rows(samples: &[Row], ready: &mut VecDeque<HistoryPart>) {
    if samples.is_empty() {
        return;
    }
    let mut rows = Rows::default();
    samples.iter().for_each(|row| rows.push(row.time, &row.cell));
    let range = 0..rows.len();
    ready.push_back(HistoryPart::Samples(Arc::new(rows), range));
}
