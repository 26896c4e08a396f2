//! Lets "the newest rows of many tags" read only the newest rows of each.
//!
//! A sort by time that keeps n rows needs no more than n rows of any tag. DataFusion offers the
//! sort to the scan, but not how many rows it keeps, so this rule looks for the pair itself. The
//! sort stays: it chooses among the tags.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;

use crate::samples::SampleScanExec;

/// The rule.
#[derive(Debug)]
pub(crate) struct NewestOfEachTag;

impl PhysicalOptimizerRule for NewestOfEachTag {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_down(|plan| match narrowed(&plan)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => Ok(Transformed::no(plan)),
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "newest_of_each_tag"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A sort of a scan with fewer rows, where `plan` is a sort that keeps few of them.
fn narrowed(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(None) };
    let (Some(limit), Some(scan)) = (sort.fetch(), sort.input().downcast_ref::<SampleScanExec>()) else {
        return Ok(None);
    };
    let Some(scan) = scan.with_ends_only(sort.expr(), limit)? else { return Ok(None) };
    let sort = SortExec::new(sort.expr().clone(), scan)
        .with_fetch(sort.fetch())
        .with_preserve_partitioning(sort.preserve_partitioning());
    Ok(Some(Arc::new(sort)))
}
