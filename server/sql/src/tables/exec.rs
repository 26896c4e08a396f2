//! The plan node that lists tags or current values.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tagus_engine::tag::TagId;

use super::Listing;
use super::rows::Lister;
use crate::context::Reading;
use crate::samples::Layout;

/// What is listed: plain values, and no handle of the engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct ListingPlan {
    pub(crate) listing: Listing,
    /// The tags, by id; `None` for all.
    pub(crate) tags: Option<Vec<TagId>>,
    /// The columns handed out: positions in the table's schema.
    pub(crate) projection: Vec<usize>,
    /// Rows at most.
    pub(crate) limit: Option<usize>,
    /// How many tags there were when this was planned.
    pub(crate) rows: usize,
}

/// Lists tags as its [`ListingPlan`] says.
#[derive(Debug)]
pub(crate) struct ListingExec {
    plan: Arc<ListingPlan>,
    layout: Layout,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ListingExec {
    pub(crate) fn new(plan: ListingPlan) -> Result<ListingExec> {
        let layout = Layout::new(&plan.listing.schema(), &plan.projection)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(layout.schema())),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(ListingExec {
            plan: Arc::new(plan),
            layout,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// What it lists.
    pub(crate) fn plan(&self) -> &ListingPlan {
        &self.plan
    }
}

impl DisplayAs for ListingExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                f.write_str("ListingExec: ")?;
                ", "
            }
            DisplayFormatType::TreeRender => "\n",
        };
        write!(f, "table={}", self.plan.listing.name())?;
        match &self.plan.tags {
            Some(tags) => write!(f, "{separator}tags={}", tags.len())?,
            None => write!(f, "{separator}tags=all")?,
        }
        write!(f, "{separator}columns=[{}]", self.layout.names().join(", "))?;
        match self.plan.limit {
            Some(limit) => write!(f, "{separator}limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ListingExec {
    fn name(&self) -> &'static str {
        "ListingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reading = Reading::of_task(&context)?;
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let lister = Lister::new(&reading, &self.plan, self.layout.clone());
        let batches = stream::iter(lister).inspect(move |batch| {
            if let Ok(batch) = batch {
                rows.add(batch.num_rows());
            }
        });
        let schema = Arc::clone(self.layout.schema());
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed()))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.plan.limit.map_or(self.plan.rows, |limit| limit.min(self.plan.rows));
        // Tags without any sample have no current value.
        let rows = match self.plan.listing {
            Listing::Tags => Precision::Exact(rows),
            Listing::CurrentValues => Precision::Inexact(rows),
        };
        Ok(Arc::new(Statistics::new_unknown(self.layout.schema()).with_num_rows(rows)))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let node = ListingExec::new(ListingPlan { limit, ..(*self.plan).clone() }).ok()?;
        Some(Arc::new(node))
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.limit
    }
}
