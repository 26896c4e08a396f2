//! Archives of few rows, and a map that says what a scan of them must answer.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::TagTable;
use crate::delete::{Cause, Delete, Deletes, TagRanges};
use crate::env::{Disk, OsDisk};
use crate::memtable::Memtable;
use crate::sample::{Cell, Rows};
use crate::scan::plan::Grain;
use crate::scan::source::Sizes;
use crate::scan::{Order, QualitySet, ReadMetrics, ReadView, ScanRequest, ScanSpec, TagSelection};
use crate::segment::{Columns, NewSegment, Segment, SegmentWriter};
use crate::status::{Quality, Status};
use crate::tag::{Tag, TagId, TagSpec, TagType};

/// What an archive holds.
pub(super) type Model = BTreeMap<(TagId, i64), Cell>;

/// Rows that a source has: some at even distances.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) tag: u32,
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) count: usize,
    /// 0 all good, 1 all uncertain, 2 all bad, else mixed.
    pub(super) kind: u8,
}

/// Sources of an archive, some of them segments and the rest memtables, with deletes between them.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    all: Vec<Vec<Series>>,
    segments: usize,
    deletes: Vec<Gone>,
}

/// Rows that are deleted after a source, counted from 0, was written.
#[derive(Clone, Debug)]
struct Gone {
    after: usize,
    tags: Vec<u32>,
    from: i64,
    width: i64,
}

impl Sources {
    pub(super) fn archive(&self) -> Archive {
        Archive::with_deletes(&self.all, self.segments, &self.deletes)
    }
}

/// A view of some sources, and what it holds.
pub(super) struct Archive {
    pub(super) view: ReadView,
    pub(super) model: Model,
    /// What the memtables hold, and from which sequence.
    unflushed: Vec<(u64, Model)>,
    /// Where the segments are.
    folder: TempDir,
}

impl Archive {
    /// Makes a segment of each of the first sources, a memtable of each other one.
    pub(super) fn new(sources: &[Vec<Series>], segments: usize) -> Archive {
        Archive::with_deletes(sources, segments, &[])
    }

    fn with_deletes(sources: &[Vec<Series>], segments: usize, gone: &[Gone]) -> Archive {
        let mut deletes = Vec::new();
        let mut model = Model::new();
        let folder = tempfile::tempdir().unwrap();
        let (mut files, mut memtables, mut unflushed) = (Vec::new(), Vec::new(), Vec::new());
        // A delete has the sequence between two sources; of several after one, the last is kept.
        for (place, (sequence, series)) in (1u64..).step_by(2).zip(sources).enumerate() {
            let rows = rows_of(series, sequence);
            if files.len() < segments {
                files.push(segment(sequence, folder.path(), &rows));
            } else {
                memtables.push(memtable(sequence, &rows));
                unflushed.push((sequence, rows.clone()));
            }
            model.extend(rows);
            if let Some(gone) = gone.iter().rfind(|gone| gone.after == place) {
                let tags: Vec<TagId> = gone.tags.iter().map(|tag| TagId(*tag)).collect();
                let (from, to) = (gone.from, gone.from + gone.width);
                model.retain(|(tag, time), _| !tags.contains(tag) || !(from..=to).contains(time));
                let tags = TagRanges::of(&tags);
                let (cause, received) = (Cause::Request, 0);
                deletes.push(Arc::new(Delete { sequence: sequence + 1, received, cause, tags, from, to }));
            }
        }
        let view = ReadView {
            held: None,
            segments: files.into(),
            memtables,
            deletes: Deletes::of(deletes),
            tags: Arc::new(tags(32)),
            manifest: 7,
        };
        Archive { view, model, unflushed, folder }
    }

    /// The rows that a request must give, its limit apart.
    pub(super) fn expected(&self, request: &ScanRequest) -> Vec<(TagId, i64, Cell)> {
        let all = self.model.iter().filter(|((tag, time), cell)| {
            let selected = match &request.tags {
                TagSelection::All | TagSelection::Everything => true,
                TagSelection::Ids(ids) => ids.contains(tag),
            };
            selected && (request.from..=request.to).contains(time) && request.qualities.contains(cell.status.quality())
        });
        let all: Vec<(TagId, i64, Cell)> = all.map(|((tag, time), cell)| (*tag, *time, cell.clone())).collect();
        let limit = request.limit_per_tag.map_or(usize::MAX, |limit| limit as usize);
        let mut expected = Vec::new();
        for of_tag in all.chunk_by(|a, b| a.0 == b.0) {
            match request.order {
                Order::Ascending => expected.extend(of_tag.iter().take(limit).cloned()),
                Order::Descending => expected.extend(of_tag.iter().rev().take(limit).cloned()),
            }
        }
        expected
    }

    /// All rows of all partitions, each cut to the columns asked for, after checking the shape
    /// of each batch.
    pub(super) fn scan(&self, spec: &ScanSpec, sizes: Sizes) -> Vec<(TagId, i64, Cell)> {
        self.scan_with(spec, sizes, || {})
    }

    /// As [`Archive::scan`], and all memtables are flushed after so many batches.
    pub(super) fn scan_flushing(&self, spec: &ScanSpec, sizes: Sizes, batches: usize) -> Vec<(TagId, i64, Cell)> {
        let mut left = batches;
        let found = self.scan_with(spec, sizes, || match left.checked_sub(1) {
            Some(less) => left = less,
            None => self.flush(),
        });
        self.flush();
        found
    }

    fn flush(&self) {
        for (memtable, (sequence, rows)) in self.view.memtables.iter().zip(&self.unflushed) {
            if memtable.flushed().is_none() && !rows.is_empty() {
                memtable.hand_over(segment(*sequence, self.folder.path(), rows));
                assert!(memtable.bytes() < 1024, "{} bytes", memtable.bytes());
            }
        }
    }

    fn scan_with(&self, spec: &ScanSpec, sizes: Sizes, mut after_batch: impl FnMut()) -> Vec<(TagId, i64, Cell)> {
        let metrics = Arc::new(ReadMetrics::default());
        let mut found = Vec::new();
        for partition in 0..spec.partitions() {
            let start = found.len();
            for batch in self.view.open_by(spec, partition, Arc::clone(&metrics), sizes).unwrap() {
                let batch = batch.unwrap();
                assert!(batch.len > 0 && batch.len <= sizes.batch, "a batch of {} rows", batch.len);
                let rows = &batch.rows;
                assert_eq!(rows.times.len(), if spec.columns == Columns::NONE { 0 } else { batch.len });
                assert_eq!(rows.values.len(), if spec.columns.contains(Columns::VALUE) { batch.len } else { 0 });
                assert!(rows.statuses.is_empty() || spec.columns.contains(Columns::STATUS));
                assert!(rows.texts.is_empty() || spec.columns.contains(Columns::TEXT));
                let mut at = 0;
                for (tag, range) in &batch.runs {
                    assert_eq!(range.start, at);
                    at = range.end;
                    found.extend(range.clone().map(|i| row(*tag, rows, i, spec.columns)));
                }
                assert_eq!(at, batch.len);
                assert!(batch.runs.is_sorted_by(|a, b| a.0 < b.0));
                after_batch();
            }
            assert!(spec.limit.is_none_or(|limit| (found.len() - start) as u64 <= limit));
        }
        found
    }
}

/// One row as far as the columns tell.
fn row(tag: TagId, rows: &Rows, i: usize, columns: Columns) -> (TagId, i64, Cell) {
    let cell = Cell {
        value: if columns.contains(Columns::VALUE) { rows.value(i) } else { None },
        text: rows.text(i).cloned(),
        status: rows.status(i),
    };
    (tag, rows.times.get(i).copied().unwrap_or(0), cell)
}

/// The same of an expected row.
pub(super) fn projected((tag, time, cell): &(TagId, i64, Cell), columns: Columns) -> (TagId, i64, Cell) {
    let cell = Cell {
        value: cell.value.filter(|_| columns.contains(Columns::VALUE)),
        text: cell.text.clone().filter(|_| columns.contains(Columns::TEXT)),
        status: if columns.contains(Columns::STATUS) { cell.status } else { Status::GOOD },
    };
    (*tag, if columns == Columns::NONE { 0 } else { *time }, cell)
}

fn rows_of(series: &[Series], sequence: u64) -> Model {
    let mut rows = Model::new();
    for Series { tag, start, step, count, kind } in series {
        for i in 0..*count {
            let mark = sequence * 1000 + i as u64;
            let kind = if *kind < 3 { *kind } else { (mark % 7).min(3) as u8 };
            let cell = match kind {
                0 => Cell::good(mark),
                1 => Cell { value: Some(mark), text: None, status: Status::UNCERTAIN },
                2 => Cell { value: None, text: Some(format!("state {mark}").into()), status: Status::BAD },
                _ => Cell { value: Some(mark), text: None, status: Status(0x0096_0000) },
            };
            rows.insert((TagId(*tag), start + step * i as i64), cell);
        }
    }
    rows
}

fn segment(sequence: u64, folder: &Path, rows: &Model) -> Arc<Segment> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let plan = NewSegment {
        id: sequence + 100,
        name: format!("{sequence}.parquet"),
        first_sequence: sequence,
        last_sequence: sequence,
        deleted_through: sequence,
        zstd_level: 1,
    };
    let mut writer = SegmentWriter::create(&disk, folder, plan).unwrap();
    let mut data: Vec<(TagId, Rows)> = Vec::new();
    for ((tag, time), cell) in rows {
        if data.last().is_none_or(|(last, _)| last != tag) {
            data.push((*tag, Rows::default()));
        }
        data.last_mut().unwrap().1.push(*time, cell);
    }
    for (tag, rows) in data {
        writer.write(tag, TagType::Int64, &rows).unwrap();
    }
    Arc::new(Segment::new(disk, folder, writer.finish().unwrap()))
}

fn memtable(sequence: u64, rows: &Model) -> Arc<Memtable> {
    let memtable = Memtable::default();
    // Every third row comes late.
    let rows: Vec<_> = rows.iter().collect();
    let late = |i: &usize| i % 3 == 1;
    for i in (0..rows.len()).filter(|i| !late(i)).chain((0..rows.len()).filter(late)) {
        let ((tag, time), cell) = rows[i];
        let mut one = Rows::default();
        one.push(*time, cell);
        memtable.write(sequence).put(*tag, &one, 0);
    }
    Arc::new(memtable)
}

/// Sources over few tags and times, so that they overlap in every way, and how many of them are
/// segments.
pub(super) fn sources() -> impl Strategy<Value = Sources> {
    sources_of(-20..60, 1..40)
}

/// Sources of runs that fill several pages.
pub(super) fn long_sources() -> impl Strategy<Value = Sources> {
    sources_of(-20..200_000, 1..60_000)
}

fn sources_of(starts: Range<i64>, counts: Range<usize>) -> impl Strategy<Value = Sources> {
    let (begin, width) = (starts.clone(), starts.end - starts.start);
    let series = (1u32..6, starts, 1i64..4, counts, 0u8..5).prop_map(|(tag, start, step, count, kind)| Series {
        tag,
        start,
        step,
        count,
        kind,
    });
    prop::collection::vec(prop::collection::vec(series, 1..6), 0..6).prop_flat_map(move |sources| {
        let count = sources.len();
        let tags = prop::collection::vec(1u32..6, 1..4);
        let gone = (0..count.max(1), tags, begin.clone(), 0..width).prop_map(|(after, tags, from, width)| Gone {
            after,
            tags,
            from,
            width,
        });
        let deletes = prop_oneof![Just(Vec::new()), prop::collection::vec(gone, 0..4)];
        (Just(sources), 0..=count, deletes).prop_map(|(all, segments, deletes)| Sources { all, segments, deletes })
    })
}

pub(super) fn requests() -> impl Strategy<Value = ScanRequest> {
    requests_of(-30..120, 0..60)
}

/// Requests of long sources.
pub(super) fn long_requests() -> impl Strategy<Value = ScanRequest> {
    requests_of(-30..300_000, 0..60_000)
}

fn requests_of(starts: Range<i64>, limits: Range<u64>) -> impl Strategy<Value = ScanRequest> {
    let end = starts.end;
    let tags = prop_oneof![
        Just(TagSelection::All),
        prop::collection::vec((0u32..8).prop_map(TagId), 0..6).prop_map(TagSelection::Ids),
    ];
    let times = prop_oneof![
        3 => (starts, 0..end).prop_map(|(from, width)| from..=from + width),
        2 => Just(i64::MIN..=i64::MAX),
        1 => Just(RangeInclusive::new(50, 40)),
    ];
    let qualities = prop_oneof![
        Just(QualitySet::ALL),
        prop::collection::vec(prop::sample::select(&Quality::ALL[..]), 0..3).prop_map(QualitySet::from_iter),
    ];
    let columns = prop::sample::subsequence(vec![Columns::TIME, Columns::VALUE, Columns::TEXT, Columns::STATUS], 0..=4)
        .prop_map(|columns| columns.into_iter().fold(Columns::NONE, |all, one| all | one));
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    let limit = || prop_oneof![2 => Just(None), 1 => limits.clone().prop_map(Some)];
    (tags, times, qualities, columns, order, limit(), limit()).prop_map(
        |(tags, times, qualities, columns, order, limit, limit_per_tag)| {
            let (from, to) = RangeInclusive::into_inner(times);
            ScanRequest { tags, from, to, qualities, columns, order, limit, limit_per_tag }
        },
    )
}

/// Sizes so small that few rows make many pages and batches.
pub(super) fn sizes() -> impl Strategy<Value = Sizes> {
    (1usize..20, 2u64..64).prop_map(|(batch, page)| Sizes { batch, page })
}

pub(super) fn grains() -> impl Strategy<Value = Grain> {
    (1u64..30, 2u64..40).prop_map(|(rows, rows_of_tag)| Grain { rows, rows_of_tag })
}

/// A table of so many tags.
fn tags(count: u32) -> TagTable {
    let mut table = TagTable::default();
    for id in 1..=count {
        let spec = TagSpec::new(format!("tag{id}"), TagType::Float64);
        table.put(Arc::new(Tag { id: TagId(id), created: 0, spec }));
    }
    table
}
