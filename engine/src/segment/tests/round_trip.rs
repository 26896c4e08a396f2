use proptest::prelude::*;

use super::support::{Set, cells, flat, plant, read, read_all, sets, write};
use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS};
use crate::sample::{Cell, Rows};
use crate::segment::{Columns, ReadMetrics, SUMMARY_ROWS_MIN, Segment};
use crate::status::{Quality, Status};
use crate::tag::{TagId, TagType};

fn extent(set: &Set, tag: TagId, tag_type: TagType) -> Rows {
    let mut all = Rows::default();
    for (_, _, rows) in set.iter().filter(|(t, k, _)| *t == tag && *k == tag_type) {
        all.extend_from(rows, 0..rows.len());
    }
    all
}

fn check_runs(segment: &Segment, set: &Set) -> Result<(), TestCaseError> {
    let meta = segment.meta();
    let runs = segment.runs(TagId(0)..=TagId(u32::MAX)).unwrap();
    prop_assert_eq!(runs.len(), set.len());
    prop_assert_eq!(meta.tags as usize, set.len());
    prop_assert_eq!(meta.first_tag, set[0].0);
    prop_assert_eq!(meta.last_tag, set[set.len() - 1].0);
    prop_assert_eq!(meta.first_time, set.iter().map(|(_, _, rows)| rows.times[0]).min().unwrap());
    prop_assert_eq!(meta.last_time, set.iter().map(|(_, _, rows)| rows.times[rows.len() - 1]).max().unwrap());
    let mut row = 0;
    for (run, (tag, tag_type, rows)) in runs.iter().zip(set) {
        prop_assert_eq!((run.tag, run.tag_type), (*tag, *tag_type));
        prop_assert_eq!(run.rows.clone(), row..row + rows.len() as u64);
        prop_assert_eq!((run.first_time, run.last_time), (rows.times[0], rows.times[rows.len() - 1]));
        prop_assert_eq!(run.has_text, (0..rows.len()).any(|i| rows.text(i).is_some()));
        prop_assert_eq!(run.worst, (0..rows.len()).map(|i| rows.status(i).quality()).max().unwrap());
        let found = segment.run(*tag).unwrap();
        // Summaries may hold NaN, which is not equal to itself.
        prop_assert_eq!(format!("{found:?}"), format!("{:?}", Some(run)));
        prop_assert_eq!(
            segment.run(TagId(tag.0 + 1)).unwrap().map(|run| run.tag),
            set.iter().map(|s| s.0).find(|t| t.0 == tag.0 + 1)
        );
        row = run.rows.end;
    }
    prop_assert_eq!(row, meta.rows);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn everything_comes_back(set in sets(200), piece in 1usize..300, max in 1usize..500) {
        let written = write(&set, piece);
        let all = flat(&set);
        prop_assert_eq!(written.segment.meta().rows as usize, all.len());
        prop_assert_eq!(read(&written.segment, vec![0..all.len() as u64], max).unwrap(), all);
        check_runs(&written.segment, &set)?;
    }

    #[test]
    fn ranges_are_parts_of_the_whole(set in sets(200), cuts in prop::collection::vec(0.0f64..1.0, 0..12), max in 1usize..100) {
        let written = write(&set, 100);
        let all = flat(&set);
        let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| (cut * all.len() as f64) as u64).collect();
        cuts.sort();
        let ranges: Vec<_> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        let expected: Vec<_> = ranges.iter().flat_map(|range| all[range.start as usize..range.end as usize].to_vec()).collect();
        prop_assert_eq!(read(&written.segment, ranges, max).unwrap(), expected);
    }

    #[test]
    fn columns_not_asked_for_hold_defaults(set in sets(60), asked in 0usize..16) {
        let parts = [Columns::TIME, Columns::VALUE, Columns::TEXT, Columns::STATUS];
        let columns = parts.into_iter().enumerate().filter(|(i, _)| asked >> i & 1 == 1).fold(Columns::NONE, |all, (_, one)| all | one);
        let written = write(&set, 100);
        let mut reader = written.segment.read(vec![0..written.segment.meta().rows], columns, &Default::default()).unwrap();
        let mut expected = flat(&set).into_iter();
        while let Some(rows) = reader.next(77).unwrap() {
            prop_assert_eq!(rows.values.len(), rows.times.len());
            for (time, cell) in cells(&rows) {
                let (full_time, full) = expected.next().unwrap();
                prop_assert_eq!(time, if columns.contains(Columns::TIME) { full_time } else { 0 });
                let value = if columns.contains(Columns::VALUE) { full.value } else { Some(0) };
                let text = full.text.filter(|_| columns.contains(Columns::TEXT));
                let status = if columns.contains(Columns::STATUS) { full.status } else { Status::GOOD };
                prop_assert_eq!(cell, Cell { value, text, status });
            }
        }
        prop_assert!(expected.next().is_none());
    }
}

#[test]
fn several_row_groups_come_back() {
    let set = plant(3, ROW_GROUP_ROWS / 2 + 1000);
    let written = write(&set, 50_000);
    assert_eq!(written.segment.meta().rows as usize, 3 * (ROW_GROUP_ROWS / 2 + 1000));
    assert!(read_all(&written.segment).unwrap() == flat(&set));
    check_runs(&written.segment, &set).unwrap();
}

#[test]
fn long_texts_make_short_pages() {
    let mut rows = Rows::default();
    for i in 0..3000i64 {
        let text = format!("{i:0>9}").repeat(3000);
        rows.push(i, &Cell { value: None, text: Some(text.into()), status: Status::GOOD });
    }
    let set = vec![(TagId(5), TagType::Text, rows)];
    let written = write(&set, 1000);
    assert!(read_all(&written.segment).unwrap() == flat(&set));
    let metrics = Default::default();
    let mut reader = written.segment.read(vec![1500..1501], Columns::ALL, &metrics).unwrap();
    assert_eq!(reader.next(10).unwrap().unwrap().times, [1500]);
    assert!(metrics.bytes_read() < 1 << 20, "{metrics:?}");
}

#[test]
fn many_tags_make_many_directory_blocks() {
    let set: Set = (1..2000u32)
        .map(|tag| {
            let mut rows = Rows::default();
            for i in 0..i64::from(tag % 100 + 1) {
                rows.push(i * 1_000_000, &Cell::good((tag as f64 + i as f64 * 0.5).to_bits()));
            }
            (TagId(tag * 2), TagType::Float64, rows)
        })
        .collect();
    let written = write(&set, 1000);
    assert!(read_all(&written.segment).unwrap() == flat(&set));
    check_runs(&written.segment, &set).unwrap();
    let some = written.segment.runs(TagId(500)..=TagId(599)).unwrap();
    assert_eq!(some.iter().map(|run| run.tag.0).collect::<Vec<_>>(), (500..600).step_by(2).collect::<Vec<_>>());
    assert!(written.segment.runs(TagId(9)..=TagId(9)).unwrap().is_empty());
}

#[test]
fn summaries_count_what_has_a_value_and_is_not_bad() {
    let mut rows = Rows::default();
    let n = SUMMARY_ROWS_MIN as i64;
    for i in 0..n {
        rows.push(i * 2_000_000_000, &Cell::good((i as f64).to_bits()));
    }
    rows.set(3, &Cell { value: Some(1e9f64.to_bits()), text: None, status: Status::BAD });
    rows.set(4, &Cell { value: None, text: Some("Bad".into()), status: Status::BAD });
    rows.set(5, &Cell { value: Some(5f64.to_bits()), text: None, status: Status::UNCERTAIN });
    let mut short = Rows::default();
    short.extend_from(&rows, 0..63);
    let mut steps = Rows::default();
    (0..n).for_each(|i| steps.push(i * 1_000_000_000, &Cell::good(i.cast_unsigned())));
    let set = vec![
        (TagId(1), TagType::Float64, rows),
        (TagId(2), TagType::Float64, short),
        (TagId(3), TagType::Int64, steps),
    ];
    let written = write(&set, 20);
    let run = written.segment.run(TagId(1)).unwrap().unwrap();
    let summary = run.summary.unwrap();
    assert_eq!((summary.samples, summary.min, summary.max), (62, 0.0, 63.0));
    assert_eq!(summary.sum, (0..64).sum::<i32>() as f64 - 7.0);
    assert_eq!(summary.integral, 63.0 * 63.0);
    assert_eq!(run.worst, Quality::Bad);
    assert_eq!(written.segment.run(TagId(2)).unwrap().unwrap().summary, None);
    let steps = written.segment.run(TagId(3)).unwrap().unwrap().summary.unwrap();
    assert_eq!(steps.integral, (0..63).sum::<i32>() as f64);
}

#[test]
fn rows_out_of_order_are_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk: std::sync::Arc<dyn crate::env::Disk> = std::sync::Arc::new(crate::env::OsDisk);
    let plan = |name: &str| crate::segment::NewSegment {
        id: 1,
        name: name.into(),
        first_sequence: 1,
        last_sequence: 1,
        deleted_through: 1,
        zstd_level: 1,
    };
    let one = |time: i64| Rows { times: vec![time], values: vec![0], ..Rows::default() };
    let mut writer = crate::segment::SegmentWriter::create(&disk, dir.path(), plan("a")).unwrap();
    writer.write(TagId(2), TagType::Int64, &one(5)).unwrap();
    assert!(writer.write(TagId(2), TagType::Int64, &one(5)).is_err());
    assert!(writer.write(TagId(2), TagType::Float64, &one(6)).is_err());
    assert!(writer.write(TagId(1), TagType::Int64, &one(6)).is_err());
    assert!(writer.write(TagId(u32::MAX), TagType::Int64, &one(6)).is_err());
    drop(writer);
    let empty = crate::segment::SegmentWriter::create(&disk, dir.path(), plan("b")).unwrap();
    assert!(empty.finish().is_err());
    assert_eq!(disk.list(dir.path()).unwrap(), Vec::<String>::new(), "unfinished files are removed");
}

#[test]
fn pages_read_are_in_proportion() {
    let set = plant(40, 4000);
    let written = write(&set, 4000);
    let pages = (40u64 * 4000).div_ceil(PAGE_ROWS as u64);
    let metrics = std::sync::Arc::new(ReadMetrics::default());
    let run = written.segment.run(TagId(20)).unwrap().unwrap();
    let mut reader = written.segment.read(vec![run.rows], Columns::ALL, &metrics).unwrap();
    let mut rows = Rows::default();
    while let Some(part) = reader.next(1000).unwrap() {
        rows.extend_from(&part, 0..part.len());
    }
    drop(reader);
    assert!(rows == extent(&set, TagId(20), TagType::Float64));
    // Times and mantissas of one page, or of two where the run lies across a cut.
    assert!(metrics.pages_read() <= 4, "{metrics:?}");
    assert_eq!(metrics.pages_read() + metrics.pages_skipped(), 8 * pages);
    assert_eq!(metrics.segments_read(), 1);
}
