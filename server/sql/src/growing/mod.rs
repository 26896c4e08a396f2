//! Functions whose result is much larger than their arguments, and texts repeated in every row.
//!
//! What functions return is not seen by the memory pool: all results of one batch are alive at once,
//! in each partition, before any node that reserves memory sees them. A share of the memory for
//! queries is kept for them:
//!
//! - Functions that make lists of any length or types of any size are not offered (the table
//!   function `generate_series` is, and streams).
//! - Those that make strings or lists longer than their arguments are bounded before they run, by
//!   value and by batch. The calls of one query divide the share among themselves; so do
//!   expressions that only copy, since they copy what such a call made.
//! - A constant stands in each row of a batch once it is a column: the constants of a plan are
//!   bounded together.
//! - As window functions, aggregates that collect would return all rows for each row.
//!
//! The planner makes some calls itself, from operators and syntax, past the functions that are
//! registered: these are replaced when a plan is analyzed.

mod constants;
mod joined;
mod sizes;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature,
};

use arrow::datatypes::{DataType, FieldRef};

use crate::error::{SqlError, SqlErrorKind};
use sizes::Growth;

/// Functions that make lists of any length, or whose types double with each call.
const NOT_OFFERED: [&str; 8] =
    ["generate_series", "range", "array_repeat", "array_resize", "struct", "named_struct", "map", "arrays_zip"];
/// Aggregates that collect their rows.
const COLLECTING: [&str; 2] = ["array_agg", "string_agg"];
/// Rows of a batch, as DataFusion cuts them.
const BATCH_ROWS: usize = 8192;
/// The longest value, between these: as long as a batch of such values fits the share.
const VALUE_BYTES: (usize, usize) = (64 << 10, 1 << 20);
/// What a batch may hold of repeated constants in any case.
const CONSTANT_BYTES_MIN: usize = 64 << 20;

/// The bounded functions, and what they may use.
pub(crate) struct Growing {
    functions: Vec<(Arc<ScalarUDF>, Growth)>,
    /// Bytes for the results of one query's calls.
    share: usize,
    partitions: usize,
}

/// What one call may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Allowance {
    /// Bytes of one value.
    value: u128,
    /// Bytes of all values of a batch.
    batch: u128,
}

impl Growing {
    /// Takes the functions that are not offered out of `state`, and the bounded ones too:
    /// [`Growing::bind`] gives them back.
    pub(crate) fn new(state: &mut SessionState, memory_limit: usize, partitions: usize) -> Result<Growing> {
        for name in NOT_OFFERED {
            state.deregister_udf(name)?;
        }
        let mut functions = vec![(Arc::new(joined::function()), Growth::Sum)];
        for (name, growth) in sizes::BOUNDED {
            if let Some(inner) = state.deregister_udf(name)? {
                functions.push((inner, growth));
            }
        }
        let growing = Growing { functions, share: memory_limit / 2, partitions: partitions.max(1) };
        growing.register(state, growing.allowance(1))?;
        Ok(growing)
    }

    /// Bounds what a query with so many `calls` uses.
    pub(crate) fn bind(&self, state: &mut SessionState, calls: usize) -> Result<()> {
        let bounded = self.register(state, self.allowance(calls))?;
        state.register_function_rewrite(Arc::new(Rewrite { bounded }))
    }

    fn register(&self, state: &mut SessionState, allowance: Allowance) -> Result<HashMap<String, Arc<ScalarUDF>>> {
        let mut bounded = HashMap::new();
        for (inner, growth) in &self.functions {
            let function = Bounded { inner: Arc::clone(inner), growth: *growth, allowance };
            let function = Arc::new(ScalarUDF::from(function));
            state.register_udf(Arc::clone(&function))?;
            bounded.insert(inner.name().to_owned(), function);
        }
        Ok(bounded)
    }

    fn allowance(&self, calls: usize) -> Allowance {
        let value = (self.share / BATCH_ROWS).clamp(VALUE_BYTES.0, VALUE_BYTES.1);
        let batch = self.share / calls.max(1).saturating_mul(self.partitions);
        Allowance { value: value as u128, batch: batch as u128 }
    }

    /// Refuses an optimized plan that repeats too much in each row.
    pub(crate) fn check_constants(&self, plan: &LogicalPlan) -> std::result::Result<(), SqlError> {
        let bytes = constants::bytes(plan)?;
        let most = self.share.max(CONSTANT_BYTES_MIN) / BATCH_ROWS;
        if bytes <= most || constants::stand_once(plan)? {
            return Ok(());
        }
        Err(SqlError::new(
            SqlErrorKind::Resources,
            format!(
                "the query would repeat {bytes} bytes of constants in each row: at most {most} are allowed; make its texts shorter"
            ),
        ))
    }
}

/// Counts the expressions of a plan that make or copy values, and refuses what cannot be bounded.
pub(crate) fn count_calls(plan: &LogicalPlan) -> std::result::Result<usize, SqlError> {
    let mut calls = 0;
    let mut refused: Option<String> = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                calls += usize::from(makes_values(expr));
                refused = refused.take().or_else(|| refusal(expr));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match refused {
        Some(why) => Err(SqlError::invalid(why)),
        None => Ok(calls),
    }
}

fn makes_values(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarFunction(_)
            | Expr::HigherOrderFunction(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. })
    )
}

fn refusal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::ScalarFunction(call) if NOT_OFFERED.contains(&call.func.name()) => {
            Some(format!("{}() is refused: its results have no bound; select plain columns", call.func.name()))
        }
        Expr::WindowFunction(window) if COLLECTING.contains(&window.fun.name()) => Some(format!(
            "{}() with OVER is refused: each row would hold all rows; use it with GROUP BY",
            window.fun.name()
        )),
        _ => None,
    }
}

/// Replaces calls by bounded ones.
#[derive(Debug)]
struct Rewrite {
    bounded: HashMap<String, Arc<ScalarUDF>>,
}

impl FunctionRewrite for Rewrite {
    fn name(&self) -> &'static str {
        "bound_growing_functions"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(call) => match self.bounded.get(call.func.name()) {
                Some(func) => {
                    let func = Arc::clone(func);
                    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args })))
                }
                None => Ok(Transformed::no(Expr::ScalarFunction(call))),
            },
            Expr::BinaryExpr(binary) if joined::is_join_of_strings(&binary, schema) => {
                let Some(func) = self.bounded.get(joined::NAME) else {
                    return Err(DataFusionError::Internal("the operator || has no function".to_owned()));
                };
                let call = ScalarFunction { func: Arc::clone(func), args: vec![*binary.left, *binary.right] };
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// A function that refuses to return too much. It does not simplify itself: what it would become
/// is not bounded.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    allowance: Allowance,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let name = self.name();
        let results = sizes::results(self.growth, args)?;
        let Allowance { value, batch } = self.allowance;
        let message = if results.largest > value {
            format!(
                "{name}() would return a value of {} bytes: at most {value} are allowed; make it shorter",
                results.largest
            )
        } else if results.total > batch {
            format!(
                "{name}() would return {} bytes for one batch of rows: at most {batch} are allowed in this query; make its strings shorter or call fewer functions",
                results.total
            )
        } else {
            return Ok(());
        };
        let error = SqlError::new(SqlErrorKind::Resources, message);
        Err(DataFusionError::External(Box::new(error)))
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arguments)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.inner().invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
