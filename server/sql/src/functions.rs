//! Scalar functions over statuses.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tagus_engine::status::{Quality, Status};

/// Whether a status is good.
pub(crate) const IS_GOOD: &str = "is_good";
/// The name of a status.
pub(crate) const STATUS_NAME: &str = "status_name";

/// The functions of this crate.
pub(crate) fn all() -> Vec<ScalarUDF> {
    let of_status = |name, returns, apply| {
        ScalarUDF::from(StatusFunction {
            name,
            signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable),
            returns,
            apply,
        })
    };
    vec![of_status(IS_GOOD, DataType::Boolean, is_good), of_status(STATUS_NAME, DataType::Utf8, status_name)]
}

/// A function of one status; NULL where that is no status.
#[derive(Debug, PartialEq, Eq, Hash)]
struct StatusFunction {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    apply: fn(&mut dyn Iterator<Item = Option<Status>>) -> ArrayRef,
}

impl ScalarUDFImpl for StatusFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [status] = args.args.as_slice() else {
            return Err(DataFusionError::Plan(format!("{} takes one status", self.name)));
        };
        let scalar = matches!(status, ColumnarValue::Scalar(_));
        let codes = status.to_array(if scalar { 1 } else { args.number_rows })?;
        let codes = codes
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| DataFusionError::Plan(format!("{} takes a status, an integer", self.name)))?;
        let result = (self.apply)(&mut codes.iter().map(|code| u32::try_from(code?).ok().map(Status)));
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn is_good(statuses: &mut dyn Iterator<Item = Option<Status>>) -> ArrayRef {
    Arc::new(statuses.map(|status| status.map(|status| status.quality() == Quality::Good)).collect::<BooleanArray>())
}

fn status_name(statuses: &mut dyn Iterator<Item = Option<Status>>) -> ArrayRef {
    Arc::new(statuses.map(|status| status.map(|status| status.to_string())).collect::<StringArray>())
}
