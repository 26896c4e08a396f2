//! Values apart from the text.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::DataType;
use tagus_engine::tag::TagType;

use super::fixture::{Fixture, SECOND, T0, collect, lines};
use crate::output::time_type;
use crate::{SqlError, SqlErrorKind};

fn values(columns: &[ArrayRef]) -> RecordBatch {
    RecordBatch::try_from_iter(columns.iter().enumerate().map(|(i, c)| (format!("p{i}"), Arc::clone(c)))).unwrap()
}

fn word(text: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![text]))
}

async fn rows(fixture: &Fixture, sql: &str, columns: &[ArrayRef]) -> Result<Vec<String>, SqlError> {
    let announced = fixture.session().describe(sql).await?;
    let result = fixture.session().query_with(sql, Some(&values(columns))).await?;
    assert_eq!(announced.schema, result.schema, "{sql}");
    Ok(lines(&collect(result).await?))
}

#[tokio::test]
async fn parameters_are_announced_and_bound() {
    let fixture = Fixture::new();
    fixture.tag("a", TagType::Float64);
    fixture.ramp("a", 100);
    let sql = "SELECT count(*) FROM samples WHERE tag = $1 AND time >= $2 AND value < $3";
    let types = |parameters: &arrow::datatypes::Schema| -> Vec<DataType> {
        parameters.fields().iter().map(|f| f.data_type().clone()).collect()
    };
    let description = fixture.session().describe(sql).await.unwrap();
    assert_eq!(types(&description.parameters), [DataType::Utf8, time_type(), DataType::Float64]);
    let from: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![T0 + 10 * SECOND]).with_timezone("UTC"));
    let below: ArrayRef = Arc::new(Float64Array::from(vec![50.0]));
    assert_eq!(rows(&fixture, sql, &[word("a"), Arc::clone(&from), below]).await.unwrap(), ["40"]);
    // Other types are cast: an ISO time, an integer.
    let fifty: ArrayRef = Arc::new(Int64Array::from(vec![50]));
    assert_eq!(rows(&fixture, sql, &[word("a"), word("2026-01-01T00:00:10Z"), fifty]).await.unwrap(), ["40"]);
    let marks = "SELECT value FROM samples WHERE tag = ? AND time BETWEEN ? AND ? ORDER BY time LIMIT ?";
    let description = fixture.session().describe(marks).await.unwrap();
    assert_eq!(types(&description.parameters), [DataType::Utf8, time_type(), time_type(), DataType::Int64]);
    let two: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    assert_eq!(rows(&fixture, marks, &[word("a"), Arc::clone(&from), Arc::clone(&from), two]).await.unwrap(), ["10.0"]);
    let unknown = fixture.session().describe("SELECT $1 AS x").await.unwrap();
    assert_eq!(types(&unknown.parameters), [DataType::Utf8]);
    assert_eq!(rows(&fixture, "SELECT $1 AS x", &[word("hello")]).await.unwrap(), ["hello"]);
}

#[tokio::test]
async fn wrong_values_are_refused() {
    let fixture = Fixture::new();
    for (sql, columns, message) in [
        ("SELECT $1", vec![], "the SQL has 1 parameters, and 0 values were given; give one for each"),
        ("SELECT 1", vec![word("x")], "the SQL has 0 parameters, and 1 values were given; give one for each"),
        ("SELECT $1 + ?", vec![word("x")], "the SQL mixes ? with $1; use one of them"),
        ("SELECT $0", vec![word("x")], "the query is refused: Invalid placeholder, zero is not a valid index: $0"),
        ("SELECT $99999", vec![word("x")], "parameter $99999 cannot be: write $1 to $1024, or ? for each"),
    ] {
        let values = if columns.is_empty() { None } else { Some(values(&columns)) };
        let error = fixture.session().query_with(sql, values.as_ref()).await.map(|_| ()).expect_err(sql);
        assert_eq!((error.to_string().as_str(), error.kind()), (message, SqlErrorKind::Invalid), "{sql}");
    }
    let error = rows(&fixture, "SELECT * FROM samples WHERE time > $1", &[word("yesterday")]).await.unwrap_err();
    assert!(error.to_string().starts_with("the value of parameter $1 cannot be taken: "), "{error}");
}
