//! Values that a client gives apart from the text: `$1`, `$2`, ..., or `?` one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::SqlError;
use crate::output::plain_type;

/// Most parameters of one statement.
pub const PARAMETERS_MAX: usize = 1024;

/// Numbers the `?` of a statement.
pub(crate) fn number(tokens: &mut [TokenWithSpan]) -> Result<(), SqlError> {
    let mut marks = 0;
    let mut numbered = false;
    for TokenWithSpan { token, .. } in tokens {
        match token {
            Token::Question => {
                marks += 1;
                *token = Token::Placeholder(format!("${marks}"));
            }
            Token::Placeholder(_) => numbered = true,
            _ => {}
        }
    }
    if marks > 0 && numbered {
        return Err(SqlError::invalid("the SQL mixes ? with $1; use one of them"));
    }
    Ok(())
}

/// The parameters of a statement by number, with the types that their places ask for, as clients
/// are to send them. One of unknown type is a string.
pub(crate) fn of_plan(plan: &LogicalPlan) -> Result<SchemaRef, SqlError> {
    let mut types: BTreeMap<usize, DataType> = BTreeMap::new();
    for (name, field) in plan.get_parameter_fields()? {
        let data_type = field.map_or(DataType::Null, |field| field.data_type().clone());
        types.insert(number_of(&name)?, data_type);
    }
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for expr in [&limit.fetch, &limit.skip].into_iter().flatten() {
                if let Expr::Placeholder(placeholder) = &**expr
                    && let Ok(number) = number_of(&placeholder.id)
                {
                    types.insert(number, DataType::Int64);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let last = types.keys().next_back().copied().unwrap_or(0);
    let fields = (1..=last).map(|number| {
        let data_type = match types.get(&number) {
            None | Some(DataType::Null) => DataType::Utf8,
            Some(known) => plain_type(known),
        };
        Field::new(format!("${number}"), data_type, true)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn number_of(name: &str) -> Result<usize, SqlError> {
    let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
    number.filter(|number| (1..=PARAMETERS_MAX).contains(number)).ok_or_else(|| {
        SqlError::invalid(format!("parameter {name} cannot be: write $1 to ${PARAMETERS_MAX}, or ? for each"))
    })
}

/// The statement without values: a NULL of the announced type for each parameter, which gives the
/// result the schema that it will have.
pub(crate) fn typed(plan: LogicalPlan, parameters: &Schema) -> Result<LogicalPlan, SqlError> {
    let nulls = parameters.fields().iter().map(|field| ScalarValue::try_from(field.data_type()));
    bound(plan, nulls.collect::<Result<Vec<_>, _>>()?)
}

/// The statement with the one row of `values` for its parameters.
pub(crate) fn with_values(
    plan: LogicalPlan,
    parameters: &Schema,
    values: Option<&RecordBatch>,
) -> Result<LogicalPlan, SqlError> {
    let given = values.map_or(0, RecordBatch::num_columns);
    if given != parameters.fields().len() {
        return Err(SqlError::invalid(format!(
            "the SQL has {} parameters, and {given} values were given; give one for each",
            parameters.fields().len()
        )));
    }
    let Some(values) = values.filter(|values| values.num_columns() > 0) else { return Ok(plan) };
    if values.num_rows() != 1 {
        return Err(SqlError::invalid(format!(
            "the parameters have {} rows of values; give one row",
            values.num_rows()
        )));
    }
    let scalars = values.columns().iter().zip(parameters.fields()).map(|(column, field)| value(column, field));
    bound(plan, scalars.collect::<Result<Vec<_>, _>>()?)
}

fn value(column: &dyn Array, field: &Field) -> Result<ScalarValue, SqlError> {
    let wrong = |why: String| {
        SqlError::invalid(format!(
            "the value of parameter {} cannot be taken: {why}; send it as {}",
            field.name(),
            field.data_type()
        ))
    };
    let value = ScalarValue::try_from_array(column, 0).map_err(|error| wrong(error.to_string()))?;
    value.cast_to(field.data_type()).map_err(|error| wrong(SqlError::from(error).to_string()))
}

fn bound(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan, SqlError> {
    if values.is_empty() {
        return Ok(plan);
    }
    let values = values.into_iter().map(|value| ScalarAndMetadata::new(value, None)).collect();
    Ok(plan.with_param_values(ParamValues::List(values))?)
}
