//! Sorts of samples by time that need no sorting, or few rows.
//!
//! DataFusion offers a sort to the scan below it, but does not say how many rows it keeps, and does
//! not ask through a filter. This rule looks for both:
//!
//! - A sort by time that keeps n rows needs no more than n rows of any tag. The sort stays: it
//!   chooses among the tags.
//! - One tag's samples are read backwards as well as forwards, and a filter keeps their order.
//!
//! A node that ends after some rows chose them by the order of its input, and from all of its input:
//! below it nothing is turned round, and no filter of a join arrives. DataFusion hides such ends in
//! filters and joins, and lets filters pass through those; a second rule makes them nodes again.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::samples::SampleScanExec;

/// The rule.
#[derive(Debug)]
pub(crate) struct SortsOfSamples;

impl PhysicalOptimizerRule for SortsOfSamples {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_down(|plan| {
            let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(Transformed::no(plan)) };
            if let Some(plan) = with_fewer_rows(sort)? {
                return Ok(Transformed::yes(plan));
            }
            if let Some(plan) = without_sort(sort)? {
                return Ok(Transformed::yes(plan));
            }
            Ok(Transformed::no(plan))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "sorts_of_samples"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Takes limits out of filters and joins.
#[derive(Debug)]
pub(crate) struct LimitsApart;

impl PhysicalOptimizerRule for LimitsApart {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|plan| {
            let hides = plan.is::<FilterExec>() || plan.is::<HashJoinExec>();
            let Some(limit) = plan.fetch().filter(|_| hides) else { return Ok(Transformed::no(plan)) };
            match plan.with_fetch(None) {
                Some(endless) => Ok(Transformed::yes(limited(endless, limit))),
                None => Ok(Transformed::no(plan)),
            }
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "limits_apart"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first rows of each partition of a plan.
fn limited(plan: Arc<dyn ExecutionPlan>, limit: usize) -> Arc<dyn ExecutionPlan> {
    if plan.output_partitioning().partition_count() == 1 {
        Arc::new(GlobalLimitExec::new(plan, 0, Some(limit)))
    } else {
        Arc::new(LocalLimitExec::new(plan, limit))
    }
}

/// The same sort of a scan that gives fewer rows.
fn with_fewer_rows(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (Some(limit), Some(scan)) = (sort.fetch(), sort.input().downcast_ref::<SampleScanExec>()) else {
        return Ok(None);
    };
    let Some(scan) = scan.with_ends_only(sort.expr(), limit)? else { return Ok(None) };
    let sort = SortExec::new(sort.expr().clone(), scan)
        .with_fetch(sort.fetch())
        .with_preserve_partitioning(sort.preserve_partitioning());
    Ok(Some(Arc::new(sort)))
}

/// The sort's input read backwards, where its rows then come as the sort would give them.
fn without_sort(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(input) = backwards(sort.input())? else { return Ok(None) };
    if !input.equivalence_properties().ordering_satisfy(sort.expr().iter().cloned())? {
        return Ok(None);
    }
    Ok(Some(match sort.fetch() {
        None => input,
        Some(limit) => limited(input, limit),
    }))
}

/// A scan under nothing but filters and projections, turned round. `None` where one of them ends
/// after some rows: they are the first ones in the order that the scan has now.
fn backwards(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<SampleScanExec>() {
        return scan.backwards();
    }
    if plan.fetch().is_some() || (!plan.is::<FilterExec>() && !plan.is::<ProjectionExec>()) {
        return Ok(None);
    }
    let [child] = plan.children()[..] else { return Ok(None) };
    match backwards(child)? {
        Some(child) => Ok(Some(replace_children_if_necessary(Arc::clone(plan), vec![child])?)),
        None => Ok(None),
    }
}
