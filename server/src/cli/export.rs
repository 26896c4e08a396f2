//! `tagus export`: samples as a file that `tagus import` reads back without a difference.
//!
//! Tags are read one after the other, each in order of time, so that the file is in order and
//! nothing has to be sorted; a few queries are asked ahead. A query that breaks is taken up once
//! behind the last row that was written.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use futures::StreamExt;
use tagus_client::Connection;
use tagus_engine::status::Status;
use tagus_engine::tag::TagType;
use tagus_proto::v1;

use super::args::{ExportArgs, Format};
use super::connect::{self, answer};
use super::error::{Failure, Result};
use super::format::value::{push, push_float, push_time};
use super::format::{self, Sink};
use super::output::{Output, print_line};
use super::sql::Rows;
use super::tags;

/// Queries that are asked ahead.
const AHEAD: usize = 3;

/// Runs the command.
pub async fn run(args: ExportArgs) -> Result<()> {
    if args.from >= args.to {
        let why = "--from is not before --to";
        return Err(Failure::usage("reading the arguments", why, "exchange them or choose a later --to"));
    }
    let format = format_of(&args.output)?;
    let connection = connect::open(&args.connect).await?;
    let tags = selected(&connection, &args.tags).await?;
    let sink = format::sink(format, &schema(format), Output::open(Some(&args.output))?)?;
    let mut export = Export { connection: &connection, format, sink, to: args.to, rows: 0 };
    let ahead = |tag| async {
        let rows = Rows::query(&connection, query(&tag, args.from, args.to)).await;
        (tag, rows)
    };
    let tag_count = tags.len();
    let mut queries = futures::stream::iter(tags).map(ahead).buffered(AHEAD);
    while let Some((tag, rows)) = queries.next().await {
        export.tag(&tag, args.from, rows).await?;
    }
    drop(queries);
    let rows = export.rows;
    export.sink.finish()?;
    print_line(&format!("rows={rows} tags={tag_count}"))
}

fn format_of(path: &Path) -> Result<Format> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        Some("csv") => Ok(Format::Csv),
        Some("parquet") => Ok(Format::Parquet),
        _ => {
            let why = format!("{} ends in neither .csv nor .parquet", path.display());
            Err(Failure::usage("reading the arguments", why, "the ending decides the format; give one of them"))
        }
    }
}

/// The tags of a glob in order of name. A name without wildcards has to exist.
async fn selected(connection: &Connection, glob: &str) -> Result<Vec<Selected>> {
    if !glob.contains(['*', '?']) {
        return Ok(vec![Selected::new(tags::get(connection, glob).await?)]);
    }
    let mut stream = tags::stream(connection, glob.to_string()).await?;
    let mut selected = Vec::new();
    while let Some(tag) = answer("listing tags", stream.message()).await? {
        selected.push(Selected::new(tag));
    }
    Ok(selected)
}

/// A tag to be exported.
struct Selected {
    name: String,
    tag_type: Option<TagType>,
}

impl Selected {
    fn new(tag: v1::Tag) -> Selected {
        Selected { name: tag.name, tag_type: tags::known_type(tag.r#type) }
    }
}

fn query(tag: &Selected, from: i64, to: i64) -> String {
    let time = |nanos| {
        let mut text = Vec::new();
        push_time(&mut text, nanos, 1_000_000_000);
        String::from_utf8_lossy(&text).into_owned()
    };
    format!(
        "SELECT time, value, text, quality, status FROM samples \
         WHERE tag = '{}' AND time >= '{}' AND time < '{}' ORDER BY time",
        tag.name.replace('\'', "''"),
        time(from),
        time(to)
    )
}

struct Export<'a> {
    connection: &'a Connection,
    format: Format,
    sink: Box<dyn Sink>,
    to: i64,
    rows: u64,
}

impl Export<'_> {
    /// Writes the samples of one tag.
    async fn tag(&mut self, tag: &Selected, mut from: i64, rows: Result<Rows>) -> Result<()> {
        let broken = match self.copy(tag, &mut from, rows).await? {
            None => return Ok(()),
            Some(broken) => broken,
        };
        let again = Rows::query(self.connection, query(tag, from, self.to)).await;
        match self.copy(tag, &mut from, again).await? {
            None => Ok(()),
            Some(_) => Err(broken),
        }
    }

    /// Copies rows and moves `from` behind them. An error of the query is the answer, not a
    /// failure.
    async fn copy(&mut self, tag: &Selected, from: &mut i64, rows: Result<Rows>) -> Result<Option<Failure>> {
        let mut rows = match rows {
            Ok(rows) => rows,
            Err(broken) => return Ok(Some(broken)),
        };
        loop {
            let batch = match rows.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(None),
                Err(broken) => return Ok(Some(broken)),
            };
            let (batch, last) = exported(tag, &batch, self.format)?;
            self.sink.batch(&batch)?;
            self.rows += batch.num_rows() as u64;
            if let Some(last) = last {
                *from = last.saturating_add(1);
            }
        }
    }
}

/// CSV has one column for all values; Parquet has the columns of the table `samples`, so that
/// other tools find numbers.
fn schema(format: Format) -> SchemaRef {
    let field = |name, data_type| Field::new(name, data_type, true);
    let text = |name| field(name, DataType::Utf8);
    Arc::new(Schema::new(match format {
        Format::Parquet => vec![
            text("tag"),
            field("time", time_type()),
            field("value", DataType::Float64),
            text("text"),
            text("quality"),
            field("status", DataType::Int64),
        ],
        _ => vec![text("tag"), field("timestamp", time_type()), text("value"), text("status")],
    }))
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// Rows of the query as rows of the file, and the time of the last of them.
fn exported(tag: &Selected, rows: &RecordBatch, format: Format) -> Result<(RecordBatch, Option<i64>)> {
    let column = |index: usize, to: DataType| -> Result<ArrayRef> {
        let column = rows.columns().get(index).ok_or_else(|| foreign("a column is missing"))?;
        cast(column, &to).map_err(|e| foreign(&e.to_string()))
    };
    let time = column(0, time_type())?;
    let (value, text) = (column(1, DataType::Float64)?, column(2, DataType::Utf8)?);
    let (quality, status) = (column(3, DataType::Utf8)?, column(4, DataType::Int64)?);
    let times = time.as_primitive::<TimestampNanosecondType>();
    let last = rows.num_rows().checked_sub(1).map(|row| times.value(row));
    let names: StringArray = std::iter::repeat_n(Some(&tag.name), rows.num_rows()).collect();
    let names: ArrayRef = Arc::new(names);
    let columns = match format {
        Format::Parquet => vec![names, time, value, text, quality, status],
        _ => vec![names, time, values_in_words(tag, &value, &text), statuses_in_words(&status)?],
    };
    let batch = RecordBatch::try_new(schema(format), columns).map_err(|e| foreign(&e.to_string()))?;
    Ok((batch, last))
}

fn values_in_words(tag: &Selected, value: &ArrayRef, text: &ArrayRef) -> ArrayRef {
    let (value, text) = (value.as_primitive::<Float64Type>(), text.as_string::<i32>());
    let mut values = StringBuilder::new();
    let mut buffer = Vec::new();
    for row in 0..value.len() {
        let number = value.is_valid(row).then(|| value.value(row));
        let word = text.is_valid(row).then(|| text.value(row));
        buffer.clear();
        let there = push_value(&mut buffer, tag.tag_type, number, word);
        values.append_option(there.then(|| String::from_utf8_lossy(&buffer)));
    }
    Arc::new(values.finish())
}

fn statuses_in_words(status: &ArrayRef) -> Result<ArrayRef> {
    let mut words = StringBuilder::new();
    for code in status.as_primitive::<Int64Type>().values() {
        let code = u32::try_from(*code).map_err(|_| foreign("a status is out of range"))?;
        words.append_value(Status(code).to_string());
    }
    Ok(Arc::new(words.finish()))
}

/// Appends the value in the words that `tagus import` reads as the same value; false where there
/// is none.
fn push_value(out: &mut Vec<u8>, tag_type: Option<TagType>, number: Option<f64>, text: Option<&str>) -> bool {
    match (number, text) {
        (None, None) => return false,
        (None, Some(text)) => push(out, text),
        (Some(number), None) if tag_type == Some(TagType::Bool) => push(out, number != 0.0),
        // The name of a state, which is read before anything else; the digits of an integer that
        // a double cannot hold.
        (Some(_), Some(text)) => push(out, text),
        (Some(number), None) => push_float(out, number),
    }
    true
}

fn foreign(why: &str) -> Failure {
    Failure::new("reading the samples", why, "use a server and a client of the same version")
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, TimestampNanosecondArray};

    use super::*;

    fn words(tag_type: TagType, number: Option<f64>, text: Option<&str>) -> Option<String> {
        let mut out = Vec::new();
        push_value(&mut out, Some(tag_type), number, text).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_written_as_import_reads_them() {
        for (tag_type, number, text, expected) in [
            (TagType::Float64, Some(-0.0), None, Some("-0")),
            (TagType::Float64, Some(1e300), None, Some("1e300")),
            (TagType::Float64, None, Some("Scan Timeout"), Some("Scan Timeout")),
            (TagType::Float64, None, None, None),
            (TagType::Int64, Some(9_007_199_254_740_992.0), None, Some("9007199254740992")),
            (TagType::Int64, Some(9.3e18), Some("9223372036854775807"), Some("9223372036854775807")),
            (TagType::Bool, Some(1.0), None, Some("true")),
            (TagType::Bool, Some(0.0), None, Some("false")),
            (TagType::Digital, Some(1.0), Some("Open"), Some("Open")),
            (TagType::Digital, Some(2.0), None, Some("2")),
            (TagType::Digital, None, Some("I/O Timeout"), Some("I/O Timeout")),
            (TagType::Text, None, Some(""), Some("")),
            (TagType::Text, None, Some("a,b"), Some("a,b")),
        ] {
            let expected = expected.map(ToString::to_string);
            assert_eq!(words(tag_type, number, text), expected, "{tag_type:?} {number:?} {text:?}");
        }
    }

    #[test]
    fn rows_become_rows_of_the_file() {
        let rows = RecordBatch::try_from_iter_with_nullable(vec![
            ("time", Arc::new(TimestampNanosecondArray::from(vec![5, 9]).with_timezone("UTC")) as ArrayRef, false),
            ("value", Arc::new(Float64Array::from(vec![Some(0.1), None])), true),
            ("text", Arc::new(StringArray::from(vec![None, Some("Bad")])), true),
            ("quality", Arc::new(StringArray::from(vec!["good", "bad"])), false),
            ("status", Arc::new(Int64Array::from(vec![0, 0x8005_0000])), false),
        ])
        .unwrap();
        let tag = Selected { name: "A".into(), tag_type: Some(TagType::Float64) };
        let (batch, last) = exported(&tag, &rows, Format::Csv).unwrap();
        assert_eq!(last, Some(9));
        assert_eq!(batch.column(2).as_string::<i32>(), &StringArray::from(vec!["0.1", "Bad"]));
        assert_eq!(batch.column(3).as_string::<i32>(), &StringArray::from(vec!["Good", "BadCommunicationError"]));
        let (batch, _) = exported(&tag, &rows, Format::Parquet).unwrap();
        assert_eq!(batch.column(2), rows.column(1));
        assert_eq!(batch.column(3), rows.column(2));
        assert_eq!(batch.column(5).as_primitive::<Int64Type>().values(), &[0, 0x8005_0000]);
        assert_eq!(exported(&tag, &rows.slice(0, 0), Format::Csv).unwrap().1, None);
    }

    #[test]
    fn names_are_quoted_in_queries() {
        let tag = Selected { name: "it's".into(), tag_type: None };
        assert_eq!(
            query(&tag, 0, 1),
            "SELECT time, value, text, quality, status FROM samples WHERE tag = 'it''s' \
             AND time >= '1970-01-01T00:00:00Z' AND time < '1970-01-01T00:00:00.000000001Z' ORDER BY time"
        );
    }

    #[test]
    fn the_ending_decides() {
        assert_eq!(format_of(Path::new("a.CSV")), Ok(Format::Csv));
        assert_eq!(format_of(Path::new("a.parquet")), Ok(Format::Parquet));
        assert!(matches!(format_of(Path::new("a.txt")), Err(Failure::Usage(_))));
    }
}
