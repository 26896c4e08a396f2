//! The table `samples`: every sample of every tag.

mod batch;
mod exec;
mod plan;
mod predicate;
mod region;
mod statistics;
mod stream;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use batch::{Layout, TagNames, to_arrow};
pub(crate) use exec::{SampleScanExec, push_read_metrics};
pub(crate) use plan::SamplePlan;
pub(crate) use predicate::{matching_tags, only_column};

use region::Bound;

use crate::context::Reading;
use crate::output::time_type;

/// Positions of the columns in [`schema`].
pub(crate) mod column {
    pub(crate) const TAG: usize = 0;
    pub(crate) const TIME: usize = 1;
    pub(crate) const VALUE: usize = 2;
    pub(crate) const TEXT: usize = 3;
    pub(crate) const QUALITY: usize = 4;
    pub(crate) const STATUS: usize = 5;
}

/// The columns of `samples` as plans see them. Tags and qualities are dictionaries here, and plain
/// strings at the doors.
pub(crate) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let words = |key| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
        Arc::new(Schema::new(vec![
            Field::new("tag", words(DataType::Int32), false),
            Field::new("time", time_type(), false),
            Field::new("value", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("quality", words(DataType::Int8), false),
            Field::new("status", DataType::Int64, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The table. It holds nothing: what a query reads from comes with the query's session.
#[derive(Debug)]
pub(crate) struct Samples;

#[async_trait]
impl TableProvider for Samples {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match Bound::of(filter) {
                bound if bound.exact => TableProviderFilterPushDown::Exact,
                bound if bound.helps() => TableProviderFilterPushDown::Inexact,
                _ => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default()
            .with_projection(projection.map(Vec::as_slice))
            .with_filters(Some(filters))
            .with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        let reading = Reading::of(state.config())?;
        let request = plan::Request::new(&args, state.config().target_partitions());
        // Planning reads tag directories, that is, the disk.
        let planned = SpawnedTask::spawn_blocking(move || plan::plan(&reading, request))
            .join()
            .await
            .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
        Ok(ScanResult::new(planned))
    }
}
