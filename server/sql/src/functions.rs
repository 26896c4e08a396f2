//! Scalar functions over statuses.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use tagus_engine::status::{Quality, Status};

/// Whether a status is good.
pub(crate) const IS_GOOD: &str = "is_good";
/// The name of a status.
pub(crate) const STATUS_NAME: &str = "status_name";

/// The functions of this crate.
pub(crate) fn all() -> Vec<ScalarUDF> {
    [Answer::IsGood, Answer::Name].map(|answer| ScalarUDF::from(StatusFunction::new(answer))).into()
}

/// What is asked of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    IsGood,
    Name,
}

impl Answer {
    fn of(self, statuses: impl Iterator<Item = Option<Status>>) -> ArrayRef {
        match self {
            Answer::IsGood => {
                let good = statuses.map(|status| status.map(|status| status.quality() == Quality::Good));
                Arc::new(good.collect::<BooleanArray>())
            }
            Answer::Name => {
                // Info bits say how an answer was made, not what it is.
                let name = |status: Status| status.name().map_or_else(|| status.to_string(), str::to_owned);
                let names = statuses.map(|status| status.map(name));
                Arc::new(names.collect::<StringArray>())
            }
        }
    }
}

/// A function of one status; NULL where that is no status.
#[derive(Debug, PartialEq, Eq, Hash)]
struct StatusFunction {
    answer: Answer,
    signature: Signature,
}

impl StatusFunction {
    fn new(answer: Answer) -> StatusFunction {
        StatusFunction { answer, signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for StatusFunction {
    fn name(&self) -> &str {
        match self.answer {
            Answer::IsGood => IS_GOOD,
            Answer::Name => STATUS_NAME,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::IsGood => DataType::Boolean,
            Answer::Name => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wrong = || DataFusionError::Plan(format!("{} takes one status, an integer", self.name()));
        let [status] = args.args.as_slice() else { return Err(wrong()) };
        let scalar = matches!(status, ColumnarValue::Scalar(_));
        let codes = status.to_array(if scalar { 1 } else { args.number_rows })?;
        let codes = codes.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let answers = self.answer.of(codes.iter().map(|code| u32::try_from(code?).ok().map(Status)));
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?)
        } else {
            ColumnarValue::Array(answers)
        })
    }
}
