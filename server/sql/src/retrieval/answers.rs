//! From answers to Arrow: the columns of `samples`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, TimestampNanosecondArray,
};
use datafusion::error::{DataFusionError, Result};
use tagus_engine::retrieval::{Answers, Output};
use tagus_engine::status::{Quality, Status};
use tagus_engine::tag::{Tag, TagType};

use super::texts::Texts;
use crate::output::ZONE;
use crate::samples::{Layout, column};

/// Answers of several tags, tag after tag.
#[derive(Default)]
pub(super) struct Collected {
    tags: Vec<(Arc<Tag>, Range<usize>)>,
    times: Vec<i64>,
    values: Vec<Option<f64>>,
    texts: Vec<Option<Arc<str>>>,
    statuses: Vec<u32>,
    text_bytes: usize,
}

impl Collected {
    /// The number of answers.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Bytes of all texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Takes the answers of a tag out of `answers`. What stands for a value of the tag is given back its
    /// type: a whole number, the name of a state, a text.
    pub(super) fn take(&mut self, tag: &Arc<Tag>, answers: &mut Answers, output: Output, texts: &Texts) {
        let start = self.len();
        self.times.append(&mut answers.times);
        self.statuses.append(&mut answers.statuses);
        for value in answers.values.drain(..) {
            let (value, text) = typed(tag, value, output, texts);
            self.values.push(value);
            self.text_bytes += text.as_ref().map_or(0, |text| text.len());
            self.texts.push(text);
        }
        let end = self.len();
        match self.tags.last_mut() {
            Some((last, range)) if last.id == tag.id => range.end = end,
            _ if start < end => self.tags.push((Arc::clone(tag), start..end)),
            _ => {}
        }
    }

    /// As a batch.
    pub(super) fn batch(self, layout: &Layout) -> Result<RecordBatch> {
        let rows = self.len();
        let columns = layout.projection().iter().map(|column| {
            Ok(match *column {
                column::TAG => self.tag_column()?,
                column::TIME => {
                    let times = TimestampNanosecondArray::from_iter_values(self.times.iter().copied());
                    Arc::new(times.with_timezone(ZONE)) as ArrayRef
                }
                column::VALUE => Arc::new(Float64Array::from_iter(self.values.iter().copied())),
                column::TEXT => Arc::new(StringArray::from_iter(self.texts.iter().map(Option::as_deref))),
                column::QUALITY => {
                    let keys: Int8Array = self.statuses.iter().map(|status| Status(*status).quality() as i8).collect();
                    let words = StringArray::from_iter_values(Quality::ALL.map(Quality::word));
                    Arc::new(DictionaryArray::try_new(keys, Arc::new(words))?)
                }
                column::STATUS => Arc::new(Int64Array::from_iter_values(self.statuses.iter().map(|s| i64::from(*s)))),
                other => return Err(DataFusionError::Internal(format!("samples has no column {other}"))),
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(layout.schema()), columns, &options)?)
    }

    /// One dictionary entry a tag.
    fn tag_column(&self) -> Result<ArrayRef> {
        let mut keys = Vec::with_capacity(self.len());
        for (key, (_, rows)) in (0_i32..).zip(&self.tags) {
            keys.extend(std::iter::repeat_n(key, rows.len()));
        }
        let names = StringArray::from_iter_values(self.tags.iter().map(|(tag, _)| tag.spec.name.as_str()));
        Ok(Arc::new(DictionaryArray::try_new(Int32Array::from(keys), Arc::new(names))?))
    }

    /// The first `rows` answers.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.times.truncate(rows);
        self.values.truncate(rows);
        self.texts.truncate(rows);
        self.statuses.truncate(rows);
        self.tags.retain_mut(|(_, range)| {
            range.end = range.end.min(rows);
            range.start < range.end
        });
    }
}

/// Value and text of an answer.
fn typed(tag: &Tag, value: Option<f64>, output: Output, texts: &Texts) -> (Option<f64>, Option<Arc<str>>) {
    let (Some(number), Output::Source) = (value, output) else { return (value, None) };
    match tag.spec.tag_type {
        TagType::Text => (None, texts.text(number)),
        // Half-way between two whole numbers there is none.
        TagType::Int64 => (Some(number.round()), None),
        TagType::Digital => (value, tag.spec.state_name(number as i64).cloned()),
        TagType::Float64 | TagType::Float32 | TagType::Bool => (value, None),
    }
}
