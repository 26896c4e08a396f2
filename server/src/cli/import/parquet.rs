//! Reads samples from a Parquet file: the same columns as CSV, in whatever types they have, or
//! those of the table `samples`, where a text stands beside the value.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit as ArrowUnit, UInt64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use tagus_client::Value;

use super::chunk::{CHUNK_ROWS, Chunk, Names, Refused};
use super::columns::{Columns, StatusReader, quality_of_number, status_of_number};
use super::firsts::Firsts;
use super::source::{Source, unreadable};
use super::time::{BadTime, TimeReader, TimeUnit};
use crate::cli::error::{Failure, Result};
use crate::cli::format::value::Column;
use crate::cli::quiet::quietly;

const DAMAGED: &str = "get an undamaged file";

/// Rows of a Parquet file.
pub struct ParquetSource {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Columns,
    times: TimeReader,
    statuses: StatusReader,
    rows_done: u64,
    /// What its footer announces and is not read yet.
    rows_left: u64,
    bytes_left: u64,
    bytes_done: Arc<AtomicU64>,
}

impl ParquetSource {
    /// Reads the footer and checks the columns.
    pub fn open(path: &Path, file: File, unit: Option<TimeUnit>, done: &Arc<AtomicU64>) -> Result<ParquetSource> {
        let bytes_left = file.metadata().map(|m| m.len()).unwrap_or(0);
        let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
        let rows_left = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let schema = builder.schema().clone();
        let wanted = find_columns(path, &schema)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = guarded(path, || builder.with_projection(mask).with_batch_size(CHUNK_ROWS).build())?;
        // Positions are now those among the columns that are read.
        let names: Vec<String> = reader_names(&reader);
        let columns = Columns::from_names(&names).map_err(|why| unreadable(path, why, DAMAGED))?;
        Ok(ParquetSource {
            path: path.to_path_buf(),
            reader,
            columns,
            times: TimeReader::new(unit),
            statuses: StatusReader::default(),
            rows_done: 0,
            rows_left,
            bytes_left,
            bytes_done: done.clone(),
        })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = guarded(&self.path, || self.reader.next().transpose())?;
        let rows = next.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        // Progress is shown in bytes; rows stand for their share of the file.
        let share = match self.rows_left {
            left if left > rows => u128::from(self.bytes_left) * u128::from(rows) / u128::from(left),
            _ => self.bytes_left.into(),
        };
        let share = u64::try_from(share).unwrap_or(self.bytes_left);
        self.rows_left = self.rows_left.saturating_sub(rows);
        self.bytes_left -= share;
        self.bytes_done.fetch_add(share, Ordering::Relaxed);
        Ok(next)
    }

    fn add(&mut self, batch: &RecordBatch, names: &mut Names, chunk: &mut Chunk) -> Result<()> {
        let cells = self.cells(batch)?;
        for row in 0..batch.num_rows() {
            self.rows_done += 1;
            if let Err(reason) = self.try_add(&cells, row, names, chunk) {
                let text = |column: &Column| {
                    let mut text = Vec::new();
                    column.text(row, &mut text)?;
                    Ok::<String, Failure>(String::from_utf8_lossy(&text).into_owned())
                };
                chunk.refused.push(Refused {
                    line: self.rows_done,
                    tag: text(&cells.shown[0])?,
                    time: text(&cells.shown[1])?,
                    value: text(&cells.shown[2])?,
                    reason,
                });
            }
        }
        Ok(())
    }

    fn try_add(
        &mut self,
        cells: &Cells,
        row: usize,
        names: &mut Names,
        chunk: &mut Chunk,
    ) -> std::result::Result<(), String> {
        let time = cells.time.get(row, &mut self.times).map_err(|why| why.to_string())?;
        let status = cells.status(row, &mut self.statuses)?;
        chunk.add(names, self.rows_done, cells.tag(row), time, cells.value(row), status)
    }

    fn cells(&self, batch: &RecordBatch) -> Result<Cells> {
        let at = |index: usize| batch.column(index);
        let optional = |index: Option<usize>| index.map(|i| Codes::new(&self.path, at(i))).transpose();
        let columns = &self.columns;
        Ok(Cells {
            tag: converted(&self.path, "tag", at(columns.tag), &DataType::Utf8)?,
            time: Times::new(&self.path, at(columns.time))?,
            value: Values::new(&self.path, at(columns.value))?,
            text: columns.text.map(|index| converted(&self.path, "text", at(index), &DataType::Utf8)).transpose()?,
            status: optional(columns.status)?,
            quality: optional(columns.quality)?,
            shown: [Column::new(at(columns.tag))?, Column::new(at(columns.time))?, Column::new(at(columns.value))?],
        })
    }
}

impl Source for ParquetSource {
    fn read(&mut self, names: &mut Names, chunk: &mut Chunk) -> Result<bool> {
        match self.next_batch()? {
            Some(batch) => self.add(&batch, names, chunk).map(|()| true),
            None => Ok(false),
        }
    }

    fn verify(&mut self, firsts: &mut Firsts) -> Result<()> {
        while let Some(batch) = self.next_batch()? {
            let cells = self.cells(&batch)?;
            for row in 0..batch.num_rows() {
                if !firsts.is_decided(cells.tag(row))
                    && let Ok(status) = cells.status(row, &mut self.statuses)
                    && cells.time.get(row, &mut self.times).is_ok()
                {
                    firsts.see(cells.tag(row), &cells.value(row), status);
                }
            }
        }
        Ok(())
    }
}

/// Positions of the columns that are read.
fn find_columns(path: &Path, schema: &SchemaRef) -> Result<Vec<usize>> {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let advice = "name the columns tag, timestamp, value and, where there are any, status or quality";
    let columns = Columns::from_names(&names).map_err(|why| unreadable(path, why, advice))?;
    let Columns { tag, time, value, text, status, quality, .. } = columns;
    let needed = [Some(tag), Some(time), Some(value), text, status, quality];
    Ok(needed.into_iter().flatten().collect())
}

fn reader_names(reader: &ParquetRecordBatchReader) -> Vec<String> {
    use arrow::array::RecordBatchReader;
    reader.schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// Runs a step of the Parquet reader, which panics on some damaged files.
fn guarded<T, E: std::fmt::Display>(path: &Path, step: impl FnOnce() -> std::result::Result<T, E>) -> Result<T> {
    match quietly(|| catch_unwind(AssertUnwindSafe(step))) {
        Ok(result) => result.map_err(|error| unreadable(path, error, DAMAGED)),
        Err(_) => Err(unreadable(path, "it is damaged", DAMAGED)),
    }
}

/// The columns of one batch.
struct Cells {
    tag: ArrayRef,
    time: Times,
    value: Values,
    text: Option<ArrayRef>,
    status: Option<Codes>,
    quality: Option<Codes>,
    /// Tag, time and value in words, for rows that are refused.
    shown: [Column; 3],
}

impl Cells {
    fn tag(&self, row: usize) -> &[u8] {
        if self.tag.is_null(row) { b"" } else { self.tag.as_string::<i32>().value(row).as_bytes() }
    }

    fn value(&self, row: usize) -> Value {
        match &self.text {
            Some(texts) if texts.is_valid(row) => Value::from(texts.as_string::<i32>().value(row)),
            _ => self.value.get(row),
        }
    }

    fn status(&self, row: usize, reader: &mut StatusReader) -> std::result::Result<u32, String> {
        let (mut status, mut quality): (&[u8], &[u8]) = (b"", b"");
        match &self.status {
            Some(Codes::Numbers(numbers)) if !numbers.is_null(row) => {
                return status_of_number(numbers.as_primitive::<Int64Type>().value(row));
            }
            Some(Codes::Texts(texts)) if !texts.is_null(row) => status = texts.as_string::<i32>().value(row).as_bytes(),
            _ => {}
        }
        match &self.quality {
            Some(Codes::Numbers(numbers)) if !numbers.is_null(row) && status.trim_ascii().is_empty() => {
                return quality_of_number(numbers.as_primitive::<Int64Type>().value(row));
            }
            Some(Codes::Texts(texts)) if !texts.is_null(row) => {
                quality = texts.as_string::<i32>().value(row).as_bytes();
            }
            _ => {}
        }
        reader.read(status, quality)
    }
}

/// Times: nanoseconds, integers of the unit that was told, or texts.
enum Times {
    Nanos { array: ArrayRef, unit: TimeUnit },
    Integers(ArrayRef),
    Texts(ArrayRef),
}

impl Times {
    fn new(path: &Path, array: &ArrayRef) -> Result<Times> {
        let integers = |array: &ArrayRef| converted(path, "timestamp", array, &DataType::Int64);
        Ok(match plain(array.data_type()) {
            DataType::Timestamp(unit, _) => {
                let unit = match unit {
                    ArrowUnit::Second => TimeUnit::S,
                    ArrowUnit::Millisecond => TimeUnit::Ms,
                    ArrowUnit::Microsecond => TimeUnit::Us,
                    ArrowUnit::Nanosecond => TimeUnit::Ns,
                };
                Times::Nanos { array: integers(array)?, unit }
            }
            DataType::Date32 | DataType::Date64 => {
                let milliseconds = converted(path, "timestamp", array, &DataType::Date64)?;
                Times::Nanos { array: integers(&milliseconds)?, unit: TimeUnit::Ms }
            }
            other if other.is_integer() => Times::Integers(integers(array)?),
            _ => Times::Texts(converted(path, "timestamp", array, &DataType::Utf8)?),
        })
    }

    fn get(&self, row: usize, reader: &mut TimeReader) -> std::result::Result<i64, BadTime> {
        let (Times::Nanos { array, .. } | Times::Integers(array) | Times::Texts(array)) = self;
        if array.is_null(row) {
            return Err(BadTime::Missing);
        }
        match self {
            Times::Nanos { array, unit } => unit.scale(array.as_primitive::<Int64Type>().value(row)),
            Times::Integers(array) => reader.integer(array.as_primitive::<Int64Type>().value(row)),
            Times::Texts(array) => reader.text(array.as_string::<i32>().value(row).as_bytes()),
        }
    }
}

/// Values of one kind.
enum Values {
    Nulls,
    Numbers(ArrayRef),
    Integers(ArrayRef),
    /// Some do not fit in 64 bits with a sign.
    Unsigned(ArrayRef),
    Booleans(ArrayRef),
    Texts(ArrayRef),
}

impl Values {
    fn new(path: &Path, array: &ArrayRef) -> Result<Values> {
        let convert = |to: DataType| converted(path, "value", array, &to);
        Ok(match plain(array.data_type()) {
            DataType::Null => Values::Nulls,
            DataType::Boolean => Values::Booleans(convert(DataType::Boolean)?),
            DataType::UInt64 => Values::Unsigned(convert(DataType::UInt64)?),
            other if other.is_integer() => Values::Integers(convert(DataType::Int64)?),
            other if other.is_floating() => Values::Numbers(convert(DataType::Float64)?),
            _ => Values::Texts(convert(DataType::Utf8)?),
        })
    }

    fn get(&self, row: usize) -> Value {
        match self {
            Values::Nulls => Value::Empty,
            Values::Numbers(array)
            | Values::Integers(array)
            | Values::Unsigned(array)
            | Values::Booleans(array)
            | Values::Texts(array)
                if array.is_null(row) =>
            {
                Value::Empty
            }
            Values::Numbers(array) => Value::Number(array.as_primitive::<Float64Type>().value(row)),
            Values::Integers(array) => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
            Values::Unsigned(array) => {
                let number = array.as_primitive::<UInt64Type>().value(row);
                i64::try_from(number).map_or_else(|_| Value::from(number.to_string()), Value::Integer)
            }
            Values::Booleans(array) => Value::Boolean(array.as_boolean().value(row)),
            Values::Texts(array) => Value::from(array.as_string::<i32>().value(row)),
        }
    }
}

/// Statuses or qualities.
enum Codes {
    Numbers(ArrayRef),
    Texts(ArrayRef),
}

impl Codes {
    fn new(path: &Path, array: &ArrayRef) -> Result<Codes> {
        if plain(array.data_type()).is_numeric() {
            return Ok(Codes::Numbers(converted(path, "status", array, &DataType::Int64)?));
        }
        Ok(Codes::Texts(converted(path, "status", array, &DataType::Utf8)?))
    }
}

/// The type of the values behind a dictionary.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn converted(path: &Path, name: &str, array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    // What does not fit is an error: the other choice makes NULL of it.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|_| {
        let why = format!("the column {name} of type {} has values that cannot be read", array.data_type());
        unreadable(path, why, "cast it to text or to 64-bit numbers")
    })
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
