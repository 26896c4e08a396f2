//! What the planner makes of queries: what is read, and what is not.

use tagus_engine::ingest::Values;
use tagus_engine::tag::TagType;

use super::fixture::{Fixture, SECOND, T0, lines};

/// Three tags, of which `a` has enough samples for several pages and partitions.
fn plant() -> Fixture {
    let fixture = Fixture::new();
    for tag in ["a", "b", "c"] {
        fixture.tag(tag, TagType::Float64);
    }
    fixture.ramp("a", 300_000);
    fixture.ramp("b", 1000);
    fixture.engine.flush().unwrap();
    fixture.ramp("c", 1000);
    fixture
}

#[tokio::test]
async fn tags_times_and_qualities_are_left_to_the_scan() {
    let fixture = plant();
    let conditions = [
        ("tag = 'a'", "tags=[a], "),
        ("tag IN ('a', 'c')", "tags=[a, c], "),
        ("tag LIKE 'a%'", "tags=[a], "),
        ("tag ~ '^[bc]$'", "tags=[b, c], "),
        ("tag = 'a' OR tag = 'b'", "tags=[a, b], "),
        ("time >= '2026-01-01T00:10:00Z'", "from=2026-01-01T00:10:00Z, "),
        ("time > '2026-01-01 00:10:00'", "from=2026-01-01T00:10:00.000000001Z, "),
        ("time < DATE '2026-01-02'", "to=2026-01-01T23:59:59.999999999Z, "),
        ("time < TIMESTAMP '2026-01-02'", "to=2026-01-01T23:59:59.999999999Z, "),
        ("time <= TIMESTAMPTZ '2026-01-01T02:00:00+01:00'", "to=2026-01-01T01:00:00Z, "),
        (
            "time BETWEEN '2026-01-01T00:01:00Z' AND '2026-01-01T00:02:00Z'",
            "from=2026-01-01T00:01:00Z, to=2026-01-01T00:02:00Z, ",
        ),
        ("time >= TIMESTAMP '2026-01-01' + INTERVAL '1 hour'", "from=2026-01-01T01:00:00Z, "),
        ("time >= to_timestamp_millis(1767225660000)", "from=2026-01-01T00:01:00Z, "),
        ("quality = 'good'", "quality=[good], "),
        ("quality <> 'good'", "quality=[uncertain, bad], "),
        ("is_good(status)", "quality=[good], "),
        ("NOT is_good(status)", "quality=[uncertain, bad], "),
    ];
    for (condition, shown) in conditions {
        let plan = fixture.plan_text(&format!("SELECT time, value FROM samples WHERE {condition}")).await;
        assert!(plan.contains(shown), "{condition}: {plan}");
        assert!(!plan.contains("FilterExec"), "{condition}: {plan}");
    }
}

#[tokio::test]
async fn now_is_a_time_like_any_other() {
    let fixture = plant();
    let sql = "SELECT value FROM samples WHERE time >= '2026-01-01T00:00:00Z' AND time < now()";
    let plan = fixture.plan_text(sql).await;
    assert!(plan.contains("from=2026-01-01T00:00:00Z, to=2") && !plan.contains("FilterExec"), "{plan}");
    let plan = fixture.plan_text("SELECT value FROM samples WHERE time > now() - INTERVAL '1 hour'").await;
    assert!(plan.contains("from=2") && !plan.contains("FilterExec"), "{plan}");
}

#[tokio::test]
async fn what_the_scan_cannot_say_is_filtered_again() {
    let fixture = plant();
    for condition in ["value > 5", "time::date = DATE '2026-01-01'", "(tag = 'a' AND time > '2026-01-02') OR tag = 'b'"]
    {
        let plan = fixture.plan_text(&format!("SELECT * FROM samples WHERE {condition}")).await;
        assert!(plan.contains("FilterExec"), "{condition}: {plan}");
    }
    let plan =
        fixture.plan_text("SELECT * FROM samples WHERE (tag = 'a' AND value > 1) OR (tag = 'b' AND value > 2)").await;
    assert!(plan.contains("tags=[a, b]"), "{plan}");
    let rows = fixture
        .table("SELECT count(*) FROM samples WHERE (tag = 'a' AND value >= 299999) OR (tag = 'b' AND value < 2)")
        .await;
    assert_eq!(rows, ["3"]);
}

#[tokio::test]
async fn an_unknown_tag_gives_no_rows() {
    let fixture = plant();
    assert!(fixture.plan_text("SELECT * FROM samples WHERE tag = 'nowhere'").await.contains("EmptyExec"));
    assert!(fixture.table("SELECT * FROM samples WHERE tag = 'nowhere'").await.is_empty());
    assert!(fixture.table("SELECT * FROM samples WHERE tag = 'A'").await.is_empty(), "names compare exactly");
    assert_eq!(fixture.table("SELECT count(*) FROM samples WHERE tag LIKE 'x%'").await, ["0"]);
    assert!(fixture.table("SELECT * FROM current_values WHERE tag = 'nowhere'").await.is_empty());
}

#[tokio::test]
async fn counts_and_times_are_known_without_reading() {
    let fixture = plant();
    let queries = [
        ("SELECT count(*) FROM samples", "302000"),
        (
            "SELECT count(*), min(time), max(time) FROM samples WHERE tag = 'a'",
            "300000 | 2026-01-01T00:00:00Z | 2026-01-04T11:19:59Z",
        ),
        ("SELECT count(tag), count(status) FROM samples WHERE tag IN ('b', 'c')", "2000 | 2000"),
        ("SELECT max(time) FROM samples WHERE tag = 'c' AND time < '2027-01-01'", "2026-01-01T00:16:39Z"),
        ("SELECT count(*) FROM samples WHERE time BETWEEN '2026-01-01' AND '2026-01-09'", "302000"),
    ];
    for (sql, row) in queries {
        let plan = fixture.plan_text(sql).await;
        assert!(!plan.contains("SampleScanExec"), "{sql}: {plan}");
        assert_eq!(fixture.table(sql).await, [row], "{sql}");
    }
    for sql in ["SELECT count(value) FROM samples", "SELECT count(*) FROM samples WHERE value > 1"] {
        assert!(fixture.plan_text(sql).await.contains("SampleScanExec"), "{sql}");
    }
    assert_eq!(fixture.table("SELECT count(*) FROM (SELECT * FROM samples LIMIT 7)").await, ["7"]);
    assert_eq!(
        fixture.table("SELECT tag, count(*) FROM samples GROUP BY tag ORDER BY tag").await,
        ["a | 300000", "b | 1000", "c | 1000"]
    );
}

#[tokio::test]
async fn a_count_that_reads_pages_is_a_query_like_any_other() {
    let fixture = plant();
    fixture.tag("mixed", TagType::Float64);
    let times: Vec<i64> = (0..50_000).map(|i| T0 + i * SECOND).collect();
    let statuses: Vec<u32> = (0..50_000).map(|i| if i % 2 == 0 { 0 } else { 0x8000_0000 }).collect();
    fixture.write("mixed", &times, Values::Doubles(vec![1.0; 50_000]), &statuses);
    fixture.engine.flush().unwrap();
    // Late samples of `b`, between those that are in a segment.
    fixture.write("b", &[T0 + 1, T0 + SECOND + 1], Values::Doubles(vec![0.5, 1.5]), &[]);
    fixture.engine.flush().unwrap();
    for (condition, count) in [
        ("tag = 'mixed' AND quality = 'bad'", "25000"),
        ("tag = 'a' AND time < '2026-01-01T01:00:00Z'", "3600"),
        ("tag = 'b'", "1002"),
    ] {
        let sql = format!("SELECT count(*), max(time) > min(time) FROM samples WHERE {condition}");
        let plan = fixture.plan_text(&sql).await;
        assert!(plan.contains("SampleScanExec"), "{sql}: {plan}");
        let plan = lines(&fixture.rows_here(&format!("EXPLAIN ANALYZE {sql}")).await).join("\n");
        assert!(metric(&plan, "pages_read") > 0, "{sql}: {plan}");
        assert_eq!(fixture.table(&sql).await, [format!("{count} | true")], "{sql}");
    }
    let bad = "SELECT count(*) FROM samples WHERE tag = 'a' AND quality = 'bad'";
    let plan = lines(&fixture.rows_here(&format!("EXPLAIN ANALYZE {bad}")).await).join("\n");
    assert!(plan.contains("pages_read=0"), "directories say that there is none: {plan}");
}

#[tokio::test]
async fn one_tag_is_never_sorted_by_time() {
    let fixture = plant();
    let newest = "SELECT time, value FROM samples WHERE tag = 'a' ORDER BY time DESC LIMIT 3";
    let plan = fixture.plan_text(newest).await;
    assert!(plan.contains("order=newest first, limit=3") && !plan.contains("SortExec"), "{plan}");
    let rows = fixture.table(newest).await;
    assert_eq!(
        rows.iter().map(|r| r.split(" | ").nth(1).unwrap()).collect::<Vec<_>>(),
        ["299999.0", "299998.0", "299997.0"]
    );
    for sql in [
        "SELECT * FROM samples WHERE tag = 'a' ORDER BY time",
        "SELECT * FROM samples WHERE tag = 'a' ORDER BY tag, time",
        "SELECT * FROM samples WHERE tag = 'a' ORDER BY time DESC",
        "SELECT * FROM samples WHERE tag = 'a' AND value > 10 ORDER BY time DESC LIMIT 10",
        "SELECT time, value * 2 FROM samples WHERE tag = 'a' AND value > 10 ORDER BY time DESC LIMIT 10",
        "SELECT * FROM samples WHERE tag IN ('a', 'b') ORDER BY tag, time",
        "SELECT * FROM samples WHERE tag IN ('a', 'b') ORDER BY tag, time DESC",
    ] {
        let plan = fixture.plan_text(sql).await;
        assert!(!plan.contains("SortExec"), "{sql}: {plan}");
        fixture.rows(sql).await;
    }
    let all = fixture.samples("SELECT * FROM samples WHERE tag IN ('a', 'b') ORDER BY tag, time DESC").await;
    assert!(all.is_sorted_by(|x, y| (&x.tag, -x.time) <= (&y.tag, -y.time)));
    assert_eq!(all.len(), 301_000);
}

#[tokio::test]
async fn a_limit_ends_the_scan() {
    let fixture = plant();
    let plan = fixture.plan_text("SELECT * FROM samples WHERE tag = 'a' LIMIT 10").await;
    assert!(plan.contains("limit=10"), "{plan}");
    assert_eq!(fixture.rows("SELECT * FROM samples LIMIT 10").await.iter().map(|b| b.num_rows()).sum::<usize>(), 10);
    // The rows that a filter drops are not counted.
    assert_eq!(fixture.table("SELECT value FROM samples WHERE tag = 'a' AND value >= 299995 LIMIT 10").await.len(), 5);
}

fn metric(plan: &str, name: &str) -> u64 {
    let start = format!("{name}=");
    let values = plan.split(&start).skip(1);
    values.map(|rest| rest.split([',', ']', ' ']).next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn explain_analyze_counts_pages() {
    let fixture = plant();
    let explain = async |sql: &str| lines(&fixture.rows_here(&format!("EXPLAIN ANALYZE {sql}")).await).join("\n");
    let all = explain("SELECT * FROM samples").await;
    let one = explain("SELECT * FROM samples WHERE tag = 'b'").await;
    assert!(metric(&all, "pages_read") > metric(&one, "pages_read"), "{all}\n{one}");
    assert!(metric(&one, "pages_read") > 0, "{one}");
    assert!(metric(&all, "segments_read") >= 1, "{all}");
    let instant = explain("SELECT value FROM samples WHERE tag = 'a' AND time = '2026-01-02T00:00:00Z'").await;
    assert!(metric(&instant, "pages_read") < metric(&all, "pages_read") / 2, "{instant}");
    let names = explain("SELECT tag, count(*) FROM samples GROUP BY tag").await;
    assert_eq!(metric(&names, "pages_read"), 0, "counting by tag reads directories alone: {names}");
}

#[tokio::test]
async fn a_join_holds_the_tags_and_not_the_samples() {
    let fixture = plant();
    let sql = "SELECT s.tag, t.type, count(*) FROM samples s JOIN tags t ON s.tag = t.tag WHERE t.tag <> 'a' GROUP BY s.tag, t.type ORDER BY s.tag";
    assert_eq!(fixture.table(sql).await, ["b | float64 | 1000", "c | float64 | 1000"]);
    let plan = fixture.plan_text("SELECT value FROM samples s JOIN tags t ON s.tag = t.tag WHERE t.unit = 'bar'").await;
    let (tags, samples) = (plan.find("ListingExec").unwrap(), plan.find("SampleScanExec").unwrap());
    assert!(tags < samples, "the first input is the one in memory: {plan}");
}

#[tokio::test]
async fn a_join_spares_the_tags_that_it_has_no_use_for() {
    let fixture = plant();
    let explain = async |sql: &str| lines(&fixture.rows_here(&format!("EXPLAIN ANALYZE {sql}")).await).join("\n");
    for condition in [
        "s.tag IN (SELECT tag FROM tags WHERE upper(tag) = 'B')",
        "EXISTS (SELECT 1 FROM tags t WHERE t.tag = s.tag AND upper(t.tag) = 'B')",
    ] {
        let sql = format!("SELECT count(value) FROM samples s WHERE {condition}");
        let plan = explain(&sql).await;
        assert!(metric(&plan, "tags_skipped") > 0, "{plan}");
        assert_eq!(fixture.table(&sql).await, ["1000"]);
    }
}

#[tokio::test]
async fn the_newest_of_all_tags_read_the_newest_of_each() {
    let fixture = plant();
    for (sql, shown) in [
        ("SELECT * FROM samples ORDER BY time DESC LIMIT 5", "order=newest first, limit_per_tag=5"),
        (
            "SELECT * FROM samples WHERE tag IN ('a', 'c') ORDER BY time DESC, tag LIMIT 5",
            "order=newest first, limit_per_tag=5",
        ),
        ("SELECT * FROM samples ORDER BY time, tag LIMIT 5", "limit_per_tag=5"),
    ] {
        let plan = fixture.plan_text(sql).await;
        assert!(plan.contains(shown), "{plan}");
    }
    let newest = fixture.table("SELECT tag, value FROM samples ORDER BY time DESC LIMIT 3").await;
    assert_eq!(newest, ["a | 299999.0", "a | 299998.0", "a | 299997.0"]);
    let oldest = fixture.table("SELECT tag, value FROM samples ORDER BY time, tag LIMIT 4").await;
    assert_eq!(oldest, ["a | 0.0", "b | 0.0", "c | 0.0", "a | 1.0"]);
    let plan = fixture.plan_text("SELECT tag FROM samples WHERE value > 3 ORDER BY time DESC LIMIT 3").await;
    assert!(!plan.contains("limit_per_tag"), "what a filter drops is not counted: {plan}");
}

#[tokio::test]
async fn all_scans_of_a_query_see_the_same() {
    let fixture = plant();
    let planned = fixture
        .plan("SELECT count(*) FROM (SELECT value FROM samples UNION ALL SELECT value FROM samples)")
        .await
        .unwrap();
    fixture.write("b", &[T0 - SECOND], Values::Doubles(vec![-1.0]), &[]);
    let rows = super::fixture::collect(planned.run(crate::IDLE_MAX).unwrap()).await.unwrap();
    let total: u64 = lines(&rows)[0].parse().unwrap();
    assert!(total.is_multiple_of(2), "{total}");
}
