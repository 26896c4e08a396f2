//! Other readers understand the files: the parquet crate's own decoders stand for all.

#![expect(clippy::disallowed_methods, reason = "other readers open files by themselves")]

use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::support::{plant, sets, write};
use crate::limits::{PAGE_ROWS, ROW_GROUP_ROWS};
use crate::tag::TagType;

fn batches(path: &std::path::Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// What the README's view makes of a row.
fn value(batch: &RecordBatch, i: usize) -> Option<f64> {
    let (mantissa, scale, value) = (
        batch.column(3).as_primitive::<Int64Type>(),
        batch.column(4).as_primitive::<Int32Type>(),
        batch.column(5).as_primitive::<Float64Type>(),
    );
    assert_eq!(mantissa.is_null(i), scale.is_null(i));
    assert!(mantissa.is_null(i) || value.is_null(i));
    if value.is_valid(i) {
        return Some(value.value(i));
    }
    mantissa.is_valid(i).then(|| mantissa.value(i) as f64 / 10f64.powi(scale.value(i)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_parquet_crate_reads_the_same(set in sets(200), piece in 1usize..300) {
        let written = write(&set, piece);
        let rows = set.iter().flat_map(|(tag, tag_type, rows)| (0..rows.len()).map(move |i| (*tag, *tag_type, rows.times[i], rows.cell(i))));
        let mut rows = rows.collect::<Vec<_>>().into_iter();
        for batch in batches(written.segment.path()) {
            for i in 0..batch.num_rows() {
                let (tag, tag_type, time, cell) = rows.next().unwrap();
                prop_assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(i) as u32, tag.0);
                let millis = batch.column(1).as_primitive::<TimestampMillisecondType>().value(i);
                let nanos = batch.column(2).as_primitive::<Int32Type>().value(i);
                prop_assert!((0..1_000_000).contains(&nanos));
                prop_assert_eq!(millis * 1_000_000 + i64::from(nanos), time);
                if tag_type.is_float() {
                    prop_assert_eq!(value(&batch, i).map(f64::to_bits), cell.value);
                } else if tag_type != TagType::Text {
                    let mantissa = batch.column(3).as_primitive::<Int64Type>();
                    prop_assert_eq!(mantissa.is_valid(i).then(|| mantissa.value(i).cast_unsigned()), cell.value);
                    prop_assert_eq!(value(&batch, i), cell.value.map(|bits| bits.cast_signed() as f64));
                }
                let text = batch.column(6).as_string::<i32>();
                prop_assert_eq!(text.is_valid(i).then(|| text.value(i)), cell.text.as_deref());
                prop_assert_eq!(batch.column(7).as_primitive::<Int64Type>().value(i), i64::from(cell.status.0));
            }
        }
        prop_assert!(rows.next().is_none());
    }
}

#[test]
fn pages_are_cut_at_the_same_rows() {
    let set = plant(2, ROW_GROUP_ROWS / 2 + 30_000);
    let written = write(&set, 10_000);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(
        File::open(written.segment.path()).unwrap(),
        parquet::arrow::arrow_reader::ArrowReaderOptions::new()
            .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Optional),
    )
    .unwrap();
    let metadata = reader.metadata();
    let rows: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [ROW_GROUP_ROWS as i64, 60_000]);
    for group in metadata.offset_index().unwrap() {
        for column in group {
            let starts: Vec<i64> = column.page_locations().iter().map(|page| page.first_row_index).collect();
            assert!(starts.iter().zip(0..).all(|(start, i)| *start == i * PAGE_ROWS as i64), "{starts:?}");
        }
    }
    let ids: Vec<i32> =
        metadata.file_metadata().schema().get_fields().iter().map(|field| field.get_basic_info().id()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8]);
    let statistics = |column: usize| metadata.row_group(0).column(column).statistics().is_some();
    assert_eq!((0..8).map(statistics).collect::<Vec<_>>(), [true, true, false, false, false, false, false, false]);
}
