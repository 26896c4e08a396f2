//! What the planner may know of a scan's rows before they are read.

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::scalar::ScalarValue;

use super::column;
use super::plan::{RowCount, SamplePlan};
use crate::output::ZONE;

/// What is known of the rows before they are read: of one partition, or of all together.
pub(super) fn statistics(plan: &SamplePlan, schema: &SchemaRef, partitions: usize, of_partition: bool) -> Statistics {
    let limits = plan.spec.limit.map(|limit| limit.saturating_mul(if of_partition { 1 } else { partitions as u64 }));
    let whole = plan.spec.limit_per_tag.is_none() && !(of_partition && partitions > 1);
    match plan.rows {
        RowCount::Exact { rows, first_time, last_time } if whole && limits.is_none_or(|limit| rows <= limit) => {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            exact_statistics(plan, schema, rows, first_time, last_time)
        }
        RowCount::Exact { rows, .. } => guess(schema, usize::try_from(rows).unwrap_or(usize::MAX), limits),
        RowCount::Guessed(rows) => guess(schema, rows, limits),
    }
}

fn guess(schema: &SchemaRef, rows: usize, limits: Option<u64>) -> Statistics {
    let limit = limits.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Statistics::new_unknown(schema).with_num_rows(Precision::Inexact(rows.min(limit)))
}

fn exact_statistics(
    plan: &SamplePlan,
    schema: &SchemaRef,
    rows: usize,
    first_time: Option<i64>,
    last_time: Option<i64>,
) -> Statistics {
    let time = |time: Option<i64>| match time {
        Some(time) => Precision::Exact(ScalarValue::TimestampNanosecond(Some(time), Some(ZONE.into()))),
        None => Precision::Absent,
    };
    let columns = plan.projection.iter().map(|column| match *column {
        column::TIME => ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value: time(first_time),
            max_value: time(last_time),
            ..ColumnStatistics::new_unknown()
        },
        column::TAG | column::QUALITY | column::STATUS => {
            ColumnStatistics { null_count: Precision::Exact(0), ..ColumnStatistics::new_unknown() }
        }
        _ => ColumnStatistics::new_unknown(),
    });
    let column_statistics = columns.collect();
    Statistics { column_statistics, ..Statistics::new_unknown(schema) }.with_num_rows(Precision::Exact(rows))
}
