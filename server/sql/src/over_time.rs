//! Aggregate functions over samples as a process is seen: weighted by time.
//!
//! `time_average(value, time [, 'step'])` and `time_integral(value, time [, 'step'])`: over the samples
//! of the group in order of time, whatever their order in the input; the trapezoid from each to the
//! next or, with 'step', the value that holds until the next. Nothing lies beyond the group's samples.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, TimestampNanosecondType};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use datafusion::scalar::ScalarValue;

use crate::output::{ZONE, time_type};

/// The functions of this module.
pub(crate) fn all() -> [AggregateUDF; 2] {
    [Answer::Average, Answer::Integral].map(|answer| AggregateUDF::from(OverTime::new(answer)))
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Answer {
    /// In units of the value.
    Average,
    /// In units of the value times seconds.
    Integral,
}

#[derive(PartialEq, Eq, Hash, Debug)]
struct OverTime {
    answer: Answer,
    signature: Signature,
}

impl OverTime {
    fn new(answer: Answer) -> OverTime {
        let (value, time) = (DataType::Float64, time_type());
        let plain = TypeSignature::Exact(vec![value.clone(), time.clone()]);
        let stepped = TypeSignature::Exact(vec![value, time, DataType::Utf8]);
        OverTime { answer, signature: Signature::one_of(vec![plain, stepped], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for OverTime {
    fn name(&self) -> &str {
        match self.answer {
            Answer::Average => "time_average",
            Answer::Integral => "time_integral",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, of: DataType| {
            Arc::new(Field::new_list(format!("{}[{name}]", args.name), Field::new_list_field(of, true), true))
        };
        Ok(vec![list("times", time_type()), list("values", DataType::Float64)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(DataFusionError::Plan(format!("{} takes no DISTINCT: leave it out", self.name())));
        }
        let stepped = match args.exprs.get(2) {
            None => false,
            Some(word) => match word.downcast_ref::<Literal>().and_then(|word| word.value().try_as_str().flatten()) {
                Some(word) if word.eq_ignore_ascii_case("step") => true,
                _ => {
                    let name = self.name();
                    return Err(DataFusionError::Plan(format!(
                        "the third argument of {name} is no 'step'; write 'step' or leave it out"
                    )));
                }
            },
        };
        Ok(Box::new(Points { answer: self.answer, stepped, times: Vec::new(), values: Vec::new() }))
    }
}

/// The samples of a group.
#[derive(Debug)]
struct Points {
    answer: Answer,
    stepped: bool,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Points {
    fn extend(&mut self, values: &ArrayRef, times: &ArrayRef) {
        let (values, times) = (values.as_primitive::<Float64Type>(), times.as_primitive::<TimestampNanosecondType>());
        if values.null_count() == 0 && times.null_count() == 0 {
            self.values.extend_from_slice(values.values());
            self.times.extend_from_slice(times.values());
            return;
        }
        for (value, time) in values.iter().zip(times) {
            if let (Some(value), Some(time)) = (value, time) {
                self.values.push(value);
                self.times.push(time);
            }
        }
    }

    fn sort(&mut self) -> Result<()> {
        if !self.times.is_sorted() {
            let mut order: Vec<usize> = (0..self.times.len()).collect();
            order.sort_unstable_by_key(|i| self.times[*i]);
            self.times = order.iter().map(|i| self.times[*i]).collect();
            self.values = order.iter().map(|i| self.values[*i]).collect();
        }
        let Some(pair) = self.times.windows(2).find(|pair| pair[0] == pair[1]) else { return Ok(()) };
        let time = ScalarValue::TimestampNanosecond(Some(pair[0]), Some(ZONE.into()));
        Err(DataFusionError::Execution(format!(
            "averaging over time failed: a group has two values at {time}; group by tag, too"
        )))
    }

    /// In values times seconds.
    fn integral(&self) -> f64 {
        let pairs = self.times.windows(2).zip(self.values.windows(2));
        let sum: f64 = pairs
            .map(|(times, values)| {
                let end = if self.stepped { values[0] } else { values[1] };
                seconds(times[0], times[1]) * (values[0] / 2.0 + end / 2.0)
            })
            .sum();
        // The sum of nothing is -0.
        sum + 0.0
    }
}

fn seconds(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64 / 1e9
}

impl Accumulator for Points {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.extend(&values[0], &values[1]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (times, values): (&ListArray, &ListArray) = (states[0].as_list(), states[1].as_list());
        for i in 0..times.len() {
            if times.is_valid(i) && values.is_valid(i) {
                self.extend(&values.value(i), &times.value(i));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let times = TimestampNanosecondArray::from(std::mem::take(&mut self.times)).with_timezone(ZONE);
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let list =
            |array: ArrayRef| ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(array).build_list_array()));
        Ok(vec![list(Arc::new(times)), list(Arc::new(values))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.sort()?;
        let answer = match (self.answer, self.times.as_slice()) {
            (_, []) => None,
            (Answer::Average, [_]) => Some(self.values[0]),
            (Answer::Average, [first, .., last]) => Some(self.integral() / seconds(*first, *last)),
            (Answer::Integral, _) => Some(self.integral()),
        };
        Ok(ScalarValue::Float64(answer))
    }

    fn size(&self) -> usize {
        size_of::<Points>() + self.times.capacity() * size_of::<i64>() + self.values.capacity() * size_of::<f64>()
    }
}
