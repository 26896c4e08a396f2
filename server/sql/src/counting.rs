//! Lets count(*), min(time) and max(time) be answered while planning, without reading samples.
//!
//! Exact counts cost tag directories, so the scan makes them only where they are the answer: where
//! an aggregation without groups takes nothing else from `samples`. This rule finds such scans and
//! tells the table; DataFusion then replaces the aggregation by what the table answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Alias};
use datafusion::logical_expr::statistics::StatisticsRequest;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, TableScan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::samples::Samples;

/// The rule.
#[derive(Debug)]
pub(crate) struct CountWithoutReading;

impl OptimizerRule for CountWithoutReading {
    fn name(&self) -> &str {
        "count_without_reading"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(Transformed::no(plan)) };
        if !aggregate.group_expr.is_empty() || !aggregate.aggr_expr.iter().all(is_counted) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        match asked(&aggregate.input) {
            Some(input) => {
                let input = Arc::new(input);
                let aggregate =
                    Aggregate::try_new_with_schema(input, aggregate.group_expr, aggregate.aggr_expr, aggregate.schema)?;
                Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
            }
            None => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
        }
    }
}

/// Whether an aggregate follows from the number of rows and their first and last time.
fn is_counted(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(Alias { expr, .. }) => is_counted(expr),
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let plain = params.filter.is_none() && !params.distinct && params.order_by.is_empty();
            plain
                && match (func.name(), params.args.as_slice()) {
                    ("count", [Expr::Literal(value, _)]) => !value.is_null(),
                    ("count", [Expr::Column(column)]) => column.name != "value" && column.name != "text",
                    ("min" | "max", [Expr::Column(column)]) => column.name == "time",
                    _ => false,
                }
        }
        _ => false,
    }
}

/// The same plan with its scan of `samples` asked to count, where there is one with nothing but
/// renaming above it and it is not asked yet.
fn asked(plan: &LogicalPlan) -> Option<LogicalPlan> {
    match plan {
        LogicalPlan::TableScan(scan) if is_samples(scan) && scan.statistics_requests.is_empty() => {
            let mut scan = scan.clone();
            scan.statistics_requests = BTreeSet::from([StatisticsRequest::RowCount]);
            Some(LogicalPlan::TableScan(scan))
        }
        LogicalPlan::Projection(projection) if projection.expr.iter().all(|e| matches!(e, Expr::Column(_))) => {
            let mut projection = projection.clone();
            projection.input = Arc::new(asked(&projection.input)?);
            Some(LogicalPlan::Projection(projection))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let mut alias = alias.clone();
            alias.input = Arc::new(asked(&alias.input)?);
            Some(LogicalPlan::SubqueryAlias(alias))
        }
        _ => None,
    }
}

fn is_samples(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<Samples>())
}
