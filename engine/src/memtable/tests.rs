use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::delete::{Cause, TagRanges};
use crate::status::Status;

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        4 => (0u64..3).prop_map(Cell::good),
        1 => Just(Cell { value: None, text: Some("Bad".into()), status: Status::BAD }),
        1 => Just(Cell { value: Some(1), text: None, status: Status::UNCERTAIN }),
    ]
}

/// A sample, or now and then the delete of two tags from its time on, so many nanoseconds long.
type Step = (u32, i64, Cell, Option<i64>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((1u32..4, -20i64..20, cell(), prop::option::weighted(0.05, 0i64..25)), 0..200)
}

fn delete(sequence: u64, tag: u32, from: i64, to: i64) -> Delete {
    let tags = TagRanges::of(&[TagId(tag), TagId(tag + 1)]);
    Delete { sequence, received: 0, cause: Cause::Request, tags, from, to }
}

proptest! {
    #[test]
    fn a_memtable_equals_a_map(steps in steps(), from in -25i64..25, width in -1i64..30) {
        let memtable = Memtable::default();
        let mut model: BTreeMap<(u32, i64), Cell> = BTreeMap::new();
        for (sequence, (tag, time, cell, width)) in (1..).zip(&steps) {
            if let Some(width) = width {
                memtable.delete(&delete(sequence, *tag, *time, time + width), &[]);
                model.retain(|(t, at), _| !(tag..=&(tag + 1)).contains(&t) || !(*time..=time + width).contains(at));
                continue;
            }
            let mut rows = Rows::default();
            rows.push(*time, cell);
            let found = memtable.write(sequence).put(TagId(*tag), &rows, 0);
            let expected = match model.insert((*tag, *time), cell.clone()) {
                None => Found::Nothing,
                Some(before) if before == *cell => Found::Equal,
                Some(_) => Found::Other,
            };
            prop_assert_eq!(found, expected);
        }
        let to = from + width;
        for tag in 1..4 {
            let all: Vec<(i64, Cell)> = model.range((tag, i64::MIN)..=(tag, i64::MAX)).map(|(k, c)| (k.1, c.clone())).collect();
            let expected: Vec<(i64, Cell)> = all.iter().filter(|(t, _)| (from..=to).contains(t)).cloned().collect();
            let rows = memtable.some_rows(TagId(tag), from, to, usize::MAX, End::First).unwrap();
            let read: Vec<(i64, Cell)> = (0..rows.len()).map(|i| (rows.times[i], rows.cell(i))).collect();
            prop_assert_eq!(&read, &expected);
            for max in [1, 3, 7, 100] {
                let some = |end: End| {
                    let rows = memtable.some_rows(TagId(tag), from, to, max, end).unwrap();
                    (0..rows.len()).map(|i| (rows.times[i], rows.cell(i))).collect::<Vec<_>>()
                };
                prop_assert_eq!(some(End::First), expected.iter().take(max).cloned().collect::<Vec<_>>());
                prop_assert_eq!(some(End::Last), expected[expected.len().saturating_sub(max)..].to_vec());
            }
            let cells: Vec<Option<Cell>> = (from..=to).map(|time| model.get(&(tag, time)).cloned()).collect();
            prop_assert_eq!(memtable.cells_at(TagId(tag), from..=to).unwrap(), cells);
            let extent = memtable.extent(TagId(tag)).unwrap();
            prop_assert_eq!(extent.map(|e| (e.rows, e.first_time, e.last_time)),
                all.first().map(|first| (all.len() as u64, first.0, all[all.len() - 1].0)));
            prop_assert_eq!(memtable.newest(TagId(tag)).unwrap().map(|r| (r.time, r.cell)), all.last().cloned());
        }
        prop_assert_eq!(memtable.row_count(), model.len());
    }
}

/// What the samples take, counted anew.
fn recount(memtable: &Memtable) -> usize {
    let inner = memtable.inner.read();
    let pages = |runs: &Runs| runs.pages.iter().flatten().count() * 32 * size_of::<Run>() + runs.pages.len() * 8;
    let rare = |runs: &Runs| runs.iter().map(|(_, run)| run.rare_recount()).sum::<usize>();
    inner.arena.recount() + inner.runs.iter().map(|runs| pages(runs) + rare(runs)).sum::<usize>()
}

proptest! {
    #[test]
    fn every_byte_is_counted(steps in steps()) {
        let memtable = Memtable::default();
        for (sequence, (tag, time, cell, width)) in (1..).zip(&steps) {
            if let Some(width) = width {
                memtable.delete(&delete(sequence, *tag, *time, time + width), &[]);
            } else {
                let mut rows = Rows::default();
                rows.push(*time, cell);
                memtable.write(sequence).put(TagId(*tag), &rows, 0);
            }
            prop_assert_eq!(memtable.bytes(), recount(&memtable));
        }
    }
}

#[test]
fn long_runs_lie_in_many_chunks() {
    let memtable = Memtable::default();
    let mut rows = Rows::default();
    (0..200_000).for_each(|i| rows.push(i * 10, &Cell::good(i.cast_unsigned())));
    for i in 0..200_000 {
        // The runs of two tags share the slabs.
        memtable.write(1).put(TagId(1), &rows, i);
        memtable.write(1).put(TagId(2), &rows, i);
    }
    let bytes = memtable.bytes();
    assert!((16 * 400_000..16 * 600_000).contains(&bytes), "{bytes} bytes");
    assert_eq!(memtable.rows(TagId(2)).unwrap(), rows);
    let read = memtable.some_rows(TagId(1), 5, 1_000_001, usize::MAX, End::First).unwrap();
    assert_eq!((read.times[0], read.times[read.len() - 1], read.len()), (10, 1_000_000, 100_000));
    // What a delete leaves takes no more room, and the run goes on behind it.
    memtable.delete(&delete(2, 1, 1000, 1_899_999), &[]);
    assert_eq!(memtable.bytes(), bytes);
    let left: Vec<i64> = (0..100).chain(190_000..200_000).map(|i| i * 10).collect();
    assert_eq!(memtable.rows(TagId(1)).unwrap().times, left);
    assert_eq!(memtable.newest(TagId(1)).unwrap().map(|row| row.time), Some(1_999_990));
    rows.push(2_000_000, &Cell::good(7));
    assert_eq!(memtable.write(3).put(TagId(1), &rows, 200_000), Found::Nothing);
    let last = memtable.some_rows(TagId(1), i64::MIN, i64::MAX, 2, End::Last).unwrap();
    assert_eq!(last.values, [199_999, 7]);
}

#[test]
fn long_texts_and_high_ids_count() {
    let memtable = Memtable::default();
    let long = Cell { value: None, text: Some("x".repeat(30_000).into()), status: Status::BAD };
    for (sequence, time) in (1..).zip([100, 5, 4, 3]) {
        let mut rows = Rows::default();
        rows.push(time, &long);
        memtable.write(sequence).put(TagId(100_000), &rows, 0);
    }
    assert!(memtable.bytes() > 4 * 30_000 + 8 * 100_000 / 32, "{} bytes", memtable.bytes());
}
