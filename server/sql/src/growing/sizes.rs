//! How large a call's results can be, from the sizes of its arguments: before memory is taken.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// How a function's result grows with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// All arguments one after the other.
    Sum,
    /// The first, as often as the second says.
    Repeat,
    /// As many characters as the second says.
    Pad,
    /// The first, with the third for each occurrence of the second.
    Replace,
    /// The first, with the third, which may hold parts of the first, for each match of the second.
    ReplaceMatches,
    /// All but the first, with the first between them.
    Separated,
    /// The elements of the first as strings, with the second between them, and the third for NULL.
    Listed,
    /// A list of the parts of the first.
    Split,
    /// A list of what each group of the second, a pattern, found in the first.
    Groups,
    /// What the second, a format, makes of a time or number.
    Format,
}

/// Functions that make strings or lists longer than their arguments.
pub(super) const BOUNDED: [(&str, Growth); 21] = [
    ("concat", Growth::Sum),
    ("overlay", Growth::Sum),
    ("array_append", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_union", Growth::Sum),
    ("array_replace", Growth::Listed),
    ("array_replace_n", Growth::Listed),
    ("array_replace_all", Growth::Listed),
    ("make_array", Growth::Sum),
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("replace", Growth::Replace),
    ("regexp_replace", Growth::ReplaceMatches),
    ("concat_ws", Growth::Separated),
    ("array_to_string", Growth::Listed),
    ("string_to_array", Growth::Split),
    ("regexp_match", Growth::Groups),
    ("to_char", Growth::Format),
    ("translate", Growth::Split),
];

/// The most bytes that a format's character becomes: names of days and months, whole dates.
const FORMAT_BYTES_A_CHARACTER: u128 = 32;
/// The most bytes that a number becomes.
const NUMBER_BYTES: u128 = 32;
/// What a part of a string costs in a list beside itself, and what a character grows to.
const PART_BYTES: u128 = 6;

/// The sizes of a call's results, at most.
#[derive(Default)]
pub(super) struct Results {
    pub(super) largest: u128,
    pub(super) total: u128,
}

/// How large the results of a call can be.
pub(super) fn results(growth: Growth, args: &ScalarFunctionArgs) -> Result<Results> {
    let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if all_scalar { 1 } else { args.number_rows };
    let bytes = args.args.iter().map(|arg| PerRow::of(arg, bytes)).collect::<Result<Vec<_>>>()?;
    let second = match (growth, args.args.as_slice()) {
        (Growth::Repeat | Growth::Pad, [_, count, ..]) => PerRow::of(count, integers)?,
        _ => PerRow::Same(0),
    };
    let elements = match (growth, args.args.as_slice()) {
        (Growth::Listed, [list, ..]) => PerRow::of(list, elements)?,
        _ => PerRow::Same(0),
    };
    let mut results = Results::default();
    for row in 0..rows {
        let row = Row { bytes: &bytes, number: second.at(row), elements: elements.at(row), at: row };
        let bytes = row.result(growth);
        results.largest = results.largest.max(bytes);
        results.total = results.total.saturating_add(bytes);
    }
    Ok(results)
}

/// What is known of the arguments in one row.
struct Row<'a> {
    bytes: &'a [PerRow],
    /// The second argument, where it is a number.
    number: u128,
    /// Elements of the first argument, where it is a list.
    elements: u128,
    at: usize,
}

impl Row<'_> {
    fn bytes(&self, argument: usize) -> u128 {
        self.bytes.get(argument).map_or(0, |bytes| bytes.at(self.at))
    }

    fn sum(&self) -> u128 {
        self.bytes.iter().map(|bytes| bytes.at(self.at)).fold(0, u128::saturating_add)
    }

    fn result(&self, growth: Growth) -> u128 {
        let (first, second, third) = (self.bytes(0), self.bytes(1), self.bytes(2));
        match growth {
            Growth::Sum => self.sum(),
            Growth::Repeat => first.saturating_mul(self.number),
            // Characters have up to four bytes.
            Growth::Pad => self.number.saturating_mul(4),
            Growth::Replace => first + (first / second.max(1) + 1).saturating_mul(third),
            // Without flags there is one match at most; a part of the first is named by two bytes.
            Growth::ReplaceMatches if self.bytes.len() == 3 => first + third + first.saturating_mul(third) / 2,
            Growth::ReplaceMatches => (first + 1).saturating_mul(third + 1).saturating_mul(2),
            Growth::Separated => self.sum() + first.saturating_mul(self.bytes.len() as u128),
            Growth::Listed => {
                let each = self.sum() - first + NUMBER_BYTES;
                first.saturating_add(self.elements.saturating_mul(each))
            }
            Growth::Split => first.saturating_mul(PART_BYTES),
            // A group takes two bytes of the pattern.
            Growth::Groups => (first + PART_BYTES).saturating_mul(second / 2 + 1),
            Growth::Format => second.saturating_mul(FORMAT_BYTES_A_CHARACTER),
        }
    }
}

/// A number for each row.
enum PerRow {
    Same(u128),
    Each(Vec<u128>),
}

impl PerRow {
    /// A scalar is looked at once, and never written out for all rows.
    fn of(arg: &ColumnarValue, measure: fn(&ArrayRef) -> Result<Vec<u128>>) -> Result<PerRow> {
        Ok(match arg {
            ColumnarValue::Scalar(value) => {
                PerRow::Same(measure(&value.to_array()?)?.first().copied().unwrap_or_default())
            }
            ColumnarValue::Array(array) => PerRow::Each(measure(array)?),
        })
    }

    fn at(&self, row: usize) -> u128 {
        match self {
            PerRow::Same(number) => *number,
            PerRow::Each(numbers) => numbers.get(row).copied().unwrap_or_default(),
        }
    }
}

/// The bytes of each value.
fn bytes(array: &ArrayRef) -> Result<Vec<u128>> {
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary | DataType::LargeBinary => {
            integers(&length(array)?)
        }
        DataType::Dictionary(_, value) => bytes(&cast(array, value)?),
        // Lists are measured together.
        _ => {
            let all = array.to_data().get_slice_memory_size()?;
            Ok(vec![all.div_ceil(array.len().max(1)) as u128; array.len()])
        }
    }
}

/// The elements of each list; of lists in lists no more than their bytes.
fn elements(array: &ArrayRef) -> Result<Vec<u128>> {
    match array.data_type() {
        DataType::List(item) | DataType::LargeList(item) if !item.data_type().is_nested() => integers(&length(array)?),
        _ => bytes(array),
    }
}

/// The integers of an array, with NULL and negative ones as 0.
fn integers(array: &ArrayRef) -> Result<Vec<u128>> {
    let array = cast(array, &DataType::Int64)?;
    let integers = array.as_primitive::<Int64Type>();
    let value = |i| if integers.is_null(i) { 0 } else { u128::try_from(integers.value(i)).unwrap_or(0) };
    Ok((0..integers.len()).map(value).collect())
}
