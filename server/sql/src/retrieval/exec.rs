//! The plan node that answers.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use serde::{Deserialize, Serialize};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::tag::TagId;

use super::question::Question;
use super::stream;
use crate::context::Reading;
use crate::samples::{self, Layout};

/// What is answered: plain values, and no handle of the engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RetrievalPlan {
    pub(crate) question: Question,
    /// The tags of each partition, ascending.
    pub(crate) partitions: Vec<Vec<TagId>>,
    /// The columns handed out: positions in the table's schema.
    pub(crate) projection: Vec<usize>,
    /// Rows of each partition at most.
    pub(crate) limit: Option<usize>,
}

/// Spreads tags over at most so many partitions.
pub(super) fn spread(tags: &[TagId], partitions: usize) -> Vec<Vec<TagId>> {
    tags.chunks(tags.len().div_ceil(partitions.max(1)).max(1)).map(<[TagId]>::to_vec).collect()
}

/// Answers a question as its [`RetrievalPlan`] says.
#[derive(Debug)]
pub(crate) struct RetrievalExec {
    plan: Arc<RetrievalPlan>,
    question: Arc<Question>,
    layout: Layout,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// What all partitions read together.
    read: Arc<ReadMetrics>,
}

impl RetrievalExec {
    pub(crate) fn new(plan: RetrievalPlan) -> Result<RetrievalExec> {
        let layout = Layout::new(&samples::schema(), &plan.projection)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(layout.schema())),
            Partitioning::UnknownPartitioning(plan.partitions.len().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(RetrievalExec {
            question: Arc::new(plan.question.clone()),
            plan: Arc::new(plan),
            layout,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            read: Arc::default(),
        })
    }

    /// What it answers.
    pub(crate) fn plan(&self) -> &RetrievalPlan {
        &self.plan
    }

    fn tags(&self) -> usize {
        self.plan.partitions.iter().map(Vec::len).sum()
    }
}

impl DisplayAs for RetrievalExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                f.write_str("RetrievalExec: ")?;
                ", "
            }
            DisplayFormatType::TreeRender => "\n",
        };
        write!(f, "{}{separator}tags={}", self.question, self.tags())?;
        write!(f, "{separator}columns=[{}]", self.layout.names().join(", "))?;
        if let Some(limit) = self.plan.limit {
            write!(f, "{separator}limit={limit}")?;
        }
        write!(f, "{separator}partitions={}", self.plan.partitions.len())
    }
}

impl ExecutionPlan for RetrievalExec {
    fn name(&self) -> &'static str {
        "RetrievalExec"
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
        let tags = self.plan.partitions.get(partition).cloned();
        let retrieval = stream::Retrieval {
            reading: Reading::of_task(&context)?,
            question: Arc::clone(&self.question),
            tags: tags
                .ok_or_else(|| DataFusionError::Internal(format!("RetrievalExec has no partition {partition}")))?,
            layout: self.layout.clone(),
            limit: self.plan.limit.unwrap_or(usize::MAX),
            read: Arc::clone(&self.read),
            partition,
        };
        Ok(stream::open(retrieval, context.memory_pool(), &self.metrics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        samples::push_read_metrics(&mut metrics, &self.read);
        Some(metrics)
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.question.rows_a_tag().saturating_mul(self.tags() as u64);
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let rows = self.plan.limit.map_or(rows, |limit| limit.min(rows));
        Ok(Arc::new(Statistics::new_unknown(self.layout.schema()).with_num_rows(Precision::Inexact(rows))))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let node = RetrievalExec::new(RetrievalPlan { limit, ..(*self.plan).clone() }).ok()?;
        Some(Arc::new(node))
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.limit
    }
}
