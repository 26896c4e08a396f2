//! What leaves the planner's world: every result in the plain types that all doors speak.
//!
//! Inside plans tags are dictionaries and functions choose between three kinds of strings. Clients
//! see one: strings are `Utf8`, times `Timestamp(ns, "UTC")`, and the announced schema is the
//! schema of every batch.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::util::display::FormatOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;

/// The zone of every time that leaves.
pub(crate) const ZONE: &str = "UTC";

/// The type of every time that leaves: nanoseconds since 1970 UTC.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(ZONE.into()))
}

/// The type in which values of type `data_type` leave.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(_, _) => time_type(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(plain_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

/// A field that may be NULL whatever the planner proved: proofs differ between the two planners,
/// and the announced schema is to hold for what is sent.
fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), plain_type(field.data_type()), true))
}

/// The schema in which a result of schema `schema` leaves.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>()))
}

/// The batch in the types of `schema`, which is the plain schema of the batch's own.
pub(crate) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| plain_column(column, field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn plain_column(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    // A time that does not fit nanoseconds is an error, not a silent NULL.
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    Ok(cast_with_options(column, to, &options)?)
}

/// A stream of plain batches.
pub(crate) struct PlainStream {
    schema: SchemaRef,
    input: SendableRecordBatchStream,
}

impl PlainStream {
    pub(crate) fn new(schema: SchemaRef, input: SendableRecordBatchStream) -> PlainStream {
        PlainStream { schema, input }
    }
}

impl Stream for PlainStream {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.input
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|batch| batch.and_then(|batch| plain_batch(&batch, &self.schema))))
    }
}

impl RecordBatchStream for PlainStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, DictionaryArray, Int64Array, ListArray, StringViewArray, TimestampSecondArray};
    use arrow::datatypes::{Int8Type, Int32Type, TimestampNanosecondType};

    use super::*;

    fn plain(name: &str, column: ArrayRef) -> Result<ArrayRef> {
        let batch = RecordBatch::try_from_iter([(name, column)])?;
        let schema = plain_schema(&batch.schema());
        let plain = plain_batch(&batch, &schema)?;
        assert_eq!(plain.schema(), schema);
        Ok(Arc::clone(plain.column(0)))
    }

    #[test]
    fn no_dictionary_view_or_large_type_leaves() {
        let nested = DataType::List(Arc::new(Field::new(
            "item",
            DataType::Struct(vec![Field::new("a", DataType::Utf8View, false)].into()),
            false,
        )));
        let item = Field::new("a", DataType::Utf8, true);
        let item = Arc::new(Field::new("item", DataType::Struct(vec![item].into()), true));
        assert_eq!(plain_type(&nested), DataType::List(item));
        let key = Box::new(DataType::Int32);
        assert_eq!(plain_type(&DataType::Dictionary(key, Box::new(DataType::LargeUtf8))), DataType::Utf8);
    }

    #[test]
    fn values_survive_the_cast() {
        let dictionary: DictionaryArray<Int8Type> =
            [Some("good"), None, Some("bad"), Some("good")].into_iter().collect();
        let words = plain("quality", Arc::new(dictionary)).unwrap();
        assert_eq!(
            words.as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("good"), None, Some("bad"), Some("good")]
        );
        let views =
            plain("text", Arc::new(StringViewArray::from(vec![Some("a long string, not inlined"), None]))).unwrap();
        assert_eq!(views.as_string::<i32>().value(0), "a long string, not inlined");
        let seconds = plain("t", Arc::new(TimestampSecondArray::from(vec![1_700_000_000]))).unwrap();
        assert_eq!(seconds.as_primitive::<TimestampNanosecondType>().value(0), 1_700_000_000_000_000_000);
        let lists: ListArray = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
        assert_eq!(plain("l", Arc::new(lists)).unwrap().as_list::<i32>().value(0).len(), 2);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(Arc::ptr_eq(&plain("n", Arc::clone(&numbers)).unwrap(), &numbers));
    }

    #[test]
    fn a_time_beyond_nanoseconds_is_an_error() {
        let year_3000: ArrayRef = Arc::new(TimestampSecondArray::from(vec![32_503_680_000]));
        assert!(plain("t", year_3000).is_err());
    }
}
