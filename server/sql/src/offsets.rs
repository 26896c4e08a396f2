//! OFFSET under another sort.
//!
//! DataFusion moves a sort below a node that skips rows unless the node also ends after some: then
//! other rows are skipped than the query says. And it takes the rows that such a node gives for
//! those that it needs: then as many are missing as are skipped. Around the rule that moves sorts,
//! one rule makes of such a node one that only skips, with a far end, above one that only ends; and
//! another takes far ends away, wherever they have been carried.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::GlobalLimitExec;

/// More rows than any archive has, and so many that twice their number is one still.
const FAR: usize = usize::MAX / 4;

/// The two rules.
#[derive(Debug)]
pub(crate) enum Offsets {
    /// Gives nodes that skip far ends.
    Ended,
    /// Takes far ends away.
    Open,
}

impl PhysicalOptimizerRule for Offsets {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|plan| {
            let changed = match self {
                Offsets::Ended => ended(&plan),
                Offsets::Open => opened(&plan),
            };
            Ok(changed.map_or_else(|| Transformed::no(plan), Transformed::yes))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        match self {
            Offsets::Ended => "offsets_ended",
            Offsets::Open => "offsets_open",
        }
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn ended(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let limit = plan.downcast_ref::<GlobalLimitExec>().filter(|limit| limit.skip() > 0)?;
    let mut input = Arc::clone(limit.input());
    if let Some(rows) = limit.fetch() {
        input = Arc::new(GlobalLimitExec::new(input, 0, Some(rows.saturating_add(limit.skip()))));
    }
    Some(Arc::new(GlobalLimitExec::new(input, limit.skip(), Some(FAR))))
}

fn opened(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    plan.fetch().filter(|fetch| *fetch >= FAR)?;
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return Some(Arc::new(GlobalLimitExec::new(Arc::clone(limit.input()), limit.skip(), None)));
    }
    plan.with_fetch(None)
}
