//! The tables and their description.

use tagus_engine::ingest::Values;
use tagus_engine::tag::{TagSpec, TagType};

use super::fixture::{Fixture, SECOND, T0, collect, lines};

fn plant() -> Fixture {
    let fixture = Fixture::new();
    let mut flow = TagSpec::new("flow", TagType::Float64);
    (flow.unit, flow.description, flow.low, flow.high) = ("m3/h".into(), "feed".into(), Some(0.0), Some(50.0));
    fixture.declare(flow);
    let mut valve = TagSpec::new("valve", TagType::Digital);
    valve.states = TagSpec::parse_states("0=Closed,1=Open").unwrap();
    fixture.declare(valve);
    fixture.tag("silent", TagType::Text);
    fixture.write("flow", &[T0, T0 + SECOND], Values::Doubles(vec![1.5, 2.5]), &[]);
    fixture.write("flow", &[T0 + 2 * SECOND], Values::Texts(vec!["Scan Timeout".into()]), &[0x8000_0000]);
    fixture.write("valve", &[T0], Values::Texts(vec!["Open".into()]), &[0x4000_0000]);
    fixture
}

#[tokio::test]
async fn tags_show_what_is_declared() {
    let fixture = plant();
    let columns = "tag, type, unit, description, interpolation, low, high, states, future";
    assert_eq!(
        fixture.table(&format!("SELECT {columns} FROM tags ORDER BY tag")).await,
        [
            "flow | float64 | m3/h | feed | linear | 0.0 | 50.0 |  | false",
            "silent | text |  |  | step |  |  |  | false",
            "valve | digital |  |  | step |  |  | 0=Closed,1=Open | false",
        ]
    );
    assert_eq!(fixture.table("SELECT tag FROM tags WHERE unit IS NULL AND tag LIKE 'v%'").await, ["valve"]);
    assert_eq!(fixture.table("SELECT tag FROM tags WHERE created < now() AND unit = 'm3/h'").await, ["flow"]);
    assert_eq!(fixture.table("SELECT count(*) FROM tags").await, ["3"]);
    assert_eq!(fixture.table("SELECT tag FROM tags LIMIT 1").await.len(), 1);
}

#[tokio::test]
async fn current_values_are_the_newest() {
    let fixture = plant();
    assert_eq!(
        fixture.table("SELECT * FROM current_values ORDER BY tag").await,
        [
            "flow | 2026-01-01T00:00:02Z |  | Scan Timeout | bad | 2147483648",
            "valve | 2026-01-01T00:00:00Z | 1.0 | Open | uncertain | 1073741824",
        ]
    );
    assert_eq!(fixture.table("SELECT text FROM current_values WHERE tag = 'valve'").await, ["Open"]);
    assert_eq!(fixture.table("SELECT tag FROM current_values WHERE quality = 'bad'").await, ["flow"]);
    assert_eq!(
        fixture
            .table(
                "SELECT t.unit, c.value FROM tags t LEFT JOIN current_values c ON t.tag = c.tag WHERE t.tag = 'silent'"
            )
            .await,
        ["|"]
    );
}

#[tokio::test]
async fn samples_show_states_and_statuses() {
    let fixture = plant();
    assert_eq!(
        fixture
            .table(
                "SELECT tag, value, text, quality, status_name(status), is_good(status) FROM samples ORDER BY tag, time"
            )
            .await,
        [
            "flow | 1.5 |  | good | Good | true",
            "flow | 2.5 |  | good | Good | true",
            "flow |  | Scan Timeout | bad | Bad | false",
            "valve | 1.0 | Open | uncertain | Uncertain | false",
        ]
    );
    assert_eq!(
        fixture.table("SELECT status_name(NULL), is_good(-1), status_name(2157641728)").await,
        ["|  | BadNoData"]
    );
}

#[tokio::test]
async fn tables_describe_themselves_in_plain_types() {
    let fixture = plant();
    let shown = lines(&fixture.rows_here("SHOW TABLES").await);
    for table in ["samples", "tags", "current_values"] {
        assert!(
            shown.iter().any(|line| line.starts_with(&format!("tagus | public | {table} | BASE TABLE"))),
            "{shown:?}"
        );
    }
    for sql in ["DESCRIBE samples", "DESCRIBE current_values", "DESC samples"] {
        let described = lines(&fixture.rows_here(sql).await);
        let types: Vec<&str> = described.iter().map(|line| line.split(" | ").nth(1).unwrap()).collect();
        assert_eq!(types, ["Utf8", "Timestamp(ns, \"UTC\")", "Float64", "Utf8", "Utf8", "Int64"], "{sql}");
    }
    let columns = lines(
        &fixture.rows_here("SELECT data_type FROM information_schema.columns WHERE table_schema = 'public'").await,
    );
    assert_eq!(columns.len(), 6 + 6 + 11);
    assert!(columns.iter().all(|c| !c.contains("Dictionary")), "{columns:?}");
    let columns = lines(&fixture.rows_here("SHOW COLUMNS FROM tags").await);
    assert_eq!(columns.len(), 11);
    assert!(fixture.service.tables().iter().any(|(name, schema)| *name == "samples" && schema.fields().len() == 6));
}

#[tokio::test]
async fn names_may_be_qualified() {
    let fixture = plant();
    for table in ["samples", "public.samples", "tagus.public.samples", "SAMPLES", "\"samples\""] {
        assert_eq!(fixture.table(&format!("SELECT count(*) FROM {table}")).await, ["4"], "{table}");
    }
}

#[tokio::test]
async fn ordinary_queries_work() {
    let fixture = plant();
    for (sql, rows) in [
        ("SELECT 1 AS one", vec!["1"]),
        (
            "SELECT tag, avg(value) FROM samples WHERE value IS NOT NULL GROUP BY tag ORDER BY tag",
            vec!["flow | 2.0", "valve | 1.0"],
        ),
        (
            "SELECT date_bin(INTERVAL '1 minute', time) AS t, count(*) FROM samples GROUP BY t",
            vec!["2026-01-01T00:00:00Z | 4"],
        ),
        ("SELECT date_trunc('day', time) AS d FROM samples WHERE tag = 'valve'", vec!["2026-01-01T00:00:00Z"]),
        (
            "SELECT tag, last_value(value ORDER BY time) FROM samples WHERE is_good(status) GROUP BY tag",
            vec!["flow | 2.5"],
        ),
        ("WITH x AS (SELECT value FROM samples WHERE tag = 'flow') SELECT max(value) FROM x", vec!["2.5"]),
        ("SELECT upper(tag) || '!' FROM tags ORDER BY 1 LIMIT 1", vec!["FLOW!"]),
        (
            "SELECT value, lag(value) OVER (ORDER BY time) FROM samples WHERE tag = 'flow' AND is_good(status) ORDER BY time",
            vec!["1.5 |", "2.5 | 1.5"],
        ),
        ("SELECT extract(hour FROM time) FROM samples WHERE tag = 'valve'", vec!["0"]),
        ("SELECT count(DISTINCT tag) FROM samples", vec!["2"]),
        ("SELECT tag FROM samples WHERE tag IN (SELECT tag FROM tags WHERE type = 'digital')", vec!["valve"]),
        (
            "SELECT CASE WHEN value > 2 THEN 'high' ELSE 'low' END FROM samples WHERE tag = 'flow' AND value IS NOT NULL ORDER BY time",
            vec!["low", "high"],
        ),
    ] {
        assert_eq!(fixture.table(sql).await, rows, "{sql}");
    }
}

#[tokio::test]
async fn a_session_sees_the_tags_that_it_may_see() {
    let fixture = plant();
    let session = fixture.service.session_of(&["VAL*".to_owned(), "sil?nt".to_owned()]);
    let rows = async |sql: &str| lines(&collect(session.query(sql).await.unwrap()).await.unwrap());
    assert_eq!(rows("SELECT tag FROM samples").await, ["valve"]);
    assert_eq!(rows("SELECT count(*) FROM samples").await, ["1"]);
    assert_eq!(rows("SELECT count(*) FROM samples WHERE tag IN ('flow', 'valve')").await, ["1"]);
    assert_eq!(rows("SELECT tag FROM tags ORDER BY tag").await, ["silent", "valve"]);
    assert_eq!(rows("SELECT tag FROM current_values").await, ["valve"]);
    assert!(rows("SELECT * FROM current_values WHERE tag = 'flow'").await.is_empty());
    let nothing = fixture.service.session_of(&[]);
    assert_eq!(lines(&collect(nothing.query("SELECT count(*) FROM tags").await.unwrap()).await.unwrap()), ["0"]);
}
