//! What the process was doing: `interpolated`, `at_time`, `processed` and `plot`.
//!
//! A call becomes a [`Question`], a plain value; which tags it asks for is found out when it is
//! planned. The maths is the engine's.

mod answers;
mod arguments;
mod exec;
mod pieces;
mod question;
mod stream;
mod texts;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use tagus_engine::scan::TagSelection;

pub(crate) use exec::{RetrievalExec, RetrievalPlan};
pub(crate) use question::{Function, Question};

use crate::context::Reading;
use crate::samples;

/// The functions of this module, each with its name.
pub(crate) fn functions() -> impl Iterator<Item = (&'static str, Arc<dyn TableFunctionImpl>)> {
    Function::ALL.into_iter().map(|function| {
        let implementation: Arc<dyn TableFunctionImpl> = Arc::new(Call(function));
        (function.name(), implementation)
    })
}

/// A function that can be called.
#[derive(Debug)]
struct Call(Function);

impl TableFunctionImpl for Call {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let (patterns, question) = arguments::read(self.0, args.exprs())?;
        Ok(Arc::new(Retrieval { patterns, question }))
    }
}

/// A call as a table.
#[derive(Debug)]
struct Retrieval {
    /// Names of tags, or patterns.
    patterns: Vec<String>,
    question: Question,
}

#[async_trait]
impl TableProvider for Retrieval {
    fn schema(&self) -> SchemaRef {
        samples::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match samples::only_column(filter) {
                Some("tag") => TableProviderFilterPushDown::Exact,
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
        let reading = Reading::of(state.config())?;
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema().fields().len()).collect());
        let mut tags = reading.named(&self.patterns)?;
        if let Some(filter) = filters.iter().cloned().reduce(Expr::and)
            && let TagSelection::Ids(mut chosen) = reading.select(Some(&filter))?
        {
            chosen.sort_unstable();
            tags.retain(|tag| chosen.binary_search(tag).is_ok());
        }
        if tags.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema().project(&projection)?))));
        }
        let plan = RetrievalPlan {
            question: self.question.clone(),
            partitions: exec::spread(&tags, state.config().target_partitions()),
            projection,
            limit,
        };
        Ok(Arc::new(RetrievalExec::new(plan)?))
    }
}
