//! `tagus reduction`: leaves samples out of tags, and tells before what would be kept of those that are
//! stored.
//!
//! For a preview the samples are read with SQL and run through the engine's own filters here. For the
//! bytes, all of them, those that are kept and the summaries of the others are written as segments to a
//! temporary folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType};
use futures::{StreamExt, TryStreamExt};
use tagus_client::Connection;
use tagus_engine::env::{Disk, OsDisk};
use tagus_engine::reduction::{Deadband, Decided, Deviation, Event, Preview, Reducer, Reduction, Settings};
use tagus_engine::sample::{Cell, Row, Rows as Samples};
use tagus_engine::segment::{NewSegment, SegmentWriter};
use tagus_engine::status::Status;
use tagus_engine::tag::{Interpolation, TagId, TagSpec, TagType};
use tagus_proto::v1;

use super::args::{ConnectArgs, FilterArgs, Format, ReductionCommand, ReductionPreviewArgs};
use super::connect::{self, answer};
use super::error::{Failure, Result};
use super::format;
use super::format::value::push_time;
use super::output::{Output, print_line};
use super::sql::Rows;
use super::tags;

const TRYING: &str = "trying out reduction";

/// Tags that are changed at the same time.
const AT_ONCE: usize = 32;

/// Runs the command.
pub async fn run(command: ReductionCommand) -> Result<()> {
    match command {
        ReductionCommand::Preview(args) => Box::pin(preview(args)).await,
        ReductionCommand::Set(args) => {
            let reduction = args.filters.reduction()?;
            set(&args.connect, &args.tags, &reduction).await
        }
        ReductionCommand::Off(args) => set(&args.connect, &args.tags, &Reduction::default()).await,
    }
}

impl FilterArgs {
    fn reduction(&self) -> Result<Reduction> {
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let filter = |deviation: Option<Deviation>, min: Duration, max: Duration| {
            deviation.map(|deviation| Deadband { deviation, min: nanoseconds(min), max: nanoseconds(max) })
        };
        let reduction = Reduction {
            exception: filter(self.exc_dev, self.exc_min, self.exc_max),
            compression: filter(self.comp_dev, self.comp_min, self.comp_max),
        };
        if !reduction.is_on() {
            let why = "there is no deviation";
            return Err(Failure::usage("reading the arguments", why, "give --exc-dev, --comp-dev or both"));
        }
        Ok(reduction)
    }
}

async fn set(connect: &ConnectArgs, glob: &str, reduction: &Reduction) -> Result<()> {
    let connection = connect::open(connect).await?;
    let tags = selected(&connection, glob).await?;
    let (tags, texts): (Vec<v1::Tag>, Vec<v1::Tag>) = match glob.contains(['*', '?']) {
        // A pattern means those that can be reduced.
        true => tags.into_iter().partition(|tag| tags::known_type(tag.r#type) != Some(TagType::Text)),
        false => (tags, Vec::new()),
    };
    // All or none, as far as their settings go.
    for tag in tags.iter().filter(|_| reduction.is_on()) {
        let tag_type = tags::known_type(tag.r#type).unwrap_or(TagType::Float64);
        settings(*reduction, tag, tag_type)?;
    }
    let count = tags.len();
    let connection = &connection;
    let update = |tag: v1::Tag| async move {
        let mut client = connection.tags();
        let text = Some(reduction.to_string());
        let request = v1::UpdateTagRequest { name: tag.name, reduction: text, ..v1::UpdateTagRequest::default() };
        answer("changing a tag", client.update(request)).await.map(drop)
    };
    let updates = futures::stream::iter(tags.into_iter().map(update));
    updates.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    print_line(&format!("changed={count} texts={} reduction={reduction}", texts.len()))
}

async fn preview(args: ReductionPreviewArgs) -> Result<()> {
    if args.from >= args.to {
        let why = "--from is not before --to";
        return Err(Failure::usage("reading the arguments", why, "exchange them or choose a later --to"));
    }
    let reduction = args.filters.reduction()?;
    let connection = connect::open(&args.connect).await?;
    let folder = tempfile::tempdir().map_err(|e| Failure::file("creating", &std::env::temp_dir(), &e))?;
    let mut all = Trial::new(folder.path(), 1)?;
    let mut kept = Trial::new(folder.path(), 2)?;
    let mut summaries = Trial::new(folder.path(), 3)?;
    let mut table = Table::default();
    let mut number = 0;
    for tag in selected(&connection, &args.tags).await? {
        let Some(tag_type) = tags::known_type(tag.r#type).filter(|kind| *kind != TagType::Text) else { continue };
        number += 1;
        let id = TagId(number);
        let settings = settings(reduction, &tag, tag_type)?;
        let mut filters = Preview::new(settings);
        let mut reducer = Reducer::new(settings, true);
        let mut series = Series::default();
        let mut rows = Rows::query(&connection, query(&tag.name, args.from, args.to)).await?;
        while let Some(batch) = rows.next().await? {
            let (events, mut found) = (events(&batch)?, Vec::new());
            for event in &events {
                filters.push(*event, &mut found);
                series.push(id, &mut reducer, *event);
            }
            all.write(id, tag_type, &events)?;
            kept.write(id, tag_type, &found)?;
        }
        let mut found = Vec::new();
        filters.finish(&mut found);
        kept.write(id, tag_type, &found)?;
        for (series, rows) in series.of {
            summaries.write_rows(series, TagType::Float64, &rows)?;
        }
        table.push(tag, &filters);
    }
    let (samples, remain) = (table.samples.iter().sum::<u64>(), table.kept.iter().sum::<u64>());
    table.print()?;
    let (bytes, bytes_kept, bytes_summaries) = (all.finish()?, kept.finish()?, summaries.finish()?);
    print_line(&format!(
        "samples={samples} kept={remain} bytes={bytes} bytes_kept={bytes_kept} bytes_summaries={bytes_summaries}"
    ))
}

/// The series of a tag's summaries.
#[derive(Default)]
struct Series {
    of: BTreeMap<TagId, Samples>,
    decided: Decided,
}

impl Series {
    fn push(&mut self, tag: TagId, reducer: &mut Reducer, event: Event) {
        let cell = Cell { value: event.value.map(f64::to_bits), text: None, status: event.status };
        reducer.push(Row { time: event.time, cell }, &mut self.decided);
        self.decided.kept.clear();
        for summary in self.decided.summaries.drain(..) {
            for (field, value) in summary.numbers() {
                let rows = self.of.entry(field.of(tag)).or_default();
                rows.push_value(summary.from, value.to_bits(), summary.status);
            }
        }
    }
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

fn settings(reduction: Reduction, tag: &v1::Tag, tag_type: TagType) -> Result<Settings> {
    let mut spec = TagSpec::new(tag.name.clone(), tag_type);
    (spec.low, spec.high) = (tag.low, tag.high);
    if tag.interpolation == i32::from(v1::Interpolation::Step) {
        spec.interpolation = Interpolation::Step;
    }
    spec.reduction = Some(reduction);
    spec.check().map_err(failed)?;
    reduction.settings(&spec).ok_or_else(|| Failure::new(TRYING, "there is no deviation", "give --comp-dev"))
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
        let mut rows = Samples::default();
        for Event { time, value, status } in events {
            let value = value.map(|value| match tag_type.is_float() {
                true => value.to_bits(),
                false => (value as i64).cast_unsigned(),
            });
            rows.push(*time, &Cell { value, text: None, status: *status });
        }
        self.write_rows(tag, tag_type, &rows)
    }

    fn write_rows(&mut self, tag: TagId, tag_type: TagType, rows: &Samples) -> Result<()> {
        self.is_empty = false;
        self.writer.write(tag, tag_type, rows).map_err(failed)
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
