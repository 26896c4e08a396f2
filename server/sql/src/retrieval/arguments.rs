//! From the arguments of a call to a question.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use tagus_engine::limits::{ANSWERS_PER_TAG_MAX, TAG_NAME_BYTES_MAX};
use tagus_engine::retrieval::{Aggregate, Grid};

use super::question::{Function, Options, Question};
use crate::error::external;
use crate::names;
use crate::output::time_type;

const SECOND: i128 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// The names of the options.
const OPTIONS: [&str; 5] =
    ["TreatUncertainAsBad", "PercentDataBad", "PercentDataGood", "UseSlopedExtrapolation", "Stepped"];

/// Reads a call: the tags' names or patterns, and the question.
pub(super) fn read(function: Function, arguments: &[Expr]) -> Result<(Vec<String>, Question)> {
    let values = arguments.iter().map(|expr| constant(function, expr)).collect::<Result<Vec<_>>>()?;
    let call = Call { function };
    let counted = || {
        let (given, usage) = (values.len(), function.usage());
        call.wrong(format!("it has {given} arguments; call it as {usage}"))
    };
    Ok(match (function, values.as_slice()) {
        (Function::Interpolated, [tags, start, end, step]) => {
            let (start, end) = call.range(start, end)?;
            let step = call.duration(step, "step")?;
            if step == 0 {
                return Err(call.wrong("the step is 0; give one such as '10s'"));
            }
            call.check_rows(Grid::new(start, end, step).len())?;
            (call.patterns(tags)?, Question::Interpolated { start, end, step })
        }
        (Function::AtTime, [tags, times]) => (call.patterns(tags)?, Question::AtTimes(call.times(times)?)),
        (Function::Processed, [tags, aggregate, start, end, interval, options @ ..]) if options.len() < 2 => {
            let aggregate = call.aggregate(aggregate)?.name().to_owned();
            let (start, end) = (call.time(start, "start")?, call.time(end, "end")?);
            if start == end {
                return Err(call.wrong("start and end are the same (Bad_InvalidArgument); give a range of time"));
            }
            let interval = call.duration(interval, "interval")?;
            if !interval.is_multiple_of(MILLISECOND) {
                return Err(call.wrong("the interval is not whole milliseconds; round it"));
            }
            call.check_rows(Grid::new(start, end, interval).len())?;
            let options = options.first().map_or(Ok(Options::default()), |options| call.options(options))?;
            (call.patterns(tags)?, Question::Processed { aggregate, start, end, interval, options })
        }
        (Function::Plot, [tags, start, end, pixels]) => {
            let (start, end) = call.range(start, end)?;
            let pixels = call.pixels(pixels)?;
            (call.patterns(tags)?, Question::Plot { start, end, pixels })
        }
        _ => return Err(counted()),
    })
}

/// The value of an argument.
fn constant(function: Function, expr: &Expr) -> Result<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Ok(value.clone()),
        Expr::Alias(alias) => constant(function, &alias.expr),
        Expr::Placeholder(_) => Err(Call { function }.wrong("parameters are not taken here yet; write the value")),
        _ => Err(Call { function }.wrong(format!(
            "an argument is no constant: {expr}; columns, LATERAL and subqueries are refused, write values or expressions such as now() - INTERVAL '1 hour'"
        ))),
    }
}

/// Reads arguments, and says in whose call they are wrong.
#[derive(Clone, Copy)]
struct Call {
    function: Function,
}

impl Call {
    fn wrong(self, why: impl AsRef<str>) -> DataFusionError {
        DataFusionError::Plan(format!("calling {} failed: {}", self.function.name(), why.as_ref()))
    }

    /// One name or pattern, or a list of them.
    fn patterns(self, value: &ScalarValue) -> Result<Vec<String>> {
        let texts: Vec<Option<String>> = match elements(value) {
            Some(array) => (0..array.len())
                .map(|i| ScalarValue::try_from_array(&array, i).map(|value| text(&value)))
                .collect::<Result<_>>()?,
            None => vec![text(value)],
        };
        let patterns = texts.into_iter().collect::<Option<Vec<_>>>();
        let patterns = patterns.filter(|patterns| !patterns.is_empty());
        let wanted = "tags are a name, a pattern with * and ?, or an array of them, such as ARRAY['a.PV', 'b.*']";
        let patterns = patterns.ok_or_else(|| self.wrong(wanted))?;
        if let Some(long) = patterns.iter().find(|pattern| pattern.len() > TAG_NAME_BYTES_MAX) {
            let bytes = long.len();
            return Err(self.wrong(format!(
                "a tag's name has {bytes} bytes, at most {TAG_NAME_BYTES_MAX} are allowed; shorten it"
            )));
        }
        Ok(patterns)
    }

    fn range(self, start: &ScalarValue, end: &ScalarValue) -> Result<(i64, i64)> {
        let (start, end) = (self.time(start, "start")?, self.time(end, "end")?);
        if start >= end {
            return Err(self.wrong("start is not before end; exchange them or choose a later end"));
        }
        Ok((start, end))
    }

    fn time(self, value: &ScalarValue, what: &str) -> Result<i64> {
        let is_time = match value.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => true,
            _ => text(value).is_some(),
        };
        let cast = if is_time { value.cast_to(&time_type()).ok() } else { None };
        match cast {
            Some(ScalarValue::TimestampNanosecond(Some(time), _)) => Ok(time),
            _ => Err(self.wrong(format!(
                "{what} is {value}, which is no time between 1677 and 2262, or not written as one; write one such as '2026-01-01T12:00:00Z' or now() - INTERVAL '1 hour'"
            ))),
        }
    }

    /// One time or a list of times, ascending.
    fn times(self, value: &ScalarValue) -> Result<Vec<i64>> {
        let mut times = match elements(value) {
            Some(array) => (0..array.len())
                .map(|i| self.time(&ScalarValue::try_from_array(&array, i)?, "a time"))
                .collect::<Result<Vec<_>>>()?,
            None => vec![self.time(value, "the time")?],
        };
        times.sort_unstable();
        Ok(times)
    }

    /// Nanoseconds of an interval. A plain 0 is one, too.
    fn duration(self, value: &ScalarValue, what: &str) -> Result<u64> {
        let shown = shown(value);
        let wrong = |why: &str| self.wrong(format!("the {what} is {shown}: {why}"));
        let interval = match value {
            ScalarValue::Int64(Some(0)) => return Ok(0),
            ScalarValue::IntervalMonthDayNano(_)
            | ScalarValue::IntervalDayTime(_)
            | ScalarValue::IntervalYearMonth(_) => Some(value.clone()),
            // Without a unit it would be months.
            _ => text(value)
                .filter(|text| text.contains(char::is_alphabetic) || text.contains(':') || text == "0")
                .map(|text| ScalarValue::Utf8(Some(if text == "0" { "0s".to_owned() } else { text }))),
        };
        let nanoseconds = DataType::Interval(IntervalUnit::MonthDayNano);
        let interval = interval.and_then(|interval| interval.cast_to(&nanoseconds).ok());
        let Some(ScalarValue::IntervalMonthDayNano(Some(interval))) = interval else {
            return Err(wrong("write an interval such as '10s', '1 minute' or INTERVAL '1 hour'"));
        };
        if interval.months != 0 {
            return Err(wrong("months have no fixed length; write days, which have 24 hours"));
        }
        let nanoseconds = i128::from(interval.days) * 86_400 * SECOND + i128::from(interval.nanoseconds);
        if nanoseconds < 0 {
            return Err(wrong("it is negative; for a request that runs backwards let start come after end"));
        }
        u64::try_from(nanoseconds).map_err(|_| wrong("it is too long"))
    }

    fn aggregate(self, value: &ScalarValue) -> Result<Aggregate> {
        let name =
            text(value).ok_or_else(|| self.wrong("the aggregate is no name; write one such as 'TimeAverage'"))?;
        Aggregate::parse(&name).map_err(|nearest| {
            let advice = match nearest.as_slice() {
                [] => "write one of OPC UA Part 13, such as 'TimeAverage', 'Minimum2' or 'DurationGood'".to_owned(),
                names => format!("did you mean {}?", names.join(", ")),
            };
            let name: String = name.chars().take(60).collect();
            self.wrong(format!("there is no aggregate '{name}'; {advice}"))
        })
    }

    fn pixels(self, value: &ScalarValue) -> Result<u64> {
        let pixels = match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(pixels))) if text(value).is_none() => u64::try_from(pixels).ok(),
            _ => None,
        };
        let pixels = pixels.filter(|pixels| *pixels > 0);
        let pixels = pixels.ok_or_else(|| self.wrong(format!("pixels is {value}; give a whole number above 0")))?;
        self.check_rows(pixels)?;
        Ok(pixels)
    }

    fn check_rows(self, rows: u64) -> Result<()> {
        if rows <= ANSWERS_PER_TAG_MAX {
            return Ok(());
        }
        Err(self.wrong(format!(
            "it would give {rows} rows a tag, at most {ANSWERS_PER_TAG_MAX} are allowed; choose longer intervals or a shorter range"
        )))
    }

    /// `Name=value, ...`
    fn options(self, value: &ScalarValue) -> Result<Options> {
        let wanted = "options are written as 'TreatUncertainAsBad=false, PercentDataGood=50'";
        let given = text(value).ok_or_else(|| self.wrong(wanted))?;
        let mut options = Options::default();
        for option in given.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| self.wrong(wanted))?;
            let (name, value) = (name.trim(), value.trim());
            let known = OPTIONS.iter().find(|known| known.eq_ignore_ascii_case(name));
            let Some(known) = known else {
                let advice = match names::nearest(name, OPTIONS.into_iter()) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => format!("there are {}", OPTIONS.join(", ")),
                };
                let name: String = name.chars().take(60).collect();
                return Err(self.wrong(format!("there is no option '{name}'; {advice}")));
            };
            match *known {
                "TreatUncertainAsBad" => options.treat_uncertain_as_bad = self.flag(known, value)?,
                "UseSlopedExtrapolation" => options.use_sloped_extrapolation = self.flag(known, value)?,
                "Stepped" => options.stepped = Some(self.flag(known, value)?),
                "PercentDataBad" => options.percent_data_bad = self.percent(known, value)?,
                _ => options.percent_data_good = self.percent(known, value)?,
            }
        }
        let rules = tagus_engine::retrieval::Rules {
            percent_data_bad: options.percent_data_bad,
            percent_data_good: options.percent_data_good,
            ..Default::default()
        };
        rules.check().map_err(external)?;
        Ok(options)
    }

    fn flag(self, name: &str, value: &str) -> Result<bool> {
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.wrong(format!("{name} is '{value}'; write true or false"))),
        }
    }

    fn percent(self, name: &str, value: &str) -> Result<u8> {
        let percent = value.trim_end_matches('%').parse().ok().filter(|percent| *percent <= 100);
        percent.ok_or_else(|| self.wrong(format!("{name} is '{value}'; write a whole number from 0 to 100")))
    }
}

/// A value as messages show it.
fn shown(value: &ScalarValue) -> String {
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = value else { return value.to_string() };
    let seconds = interval.nanoseconds as f64 / 1e9;
    let parts = [(f64::from(interval.months), "months"), (f64::from(interval.days), "days"), (seconds, "s")];
    let there: Vec<String> =
        parts.iter().filter(|(count, _)| *count != 0.0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if there.is_empty() { "0 s".to_owned() } else { there.join(" ") }
}

/// The text of a string.
fn text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_owned)
}

/// The elements of a list.
fn elements(value: &ScalarValue) -> Option<ArrayRef> {
    Some(match value {
        ScalarValue::List(list) => list.value(0),
        ScalarValue::LargeList(list) => list.value(0),
        ScalarValue::FixedSizeList(list) => list.value(0),
        _ => return None,
    })
}
