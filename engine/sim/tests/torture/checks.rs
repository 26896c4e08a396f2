//! Reads of every kind, each compared with the model.

use std::path::Path;
use std::sync::Arc;

use tagus_engine::env::Disk;
use tagus_engine::sample::Cell;
use tagus_engine::scan::{Order, QualitySet, ReadView, ScanRequest, TagSelection};
use tagus_engine::segment::{Columns, ReadMetrics};
use tagus_engine::status::Quality;
use tagus_engine::tag::TagId;
use tagus_engine::{Engine, Result};
use tagus_sim::{SimDisk, SimRandom};

use crate::batches;
use crate::machine::{DIR, Ever};
use crate::model::{Model, Samples};

/// One sample as it is read.
pub type Read = (TagId, i64, Cell);

/// The rows of a request, read in so many partitions.
pub fn rows(view: &ReadView, request: &ScanRequest, partitions: usize) -> Result<Vec<Read>> {
    let spec = view.plan(request, partitions)?;
    let mut found = Vec::new();
    for partition in 0..spec.partitions() {
        for batch in view.open(&spec, partition, Arc::new(ReadMetrics::default()))? {
            let batch = batch?;
            for (tag, range) in &batch.runs {
                found.extend(range.clone().map(|i| (*tag, batch.rows.times[i], batch.rows.cell(i))));
            }
        }
    }
    Ok(found)
}

/// Everything that a view shows, in order.
pub fn everything(view: &ReadView, partitions: usize) -> Result<Vec<Read>> {
    rows(view, &ScanRequest::of(TagSelection::All), partitions)
}

/// Whether an archive is in this state, sources and all.
pub fn is_state(engine: &Engine, model: &Model) -> bool {
    difference(engine, model).is_empty()
}

/// How an archive differs from a state; empty where it does not.
pub fn difference(engine: &Engine, model: &Model) -> String {
    let tags = engine.tags();
    if !tags.iter().map(|tag| &tag.spec).eq(&model.tags) {
        return format!("{} tags, not {}, or other ones", tags.len(), model.tags.len());
    }
    let found = everything(&engine.view(), 2).expect("a healthy disk");
    let samples = unlike(&found, &model.samples);
    if !samples.is_empty() {
        return samples;
    }
    for (name, place) in &model.sources {
        let source = engine.open_source(name, "", place.epoch).expect("a healthy disk");
        if (source.last_sequence(), source.counts()) != (place.sequence, place.counts) {
            let (sequence, counts) = (source.last_sequence(), source.counts());
            return format!("source {name} is at {sequence} with {counts:?}, not at {place:?}");
        }
    }
    String::new()
}

/// The first sample that differs.
fn unlike(found: &[Read], expected: &Samples) -> String {
    let mut expected_rows = expected.iter().map(|((tag, time), cell)| (*tag, *time, cell.clone()));
    for row in found {
        match expected_rows.next() {
            Some(expected) if expected == *row => {}
            expected => {
                return format!(
                    "{} samples for {}: {row:?} for {expected:?}",
                    found.len(),
                    expected_len(&expected, found)
                );
            }
        }
    }
    expected_rows.next().map_or(String::new(), |row| format!("{} samples only, {row:?} is missing", found.len()))
}

fn expected_len(expected: &Option<Read>, found: &[Read]) -> String {
    if expected.is_some() { "others".into() } else { format!("{} at most", found.len() - 1) }
}

/// Each of these was written to its place once.
pub fn assert_written(found: &[Read], ever: &Ever) {
    for (tag, time, cell) in found {
        let is_known = ever.get(&(*tag, *time)).is_some_and(|cells| cells.contains(cell));
        assert!(is_known, "nobody wrote {cell:?} to tag {} at {time}", tag.0);
    }
}

/// Every kind of read, of a view.
pub fn view(random: &SimRandom, view: &ReadView, model: &Model, now: i64) -> Result<()> {
    let partitions = 1 + random.below(5) as usize;
    let found = everything(view, partitions)?;
    let differs = unlike(&found, &model.samples);
    assert!(differs.is_empty(), "a whole scan in {partitions} partitions: {differs}");
    for _ in 0..3 {
        one_tag(random, view, model, now)?;
    }
    some_tags(random, view, model, now)?;
    statistics(random, view, model, now)?;
    points(random, view, model, now)
}

fn any_tag(random: &SimRandom, model: &Model) -> TagId {
    TagId(1 + u32::try_from(random.below(model.tags.len() as u64)).expect("few tags"))
}

/// Two times, in order as a rule.
fn range(random: &SimRandom, now: i64) -> (i64, i64) {
    if random.chance(1, 4) {
        return (i64::MIN, i64::MAX);
    }
    let (a, b) = (batches::time(random, now), batches::time(random, now));
    if random.chance(1, 30) { (a, b) } else { (a.min(b), a.max(b)) }
}

fn qualities(random: &SimRandom) -> QualitySet {
    if random.chance(1, 2) {
        return QualitySet::ALL;
    }
    Quality::ALL.into_iter().filter(|_| random.chance(1, 2)).collect()
}

/// What a request must answer, limits apart.
fn expected(model: &Model, tags: &[TagId], request: &ScanRequest) -> Vec<Vec<Read>> {
    let matches = |cell: &Cell| request.qualities.contains(cell.status.quality());
    let of_tag = |tag: &TagId| {
        let rows = model.range(*tag, request.from, request.to).filter(|(_, cell)| matches(cell));
        let mut rows: Vec<Read> = rows.map(|(time, cell)| (*tag, time, cell.clone())).collect();
        if request.order == Order::Descending {
            rows.reverse();
        }
        rows
    };
    tags.iter().map(of_tag).collect()
}

fn request(random: &SimRandom, tags: &[TagId], now: i64) -> ScanRequest {
    let (from, to) = range(random, now);
    let order = if random.chance(1, 2) { Order::Ascending } else { Order::Descending };
    let tags = TagSelection::Ids(tags.to_vec());
    ScanRequest { from, to, order, qualities: qualities(random), ..ScanRequest::of(tags) }
}

/// One tag's range in either order, with and without a limit.
fn one_tag(random: &SimRandom, view: &ReadView, model: &Model, now: i64) -> Result<()> {
    let tag = any_tag(random, model);
    let mut request = request(random, &[tag], now);
    let mut expected: Vec<Read> = expected(model, &[tag], &request).concat();
    if random.chance(1, 2) {
        let limit = random.below(8);
        request.limit = Some(limit);
        expected.truncate(limit as usize);
    }
    assert_eq!(rows(view, &request, 1)?, expected, "{request:?}");
    Ok(())
}

/// Some tags in several partitions, some rows of each.
fn some_tags(random: &SimRandom, view: &ReadView, model: &Model, now: i64) -> Result<()> {
    let tags: Vec<TagId> = model.ids().into_iter().filter(|_| random.chance(1, 2)).collect();
    let mut request = request(random, &tags, now);
    let all = expected(model, &tags, &request);
    let limit = if random.chance(1, 2) { random.below(5) as usize } else { usize::MAX };
    request.limit_per_tag = (limit < usize::MAX).then_some(limit as u64);
    let wanted: Vec<Read> = all.iter().flat_map(|rows| rows.iter().take(limit).cloned()).collect();
    let mut found = rows(view, &request, 1 + random.below(3) as usize)?;
    // A tag that is cut by time gives as many from each partition.
    let mut seen = (TagId(0), 0);
    found.retain(|(tag, ..)| {
        seen = if seen.0 == *tag { (*tag, seen.1 + 1) } else { (*tag, 1) };
        seen.1 <= limit
    });
    assert_eq!(found, wanted, "{request:?}");
    let count = ScanRequest { columns: Columns::NONE, limit_per_tag: None, ..request };
    let spec = view.plan(&count, 2)?;
    let mut counted = 0;
    for partition in 0..spec.partitions() {
        for batch in view.open(&spec, partition, Arc::new(ReadMetrics::default()))? {
            counted += batch?.len;
        }
    }
    assert_eq!(counted, all.iter().map(Vec::len).sum::<usize>(), "a count: {count:?}");
    Ok(())
}

fn statistics(random: &SimRandom, view: &ReadView, model: &Model, now: i64) -> Result<()> {
    let tags = if random.chance(1, 2) { model.ids() } else { vec![any_tag(random, model)] };
    let request = request(random, &tags, now);
    let found = view.statistics(&request, Arc::new(ReadMetrics::default()))?;
    let expected = expected(model, &tags, &ScanRequest { order: Order::Ascending, ..request.clone() }).concat();
    let times = expected.iter().map(|row| row.1);
    let wanted = (expected.len() as u64, times.clone().min(), times.max());
    assert_eq!((found.rows, found.first_time, found.last_time), wanted, "statistics: {request:?}");
    Ok(())
}

/// Single rows: the newest at a time, and those of given times.
fn points(random: &SimRandom, view: &ReadView, model: &Model, now: i64) -> Result<()> {
    let tag = any_tag(random, model);
    let time = batches::time(random, now);
    let newest = view.newest_at(tag, time)?.map(|row| (row.time, row.cell));
    let expected = model.range(tag, i64::MIN, time).next_back().map(|(time, cell)| (time, cell.clone()));
    assert_eq!(newest, expected, "the newest of tag {} at {time}", tag.0);
    let there: Vec<i64> = model.range(tag, i64::MIN, i64::MAX).map(|(time, _)| time).collect();
    let pick = |_| match there.len() {
        0 => batches::time(random, now),
        count => there[random.below(count as u64) as usize].saturating_add(random.below(4).cast_signed() / 3),
    };
    let mut times: Vec<i64> = (0..random.below(6)).map(pick).collect();
    times.sort_unstable();
    let cells: Vec<Option<Cell>> = times.iter().map(|time| model.samples.get(&(tag, *time)).cloned()).collect();
    assert_eq!(view.cells_at(tag, &times)?, cells, "cells of tag {} at {times:?}", tag.0);
    Ok(())
}

/// Current values, and what is known of tags.
pub fn current(engine: &Engine, model: &Model, now: i64, max_future: i64) -> Result<()> {
    let tags = engine.tags();
    assert!(tags.iter().map(|tag| &tag.spec).eq(&model.tags), "the tags are others");
    for tag in model.ids() {
        let latest = if model.spec(tag).future { now } else { now.saturating_add(max_future) };
        let expected = model.range(tag, i64::MIN, latest).next_back().map(|(time, cell)| (time, cell.clone()));
        let found = engine.current(tag)?.map(|row| (row.time, row.cell));
        assert_eq!(found, expected, "the current value of tag {}", tag.0);
    }
    Ok(())
}

/// Names in the folder of segments, sorted.
pub fn segment_files(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.list(&Path::new(DIR).join("segments")).expect("a folder that is there");
    names.sort();
    names
}
