//! Functions whose result is much larger than their arguments.
//!
//! What functions return is not seen by the memory pool, and `repeat('x', 2000000000)` in a list of
//! eight thousand rows would end the process. Those that make lists of any length are not offered
//! (the table function `generate_series` is, and streams); those that make strings are bounded.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{SqlError, SqlErrorKind};

/// Bytes that one call may return for one batch.
const RESULT_BYTES_MAX: u128 = 128 << 20;
/// Functions that make lists of any length.
const NOT_OFFERED: [&str; 4] = ["generate_series", "range", "array_repeat", "array_resize"];
/// Functions that make strings of any length.
const BOUNDED: [&str; 5] = ["repeat", "lpad", "rpad", "replace", "regexp_replace"];

/// Takes the first kind away and bounds the second.
pub(crate) fn bound(state: &mut SessionState) -> Result<()> {
    for name in NOT_OFFERED {
        state.deregister_udf(name)?;
    }
    for name in BOUNDED {
        if let Some(inner) = state.deregister_udf(name)? {
            state.register_udf(Arc::new(ScalarUDF::from(Bounded { inner })))?;
        }
    }
    Ok(())
}

/// A function that refuses to return too much.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl Bounded {
    /// At most how many bytes the call returns.
    fn bytes(&self, args: &ScalarFunctionArgs) -> Result<u128> {
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let array = |at: usize| args.args.get(at).map(|arg| arg.to_array(rows)).transpose();
        let (Some(text), Some(second)) = (array(0)?, array(1)?) else { return Ok(0) };
        let lengths = integers(&length(&text)?)?;
        let factors = match self.inner.name() {
            "repeat" => integers(&second)?,
            "lpad" | "rpad" => {
                // Characters have up to four bytes.
                return Ok(integers(&second)?.into_iter().map(|count| count.saturating_mul(4)).sum());
            }
            _ => match array(2)? {
                Some(replacement) => integers(&length(&replacement)?)?,
                None => return Ok(0),
            },
        };
        // A text may be replaced before, between and after all of its characters.
        let more = u128::from(self.inner.name() != "repeat");
        Ok(lengths.iter().zip(factors).map(|(length, factor)| (length + more).saturating_mul(factor + more)).sum())
    }
}

/// The integers of an array, with NULL and negative ones as 0.
fn integers(array: &ArrayRef) -> Result<Vec<u128>> {
    let array = cast(array, &DataType::Int64)?;
    let integers = array.as_primitive::<Int64Type>();
    let value = |i| if integers.is_null(i) { 0 } else { u128::try_from(integers.value(i)).unwrap_or(0) };
    Ok((0..integers.len()).map(value).collect())
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

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.inner().simplify(args, context)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.bytes(&args)?;
        if bytes > RESULT_BYTES_MAX {
            let message = format!(
                "{}() would return {bytes} bytes for one batch of rows: at most {RESULT_BYTES_MAX} are allowed; make its strings shorter",
                self.name()
            );
            let error = SqlError::new(SqlErrorKind::Resources, message);
            return Err(datafusion::error::DataFusionError::External(Box::new(error)));
        }
        self.inner.inner().invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
