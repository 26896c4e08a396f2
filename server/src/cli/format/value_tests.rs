use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Field, Int32Type};

use super::*;
use crate::cli::import::time::TimeReader;

fn text(array: impl Array + 'static, row: usize) -> String {
    let mut out = Vec::new();
    Column::new(&(Arc::new(array) as ArrayRef)).unwrap().text(row, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(array: impl Array + 'static, row: usize) -> String {
    let mut out = Vec::new();
    Column::new(&(Arc::new(array) as ArrayRef)).unwrap().json(row, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn times_have_0_3_6_or_9_digits() {
    for (nanos, expected) in [
        (1_767_268_815_000_000_000, "2026-01-01T12:00:15Z"),
        (1_767_268_815_999_000_000, "2026-01-01T12:00:15.999Z"),
        (1_767_268_815_000_001_000, "2026-01-01T12:00:15.000001Z"),
        (1_767_268_815_000_000_001, "2026-01-01T12:00:15.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-2_208_988_800_000_000_000, "1900-01-01T00:00:00Z"),
        (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
    ] {
        assert_eq!(text(TimestampNanosecondArray::from(vec![nanos]).with_timezone("UTC"), 0), expected);
        assert_eq!(json(TimestampNanosecondArray::from(vec![nanos]), 0), format!("\"{expected}\""));
    }
    assert_eq!(text(TimestampSecondArray::from(vec![0]), 0), "1970-01-01T00:00:00Z");
    assert_eq!(text(TimestampMillisecondArray::from(vec![-1]), 0), "1969-12-31T23:59:59.999Z");
    assert_eq!(text(TimestampSecondArray::from(vec![253_402_300_800]), 0), "+10000-01-01T00:00:00Z");
    assert_eq!(text(Date32Array::from(vec![-719_528]), 0), "0000-01-01");
}

#[test]
fn written_times_read_back() {
    let mut reader = TimeReader::new(None);
    let mut nanos = -2_208_988_800_000_000_000_i64;
    while nanos < 9_200_000_000_000_000_000 {
        let mut out = Vec::new();
        push_time(&mut out, nanos, 1_000_000_000);
        assert_eq!(reader.text(&out), Ok(nanos), "{}", String::from_utf8_lossy(&out));
        nanos += 1_234_567_890_123_457;
    }
}

#[test]
fn floats_are_shortest_and_read_back() {
    for (value, expected) in [
        (42.0, "42"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (1e300, "1e300"),
        (1e16, "1e16"),
        (123_456_789_012_345.6, "123456789012345.6"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e308"),
        (0.30000000000000004, "0.30000000000000004"),
    ] {
        let written = text(Float64Array::from(vec![value]), 0);
        assert_eq!(written, expected);
        assert_eq!(written.parse::<f64>().unwrap().to_bits(), value.to_bits());
    }
    assert_eq!(text(Float32Array::from(vec![0.1]), 0), "0.1");
    assert_eq!(text(Float64Array::from(vec![f64::NAN]), 0), "NaN");
    assert_eq!(text(Float64Array::from(vec![f64::NEG_INFINITY]), 0), "-Infinity");
}

#[test]
fn json_numbers_are_json() {
    assert_eq!(json(Float64Array::from(vec![f64::NAN]), 0), "null");
    assert_eq!(json(Float64Array::from(vec![f64::INFINITY]), 0), "null");
    assert_eq!(json(Float64Array::from(vec![-0.0]), 0), "-0.0");
    assert_eq!(json(Int64Array::from(vec![i64::MIN]), 0), "-9223372036854775808");
    assert_eq!(json(UInt64Array::from(vec![u64::MAX]), 0), "18446744073709551615");
    assert_eq!(json(UInt32Array::from(vec![2_157_641_728]), 0), "2157641728");
    let decimal = Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(json(decimal, 0), "123.45");
    assert_eq!(json(BooleanArray::from(vec![true]), 0), "true");
}

#[test]
fn nulls_are_empty_or_null() {
    let array = Int64Array::from(vec![None, Some(1)]);
    assert_eq!(text(array.clone(), 0), "");
    assert_eq!(json(array, 0), "null");
    assert_eq!(json(NullArray::new(1), 0), "null");
}

#[test]
fn strings_come_in_every_layout() {
    assert_eq!(text(StringViewArray::from(vec!["pump 1"]), 0), "pump 1");
    assert_eq!(text(LargeStringArray::from(vec!["pump 1"]), 0), "pump 1");
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    assert_eq!(text(dictionary.clone(), 2), "a");
    assert_eq!(json(dictionary, 1), "null");
    assert_eq!(json(StringArray::from(vec!["a\"b\n\u{1}"]), 0), r#""a\"b\n\u0001""#);
}

#[test]
fn nested_values_are_json_everywhere() {
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![Some(vec![Some(1.5), None]), None]);
    assert_eq!(json(list.clone(), 0), "[1.5,null]");
    assert_eq!(text(list, 1), "");
    let row = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Int32Array::from(vec![7])) as ArrayRef),
        (Arc::new(Field::new("b", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
    ]);
    assert_eq!(text(row, 0), r#"{"a":7,"b":"x"}"#);
}

#[test]
fn deep_nesting_is_refused() {
    let mut array: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for _ in 0..20 {
        let field = Arc::new(Field::new("item", array.data_type().clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([array.len()]);
        array = Arc::new(ListArray::new(field, offsets, array, None));
    }
    assert!(matches!(Column::new(&array).unwrap_err(), Failure::Failed(text) if text.contains("nested")));
}
