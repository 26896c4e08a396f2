//! Memory and spill files.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use futures::StreamExt;
use tagus_engine::tag::TagType;

use super::fixture::{Fixture, collect, lines};
use crate::{SqlError, SqlErrorKind};

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
    let fixture = plant(8 << 20, 0);
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

/// Files of segments, live or not.
fn segment_files(fixture: &Fixture) -> usize {
    let live = &fixture.engine.segments()[0];
    let folder = fixture.engine.segment_path(live).parent().unwrap().to_owned();
    std::fs::read_dir(folder).unwrap().count()
}

/// What a query reads stays on the disk while it reads, and no longer than its client has patience
/// with it.
#[tokio::test]
async fn a_client_that_takes_no_rows_pins_no_files_for_ever() {
    let fixture = plant(64 << 20, 1 << 30);
    fixture.engine.flush().unwrap();
    fixture.ramp("a", 300_000);
    fixture.engine.flush().unwrap();
    let planned = fixture.plan("SELECT time, value FROM samples").await.unwrap();
    let mut rows = planned.run(Duration::from_secs(1)).unwrap().stream;
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    fixture.engine.compact().unwrap();
    let merged = async {
        while segment_files(&fixture) > fixture.engine.segments().len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), merged).await.expect("the files go");
    given_back(&fixture).await;
    let error = loop {
        match rows.next().await.expect("the rows do not just end") {
            Ok(_) => {}
            Err(error) => break SqlError::from(error),
        }
    };
    assert_eq!(error.kind(), SqlErrorKind::Resources);
    assert!(error.to_string().contains("its client took no rows for 1s"), "{error}");
    assert_eq!(fixture.table("SELECT count(*) FROM samples").await, ["300000"]);
}

/// A list of `count` times the same expression, each under a name of its own.
fn columns(expression: &str, count: usize) -> String {
    (0..count).map(|i| format!("{expression} AS c{i}")).collect::<Vec<_>>().join(", ")
}

/// `expression` over the column `{}` of itself, so many times; it begins as `first`. Each column has
/// a name of its own: DataFusion takes a projection of itself for one.
fn nested(first: &str, expression: &str, depth: usize) -> String {
    (0..depth).fold(format!("SELECT {first} AS x0"), |inner, i| {
        format!("SELECT {} AS x{} FROM ({inner})", expression.replace("{}", &format!("x{i}")), i + 1)
    })
}

fn attacks() -> Vec<String> {
    let mut attacks: Vec<String> = [
        "SELECT repeat('x', 2000000000)",
        "SELECT repeat(tag, 1000000) FROM samples",
        "SELECT lpad(tag, 1000000000, 'x') FROM samples",
        "SELECT rpad('a', 2000000000)",
        "SELECT replace(repeat('a', 65536), 'a', repeat('b', 65536))",
        "SELECT regexp_replace(repeat('a', 65536), 'a', repeat('b', 65536), 'g')",
        "SELECT regexp_replace(repeat('a', 60000), 'a', '\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0', 'g')",
        "SELECT repeat('x', 60000) || tag FROM samples",
        "SELECT repeat('x', 60000), time FROM samples",
        "SELECT CASE WHEN value > 5 THEN repeat('x', 60000) ELSE '' END FROM samples",
        "SELECT coalesce(text, repeat('x', 60000)) FROM samples",
        "SELECT s.x FROM samples CROSS JOIN (SELECT repeat('x', 60000) x) s",
        "SELECT overlay(repeat('x', 60000) placing tag from 1) FROM samples",
        "SELECT left(repeat('x', 60000), status + 60000) FROM samples",
        "SELECT array_to_string(make_array(tag, tag, tag), repeat('x', 30000)) FROM samples",
        "SELECT concat_ws(repeat('x', 30000), tag, tag, tag) FROM samples",
        "SELECT string_to_array(repeat('x', 60000) || tag, 'x') FROM samples",
        "SELECT array_append(string_to_array(repeat('x,', 10000), ','), tag) FROM samples",
        "SELECT to_char(time, repeat('%c', 30000)) FROM samples",
        "SELECT string_agg(repeat(tag, 1000), '') FROM samples",
        "SELECT array_agg(repeat(tag, 1000)) FROM samples",
    ]
    .map(str::to_owned)
    .into();
    attacks.extend([
        format!("SELECT {}", columns("repeat('x', 100000000)", 200)),
        format!("SELECT {} FROM samples", columns("repeat(tag, 2000)", 200)),
        format!("SELECT {} FROM samples", columns("repeat(tag, 2000) || tag", 200)),
        nested("'xxxxxxxx'", "{} || {}", 30),
        nested("'xxxxxxxx'", "concat({}, {})", 30),
        nested("'xxxxxxxx'", "concat_ws('', {}, {})", 30),
        nested("'xxxxxxxx'", "replace({}, 'x', 'xx')", 30),
        nested("make_array(1, 2, 3)", "array_concat({}, {})", 30),
        nested("make_array(1, 2, 3)", "{} || {}", 30),
        nested("make_array(1, 2, 3)", "make_array({}, {})", 25),
        format!("SELECT {} FROM samples", columns(&format!("'{}'", "y".repeat(1000)), 200)),
    ]);
    attacks
}

#[tokio::test]
async fn functions_do_not_return_more_than_memory() {
    let fixture = plant(64 << 20, 1 << 30);
    for sql in attacks() {
        let start: String = sql.chars().take(120).collect();
        println!("{start}");
        let error = fixture.error(&sql).await;
        assert_eq!(error.kind(), SqlErrorKind::Resources, "{start}: {error}");
    }
    assert_eq!(fixture.error("SELECT generate_series(1, 10000000000)").await.kind(), SqlErrorKind::NotFound);
    for sql in [
        "SELECT array_agg(value) OVER (ORDER BY time) FROM samples",
        "SELECT string_agg(tag, '') OVER (PARTITION BY tag) FROM samples",
        "SELECT struct(tag, tag) FROM samples",
        "SELECT ROW(1, 2)",
    ] {
        assert_ne!(fixture.error(sql).await.kind(), SqlErrorKind::Internal, "{sql}");
    }
    given_back(&fixture).await;
}

#[tokio::test]
async fn ordinary_strings_are_made() {
    let fixture = plant(64 << 20, 1 << 30);
    for (sql, row) in [
        ("SELECT lpad('7', 3, '0'), repeat('ab', 2), replace('aXa', 'X', 'y')", "007 | abab | aya"),
        ("SELECT concat('a', NULL, 'b'), concat_ws('-', 'a', NULL, 'b'), 'a' || NULL, 'a' || 1", "ab | a-b |  | a1"),
        (
            "SELECT substring('abcdef' from 2 for 3), overlay('abc' placing 'X' from 2), left('abc', 2)",
            "bcd | aXc | ab",
        ),
        (
            "SELECT ARRAY[1, 2] || 3, array_to_string(ARRAY['a', 'b'], ','), ARRAY['x'] || ARRAY['y']",
            "[1, 2, 3] | a,b | [x, y]",
        ),
        ("SELECT count(*) FROM (SELECT tag || '/' || quality AS x FROM samples) WHERE x = 'a/good'", "300000"),
        ("SELECT max(length(concat(tag, ' of ', quality, ': ', value))) FROM samples", "19"),
        ("SELECT string_agg(q, ',') FROM (SELECT DISTINCT quality q FROM samples)", "good"),
    ] {
        assert_eq!(fixture.table(sql).await, [row], "{sql}");
    }
    let schema = fixture.session().schema_of("SELECT tag || 'x', concat(tag, 'y') FROM samples").await.unwrap();
    assert_eq!(schema.field(0).name(), "samples.tag || Utf8(\"x\")");
    let many = columns("concat(tag, ' ', quality)", 40);
    assert_eq!(
        fixture
            .rows(&format!("SELECT {many} FROM samples LIMIT 9000"))
            .await
            .iter()
            .map(|b| b.num_rows())
            .sum::<usize>(),
        9000
    );
    assert_eq!(lines(&fixture.rows_here("SELECT count(*) FROM generate_series(1, 10)").await), ["10"]);
}
