//! Sorts, limits and joins on each other against a list of all samples.

use std::cmp::Ordering;

use tagus_engine::tag::TagType;

use super::fixture::{Fixture, Sample, T0};
use super::model::{Rng, TAGS, fill, quoted};

/// What a query does with the rows of the query inside it.
struct Step {
    positive_only: bool,
    /// Rows of this tag only, found by a join with `tags`.
    joined: Option<&'static str>,
    by_tag: bool,
    descending: bool,
    limit: Option<usize>,
    skip: usize,
}

impl Step {
    fn any(rng: &mut Rng) -> Step {
        let count = |rng: &mut Rng, bound| usize::try_from(rng.below(bound)).unwrap();
        Step {
            positive_only: rng.below(3) == 0,
            joined: (rng.below(4) == 0).then(|| *rng.pick(&TAGS)),
            by_tag: rng.below(3) == 0,
            descending: rng.below(2) == 0,
            limit: (rng.below(3) > 0).then(|| count(rng, 600)),
            skip: if rng.below(3) == 0 { count(rng, 20) } else { 0 },
        }
    }

    fn sql(&self, inner: &str) -> String {
        let mut sql = format!("SELECT s.* FROM ({inner}) s");
        let mut conditions = Vec::new();
        if let Some(tag) = self.joined {
            sql += " JOIN tags t ON s.tag = t.tag";
            conditions.push(format!("upper(t.tag) = upper({})", quoted(tag)));
        }
        if self.positive_only {
            conditions.push("s.value > 0".to_owned());
        }
        if !conditions.is_empty() {
            sql += &format!(" WHERE {}", conditions.join(" AND "));
        }
        let direction = if self.descending { "DESC" } else { "ASC" };
        sql += &match self.by_tag {
            true => format!(" ORDER BY s.tag, s.time {direction}"),
            false => format!(" ORDER BY s.time {direction}, s.tag"),
        };
        if let Some(limit) = self.limit {
            sql += &format!(" LIMIT {limit}");
        }
        if self.skip > 0 {
            sql += &format!(" OFFSET {}", self.skip);
        }
        sql
    }

    fn order(&self, a: &Sample, b: &Sample) -> Ordering {
        let times = if self.descending { b.time.cmp(&a.time) } else { a.time.cmp(&b.time) };
        if self.by_tag { a.tag.cmp(&b.tag).then(times) } else { times.then(a.tag.cmp(&b.tag)) }
    }

    fn rows(&self, rows: &[Sample]) -> Vec<Sample> {
        let positive = |s: &&Sample| !self.positive_only || s.value.is_some_and(|v| v > 0.0);
        let joined = |s: &&Sample| self.joined.is_none_or(|tag| s.tag == tag);
        let mut rows: Vec<Sample> = rows.iter().filter(positive).filter(joined).cloned().collect();
        rows.sort_by(|a, b| self.order(a, b));
        rows.into_iter().skip(self.skip).take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}

/// Some tags' samples, in SQL and as a list.
fn base(rng: &mut Rng, all: &[Sample]) -> (String, Vec<Sample>) {
    let count = usize::try_from(rng.below(3)).unwrap() + 1;
    let tags: Vec<&str> = (0..count).map(|_| *rng.pick(&TAGS)).collect();
    let names: Vec<String> = tags.iter().map(|tag| quoted(tag)).collect();
    let rows = all.iter().filter(|s| tags.contains(&s.tag.as_str())).cloned().collect();
    (format!("SELECT * FROM samples WHERE tag IN ({})", names.join(", ")), rows)
}

#[tokio::test]
async fn sorts_and_limits_stand_on_each_other() {
    let seed = 99;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let fixture = Fixture::new();
    let all = fill(&fixture, &mut rng);
    for round in 0..300 {
        let (mut sql, mut rows) = base(&mut rng, &all);
        for depth in 0..3 {
            let step = Step::any(&mut rng);
            (sql, rows) = (step.sql(&sql), step.rows(&rows));
            if depth == 1 && rng.below(3) == 0 {
                let (other, more) = base(&mut rng, &all);
                let step = Step { joined: None, ..Step::any(&mut rng) };
                sql = format!("SELECT * FROM ({sql}) UNION SELECT * FROM ({})", step.sql(&other));
                rows.extend(step.rows(&more));
                rows.sort_by(|a, b| a.tag.cmp(&b.tag).then(a.time.cmp(&b.time)));
                rows.dedup();
            }
        }
        let found = fixture.samples(&sql).await;
        let plan = fixture.plan_text(&sql).await;
        assert!(found == rows, "round {round}: {sql}\nfound {} rows, wanted {}\n{plan}", found.len(), rows.len());
    }
}

#[tokio::test]
async fn the_last_rows_of_the_first_rows_are_not_the_last_of_all() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.tag("b", TagType::Float64);
    fixture.ramp("a", 300_000);
    fixture.ramp("b", 1000);
    fixture.engine.flush().unwrap();
    let first =
        "SELECT value FROM (SELECT time, value FROM samples WHERE tag = 'a' AND value > 10 ORDER BY time LIMIT 3)";
    assert_eq!(fixture.table(&format!("{first} ORDER BY time DESC")).await, ["13.0", "12.0", "11.0"]);
    let union = format!(
        "SELECT value FROM (({first}) UNION ALL (SELECT value FROM samples WHERE tag = 'a' AND value > 3 ORDER BY time DESC LIMIT 2 OFFSET 1)) ORDER BY value"
    );
    assert_eq!(fixture.table(&union).await, ["11.0", "12.0", "13.0", "299997.0", "299998.0"]);
}

#[tokio::test]
async fn an_offset_skips_the_first_rows_of_its_own_order() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.tag("b", TagType::Float64);
    fixture.ramp("a", 3);
    fixture.ramp("b", 3);
    let sql = "SELECT tag, value FROM (SELECT * FROM samples WHERE value >= 0 ORDER BY time, tag OFFSET 3) ORDER BY tag, time";
    assert_eq!(fixture.table(sql).await, ["a | 2.0", "b | 1.0", "b | 2.0"]);
    let sql = "SELECT tag, value FROM (SELECT * FROM samples WHERE value >= 0 ORDER BY time, tag LIMIT 2 OFFSET 3) ORDER BY time, tag";
    assert_eq!(fixture.table(sql).await, ["b | 1.0", "a | 2.0"]);
}

#[tokio::test]
async fn a_day_has_many_times_and_a_whole_number_many_values() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    let half = super::fixture::SECOND / 2;
    let values = tagus_engine::ingest::Values::Doubles(vec![1.25, 1.75, 1.5, 1.0]);
    fixture.write("a", &[T0, T0 + half, T0 + 2 * half, T0 + 3 * half], values, &[]);
    for (condition, order, rows) in [
        ("time::date = DATE '2026-01-01'", "tag, time DESC", ["1.0", "1.5", "1.75", "1.25"]),
        ("time::date = DATE '2026-01-01'", "quality, time DESC", ["1.0", "1.5", "1.75", "1.25"]),
        ("CAST(CAST(time AS DATE) AS TIMESTAMP) = '2026-01-01'", "status, time DESC", ["1.0", "1.5", "1.75", "1.25"]),
        ("CAST(value AS BIGINT) >= 1 AND CAST(value AS BIGINT) <= 1", "quality, value", ["1.0", "1.25", "1.5", "1.75"]),
    ] {
        let sql = format!("SELECT value FROM samples WHERE {condition} ORDER BY {order}");
        assert_eq!(fixture.table(&sql).await, rows, "{sql}");
    }
}

/// Names by which rules of ours find their place.
#[test]
fn the_rules_of_the_planner_are_there() {
    let rules = datafusion::physical_optimizer::optimizer::PhysicalOptimizer::new().rules;
    for name in ["EnsureRequirements", "PushdownSort"] {
        assert!(rules.iter().any(|rule| rule.name() == name), "{name}");
    }
}

#[tokio::test]
async fn a_join_does_not_reach_below_a_limit() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.tag("b", TagType::Float64);
    fixture.ramp("a", 100);
    fixture.ramp("b", 100);
    for condition in ["", " AND value >= 0"] {
        let sql = format!(
            "SELECT count(s.value) FROM (SELECT * FROM samples WHERE tag IN ('a', 'b'){condition} ORDER BY tag, time LIMIT 10) s JOIN tags t ON s.tag = t.tag WHERE upper(t.tag) = 'B'"
        );
        assert_eq!(fixture.table(&sql).await, ["0"], "the first ten rows are of the other tag: {sql}");
    }
}

#[tokio::test]
async fn windows_and_distinct_rows_rely_on_true_orders() {
    let seed = 5;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let fixture = Fixture::new();
    let mut all = fill(&fixture, &mut rng);
    all.sort_by(|a, b| a.tag.cmp(&b.tag).then(a.time.cmp(&b.time)));
    for descending in [false, true] {
        let direction = if descending { "DESC" } else { "ASC" };
        let edge = |of: &str| {
            let mut rows = all.iter().filter(|s| s.tag == of);
            if descending { rows.next_back() } else { rows.next() }.unwrap().time
        };
        let mut tags: Vec<&str> = TAGS.to_vec();
        tags.sort_unstable();
        for from in
            ["samples", "(SELECT * FROM samples WHERE tag <> 'none')", "(SELECT * FROM samples WHERE status >= 0)"]
        {
            let sql = format!("SELECT DISTINCT ON (tag) * FROM {from} s ORDER BY tag, time {direction}");
            let found = fixture.samples(&sql).await;
            assert_eq!(found.iter().map(|s| s.tag.as_str()).collect::<Vec<_>>(), tags, "{sql}");
            assert!(found.iter().all(|s| s.time == edge(&s.tag)), "{sql}");
            let sql = format!(
                "SELECT tag, time, value, text, quality, status FROM (SELECT *, row_number() OVER (PARTITION BY tag ORDER BY time {direction}) n FROM {from}) WHERE n = 1 ORDER BY tag"
            );
            assert_eq!(fixture.samples(&sql).await, found, "{sql}");
        }
    }
    let sql = "SELECT count(*) FROM (SELECT time - lag(time) OVER (PARTITION BY tag ORDER BY time) AS gap FROM samples) WHERE gap <= INTERVAL '0 seconds'";
    assert_eq!(fixture.table(sql).await, ["0"]);
}

#[tokio::test]
async fn replaced_samples_are_counted_once() {
    use tagus_engine::ingest::Values;
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.ramp("a", 1000);
    fixture.engine.flush().unwrap();
    // The first becomes bad, the last too; one in between is new.
    let times = [T0, T0 + 500, T0 + 999 * super::fixture::SECOND];
    fixture.write("a", &times, Values::Doubles(vec![-1.0, -2.0, -3.0]), &[0x8000_0000, 0, 0x8000_0000]);
    for flushed in [false, true] {
        if flushed {
            fixture.engine.flush().unwrap();
        }
        for (sql, rows) in [
            (
                "SELECT count(*), min(time), max(time) FROM samples",
                "1001 | 2026-01-01T00:00:00Z | 2026-01-01T00:16:39Z",
            ),
            (
                "SELECT count(*), min(time), max(time) FROM samples WHERE quality = 'good'",
                "999 | 2026-01-01T00:00:00.000000500Z | 2026-01-01T00:16:38Z",
            ),
            ("SELECT count(*) FROM samples WHERE quality = 'bad' AND tag = 'a'", "2"),
            ("SELECT count(*) FROM samples WHERE time <= '2026-01-01T00:00:01Z'", "3"),
            ("SELECT tag, count(*) FROM samples GROUP BY tag", "a | 1001"),
        ] {
            assert_eq!(fixture.table(sql).await, [rows], "{sql}");
        }
    }
}

#[tokio::test]
async fn an_empty_archive_has_no_rows_and_no_times() {
    let fixture = Fixture::new();
    for declared in [false, true] {
        if declared {
            fixture.tag("a", TagType::Float64);
        }
        for condition in ["", " WHERE tag = 'a'", " WHERE quality = 'bad'", " WHERE time > '2026-01-01' OR status = 0"]
        {
            let sql = format!("SELECT count(*), min(time), max(time) FROM samples{condition}");
            assert_eq!(fixture.table(&sql).await, ["0 |  |"], "{sql}");
            let sql = format!("SELECT * FROM samples{condition} ORDER BY time DESC LIMIT 0");
            assert!(fixture.table(&sql).await.is_empty(), "{sql}");
        }
    }
}
