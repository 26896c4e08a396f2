use std::ops::Range;

use proptest::prelude::*;

use super::support::{Set, flat, plant, read, sets, write};
use crate::sample::{Cell, Rows};
use crate::segment::{Columns, Segment};
use crate::tag::{TagId, TagType};

/// Rows of a tag within times, through `narrow`.
fn between(segment: &Segment, tag: TagId, times: &Range<i64>) -> Vec<(i64, Cell)> {
    let Some(run) = segment.run(tag).unwrap() else {
        return Vec::new();
    };
    let rows = segment.narrow(&run, times.start, times.end).unwrap();
    assert!(run.rows.start <= rows.start && rows.end <= run.rows.end);
    let found = read(segment, vec![rows], 1000).unwrap();
    found.into_iter().filter(|(time, _)| (times.start..=times.end).contains(time)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn narrow_leaves_out_nothing(set in sets(150), at in any::<prop::sample::Index>(), a in 0usize..150, b in 0usize..150, off in -2i64..=2) {
        let (tag, _, rows) = at.get(&set);
        let time = |i: usize| rows.times[i % rows.len()] + off;
        let times = time(a).min(time(b))..time(a).max(time(b));
        let written = write(&set, 100);
        let expected: Vec<_> = super::support::cells(rows).into_iter().filter(|(time, _)| (times.start..=times.end).contains(time)).collect();
        prop_assert_eq!(between(&written.segment, *tag, &times), expected);
    }
}

#[test]
fn narrow_finds_the_pages() {
    let set = plant(2, 100_000);
    let written = write(&set, 100_000);
    let start = set[0].2.times[0];
    let run = written.segment.run(TagId(2)).unwrap().unwrap();
    for (from, to) in [(0, 0), (50_000, 50_001), (99_999, 99_999), (20_479, 61_441)] {
        let times = start + from * 1_000_000_000..start + to * 1_000_000_000;
        let rows = written.segment.narrow(&run, times.start, times.end).unwrap();
        let needed = run.rows.start + from as u64..run.rows.start + to as u64 + 1;
        assert!(rows.start <= needed.start && needed.end <= rows.end, "{rows:?} for {needed:?}");
        assert!(rows.end - rows.start <= needed.end - needed.start + 2 * crate::limits::PAGE_ROWS as u64);
        assert_eq!(between(&written.segment, TagId(2), &times).len() as i64, to - from + 1);
    }
    for (from, to) in [(i64::MIN, start - 1), (start + 200_000_000_000_000, i64::MAX), (5, 4)] {
        let rows = written.segment.narrow(&run, from, to).unwrap();
        assert!(rows.start == rows.end, "{rows:?}");
    }
    assert_eq!(written.segment.narrow(&run, i64::MIN, i64::MAX).unwrap(), run.rows);
}

#[test]
fn many_small_ranges_of_one_page_read_it_once() {
    let set = plant(50, 300);
    let written = write(&set, 300);
    let ranges: Vec<Range<u64>> = (0..50u64).map(|tag| tag * 300 + 10..tag * 300 + 20).collect();
    let metrics = Default::default();
    let mut reader = written.segment.read(ranges.clone(), Columns::ALL, &metrics).unwrap();
    let rows = reader.next(10_000).unwrap().unwrap();
    assert_eq!(rows.len(), 500);
    assert_eq!(reader.next(10_000).unwrap(), None);
    assert_eq!(metrics.pages_read(), 2, "{metrics:?}");
    let all = flat(&set);
    let expected: Vec<_> =
        ranges.iter().flat_map(|range| all[range.start as usize..range.end as usize].to_vec()).collect();
    assert!(super::support::cells(&rows) == expected);
}

#[test]
fn impossible_ranges_are_refused() {
    let written = write(&plant(1, 100), 100);
    let backwards = Range { start: 5, end: 4 };
    for ranges in [vec![0..101], vec![10..20, 19..30], vec![30..40, 0..5], vec![backwards]] {
        assert!(written.segment.read(ranges, Columns::ALL, &Default::default()).is_err());
    }
    assert!(read(&written.segment, vec![], 10).unwrap().is_empty());
    assert!(read(&written.segment, vec![3..3, 100..100], 10).unwrap().is_empty());
}

#[test]
fn a_forgotten_tail_is_read_again() {
    let written = write(&plant(3, 100), 100);
    assert_eq!(written.segment.memory(), 0);
    assert!(written.segment.run(TagId(2)).unwrap().is_some());
    assert!(written.segment.memory() > 0);
    written.segment.forget();
    assert_eq!(written.segment.memory(), 0);
    assert!(written.segment.run(TagId(2)).unwrap().is_some());
}

#[test]
fn integers_are_exact_to_64_bits() {
    let mut rows = Rows::default();
    let values = [i64::MIN, i64::MAX, 0, -1, (1 << 53) + 1, -(1 << 53) - 1, i64::MAX - 1];
    for (time, value) in (0..).zip(values) {
        rows.push(time, &Cell::good(value.cast_unsigned()));
    }
    let set: Set = vec![(TagId(1), TagType::Int64, rows)];
    let written = write(&set, 10);
    assert!(super::support::read_all(&written.segment).unwrap() == flat(&set));
}
