//! Memory and spill files.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use tagus_engine::tag::TagType;

use super::fixture::{Fixture, collect, lines};
use crate::SqlErrorKind;

fn plant(memory: usize, spill: u64) -> Fixture {
    let fixture = Fixture::with(|options| {
        options.memory_limit = memory;
        options.spill_bytes_max = spill;
        options.target_partitions = 2;
    });
    fixture.tag("a", TagType::Float64);
    fixture.ramp("a", 300_000);
    fixture
}

/// Returns once queries hold no memory any more: parts of an ended query may still be reading.
async fn given_back(fixture: &Fixture) {
    let freed = async {
        while fixture.service.memory_used() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), freed).await.expect("all memory is given back");
}

#[tokio::test]
async fn a_query_larger_than_memory_spills() {
    let fixture = plant(16 << 20, 1 << 30);
    let sql = "SELECT value, time FROM samples ORDER BY value % 1000, time";
    let plan = lines(&fixture.rows_here(&format!("EXPLAIN ANALYZE {sql}")).await).join("\n");
    let spills: Vec<&str> = plan.split("spill_count=").skip(1).collect();
    assert!(spills.iter().any(|rest| !rest.starts_with('0')), "{plan}");
    let values: Vec<f64> = fixture
        .rows(sql)
        .await
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Float64Type>().values().to_vec())
        .collect();
    assert_eq!(values.len(), 300_000);
    assert!(values.is_sorted_by_key(|v| (v % 1000.0, *v)));
    given_back(&fixture).await;
}

#[tokio::test]
async fn a_query_larger_than_memory_and_disk_fails_by_itself() {
    let fixture = plant(12 << 20, 0);
    let error = fixture.error("SELECT value, time FROM samples ORDER BY value DESC").await;
    assert_eq!(error.kind(), SqlErrorKind::Resources, "{error}");
    given_back(&fixture).await;
    assert_eq!(fixture.table("SELECT count(*) FROM samples").await, ["300000"]);
}

#[tokio::test]
async fn a_dropped_query_gives_everything_back() {
    let fixture = plant(64 << 20, 1 << 30);
    let result = fixture.session().query("SELECT * FROM samples a JOIN samples b ON a.value = b.value").await.unwrap();
    drop(result);
    let result = fixture.session().query("SELECT * FROM samples LIMIT 5").await.unwrap();
    assert_eq!(collect(result).await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 5);
    assert_eq!(std::fs::read_dir(fixture.spill_dir()).unwrap().count(), 1, "one folder of this process");
}

#[tokio::test]
async fn functions_do_not_return_more_than_memory() {
    let fixture = plant(64 << 20, 1 << 30);
    for sql in [
        "SELECT repeat('x', 2000000000)",
        "SELECT repeat(tag, 1000000) FROM samples",
        "SELECT lpad(tag, 1000000000, 'x') FROM samples",
        "SELECT rpad('a', 2000000000)",
        "SELECT replace(repeat('a', 65536), 'a', repeat('b', 65536))",
        "SELECT regexp_replace(repeat('a', 65536), 'a', repeat('b', 65536), 'g')",
    ] {
        let error = fixture.error(sql).await;
        assert_eq!(error.kind(), SqlErrorKind::Resources, "{sql}: {error}");
    }
    assert_eq!(fixture.error("SELECT generate_series(1, 10000000000)").await.kind(), SqlErrorKind::NotFound);
    assert_eq!(
        fixture.table("SELECT lpad('7', 3, '0'), repeat('ab', 2), replace('aXa', 'X', 'y')").await,
        ["007 | abab | aya"]
    );
    assert_eq!(lines(&fixture.rows_here("SELECT count(*) FROM generate_series(1, 10)").await), ["10"]);
}
