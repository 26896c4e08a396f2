//! The plan node that reads samples.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::AcrossPartitions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{ConstExpr, EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Gauge, Metric, MetricValue, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, SortOrderPushdownResult,
};
use datafusion::scalar::ScalarValue;
use tagus_engine::scan::Order;
use tagus_engine::segment::ReadMetrics;

use super::batch::Layout;
use super::plan::{SamplePlan, Sorted};
use super::predicate::Predicate;
use super::{column, schema, statistics, stream};
use crate::context::Reading;
use crate::output::ZONE;

/// Reads samples as its [`SamplePlan`] says. It holds no handle of the engine: that comes from the
/// session when it is executed, so that the node can be sent elsewhere.
#[derive(Debug)]
pub(crate) struct SampleScanExec {
    plan: Arc<SamplePlan>,
    layout: Layout,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// What all partitions read together.
    read: Arc<ReadMetrics>,
    /// Filters that a join fills while it runs: they can only spare tags, and a copy of the plan
    /// does without them.
    hints: Vec<Arc<dyn PhysicalExpr>>,
}

impl SampleScanExec {
    pub(crate) fn new(plan: SamplePlan) -> Result<SampleScanExec> {
        let layout = Layout::new(&schema(), &plan.projection)?;
        let properties = PlanProperties::new(
            equivalences(&plan, layout.schema())?,
            Partitioning::UnknownPartitioning(plan.spec.partitions().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(SampleScanExec {
            plan: Arc::new(plan),
            layout,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            read: Arc::default(),
            hints: Vec::new(),
        })
    }

    /// The same node with another plan.
    fn replanned(&self, plan: SamplePlan) -> Result<Arc<SampleScanExec>> {
        Ok(Arc::new(SampleScanExec { hints: self.hints.clone(), ..SampleScanExec::new(plan)? }))
    }

    /// The newest (or oldest) `limit` rows of each tag, for a sort by time that keeps no more.
    /// `None` where `order` does not begin with the time or the rows are limited already.
    pub(crate) fn with_ends_only(
        &self,
        order: &[PhysicalSortExpr],
        limit: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(sort) = order.first() else { return Ok(None) };
        let column = sort.expr.downcast_ref::<Column>().and_then(|column| self.plan.projection.get(column.index()));
        if column != Some(&column::TIME) || self.plan.spec.limit.is_some() || self.plan.spec.limit_per_tag.is_some() {
            return Ok(None);
        }
        let order = if sort.options.descending { Order::Descending } else { Order::Ascending };
        Ok(Some(self.replanned(self.plan.in_order(order).limited_by_tag(limit))?))
    }

    /// The same rows, each tag's newest first. `None` where a limit chose the rows by their order.
    pub(crate) fn backwards(&self) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.plan.spec.limit.is_some() || self.plan.spec.limit_per_tag.is_some() {
            return Ok(None);
        }
        Ok(Some(self.replanned(self.plan.in_order(Order::Descending))?))
    }

    /// What it reads.
    pub(crate) fn plan(&self) -> &SamplePlan {
        &self.plan
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }
}

/// What was read, for EXPLAIN ANALYZE.
pub(crate) fn push_read_metrics(metrics: &mut MetricsSet, read: &ReadMetrics) {
    for (name, count) in [
        ("segments_read", read.segments_read()),
        ("pages_read", read.pages_read()),
        ("pages_skipped", read.pages_skipped()),
        ("bytes_read", read.bytes_read()),
    ] {
        push_gauge(metrics, name, count);
    }
}

fn push_gauge(metrics: &mut MetricsSet, name: &'static str, count: u64) {
    let gauge = Gauge::new();
    gauge.set(usize::try_from(count).unwrap_or(usize::MAX));
    metrics.push(Arc::new(Metric::new(MetricValue::Gauge { name: name.into(), gauge }, None)));
}

/// The column of the output that is column `column` of the table.
fn output_column(plan: &SamplePlan, schema: &SchemaRef, column: usize) -> Option<Arc<dyn PhysicalExpr>> {
    let index = plan.projection.iter().position(|c| *c == column)?;
    Some(Arc::new(Column::new(schema.field(index).name(), index)))
}

/// What is known of the output's order.
fn equivalences(plan: &SamplePlan, schema: &SchemaRef) -> Result<EquivalenceProperties> {
    let tag = output_column(plan, schema, column::TAG);
    let time = output_column(plan, schema, column::TIME).map(|expr| {
        let descending = plan.spec.order == Order::Descending;
        PhysicalSortExpr { expr, options: SortOptions { descending, nulls_first: descending } }
    });
    let mut properties = EquivalenceProperties::new(Arc::clone(schema));
    match &plan.sorted {
        Sorted::OneTag(name) => {
            if let Some(time) = time {
                properties.add_ordering([time]);
            }
            if let Some(tag) = tag {
                let value = ScalarValue::Utf8(Some(name.clone())).cast_to(&tag.data_type(schema)?)?;
                properties.add_constants([ConstExpr::new(tag, AcrossPartitions::Uniform(Some(value)))])?;
            }
        }
        Sorted::ByName => {
            if let Some(expr) = tag {
                let tag = PhysicalSortExpr { expr, options: SortOptions::default() };
                properties.add_ordering([tag].into_iter().chain(time));
            }
        }
        Sorted::ById => {}
    }
    Ok(properties)
}

impl DisplayAs for SampleScanExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (separator, plan) = match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                f.write_str("SampleScanExec: ")?;
                (", ", &self.plan)
            }
            DisplayFormatType::TreeRender => ("\n", &self.plan),
        };
        write!(f, "tags={}", plan.shown.tags)?;
        if plan.shown.from != i64::MIN {
            write!(f, "{separator}from={}", Instant(plan.shown.from))?;
        }
        if plan.shown.to != i64::MAX {
            write!(f, "{separator}to={}", Instant(plan.shown.to))?;
        }
        if !plan.spec.qualities.is_all() {
            let words = tagus_engine::status::Quality::ALL.into_iter().filter(|q| plan.spec.qualities.contains(*q));
            write!(f, "{separator}quality=[{}]", words.map(|q| q.word()).collect::<Vec<_>>().join(", "))?;
        }
        write!(f, "{separator}columns=[{}]", self.layout.names().join(", "))?;
        if plan.spec.order == Order::Descending {
            write!(f, "{separator}order=newest first")?;
        }
        if let Some(limit) = plan.spec.limit {
            write!(f, "{separator}limit={limit}")?;
        }
        if let Some(limit) = plan.spec.limit_per_tag {
            write!(f, "{separator}limit_per_tag={limit}")?;
        }
        if !self.hints.is_empty() {
            write!(f, "{separator}tags from a join")?;
        }
        write!(f, "{separator}partitions={}", self.partitions())
    }
}

/// A time as EXPLAIN shows it.
struct Instant(i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = ScalarValue::TimestampNanosecond(Some(self.0), Some(ZONE.into()));
        let shown = value.to_array().and_then(|array| {
            let options = arrow::util::display::FormatOptions::default();
            Ok(arrow::util::display::ArrayFormatter::try_new(&array, &options)?.value(0).to_string())
        });
        match shown {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl ExecutionPlan for SampleScanExec {
    fn name(&self) -> &'static str {
        "SampleScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for hint in &self.hints {
            if f(hint)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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
        if partition >= self.partitions() {
            return Err(DataFusionError::Internal(format!("SampleScanExec has no partition {partition}")));
        }
        let reading = Reading::of_task(&context)?;
        let scan = stream::Scan {
            reading,
            plan: Arc::clone(&self.plan),
            layout: self.layout.clone(),
            hints: self.hints.clone(),
            read: Arc::clone(&self.read),
            partition,
        };
        Ok(stream::open(scan, context.memory_pool(), &self.metrics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        let named: BTreeSet<u64> =
            self.plan.spec.cells.iter().flatten().flat_map(|cell| &cell.segments).copied().collect();
        let skipped = self.plan.shown.segments.saturating_sub(named.len()) as u64;
        push_gauge(&mut metrics, "segments_skipped", skipped);
        push_read_metrics(&mut metrics, &self.read);
        Some(metrics)
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::new(statistics::statistics(
            &self.plan,
            self.layout.schema(),
            self.partitions(),
            args.partition().is_some(),
        )))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let node: Arc<dyn ExecutionPlan> = self.replanned(self.plan.limited(limit)).ok()?;
        Some(node)
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.spec.limit.and_then(|limit| usize::try_from(limit).ok())
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters = child_pushdown_result.parent_filters.iter().map(|result| &result.filter);
        let hints: Vec<_> = filters.filter(|filter| Predicate::over_tags(filter).is_some()).cloned().collect();
        // The filters stay where they are in any case.
        let result = FilterPushdownPropagation::all_unsupported(child_pushdown_result);
        // A limit counts all rows, also those that the filter drops later.
        let limited = self.plan.spec.limit.is_some() || self.plan.spec.limit_per_tag.is_some();
        if phase != FilterPushdownPhase::Post || hints.is_empty() || limited {
            return Ok(result);
        }
        let node = SampleScanExec { hints, ..SampleScanExec::new((*self.plan).clone())? };
        Ok(result.with_updated_node(Arc::new(node)))
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        // Turning the order round would choose other rows.
        if self.plan.spec.limit.is_some() || self.plan.spec.limit_per_tag.is_some() {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        match order_of_time(&self.plan, order) {
            Some(order) => Ok(SortOrderPushdownResult::Exact { inner: self.replanned(self.plan.in_order(order))? }),
            None => Ok(SortOrderPushdownResult::Unsupported),
        }
    }
}

/// The order of time in which a scan gives its rows in the order asked for, where there is one.
fn order_of_time(plan: &SamplePlan, order: &[PhysicalSortExpr]) -> Option<Order> {
    let column_of = |sort: &PhysicalSortExpr| {
        let column = sort.expr.downcast_ref::<Column>()?;
        plan.projection.get(column.index()).copied()
    };
    let mut wanted = order.iter().map(|sort| (column_of(sort), sort.options.descending)).peekable();
    match plan.sorted {
        Sorted::OneTag(_) => while wanted.next_if(|(column, _)| *column == Some(column::TAG)).is_some() {},
        Sorted::ByName => {
            wanted.next_if_eq(&(Some(column::TAG), false))?;
        }
        Sorted::ById => return None,
    }
    // One tag has one sample a time: whatever is asked for after time does not matter.
    match wanted.next() {
        Some((Some(column::TIME), true)) => Some(Order::Descending),
        Some((Some(column::TIME), false)) | None => Some(Order::Ascending),
        Some(_) => None,
    }
}
