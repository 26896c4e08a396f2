//! The Parquet schema that all segments share, and what their metadata says.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::schema::types::{Type, TypePtr};

/// INT32: the tag, from 1.
pub const TAG: usize = 0;
/// INT64: milliseconds since 1970 UTC, floored.
pub const TIME: usize = 1;
/// INT32: nanoseconds to add, 0 to 999,999.
pub const NANOS: usize = 2;
/// INT64, nullable: the mantissa of the decimal split, or an integer.
pub const MANTISSA: usize = 3;
/// INT32, nullable: the scale; there is one wherever there is a mantissa.
pub const SCALE: usize = 4;
/// DOUBLE, nullable: floats that are no short decimal.
pub const VALUE: usize = 5;
/// UTF8, nullable: strings and system states.
pub const TEXT: usize = 6;
/// INT64: the OPC UA status code, 0 to 2^32-1.
pub const STATUS: usize = 7;
/// The number of columns.
pub const COLUMNS: usize = 8;

/// Names, types and whether NULL is possible, in the order of the columns. The Parquet field id
/// of a column is its position counted from 1; ids are never reused.
const FIELDS: [(&str, Physical, bool); COLUMNS] = [
    ("tag_id", Physical::INT32, false),
    ("time", Physical::INT64, false),
    ("time_ns", Physical::INT32, false),
    ("mantissa", Physical::INT64, true),
    ("scale", Physical::INT32, true),
    ("value", Physical::DOUBLE, true),
    ("text", Physical::BYTE_ARRAY, true),
    ("status", Physical::INT64, false),
];

/// Nanoseconds of a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;

/// The schema.
pub fn schema() -> Result<TypePtr> {
    let fields = FIELDS.iter().zip(1..).map(|((name, physical, nullable), id)| {
        let logical = match *name {
            "time" => Some(LogicalType::timestamp(true, TimeUnit::MILLIS)),
            "text" => Some(LogicalType::String),
            _ => None,
        };
        let repetition = if *nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let field = Type::primitive_type_builder(name, *physical).with_repetition(repetition);
        field.with_logical_type(logical).with_id(Some(id)).build().map(Arc::new)
    });
    Type::group_type_builder("samples").with_fields(fields.collect::<Result<_>>()?).build().map(Arc::new)
}

/// Rows are sorted by tag, then by time with its nanoseconds.
pub fn sorting() -> Vec<SortingColumn> {
    let ascending = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    [TAG, TIME, NANOS].into_iter().zip(0..).map(|(_, column_idx)| ascending(column_idx)).collect()
}

/// Whether a column may be NULL.
pub fn is_nullable(column: usize) -> bool {
    FIELDS[column].2
}

/// The version of everything in a segment that Parquet does not define.
pub const VERSION: u64 = 1;

/// Key of [`VERSION`] in the file's key-value metadata.
pub const KEY_VERSION: &str = "tagus.version";
/// Key of the segment's id.
pub const KEY_ID: &str = "tagus.segment";
/// Key of the first log sequence in the segment.
pub const KEY_FIRST_SEQUENCE: &str = "tagus.first_sequence";
/// Key of the last log sequence in the segment.
pub const KEY_LAST_SEQUENCE: &str = "tagus.last_sequence";
/// Key of the offset of the tag directory.
pub const KEY_DIRECTORY: &str = "tagus.directory_offset";
/// Key of the number of blocks of the tag directory.
pub const KEY_DIRECTORY_BLOCKS: &str = "tagus.directory_blocks";
/// Key of the offset of the block checksums, which is where the tail starts.
pub const KEY_CHECKSUMS: &str = "tagus.checksums_offset";
