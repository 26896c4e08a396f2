//! Rows of `tags` and `current_values`, a few thousand tags at a time.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
};
use datafusion::error::{DataFusionError, Result};
use tagus_engine::TagTable;
use tagus_engine::sample::Rows;
use tagus_engine::scan::ScanBatch;
use tagus_engine::tag::{Tag, TagId};

use super::{Listing, ListingPlan};
use crate::context::Reading;
use crate::error::external;
use crate::output::ZONE;
use crate::samples::{Layout, TagNames, to_arrow};

/// Tags of one batch.
const TAGS_A_BATCH: usize = 8192;

/// Walks the tags of a listing.
pub(super) struct Lister {
    listing: Listing,
    layout: Layout,
    projection: Vec<usize>,
    tags: Arc<TagTable>,
    names: TagNames,
    wanted: Option<Vec<TagId>>,
    next: usize,
    left: usize,
    ready: std::vec::IntoIter<RecordBatch>,
}

impl Lister {
    pub(super) fn new(reading: &Reading, plan: &ListingPlan, layout: Layout) -> Lister {
        Lister {
            listing: plan.listing,
            layout,
            projection: plan.projection.clone(),
            tags: Arc::clone(&reading.tags),
            names: TagNames { tags: Arc::clone(&reading.tags), engine: reading.engine.clone() },
            wanted: plan.tags.clone(),
            next: 0,
            left: plan.limit.unwrap_or(usize::MAX),
            ready: Vec::new().into_iter(),
        }
    }

    /// The next tags; none at the end.
    fn take(&mut self) -> Vec<Arc<Tag>> {
        let tags: Vec<Arc<Tag>> = match &self.wanted {
            Some(ids) => {
                ids.iter().skip(self.next).take(TAGS_A_BATCH).filter_map(|id| self.tags.get(*id).cloned()).collect()
            }
            None => self.tags.iter().skip(self.next).take(TAGS_A_BATCH).cloned().collect(),
        };
        self.next += TAGS_A_BATCH;
        tags
    }

    fn fill(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        let tags = self.take();
        if tags.is_empty() || self.left == 0 {
            return Ok(None);
        }
        let mut batches = match self.listing {
            Listing::Tags => vec![tags_batch(&tags, &self.projection, &self.layout)?],
            Listing::CurrentValues => self.current(&tags)?,
        };
        for batch in &mut batches {
            *batch = batch.slice(0, batch.num_rows().min(self.left));
            self.left -= batch.num_rows();
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(Some(batches))
    }

    fn current(&mut self, tags: &[Arc<Tag>]) -> Result<Vec<RecordBatch>> {
        let mut batch = ScanBatch::default();
        let mut rows = Rows::default();
        for tag in tags {
            if let Some(row) = self.names.engine.current(tag.id).map_err(external)? {
                rows.push(row.time, &row.cell);
                batch.runs.push((tag.id, batch.len..batch.len + 1));
                batch.len += 1;
            }
        }
        batch.rows = rows;
        to_arrow(&batch, &self.layout, &mut self.names)
    }
}

impl Iterator for Lister {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.next() {
                return Some(Ok(batch));
            }
            match self.fill() {
                Ok(Some(batches)) => self.ready = batches.into_iter(),
                Ok(None) => return None,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn tags_batch(tags: &[Arc<Tag>], projection: &[usize], layout: &Layout) -> Result<RecordBatch> {
    let columns = projection.iter().map(|column| tags_column(tags, *column)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(tags.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(layout.schema()), columns, &options)?)
}

/// Column `column` of `tags`, in the order of its schema. What was not declared is NULL.
fn tags_column(tags: &[Arc<Tag>], column: usize) -> Result<ArrayRef> {
    let specs = tags.iter().map(|tag| &tag.spec);
    let declared = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(match column {
        0 => {
            let names = StringArray::from_iter_values(specs.map(|spec| spec.name.as_str()));
            let keys: Int32Array = (0_i32..).take(tags.len()).collect();
            Arc::new(DictionaryArray::try_new(keys, Arc::new(names))?)
        }
        1 => Arc::new(StringArray::from_iter_values(specs.map(|spec| spec.tag_type.word()))),
        2 => Arc::new(specs.map(|spec| declared(&spec.unit)).collect::<StringArray>()),
        3 => Arc::new(specs.map(|spec| declared(&spec.description)).collect::<StringArray>()),
        4 => Arc::new(StringArray::from_iter_values(specs.map(|spec| spec.interpolation.word()))),
        5 => Arc::new(specs.map(|spec| spec.low).collect::<Float64Array>()),
        6 => Arc::new(specs.map(|spec| spec.high).collect::<Float64Array>()),
        7 => Arc::new(specs.map(|spec| declared(&spec.states_text())).collect::<StringArray>()),
        8 => Arc::new(specs.map(|spec| Some(spec.future)).collect::<BooleanArray>()),
        9 => {
            let created = TimestampNanosecondArray::from_iter_values(tags.iter().map(|tag| tag.created));
            Arc::new(created.with_timezone(ZONE))
        }
        10 => {
            let reduction = specs.map(|spec| spec.reduction.map(|reduction| reduction.to_string()));
            Arc::new(reduction.collect::<StringArray>())
        }
        other => return Err(DataFusionError::Internal(format!("tags has no column {other}"))),
    })
}
