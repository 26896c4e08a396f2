//! Single values in words: the same in every text format.

use std::fmt::Display;
use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Float32Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

use crate::cli::error::{Failure, Result};

/// Nesting that is followed; deeper values are refused.
const NESTING_MAX: usize = 16;

/// One column of a batch, ready to be written value by value.
#[derive(Debug)]
pub struct Column {
    array: ArrayRef,
    /// Columns of a struct, or the one of a list's elements.
    children: Vec<(String, Column)>,
}

impl Column {
    /// Prepares a column. Encodings that differ in layout only are brought to one.
    pub fn new(array: &ArrayRef) -> Result<Column> {
        Column::nested(array, 0)
    }

    fn nested(array: &ArrayRef, depth: usize) -> Result<Column> {
        if depth > NESTING_MAX {
            let why = format!("its values are nested more than {NESTING_MAX} deep");
            return Err(Failure::new("printing the result", why, "select the parts that you need"));
        }
        let array = match plain_type(array.data_type()) {
            Some(plain) => cast(array, &plain).map_err(|e| unprintable(&e))?,
            None => array.clone(),
        };
        let children = match array.data_type() {
            DataType::List(_) => vec![(String::new(), Column::nested(array.as_list::<i32>().values(), depth + 1)?)],
            DataType::LargeList(_) => {
                vec![(String::new(), Column::nested(array.as_list::<i64>().values(), depth + 1)?)]
            }
            DataType::Struct(fields) => fields
                .iter()
                .zip(array.as_struct().columns())
                .map(|(field, column)| Ok((field.name().clone(), Column::nested(column, depth + 1)?)))
                .collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        Ok(Column { array, children })
    }

    /// Whether the value of `row` is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.array.data_type() == &DataType::Null || self.array.is_null(row)
    }

    /// Appends the value of `row` as plain text; nothing for NULL.
    pub fn text(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            return Ok(());
        }
        match self.array.data_type() {
            DataType::Utf8 => out.extend_from_slice(self.array.as_string::<i32>().value(row).as_bytes()),
            DataType::Float64 => push_float(out, self.array.as_primitive::<Float64Type>().value(row)),
            DataType::Float32 => push_float(out, self.array.as_primitive::<Float32Type>().value(row)),
            DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) => self.json(row, out)?,
            _ => self.simple(row, out)?,
        }
        Ok(())
    }

    /// Appends the value of `row` as JSON.
    pub fn json(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            push(out, "null");
            return Ok(());
        }
        match self.array.data_type() {
            DataType::Utf8 => push_json_text(out, self.array.as_string::<i32>().value(row)),
            DataType::Float64 => push_json_float(out, self.array.as_primitive::<Float64Type>().value(row)),
            DataType::Float32 => push_json_float(out, self.array.as_primitive::<Float32Type>().value(row)),
            DataType::List(_) => self.json_list(ends(self.array.as_list::<i32>().value_offsets(), row), out)?,
            DataType::LargeList(_) => self.json_list(ends(self.array.as_list::<i64>().value_offsets(), row), out)?,
            DataType::Struct(_) => self.json_struct(row, out)?,
            data_type if is_json_literal(data_type) => self.simple(row, out)?,
            _ => {
                let mut text = Vec::new();
                self.simple(row, &mut text)?;
                push_json_text(out, &String::from_utf8_lossy(&text));
            }
        }
        Ok(())
    }

    fn json_list(&self, elements: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        let (_, values) = &self.children[0];
        out.push(b'[');
        for (index, element) in elements.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            values.json(element, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn json_struct(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'{');
        for (index, (name, column)) in self.children.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_json_text(out, name);
            out.push(b':');
            column.json(row, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Values whose text needs no escapes, the same in all formats.
    fn simple(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self.array.data_type() {
            DataType::Boolean => push(out, self.array.as_boolean().value(row)),
            DataType::Int64 => push(out, self.primitive::<Int64Type>(row)),
            DataType::UInt64 => push(out, self.primitive::<UInt64Type>(row)),
            DataType::Timestamp(TimeUnit::Second, _) => push_time(out, self.primitive::<TimestampSecondType>(row), 1),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                push_time(out, self.primitive::<TimestampMillisecondType>(row), 1000);
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                push_time(out, self.primitive::<TimestampMicrosecondType>(row), 1_000_000);
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                push_time(out, self.primitive::<TimestampNanosecondType>(row), 1_000_000_000);
            }
            DataType::Date32 => push_date(out, self.primitive::<Date32Type>(row).into()),
            DataType::Date64 => push_time(out, self.primitive::<Date64Type>(row), 1000),
            _ => self.other(row, out)?,
        }
        Ok(())
    }

    fn primitive<T: ArrowPrimitiveType>(&self, row: usize) -> T::Native {
        self.array.as_primitive::<T>().value(row)
    }

    fn other(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let options = FormatOptions::new().with_duration_format(DurationFormat::Pretty);
        let formatter = ArrayFormatter::try_new(&self.array, &options).map_err(|e| unprintable(&e))?;
        push(out, formatter.value(row));
        Ok(())
    }
}

/// The type that a type is brought to first, where that is another one.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Some(DataType::Int64),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Some(DataType::Int64),
        DataType::Float16 => Some(DataType::Float32),
        DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::Dictionary(_, values) => Some(plain_type(values).unwrap_or_else(|| (**values).clone())),
        DataType::FixedSizeList(field, _) => Some(DataType::List(field.clone())),
        _ => None,
    }
}

/// Whether values of a type are aligned to the right.
pub fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_numeric(),
    }
}

/// Whether the text of a simple value is JSON as it stands.
fn is_json_literal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Boolean) || data_type.is_numeric()
}

fn ends<O: Copy + TryInto<usize>>(offsets: &[O], row: usize) -> std::ops::Range<usize> {
    // Offsets are checked to be ascending from 0 when the array is made.
    let end = |index: usize| offsets[index].try_into().unwrap_or(0);
    end(row)..end(row + 1)
}

fn unprintable(error: &arrow::error::ArrowError) -> Failure {
    Failure::new("printing the result", error, "cast the column to text")
}

/// Appends what `Display` writes.
pub fn push(out: &mut Vec<u8>, value: impl Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// Floats that can be written here.
pub trait Float: Copy + Display + std::fmt::LowerExp {
    /// The same number, wider.
    fn wide(self) -> f64;
}

impl Float for f64 {
    fn wide(self) -> f64 {
        self
    }
}

impl Float for f32 {
    fn wide(self) -> f64 {
        self.into()
    }
}

/// Appends the shortest digits that read back as the same float: `42`, `0.1`, `1e300`, `-0`.
pub fn push_float<F: Float>(out: &mut Vec<u8>, value: F) {
    let wide = value.wide();
    if wide.is_nan() {
        push(out, "NaN");
    } else if wide.is_infinite() {
        push(out, if wide > 0.0 { "Infinity" } else { "-Infinity" });
    } else if wide != 0.0 && !(1e-5..1e16).contains(&wide.abs()) {
        push(out, format_args!("{value:e}"));
    } else {
        push(out, value);
    }
}

fn push_json_float<F: Float>(out: &mut Vec<u8>, value: F) {
    let wide = value.wide();
    if !wide.is_finite() {
        push(out, "null");
    } else if wide == 0.0 && wide.is_sign_negative() {
        // Most readers take `-0` as an integer and lose its sign.
        push(out, "-0.0");
    } else {
        push_float(out, value);
    }
}

/// Appends a JSON string.
pub fn push_json_text(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail, and every str is a JSON string.
    let _ = serde_json::to_writer(out, text);
}

/// Appends a time, `per_second` units of which are a second, as `2026-01-01T12:00:15.999Z`.
pub fn push_time(out: &mut Vec<u8>, value: i64, per_second: i64) {
    let seconds = value.div_euclid(per_second);
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    push_date(out, seconds.div_euclid(86_400));
    let clock = seconds.rem_euclid(86_400);
    out.push(b'T');
    push_digits(out, clock / 3600, 2);
    out.push(b':');
    push_digits(out, clock / 60 % 60, 2);
    out.push(b':');
    push_digits(out, clock % 60, 2);
    let (digits, unit) = match nanos {
        0 => (0, 1),
        n if n % 1_000_000 == 0 => (3, 1_000_000),
        n if n % 1000 == 0 => (6, 1000),
        _ => (9, 1),
    };
    if digits > 0 {
        out.push(b'.');
        push_digits(out, nanos / unit, digits);
    }
    out.push(b'Z');
}

/// Appends the date of a day counted from 1970. Years are counted from March, so that the leap
/// day is the last of its year.
fn push_date(out: &mut Vec<u8>, days: i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if (0..10_000).contains(&year) {
        push_digits(out, year, 4);
    } else {
        push(out, format_args!("{year:+05}"));
    }
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, day_of_year - (153 * shifted + 2) / 5 + 1, 2);
}

/// Appends the last `digits` decimal digits of a number that is not negative.
fn push_digits(out: &mut Vec<u8>, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b"0123456789"[usize::try_from(digit).unwrap_or(0)]);
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
