//! The constants of a plan that stand in each row.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;

/// Bytes of the constants of a plan that may become columns.
pub(super) fn bytes(plan: &LogicalPlan) -> Result<usize> {
    let mut bytes = 0_usize;
    plan.apply_with_subqueries(|node| {
        // Rows that are written out stand once.
        if matches!(node, LogicalPlan::Values(_)) {
            return Ok(TreeNodeRecursion::Continue);
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if is_only_compared(expr) {
                    return Ok(TreeNodeRecursion::Jump);
                }
                if let Expr::Literal(value, _) = expr {
                    bytes = bytes.saturating_add(heap_bytes(value));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(bytes)
}

fn heap_bytes(value: &ScalarValue) -> usize {
    value.size().saturating_sub(size_of_val(value))
}

/// Whether an expression compares columns with constants: these are never written out.
fn is_only_compared(expr: &Expr) -> bool {
    let plain = |expr: &Expr| matches!(expr, Expr::Column(_) | Expr::Literal(..));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let joins = matches!(op, Operator::StringConcat | Operator::And | Operator::Or);
            !joins && plain(left) && plain(right) && !matches!(**left, Expr::Literal(..))
        }
        Expr::InList(list) => plain(&list.expr) && list.list.iter().all(plain),
        Expr::Like(Like { expr, pattern, .. }) | Expr::SimilarTo(Like { expr, pattern, .. }) => {
            plain(expr) && plain(pattern)
        }
        _ => false,
    }
}

/// Whether a plan makes one row, or those of a list, from nothing.
pub(super) fn stand_once(plan: &LogicalPlan) -> Result<bool> {
    let mut once = true;
    plan.apply_with_subqueries(|node| {
        once &= match node {
            LogicalPlan::Join(_) | LogicalPlan::Unnest(_) | LogicalPlan::RecursiveQuery(_) => false,
            LogicalPlan::EmptyRelation(_) => true,
            other => !other.inputs().is_empty(),
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(once)
}
