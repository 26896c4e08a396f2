//! From the engine's rows to Arrow.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use std::ops::Range;
use tagus_engine::Engine;
use tagus_engine::TagTable;
use tagus_engine::sample::Rows;
use tagus_engine::scan::ScanBatch;
use tagus_engine::status::Quality;
use tagus_engine::tag::{Tag, TagId, TagType};

use super::column;
use crate::output::ZONE;

/// Text bytes of one batch beyond which it is cut.
const TEXT_BYTES_CUT: usize = 1 << 20;
/// The largest integer up to which all integers are doubles.
const DOUBLE_INTEGER_MAX: u64 = 1 << 53;

/// Which columns a batch gets.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    schema: SchemaRef,
    projection: Arc<[usize]>,
}

impl Layout {
    /// Columns `projection` of a table of schema `table`.
    pub(crate) fn new(table: &Schema, projection: &[usize]) -> Result<Layout> {
        Ok(Layout { schema: Arc::new(table.project(projection)?), projection: projection.into() })
    }

    /// The schema of the batches.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns: positions in the table's schema.
    pub(crate) fn projection(&self) -> &[usize] {
        &self.projection
    }

    /// Names of the columns.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }
}

/// Finds tags by id, also those created after the query began.
pub(crate) struct TagNames {
    pub(crate) tags: Arc<TagTable>,
    pub(crate) engine: Engine,
}

impl TagNames {
    fn get(&mut self, id: TagId) -> Result<Arc<Tag>> {
        if let Some(tag) = self.tags.get(id) {
            return Ok(Arc::clone(tag));
        }
        self.tags = self.engine.tags();
        let tag = self.tags.get(id).map(Arc::clone);
        tag.ok_or_else(|| DataFusionError::Internal(format!("no tag has number {}", id.0)))
    }
}

/// Rows of one tag.
struct Run {
    tag: Arc<Tag>,
    rows: Range<usize>,
}

/// Turns rows into batches: one, or several where texts are large.
pub(crate) fn to_arrow(batch: &ScanBatch, layout: &Layout, names: &mut TagNames) -> Result<Vec<RecordBatch>> {
    let runs = batch.runs.iter().map(|(id, rows)| Ok(Run { tag: names.get(*id)?, rows: rows.clone() }));
    let runs = runs.collect::<Result<Vec<Run>>>()?;
    let mut batches = Vec::with_capacity(1);
    let mut start = 0;
    while start < batch.len {
        let (text, end) = if layout.projection.contains(&column::TEXT) {
            text_column(&runs, &batch.rows, start..batch.len)
        } else {
            (None, batch.len)
        };
        batches.push(arrow_batch(&runs, &batch.rows, start..end, text, layout)?);
        start = end;
    }
    Ok(batches)
}

/// The parts of the runs that lie in `rows`.
fn clip<'a>(runs: &'a [Run], rows: &Range<usize>) -> impl Iterator<Item = (&'a Tag, Range<usize>)> {
    let (start, end) = (rows.start, rows.end);
    runs.iter()
        .map(move |run| (&*run.tag, run.rows.start.max(start)..run.rows.end.min(end)))
        .filter(|(_, rows)| !rows.is_empty())
}

fn arrow_batch(
    runs: &[Run],
    rows: &Rows,
    range: Range<usize>,
    text: Option<ArrayRef>,
    layout: &Layout,
) -> Result<RecordBatch> {
    let columns = layout.projection.iter().map(|column| {
        Ok(match *column {
            column::TAG => tag_column(runs, &range)?,
            column::TIME => {
                let times = TimestampNanosecondArray::from_iter_values(rows.times[range.clone()].iter().copied());
                Arc::new(times.with_timezone(ZONE)) as ArrayRef
            }
            column::VALUE => value_column(runs, rows, &range),
            column::TEXT => match &text {
                Some(text) => Arc::clone(text),
                None => Arc::new(StringArray::new_null(range.len())),
            },
            column::QUALITY => quality_column(rows, &range)?,
            column::STATUS => status_column(rows, &range),
            other => return Err(DataFusionError::Internal(format!("samples has no column {other}"))),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(range.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&layout.schema), columns, &options)?)
}

/// One dictionary entry a run.
fn tag_column(runs: &[Run], range: &Range<usize>) -> Result<ArrayRef> {
    let mut keys = Vec::with_capacity(range.len());
    for (key, (_, rows)) in (0_i32..).zip(clip(runs, range)) {
        keys.extend(std::iter::repeat_n(key, rows.len()));
    }
    let names = StringArray::from_iter_values(clip(runs, range).map(|(tag, _)| tag.spec.name.as_str()));
    Ok(Arc::new(DictionaryArray::try_new(Int32Array::from(keys), Arc::new(names))?))
}

fn value_column(runs: &[Run], rows: &Rows, range: &Range<usize>) -> ArrayRef {
    let mut values = Vec::with_capacity(range.len());
    let mut absent = !rows.present.is_empty();
    for (tag, rows_of_tag) in clip(runs, range) {
        let bits = rows.values[rows_of_tag].iter();
        match tag.spec.tag_type {
            TagType::Float64 | TagType::Float32 => values.extend(bits.map(|bits| f64::from_bits(*bits))),
            // The nearest double, as the contract says; its digits are in the text.
            TagType::Int64 | TagType::Bool | TagType::Digital => {
                values.extend(bits.map(|bits| bits.cast_signed() as f64));
            }
            TagType::Text => {
                absent = true;
                values.extend(bits.map(|_| 0.0));
            }
        }
    }
    let nulls = absent.then(|| {
        clip(runs, range)
            .flat_map(|(tag, rows_of_tag)| {
                let text = tag.spec.tag_type == TagType::Text;
                rows_of_tag.map(move |i| !text && (rows.present.is_empty() || rows.present[i]))
            })
            .collect()
    });
    Arc::new(Float64Array::new(values.into(), nulls))
}

/// Strings, state names, system states and the digits of large integers of the first rows of
/// `range`, and where they end: before the end of `range` where they are large.
fn text_column(runs: &[Run], rows: &Rows, range: Range<usize>) -> (Option<ArrayRef>, usize) {
    let derived = |tag: &Tag| matches!(tag.spec.tag_type, TagType::Digital | TagType::Int64);
    if rows.texts.is_empty() && !clip(runs, &range).any(|(tag, _)| derived(tag)) {
        return (None, range.end);
    }
    let mut texts = StringBuilder::with_capacity(range.len(), 1024);
    for (tag, rows_of_tag) in clip(runs, &range) {
        for i in rows_of_tag {
            match rows.value(i).filter(|_| derived(tag)).map(u64::cast_signed) {
                Some(code) if tag.spec.tag_type == TagType::Digital => {
                    texts.append_option(tag.spec.state_name(code).map(|name| &**name));
                }
                Some(value) if value.unsigned_abs() > DOUBLE_INTEGER_MAX => texts.append_value(value.to_string()),
                _ => texts.append_option(rows.text(i)),
            }
            if texts.values_slice().len() >= TEXT_BYTES_CUT {
                return (Some(Arc::new(texts.finish())), i + 1);
            }
        }
    }
    (Some(Arc::new(texts.finish())), range.end)
}

fn quality_column(rows: &Rows, range: &Range<usize>) -> Result<ArrayRef> {
    static WORDS: LazyLock<Arc<StringArray>> =
        LazyLock::new(|| Arc::new(StringArray::from_iter_values(Quality::ALL.map(Quality::word))));
    let keys: Int8Array = range.clone().map(|i| rows.status(i).quality() as i8).collect();
    Ok(Arc::new(DictionaryArray::try_new(keys, Arc::clone(&*WORDS) as ArrayRef)?))
}

fn status_column(rows: &Rows, range: &Range<usize>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(range.clone().map(|i| i64::from(rows.status(i).0))))
}
