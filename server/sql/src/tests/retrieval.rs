//! What the process was doing, through SQL.

use std::collections::BTreeMap;
use std::path::Path;

use tagus_engine::ingest::Values;
use tagus_engine::status::Status;
use tagus_engine::tag::{Interpolation, TagSpec, TagType};

use super::fixture::{Fixture, SECOND, Sample, T0};
use crate::SqlErrorKind;

/// The rows of a file of the OPC Foundation's example, each by the names of its columns.
fn vectors(file: &str) -> Vec<BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/opcua").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines.map(|cells| header.iter().cloned().zip(cells).collect()).collect()
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

/// Writes the five histories, half of each flushed.
fn write_histories(fixture: &Fixture) {
    for config in vectors("historian_config.csv") {
        let name = &config["historian"];
        let tag_type = if name == "historian4" { TagType::Bool } else { TagType::Float64 };
        let mut spec = TagSpec::new(name.clone(), tag_type);
        if config["stepped"] == "true" {
            spec.interpolation = Interpolation::Step;
        }
        fixture.declare(spec);
        for row in vectors(&format!("{name}.csv")) {
            let time = T0 + number(&row["timestamp_ms"]) * 1_000_000;
            let status = Status::parse(&row["status"]).unwrap().0;
            let values = match row["value"].as_str() {
                "" => Values::None,
                word => Values::Texts(vec![word.to_owned()]),
            };
            fixture.write(name, &[time], values, &[status]);
            if number(&row["timestamp_ms"]) == 60_000 {
                fixture.engine.flush().unwrap();
            }
        }
    }
}

/// Location, Partial and MultipleValues, and that there are any.
fn bits(words: &str) -> u32 {
    let bits = words.split('|').map(|word| match word {
        "Calculated" => 1,
        "Interpolated" => 2,
        "Partial" => 4,
        "MultipleValues" => 16,
        "Raw" | "" => 0,
        other => panic!("{other}"),
    });
    match bits.sum() {
        0 => 0,
        bits => bits | 0x400,
    }
}

/// What a row of the file has to be: as the file has it or, in some classes of errata, as the prose.
struct Expected {
    value: Option<f64>,
    status: u32,
    time: Option<i64>,
}

fn value(text: &str) -> Option<f64> {
    match text {
        "" => None,
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => Some(text.parse().unwrap_or_else(|_| f64::from(Status::parse(text).unwrap().0))),
    }
}

fn by_the_prose() -> BTreeMap<(String, String, String), Expected> {
    let mut found = BTreeMap::new();
    for row in vectors("errata.csv") {
        let expected = match row["category"].trim_start_matches('"').get(..2) {
            Some("E1" | "E2" | "E3") => Expected {
                value: value(&row["rules_value"]),
                status: Status::parse(&row["rules_status"]).unwrap().0 | bits(&row["rules_bits"]),
                time: None,
            },
            // There are no annotations.
            Some("E6") if row["expected_status"] == "Good" => {
                Expected { value: Some(0.0), status: bits(&row["expected_bits"]), time: None }
            }
            _ => continue,
        };
        found.insert((row["aggregate"].clone(), row["historian"].clone(), row["interval_start"].clone()), expected);
    }
    found
}

/// A time as SQL reads it.
fn instant(time: i64) -> String {
    format!("to_timestamp_nanos({time})")
}

#[tokio::test]
async fn the_example_file_is_answered() {
    let fixture = Fixture::new();
    write_histories(&fixture);
    let (rows, prose) = (vectors("expected.csv"), by_the_prose());
    let mut matched: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut differences = Vec::new();
    for of_one in rows.chunk_by(|a, b| a["aggregate"] == b["aggregate"] && a["historian"] == b["historian"]) {
        let first = &of_one[0];
        let options = format!(
            "TreatUncertainAsBad={}, PercentDataBad={}, PercentDataGood={}, UseSlopedExtrapolation={}",
            first["treat_uncertain_as_bad"],
            first["percent_data_bad"],
            first["percent_data_good"],
            first["use_sloped_extrapolation"]
        );
        let sql = format!(
            "SELECT * FROM processed('{}', '{}', {}, {}, '{} milliseconds', '{options}')",
            first["historian"],
            first["aggregate"],
            instant(T0),
            instant(T0 + 100 * SECOND),
            first["processing_interval_ms"],
        );
        let answers = fixture.samples(&sql).await;
        assert_eq!(answers.len(), of_one.len(), "{sql}");
        for (row, answer) in of_one.iter().zip(answers) {
            let key = (row["aggregate"].clone(), row["historian"].clone(), row["interval_start"].clone());
            let of_file = Expected {
                value: value(&row["value"]),
                status: Status::parse(&row["status"]).unwrap().0 | bits(&row["bits"]),
                time: Some(T0 + number(&row["timestamp_ms"]) * 1_000_000),
            };
            let wanted = prose.get(&key).unwrap_or(&of_file);
            let near = match (answer.value, wanted.value) {
                (Some(a), Some(b)) => (a - b).abs() <= 5e-4,
                (a, b) => a.is_none() && b.is_none(),
            };
            let ok = near && answer.status == wanted.status && wanted.time.is_none_or(|time| time == answer.time);
            let count = matched.entry(&row["aggregate"]).or_default();
            count.0 += usize::from(ok);
            count.1 += 1;
            if !ok {
                differences.push(format!("{key:?}: {answer:?}, expected {:?} {:x}", wanted.value, wanted.status));
            }
        }
    }
    for (aggregate, (matched, all)) in &matched {
        println!("{aggregate}: {matched} of {all}");
    }
    assert_eq!(matched.len(), 37);
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

fn row(tag: &str, seconds: i64, value: impl Into<Option<f64>>, status: u32) -> Sample {
    Sample { tag: tag.into(), time: T0 + seconds * SECOND, value: value.into(), text: None, status }
}

const GOOD: u32 = 0;
const INTERPOLATED: u32 = 0x402;
const SUBNORMAL: u32 = 0x40A4_0402;
const NO_DATA: u32 = 0x809B_0000;

#[tokio::test]
async fn values_between_samples_are_interpolated() {
    let fixture = Fixture::new();
    fixture.tag("a.flow", TagType::Float64);
    fixture.tag("a.count", TagType::Int64);
    fixture.declare(TagSpec { interpolation: Interpolation::Linear, ..TagSpec::new("a.level", TagType::Int64) });
    let times = [T0, T0 + 10 * SECOND];
    for tag in ["a.count", "a.level"] {
        fixture.write(tag, &times, Values::Integers(vec![1, 4]), &[]);
    }
    fixture.write("a.flow", &times, Values::Doubles(vec![1.0, 2.0]), &[]);
    let sql = "SELECT * FROM interpolated('A.FLOW', '2025-12-31T23:59:55Z', '2026-01-01T00:00:20Z', '5s')";
    assert_eq!(
        fixture.samples(sql).await,
        [
            row("a.flow", -5, None, NO_DATA),
            row("a.flow", 0, 1.0, GOOD),
            row("a.flow", 5, 1.5, INTERPOLATED),
            row("a.flow", 10, 2.0, GOOD),
            row("a.flow", 15, 2.0, SUBNORMAL),
        ]
    );
    // A whole number stays one; a step holds; several tags come one after the other.
    let sql = "SELECT * FROM at_time(ARRAY['a.co*', 'a.level'], to_timestamp('2026-01-01T00:00:05Z'))";
    assert_eq!(
        fixture.samples(sql).await,
        [row("a.count", 5, 1.0, INTERPOLATED), row("a.level", 5, 3.0, INTERPOLATED)]
    );
    let sql = "SELECT * FROM at_time('a.flow', ARRAY['2026-01-01T00:00:07Z', '2026-01-01T00:00:01Z'])";
    let answers = fixture.samples(sql).await;
    assert_eq!(answers, [row("a.flow", 1, 1.1, INTERPOLATED), row("a.flow", 7, 1.7, INTERPOLATED)]);
    let sql = "SELECT count(*) FROM interpolated('a.*', now() - INTERVAL '1 hour', now(), INTERVAL '1 minute') WHERE tag <> 'a.flow'";
    assert_eq!(fixture.table(sql).await, ["120"]);
    let sql = "SELECT tag, unit, value FROM at_time('a.flow', '2026-01-01') JOIN tags USING (tag)";
    assert_eq!(fixture.table(sql).await, ["a.flow |  | 1.0"]);
    assert_eq!(fixture.table("SELECT * FROM at_time('nothing.*', now())").await, [""; 0]);
}

#[tokio::test]
async fn states_and_texts_hold_until_the_next() {
    let fixture = Fixture::new();
    let states = vec![(0, "Closed".into()), (1, "Open".into())];
    fixture.declare(TagSpec { states, ..TagSpec::new("valve", TagType::Digital) });
    fixture.tag("batch", TagType::Text);
    let times = [T0, T0 + 20 * SECOND, T0 + 50 * SECOND];
    let words = |words: &[&str]| Values::Texts(words.iter().map(|word| (*word).to_owned()).collect());
    fixture.write("valve", &times, words(&["Closed", "Open", "Closed"]), &[]);
    fixture.write("batch", &times, words(&["B1", "B2", "B1"]), &[]);
    let sql = "SELECT tag, text, value FROM at_time(ARRAY['valve', 'batch'], '2026-01-01T00:00:30Z') ORDER BY tag";
    assert_eq!(fixture.table(sql).await, ["batch | B2 |", "valve | Open | 1.0"]);
    let sql =
        "SELECT value FROM processed('valve', 'DurationInStateNonZero', '2026-01-01', '2026-01-01T00:00:50Z', '0s')";
    assert_eq!(fixture.table(sql).await, ["30000.0"]);
    for (aggregate, expected) in [
        ("Start", "B1 |  | Good"),
        ("End", "B2 |  | Good"),
        ("Count", "| 2.0 | Good"),
        ("NumberOfTransitions", "| 2.0 | Good"),
    ] {
        let sql = format!(
            "SELECT text, value, status_name(status) FROM processed('batch', '{aggregate}', '2026-01-01', '2026-01-01T00:00:50Z', '0s')"
        );
        assert_eq!(fixture.table(&sql).await, [expected], "{aggregate}");
    }
    let sql = "SELECT value, status_name(status) FROM processed('batch', 'Average', '2026-01-01', '2026-01-01T00:00:50Z', '25s')";
    assert_eq!(fixture.table(sql).await, ["| BadAggregateInvalidInputs"; 2]);
}

#[tokio::test]
async fn requests_run_backwards() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.ramp("a", 20_000);
    let ask = |start: i64, end: i64| {
        let (start, end) = (instant(T0 + start * SECOND + 1), instant(T0 + end * SECOND + 1));
        format!("SELECT * FROM processed('a', 'Average', {start}, {end}, '2s')")
    };
    let mut forwards = fixture.samples(&ask(0, 15_000)).await;
    let backwards = fixture.samples(&ask(15_000, 0)).await;
    forwards.reverse();
    assert_eq!(forwards.len(), 7500);
    assert!(backwards.is_sorted_by(|a, b| a.time > b.time), "newest first");
    let values = |rows: &[Sample]| rows.iter().map(|row| (row.value, row.status)).collect::<Vec<_>>();
    assert_eq!(values(&forwards), values(&backwards));
    let sql = ask(15_000, 0).replace("SELECT *", "SELECT count(*)");
    assert_eq!(fixture.table(&sql).await, ["7500"]);
    assert_eq!(fixture.samples(&(ask(15_000, 0) + " LIMIT 3")).await, backwards[..3]);
}

/// How many pages a query reads, as EXPLAIN ANALYZE says.
async fn pages_read(fixture: &Fixture, sql: &str) -> u64 {
    let analysis = fixture.rows_here(&format!("EXPLAIN ANALYZE {sql}")).await;
    let text = super::fixture::lines(&analysis).join(" ");
    let number = text.split("pages_read=").nth(1).and_then(|rest| rest.split(&[',', ']', ' '][..]).next());
    number.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Times far apart are looked up one by one: the pages between them are not read.
#[tokio::test]
async fn a_few_times_in_a_long_history_read_a_few_pages() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.ramp("a", 500_000);
    fixture.engine.flush().unwrap();
    let end = instant(T0 + 500_000 * SECOND);
    for sql in [
        format!("SELECT * FROM interpolated('a', {}, {end}, '100000s')", instant(T0)),
        format!("SELECT * FROM at_time('a', ARRAY[{}, {}])", instant(T0 + SECOND), instant(T0 + 400_000 * SECOND)),
    ] {
        let rows = fixture.samples(&sql).await;
        assert!(rows.iter().all(|row| row.value == Some(((row.time - T0) / SECOND) as f64)), "{rows:?}");
        let pages = pages_read(&fixture, &sql).await;
        assert!(pages > 0 && pages <= 8 * rows.len() as u64, "{pages} pages");
    }
}

#[tokio::test]
async fn a_plot_shows_extremes_and_gaps() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    let times: Vec<i64> = (0..1000).map(|i| T0 + i * SECOND).collect();
    let values = (0..1000).map(|i| if i == 503 { -9.0 } else { f64::from(i % 7) }).collect();
    let statuses: Vec<u32> = (0..1000).map(|i| if (700..720).contains(&i) { 0x8000_0000 } else { 0 }).collect();
    fixture.write("a", &times, Values::Doubles(values), &statuses);
    let rows = fixture
        .samples(&format!("SELECT * FROM plot('a', {}, {}, 10)", instant(T0), instant(T0 + 1000 * SECOND)))
        .await;
    assert!(rows.len() <= 50 && rows.len() >= 30, "{} rows", rows.len());
    assert!(rows.contains(&row("a", 503, -9.0, GOOD)));
    assert!(rows.contains(&row("a", 700, None, 0x8000_0000)), "the gap begins");
    assert_eq!((rows[0].time, rows[rows.len() - 1].time), (T0, T0 + 999 * SECOND));
}

#[tokio::test]
async fn many_tags_share_their_pages() {
    let fixture = Fixture::new();
    for tag in 0..3000 {
        fixture.tag(&format!("t{tag:04}"), TagType::Float64);
    }
    for second in 0..4 {
        for tag in 0..3000 {
            fixture.write(&format!("t{tag:04}"), &[T0 + second * SECOND], Values::Doubles(vec![f64::from(tag)]), &[]);
        }
    }
    fixture.engine.flush().unwrap();
    let range = format!("{}, {}", instant(T0 + 1), instant(T0 + 2 * SECOND));
    let sql = format!("SELECT count(*), sum(value) FROM processed('*', 'TimeAverage', {range}, '0s')");
    let sum: f64 = (0..3000).map(f64::from).sum();
    assert_eq!(fixture.table(&sql).await, [format!("3000 | {sum:.1}")]);
    let pages = pages_read(&fixture, &sql).await;
    assert!(pages < 200, "{pages} pages");
}

#[tokio::test]
async fn averages_weigh_by_time() {
    let fixture = Fixture::new();
    for (tag, values) in [("a", [0.0, 10.0, 10.0]), ("b", [5.0, 5.0, 1.0])] {
        fixture.tag(tag, TagType::Float64);
        let times = [T0, T0 + 10 * SECOND, T0 + 40 * SECOND];
        fixture.write(tag, &times, Values::Doubles(values.to_vec()), &[]);
    }
    fixture.write("a", &[T0 + 20 * SECOND], Values::None, &[]);
    let sql = "SELECT tag, time_average(value, time), time_integral(value, time), time_average(value, time, 'step') FROM samples GROUP BY tag ORDER BY tag";
    assert_eq!(fixture.table(sql).await, ["a | 8.75 | 350.0 | 7.5", "b | 3.5 | 140.0 | 5.0"]);
    // The order of the input does not matter.
    let sql = "SELECT time_average(value, time) FROM (SELECT * FROM samples WHERE tag = 'a' ORDER BY value DESC, time DESC LIMIT 100)";
    assert_eq!(fixture.table(sql).await, ["8.75"]);
    let sql = "SELECT time_average(value, time), time_integral(value, time) FROM samples WHERE tag = 'a' AND time = '2026-01-01T00:00:10Z'";
    assert_eq!(fixture.table(sql).await, ["10.0 | 0.0"]);
    assert_eq!(fixture.table("SELECT time_average(value, time) FROM samples WHERE tag = 'x'").await, [""]);
    let error = fixture.error("SELECT time_average(value, time) FROM samples").await.to_string();
    assert!(error.contains("two values at") && error.contains("group by tag"), "{error}");
    let error = fixture.error("SELECT time_average(value, time, 'stairs') FROM samples").await.to_string();
    assert!(error.contains("write 'step'"), "{error}");
    fixture.tag("long", TagType::Float64);
    fixture.ramp("long", 300_000);
    fixture.engine.flush().unwrap();
    let sql = "SELECT count(*), min(average), max(average) FROM (SELECT date_bin(INTERVAL '1 hour', time) AS hour, time_average(value, time) AS average FROM samples WHERE tag = 'long' GROUP BY hour)";
    assert_eq!(fixture.table(sql).await, ["84 | 1799.5 | 299399.5"]);
}

#[tokio::test]
async fn wrong_calls_are_refused_in_one_line() {
    let fixture = Fixture::new();
    fixture.tag("site1.FIC101.PV", TagType::Float64);
    let day = "'2026-01-01', '2026-01-02'";
    for (call, kind, words) in [
        (format!("processed('site1.*', 'TimeAvrage', {day}, '1h')"), SqlErrorKind::Invalid, "did you mean TimeAverage"),
        (
            "processed('site1.*', 'Count', '2026-01-01', '2026-01-01', '1h')".into(),
            SqlErrorKind::Invalid,
            "start and end are the same",
        ),
        (format!("processed('site1.*', 'Count', {day}, '-1h')"), SqlErrorKind::Invalid, "negative"),
        (format!("processed('site1.*', 'Count', {day}, '1 month')"), SqlErrorKind::Invalid, "months"),
        (format!("processed('site1.*', 'Count', {day}, '10')"), SqlErrorKind::Invalid, "write an interval"),
        (
            format!("processed('site1.*', 'Count', {day}, '1500 microseconds')"),
            SqlErrorKind::Invalid,
            "whole milliseconds",
        ),
        (
            format!("processed('site1.*', 'Count', {day}, '1h', 'PercentDataBad=20, PercentDataGood=30')"),
            SqlErrorKind::Invalid,
            "less than 100",
        ),
        (
            format!("processed('site1.*', 'Count', {day}, '1h', 'PercentDataGod=30')"),
            SqlErrorKind::Invalid,
            "did you mean PercentDataGood",
        ),
        (
            format!("processed('site1.*', 'Count', {day}, '1h', 'Stepped=maybe')"),
            SqlErrorKind::Invalid,
            "write true or false",
        ),
        (format!("interpolated('site1.*', {day}, '0s')"), SqlErrorKind::Invalid, "the step is 0"),
        (
            "interpolated('site1.*', '2026-01-02', '2026-01-01', '1s')".into(),
            SqlErrorKind::Invalid,
            "start is not before end",
        ),
        (
            "interpolated('site1.*', '1900-01-01', '2200-01-01', '1ms')".into(),
            SqlErrorKind::Invalid,
            "at most 100000000",
        ),
        ("interpolated('site1.*', 'yesterday', '2200-01-01', '1ms')".into(), SqlErrorKind::Invalid, "no time"),
        (
            "interpolated('site1.*', '2026-01-01')".into(),
            SqlErrorKind::Invalid,
            "call it as interpolated(tags, start, end, step)",
        ),
        (
            format!("interpolated('site1.FIC101.PW', {day}, '1h')"),
            SqlErrorKind::NotFound,
            "did you mean 'site1.FIC101.PV'",
        ),
        (format!("interpolated(5, {day}, '1h')"), SqlErrorKind::Invalid, "tags are a name"),
        (format!("plot('site1.*', {day}, 0)"), SqlErrorKind::Invalid, "above 0"),
        ("tags, at_time('site1.*', tags.created)".into(), SqlErrorKind::Invalid, ""),
        ("tags, LATERAL (SELECT * FROM at_time(tags.tag, now()))".into(), SqlErrorKind::Invalid, ""),
        ("at_time('site1.*', (SELECT max(created) FROM tags))".into(), SqlErrorKind::Invalid, ""),
    ] {
        let error = fixture.error(&format!("SELECT * FROM {call}")).await;
        assert_eq!(error.kind(), kind, "{call}: {error}");
        assert!(error.to_string().contains(words), "{call}: {error}");
    }
}

#[tokio::test]
async fn a_session_of_some_tags_retrieves_these_alone() {
    let fixture = Fixture::new();
    for tag in ["a.x", "b.x"] {
        fixture.tag(tag, TagType::Float64);
        fixture.ramp(tag, 10);
    }
    let session = fixture.service.session_of(&["a.*".to_owned()]);
    let result = session.query("SELECT DISTINCT tag FROM at_time('*', '2026-01-01')").await.unwrap();
    let rows = super::fixture::collect(result).await.unwrap();
    assert_eq!(super::fixture::lines(&rows), ["a.x"]);
    let error = session.query("SELECT * FROM at_time('b.x', '2026-01-01')").await.err().unwrap();
    assert!(!error.to_string().contains("did you mean"), "{error}");
}
