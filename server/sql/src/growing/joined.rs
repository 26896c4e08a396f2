//! The operator `||` of strings as a function, so that it can be bounded like one.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions;
use datafusion::scalar::ScalarValue;

/// Its name.
pub(super) const NAME: &str = "||";

/// Whether an expression joins strings (and not lists).
pub(super) fn is_join_of_strings(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    // Types are found by walking the whole tree: only where they matter.
    if binary.op != Operator::StringConcat {
        return false;
    }
    match (binary.left.get_type(schema), binary.right.get_type(schema)) {
        (Ok(left), Ok(right)) => coercer(&left, &right).get_result_type().is_ok_and(|joined| is_string(&joined)),
        _ => false,
    }
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn coercer<'a>(left: &'a DataType, right: &'a DataType) -> BinaryTypeCoercer<'a> {
    BinaryTypeCoercer::new(left, &Operator::StringConcat, right)
}

/// The function.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(Joined { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = arguments else { return Err(two_arguments()) };
        let (left, right) = coercer(left, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let [left, right] = arguments else { return Err(two_arguments()) };
        coercer(left, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(NAME, self.return_type(&types)?, nullable)))
    }

    /// Evaluates the operator itself, so that NULL and types stay what they are for it.
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let fields = columns.iter().zip(["a", "b"]).map(|(c, name)| Field::new(name, c.data_type().clone(), true));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?;
        let column = |name, index| Arc::new(expressions::Column::new(name, index)) as Arc<dyn PhysicalExpr>;
        let operator = expressions::BinaryExpr::new(column("a", 0), Operator::StringConcat, column("b", 1));
        let joined = operator.evaluate(&batch)?.into_array(rows)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(joined))
    }
}

fn two_arguments() -> DataFusionError {
    DataFusionError::Plan("the operator || has two sides".to_owned())
}
