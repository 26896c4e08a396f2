mod fixture;
mod memory;

use std::sync::Arc;

use proptest::prelude::*;

use super::plan::Grain;
use super::source::Sizes;
use super::*;
use crate::sample::Cell;
use crate::segment::Columns;
use crate::tag::TagId;
use fixture::{Archive, Series, grains, long_requests, long_sources, projected, requests, sizes, sources};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_equals_a_map(
        sources in sources(),
        request in requests(),
        partitions in 0usize..7,
        sizes in sizes(),
        grain in grains(),
    ) {
        check_scan(&sources.archive(), &request, partitions, sizes, grain)?;
    }

    /// A view that was opened before a flush reads the same during it and after it.
    #[test]
    fn scans_go_on_in_segments(
        sources in sources(),
        request in requests(),
        partitions in 0usize..7,
        sizes in sizes(),
        grain in grains(),
        batches in 0usize..6,
    ) {
        let archive = sources.archive();
        let spec = archive.view.plan_by(&request, partitions, grain).unwrap();
        let found = archive.scan_flushing(&spec, sizes, batches);
        let expected: Vec<_> = archive.expected(&request).iter().map(|row| projected(row, request.columns)).collect();
        // Every partition may give as many rows as the limit.
        let limit = request.limit.map_or(usize::MAX, |limit| limit as usize);
        prop_assert!(found.iter().take(limit).eq(expected.iter().take(limit)), "{found:?} is not {expected:?}");
        check_scan(&archive, &request, partitions, sizes, grain)?;
        check_statistics(&archive, &request, sizes)?;
        let wanted: Vec<(TagId, i64)> = (1..6).flat_map(|tag| (-30..150).map(move |time| (TagId(tag), time))).collect();
        let cells: Vec<Option<Cell>> = wanted.iter().map(|key| archive.model.get(key).cloned()).collect();
        prop_assert_eq!(archive.view.cells_of_by(&wanted, sizes).unwrap(), cells);
    }

    #[test]
    fn statistics_equal_a_map(sources in sources(), request in requests(), sizes in sizes()) {
        check_statistics(&sources.archive(), &request, sizes)?;
    }

    #[test]
    fn lookups_equal_a_map(
        sources in sources(),
        mut wanted in prop::collection::vec((0u32..7, -30i64..150), 0..60),
        sizes in sizes(),
    ) {
        let archive = sources.archive();
        wanted.sort_unstable();
        let wanted: Vec<(TagId, i64)> = wanted.into_iter().map(|(tag, time)| (TagId(tag), time)).collect();
        let expected: Vec<Option<Cell>> = wanted.iter().map(|key| archive.model.get(key).cloned()).collect();
        prop_assert_eq!(archive.view.cells_of_by(&wanted, sizes).unwrap(), expected);
        for (tag, time) in wanted {
            let expected = archive.model.range((tag, i64::MIN)..=(tag, time)).next_back();
            let found = archive.view.newest_at(tag, time).unwrap();
            prop_assert_eq!(found.map(|row| (row.time, row.cell)), expected.map(|(key, cell)| (key.1, cell.clone())));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_of_many_pages_equals_a_map(
        sources in long_sources(),
        requests in prop::collection::vec(long_requests(), 8),
        partitions in 0usize..7,
    ) {
        let archive = sources.archive();
        for request in requests {
            check_scan(&archive, &request, partitions, Sizes::USUAL, Grain { rows: 20_000, rows_of_tag: 30_000 })?;
            check_statistics(&archive, &request, Sizes::USUAL)?;
        }
    }

    #[test]
    fn lookups_in_many_pages_equal_a_map(
        sources in long_sources(),
        stretches in prop::collection::vec((1u32..6, -20i64..300_000, 1i64..5000, 1i64..3000), 1..8),
    ) {
        let archive = sources.archive();
        let times = |(tag, start, step, count): &(u32, i64, i64, i64)| {
            let (tag, start, step) = (TagId(*tag), *start, *step);
            (0..*count).map(move |i| (tag, start + i * step))
        };
        let mut wanted: Vec<(TagId, i64)> = stretches.iter().flat_map(times).collect();
        wanted.sort_unstable();
        let expected: Vec<Option<Cell>> = wanted.iter().map(|key| archive.model.get(key).cloned()).collect();
        prop_assert_eq!(archive.view.cells_of(&wanted).unwrap(), expected);
    }
}

fn check_scan(
    archive: &Archive,
    request: &ScanRequest,
    partitions: usize,
    sizes: Sizes,
    grain: Grain,
) -> std::result::Result<(), TestCaseError> {
    let spec = archive.view.plan_by(request, partitions, grain).unwrap();
    prop_assert!((1..=partitions.max(1)).contains(&spec.partitions()));
    let limit = request.limit.map_or(usize::MAX, |limit| limit as usize);
    let expected = archive.expected(request);
    let expected: Vec<_> = expected.iter().take(limit).map(|row| projected(row, request.columns)).collect();
    let sent: ScanSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    prop_assert_eq!(&sent, &spec);
    for spec in [spec, sent] {
        let found: Vec<_> = archive.scan(&spec, sizes).into_iter().take(limit).collect();
        prop_assert_eq!(found.len(), expected.len());
        let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        prop_assert!(
            wrong.is_none(),
            "row {:?} of {:?}: {:?}",
            wrong,
            request,
            wrong.map(|i| (&found[i], &expected[i]))
        );
    }
    Ok(())
}

fn check_statistics(archive: &Archive, request: &ScanRequest, sizes: Sizes) -> std::result::Result<(), TestCaseError> {
    let request = ScanRequest { limit_per_tag: None, ..request.clone() };
    let times: Vec<i64> = archive.expected(&request).iter().map(|row| row.1).collect();
    let expected = ScanStatistics {
        rows: times.len() as u64,
        first_time: times.iter().min().copied(),
        last_time: times.iter().max().copied(),
    };
    let found = archive.view.statistics_by(&request, Arc::default(), sizes).unwrap();
    prop_assert_eq!(found, expected, "{:?}", request);
    Ok(())
}

/// A tag of a million rows in one segment, a second apart, with another tag before and after it.
fn long_history() -> Archive {
    let series = |tag, count| Series { tag, start: 0, step: 1_000_000_000, count, kind: 0 };
    Archive::new(&[vec![series(1, 1000), series(2, 1_000_000), series(3, 1000)]], 1)
}

fn pages_of(archive: &Archive, request: &ScanRequest) -> (usize, u64) {
    let metrics = Arc::new(ReadMetrics::default());
    let spec = archive.view.plan(request, 1).unwrap();
    let batches = archive.view.open(&spec, 0, Arc::clone(&metrics)).unwrap();
    (batches.map(|batch| batch.unwrap().len).sum(), metrics.pages_read())
}

#[test]
fn the_newest_rows_cost_a_few_pages() {
    let archive = long_history();
    let one = ScanRequest {
        order: Order::Descending,
        limit: Some(10),
        columns: Columns::TIME,
        ..ScanRequest::of(TagSelection::Ids(vec![TagId(2)]))
    };
    let (rows, pages) = pages_of(&archive, &one);
    assert_eq!(rows, 10);
    assert!(pages <= 2, "{pages} pages");
    let oldest = ScanRequest { order: Order::Ascending, ..one.clone() };
    let (rows, pages) = pages_of(&archive, &oldest);
    assert_eq!(rows, 10);
    assert!(pages <= 2, "{pages} pages");
    let within = ScanRequest { from: 3_000_000_000, to: 700_000_000_000_000, ..one };
    let (rows, pages) = pages_of(&archive, &within);
    assert_eq!(rows, 10);
    assert!(pages <= 3, "{pages} pages");
}

#[test]
fn a_whole_history_is_read_once_in_either_order() {
    let archive = long_history();
    for order in [Order::Ascending, Order::Descending] {
        let request = ScanRequest { order, columns: Columns::TIME, ..ScanRequest::of(TagSelection::All) };
        let (rows, pages) = pages_of(&archive, &request);
        assert_eq!(rows, 1_002_000);
        assert!(pages <= 1_002_000 / 20_480 + 4, "{pages} pages, {order:?}");
    }
}

#[test]
fn counting_whole_runs_reads_nothing() {
    let archive = long_history();
    let all = ScanRequest { columns: Columns::NONE, ..ScanRequest::of(TagSelection::All) };
    assert_eq!(pages_of(&archive, &all), (1_002_000, 0));
    let metrics = Arc::new(ReadMetrics::default());
    let found = archive.view.statistics(&all, Arc::clone(&metrics)).unwrap();
    assert_eq!(found.rows, 1_002_000);
    assert_eq!(metrics.pages_read(), 0);
}

#[test]
fn counting_part_of_a_run_reads_the_pages_at_its_ends() {
    let archive = long_history();
    let part = ScanRequest {
        from: 100_000_000_000_001,
        to: 900_000_000_000_000,
        ..ScanRequest::of(TagSelection::Ids(vec![TagId(2)]))
    };
    let metrics = Arc::new(ReadMetrics::default());
    let found = archive.view.statistics(&part, Arc::clone(&metrics)).unwrap();
    let expected =
        ScanStatistics { rows: 800_000, first_time: Some(100_001_000_000_000), last_time: Some(900_000_000_000_000) };
    assert_eq!(found, expected);
    let pages = metrics.pages_read();
    assert!(pages <= 4, "{pages} pages");
}

#[test]
fn partitions_are_of_about_equal_size() {
    let archive = long_history();
    for order in [Order::Ascending, Order::Descending] {
        let request = ScanRequest { order, ..ScanRequest::of(TagSelection::All) };
        let spec = archive.view.plan(&request, 4).unwrap();
        assert_eq!(spec.partitions(), 4);
        for partition in 0..4 {
            let cursor = archive.view.open(&spec, partition, Arc::default()).unwrap();
            let rows: usize = cursor.map(|batch| batch.unwrap().len).sum();
            assert!((240_000..260_000).contains(&rows), "{rows} rows, {order:?}");
        }
    }
}

#[test]
fn a_plan_is_refused_where_it_cannot_be_answered() {
    let archive = long_history();
    let spec = archive.view.plan(&ScanRequest::of(TagSelection::All), 1).unwrap();
    let error = archive.view.open(&spec, 1, Arc::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let newer = ScanSpec { through: 1000, ..spec };
    let error = archive.view.open(&newer, 0, Arc::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("newer view"), "{error}");
}

#[test]
fn what_one_tag_leaves_unread_is_not_the_next_ones() {
    let series = |start| (1..20).map(|tag| Series { tag, start, step: 2, count: 30, kind: 0 }).collect();
    let archive = Archive::new(&[series(0), series(11)], 2);
    for (limit_per_tag, order) in [(1, Order::Ascending), (9, Order::Ascending), (1, Order::Descending)] {
        let request = ScanRequest { limit_per_tag: Some(limit_per_tag), order, ..ScanRequest::of(TagSelection::All) };
        let sizes = Sizes { batch: 4, ..Sizes::USUAL };
        check_scan(&archive, &request, 1, sizes, Grain::USUAL).unwrap();
    }
}
