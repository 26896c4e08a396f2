//! Filters whose arithmetic the planner must not look through.
//!
//! DataFusion takes `CAST(time AS DATE) = DATE '2026-01-01'` to say that `time` has one value only,
//! as if casts and divisions lost nothing, and leaves `time` out of sorts. Such conditions are
//! handed to it as calls of a function that it knows nothing of and that returns what it is given.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Filter, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

/// The function, as EXPLAIN shows it.
const NAME: &str = "holds";

/// The function.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::from(Holds { signature: Signature::exact(vec![DataType::Boolean], Volatility::Immutable) })
}

/// An optimized plan with such conditions hidden.
pub(crate) fn hide(plan: LogicalPlan) -> Result<LogicalPlan> {
    let function = Arc::new(function());
    let hidden = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
        let conditions = split_conjunction_owned(filter.predicate).into_iter();
        let conditions = conditions.map(|condition| match computes(&condition) {
            Ok(true) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&function), vec![condition]))),
            Ok(false) => Ok(condition),
            Err(error) => Err(error),
        });
        let predicate = conjunction(conditions.collect::<Result<Vec<_>>>()?);
        let predicate = predicate.ok_or_else(|| DataFusionError::Internal("a filter has no condition".to_owned()))?;
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
    })?;
    Ok(hidden.data)
}

/// Whether a condition compares something computed. Several conditions may do so together, so it
/// does not matter how it compares.
fn computes(condition: &Expr) -> Result<bool> {
    condition.exists(|expr| {
        Ok(match expr {
            Expr::Cast(_) | Expr::TryCast(_) | Expr::Negative(_) => true,
            Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(
                op,
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
            ),
            _ => false,
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Holds {
    signature: Signature,
}

impl ScalarUDFImpl for Holds {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = || DataFusionError::Plan(format!("{NAME} takes one condition"));
        args.args.into_iter().next().ok_or_else(one)
    }
}
