//! What is refused, and in what words.

use tagus_engine::tag::TagType;

use super::fixture::Fixture;
use crate::SqlErrorKind;

#[tokio::test]
async fn statements_that_do_not_read_are_refused() {
    let fixture = Fixture::new();
    for sql in [
        "INSERT INTO samples VALUES ('a', now(), 1, NULL, 'good', 0)",
        "UPDATE samples SET value = 1",
        "DELETE FROM samples",
        "CREATE TABLE x (a INT)",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE SCHEMA x",
        "CREATE DATABASE x",
        "DROP TABLE samples",
        "TRUNCATE samples",
        "ALTER TABLE samples ADD COLUMN x INT",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV",
        "COPY samples TO '/tmp/x.csv'",
        "EXPLAIN COPY (SELECT 1) TO '/tmp/x.csv'",
        "EXPLAIN ANALYZE INSERT INTO samples SELECT * FROM samples",
        "EXPLAIN DELETE FROM samples",
        "SELECT 1 INTO x",
        "WITH x AS (DELETE FROM samples RETURNING *) SELECT * FROM x",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "SET datafusion.execution.target_partitions = 1000000",
        "SET datafusion.runtime.memory_limit = '100G'",
        "RESET datafusion.execution.target_partitions",
        "SET TIME ZONE 'Europe/Berlin'",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "MERGE INTO samples USING tags ON true WHEN MATCHED THEN DELETE",
    ] {
        let error = fixture.error(sql).await;
        assert_eq!(error.kind(), SqlErrorKind::Invalid, "{sql}: {error}");
    }
    let error = fixture.error("INSERT INTO samples VALUES (1)").await.to_string();
    assert!(error.starts_with("INSERT is refused: SQL only reads here;"), "{error}");
}

#[tokio::test]
async fn settings_of_drivers_change_nothing() {
    let fixture = Fixture::new();
    for sql in [
        "SET application_name = 'x'",
        "SET client_encoding TO 'UTF8'",
        "SET TIME ZONE 'UTC'",
        "SET extra_float_digits = 3",
    ] {
        let result = fixture.session().query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert!(result.schema.fields().is_empty());
    }
}

#[tokio::test]
async fn unknown_names_come_with_the_nearest() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    for (sql, message) in [
        ("SELECT * FROM sample", "table 'sample' does not exist; did you mean 'samples'?"),
        ("SELECT * FROM orders", "table 'orders' does not exist; there are current_values, samples, tags"),
        ("SELECT valeu FROM samples", "column 'valeu' does not exist; did you mean 'value'?"),
        ("SELECT s.tme FROM samples s", "column 'tme' does not exist; did you mean 'time'?"),
        (
            "SELECT xyzzy FROM tags",
            "column 'xyzzy' does not exist; there are tag, type, unit, description, interpolation, low, high, states, ...",
        ),
    ] {
        let error = fixture.error(sql).await;
        assert_eq!(error.to_string(), message);
        assert_eq!(error.kind(), SqlErrorKind::NotFound, "{sql}");
    }
    let error = fixture.error("SELECT averge(value) FROM samples").await;
    assert!(error.to_string().contains("averge") && error.kind() == SqlErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn wrong_sql_is_refused_in_one_line() {
    let fixture = Fixture::new();
    for sql in [
        "",
        ";",
        "SELECT",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "SELECT 'open",
        "SELECT * FROM samples WHERE time > 'yesterday'",
        "SELECT 1/0",
        "SELECT CAST('x' AS INT)",
        "SELECT $1",
        "SELECT tag FROM samples GROUP BY time",
        "\u{0}",
    ] {
        let error = fixture.error(sql).await;
        assert_eq!(error.kind(), SqlErrorKind::Invalid, "{sql:?}: {error}");
    }
}

/// Long and deep SQL must end in an answer or an error, on a thread with the stack that is asked for.
#[test]
fn deep_sql_does_not_overflow_the_stack() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_stack_size(crate::STACK_BYTES).enable_all().build().unwrap();
    let mut refused = 0;
    for depth in [100, 500, 1000, 5000, 100_000] {
        let chain = |item: &str, by: &str| vec![item; depth].join(by);
        let around =
            |open: &str, item: &str, close: &str| format!("{}{item}{}", open.repeat(depth), close.repeat(depth));
        let statements = [
            format!("SELECT {}", chain("1", "+")),
            format!("SELECT {}", around("(", "1", ")")),
            format!("SELECT {}", around("abs(", "1", ")")),
            format!("SELECT {}", around("CASE WHEN true THEN ", "1", " END")),
            format!("SELECT {}1", "- ".repeat(depth)),
            format!("SELECT {}true", "NOT ".repeat(depth)),
            format!("SELECT 1{}", "::int".repeat(depth)),
            format!("SELECT 'a'{}", " || 'b'".repeat(depth)),
            format!("SELECT 5{}", "!".repeat(depth)),
            format!("SELECT x{}", "[1]".repeat(depth)),
            format!("SELECT {}", chain("SELECT 1", " UNION ALL ")),
            chain("SELECT 1", " UNION "),
            format!("SELECT * FROM samples WHERE {}", chain("value = 1", " OR ")),
            format!("SELECT * FROM samples WHERE {}", chain("(value > 1 AND time > now())", " OR ")),
            format!("SELECT * FROM samples WHERE {}", chain("value <> 1", " AND ")),
            format!("SELECT * FROM samples WHERE tag IN ({})", chain("'a'", ",")),
            format!("SELECT * FROM {}", around("(SELECT * FROM ", "samples", ") x")),
            format!("SELECT * FROM {}", chain("samples", ",")),
            format!("SELECT * FROM samples s {}", "JOIN tags USING (tag) ".repeat(depth)),
            format!("SELECT * FROM samples s {}", "CROSS JOIN tags ".repeat(depth)),
            format!("VALUES {}", chain("(1)", ",")),
            format!("SELECT ARRAY{}", around("[", "1", "]")),
            around("EXPLAIN ", "SELECT 1", ""),
            format!(
                "WITH {} SELECT 1",
                (0..depth).map(|i| format!("a{i} AS (SELECT 1)")).collect::<Vec<_>>().join(",")
            ),
            format!(
                "WITH a0 AS (SELECT 1 AS x), {} SELECT * FROM a{depth}",
                (1..=depth)
                    .map(|i| format!("a{i} AS (SELECT * FROM a{} UNION ALL SELECT * FROM a{})", i - 1, i - 1))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ];
        for sql in statements {
            let session = fixture.session();
            let start: String = sql.chars().take(60).collect();
            println!("{depth} {start}");
            let outcome = runtime.block_on(runtime.spawn(async move {
                let result = session.query(&sql).await?;
                super::fixture::collect(result).await
            }));
            // Whether it runs is up to the statement; that it ends is what counts.
            match outcome.unwrap() {
                Ok(_) => assert!(depth <= 100_000),
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains('\n'), "{error}");
                    assert_ne!(error.kind(), SqlErrorKind::Internal, "{start}: {error}");
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[tokio::test]
async fn long_sql_is_refused() {
    let fixture = Fixture::new();
    let error = fixture.error(&format!("SELECT '{}'", "x".repeat(crate::SQL_BYTES_MAX))).await.to_string();
    assert!(error.contains("1048585 bytes, at most 1048576 are allowed"), "{error}");
}
