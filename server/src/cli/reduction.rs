//! `tagus reduction preview`: what reduction would keep of samples that are stored.
//!
//! The samples are read with SQL and run through the engine's own filters here. For the bytes, all of
//! them and those that are kept are written as segments to a temporary folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType};
use tagus_client::Connection;
use tagus_engine::env::{Disk, OsDisk};
use tagus_engine::reduction::{CompressionSettings, Event, ExceptionSettings, Preview, Settings};
use tagus_engine::sample::{Cell, Rows as Samples};
use tagus_engine::segment::{NewSegment, SegmentWriter};
use tagus_engine::status::Status;
use tagus_engine::tag::{TagId, TagType};
use tagus_proto::v1;

use super::args::{Format, ReductionCommand, ReductionPreviewArgs};
use super::connect::{self, answer};
use super::error::{Failure, Result};
use super::format;
use super::format::value::push_time;
use super::output::{Output, print_line};
use super::parse::Deviation;
use super::sql::Rows;
use super::tags;

const TRYING: &str = "trying out reduction";

/// Runs the command.
pub async fn run(command: ReductionCommand) -> Result<()> {
    let ReductionCommand::Preview(args) = command;
    preview(args).await
}

async fn preview(args: ReductionPreviewArgs) -> Result<()> {
    if args.from >= args.to {
        let why = "--from is not before --to";
        return Err(Failure::usage("reading the arguments", why, "exchange them or choose a later --to"));
    }
    if args.exc_dev.is_none() && args.comp_dev.is_none() {
        let why = "there is no deviation";
        return Err(Failure::usage("reading the arguments", why, "give --exc-dev, --comp-dev or both"));
    }
    let connection = connect::open(&args.connect).await?;
    let folder = tempfile::tempdir().map_err(|e| Failure::file("creating", &std::env::temp_dir(), &e))?;
    let mut all = Trial::new(folder.path(), 1)?;
    let mut kept = Trial::new(folder.path(), 2)?;
    let mut table = Table::default();
    let mut number = 0;
    for tag in selected(&connection, &args.tags).await? {
        let Some(tag_type) = tags::known_type(tag.r#type).filter(|kind| *kind != TagType::Text) else { continue };
        number += 1;
        let id = TagId(number);
        let settings = settings(&args, &tag, tag_type)?;
        let mut filters = Preview::new(settings);
        let mut rows = Rows::query(&connection, query(&tag.name, args.from, args.to)).await?;
        while let Some(batch) = rows.next().await? {
            let (events, mut found) = (events(&batch)?, Vec::new());
            events.iter().for_each(|event| filters.push(*event, &mut found));
            all.write(id, tag_type, &events)?;
            kept.write(id, tag_type, &found)?;
        }
        let mut found = Vec::new();
        filters.finish(&mut found);
        kept.write(id, tag_type, &found)?;
        table.push(tag, &filters);
    }
    let (samples, remain) = (table.samples.iter().sum::<u64>(), table.kept.iter().sum::<u64>());
    table.print()?;
    let (bytes, bytes_kept) = (all.finish()?, kept.finish()?);
    print_line(&format!("samples={samples} kept={remain} bytes={bytes} bytes_kept={bytes_kept}"))
}

async fn selected(connection: &Connection, glob: &str) -> Result<Vec<v1::Tag>> {
    if !glob.contains(['*', '?']) {
        return Ok(vec![tags::get(connection, glob).await?]);
    }
    let mut stream = tags::stream(connection, glob.to_string()).await?;
    let mut selected = Vec::new();
    while let Some(tag) = answer("listing tags", stream.message()).await? {
        selected.push(tag);
    }
    Ok(selected)
}

fn settings(args: &ReductionPreviewArgs, tag: &v1::Tag, tag_type: TagType) -> Result<Settings> {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let in_units = |deviation: Deviation| match (deviation, tag.low, tag.high) {
        (Deviation::Units(units), ..) => Ok(units),
        (Deviation::Percent(percent), Some(low), Some(high)) => Ok((high - low) * percent / 100.0),
        _ => {
            let why = format!("tag '{}' has no span of which a percentage could be taken", tag.name);
            Err(Failure::new(TRYING, why, "give the deviation in units, or the tag a low and a high"))
        }
    };
    let stepped = tag.interpolation == i32::from(v1::Interpolation::Step);
    let any_change = matches!(tag_type, TagType::Digital | TagType::Bool);
    let exception = args.exc_dev.map(in_units).transpose()?.map(|deviation| ExceptionSettings {
        deviation,
        min: nanoseconds(args.exc_min),
        max: nanoseconds(args.exc_max),
        any_change,
    });
    let compression = args.comp_dev.map(in_units).transpose()?.map(|deviation| CompressionSettings {
        deviation,
        min: nanoseconds(args.comp_min),
        max: nanoseconds(args.comp_max),
        stepped,
    });
    Ok(Settings { exception, compression, stepped })
}

fn query(tag: &str, from: i64, to: i64) -> String {
    let time = |nanos| {
        let mut text = Vec::new();
        push_time(&mut text, nanos, 1_000_000_000);
        String::from_utf8_lossy(&text).into_owned()
    };
    format!(
        "SELECT time, value, status FROM samples WHERE tag = '{}' AND time >= '{}' AND time < '{}' ORDER BY time",
        tag.replace('\'', "''"),
        time(from),
        time(to)
    )
}

fn events(batch: &RecordBatch) -> Result<Vec<Event>> {
    let foreign = |why: String| Failure::new(TRYING, why, "use a client and a server of the same version");
    let column = |index: usize, to: DataType| -> Result<ArrayRef> {
        let column = batch.columns().get(index).ok_or_else(|| foreign("a column is missing".into()))?;
        cast(column, &to).map_err(|e| foreign(e.to_string()))
    };
    let times = column(0, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))?;
    let (values, statuses) = (column(1, DataType::Float64)?, column(2, DataType::Int64)?);
    let times = times.as_primitive::<TimestampNanosecondType>();
    let (values, statuses) = (values.as_primitive::<Float64Type>(), statuses.as_primitive::<Int64Type>());
    let event = |i: usize| Event {
        time: times.value(i),
        value: values.is_valid(i).then(|| values.value(i)),
        status: Status(u32::try_from(statuses.value(i)).unwrap_or(u32::MAX)),
    };
    Ok((0..batch.num_rows()).map(event).collect())
}

/// A segment that is written to learn how large it is.
struct Trial {
    writer: SegmentWriter,
    is_empty: bool,
}

impl Trial {
    fn new(folder: &Path, id: u64) -> Result<Trial> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let name = format!("{id}.parquet");
        let plan = NewSegment { id, name, first_sequence: 1, last_sequence: 1, deleted_through: 1, zstd_level: 3 };
        SegmentWriter::create(&disk, folder, plan).map(|writer| Trial { writer, is_empty: true }).map_err(failed)
    }

    fn write(&mut self, tag: TagId, tag_type: TagType, events: &[Event]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        self.is_empty = false;
        let mut rows = Samples::default();
        for Event { time, value, status } in events {
            let value = value.map(|value| match tag_type.is_float() {
                true => value.to_bits(),
                false => (value as i64).cast_unsigned(),
            });
            rows.push(*time, &Cell { value, text: None, status: *status });
        }
        self.writer.write(tag, tag_type, &rows).map_err(failed)
    }

    /// Its size in bytes.
    fn finish(self) -> Result<u64> {
        if self.is_empty {
            return Ok(0);
        }
        self.writer.finish().map(|meta| meta.bytes).map_err(failed)
    }
}

fn failed(error: tagus_engine::Error) -> Failure {
    Failure::Failed(error.to_string())
}

/// A row a tag.
#[derive(Default)]
struct Table {
    tags: Vec<String>,
    samples: Vec<u64>,
    kept: Vec<u64>,
    errors: Vec<f64>,
    units: Vec<String>,
}

impl Table {
    fn push(&mut self, tag: v1::Tag, filters: &Preview) {
        self.tags.push(tag.name);
        self.samples.push(filters.samples);
        self.kept.push(filters.kept);
        self.errors.push(filters.error);
        self.units.push(tag.unit);
    }

    fn print(self) -> Result<()> {
        let field = |name, kind| Field::new(name, kind, true);
        let schema = Arc::new(Schema::new(vec![
            field("tag", DataType::Utf8),
            field("samples", DataType::UInt64),
            field("kept", DataType::UInt64),
            field("largest_error", DataType::Float64),
            field("unit", DataType::Utf8),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(self.tags)),
            Arc::new(UInt64Array::from(self.samples)),
            Arc::new(UInt64Array::from(self.kept)),
            Arc::new(Float64Array::from(self.errors)),
            Arc::new(StringArray::from(self.units)),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
            .map_err(|e| Failure::new(TRYING, e, "this is a defect; please report it"))?;
        let mut sink = format::sink(Format::Table, &schema, Output::open(None)?)?;
        sink.batch(&batch)?;
        sink.finish()
    }
}
