use std::sync::atomic::AtomicU64;

use arrow::array::*;
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;

use super::super::chunk::Row;
use super::super::source;
use super::*;

struct Taken {
    tags: Vec<String>,
    rows: Vec<Row>,
    lines: Vec<u64>,
    refused: Vec<Refused>,
    bytes: u64,
}

fn bytes_of(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn import(bytes: &[u8], unit: Option<TimeUnit>) -> std::result::Result<Taken, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    std::fs::write(&path, bytes).unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let read = || -> Result<Taken> {
        let mut source = source::open(&path, unit, &done)?;
        let (mut names, mut known) = (Names::default(), Vec::new());
        let mut taken = Taken { tags: vec![], rows: vec![], lines: vec![], refused: vec![], bytes: 0 };
        loop {
            let mut chunk = Chunk::default();
            let more = source.read(&mut names, &mut chunk)?;
            known.append(&mut chunk.names);
            taken.tags.extend(chunk.rows.iter().map(|row| known[row.tag as usize].to_string()));
            taken.lines.extend((0..chunk.kept.len()).map(|i| chunk.kept.get(i).unwrap().0));
            taken.rows.append(&mut chunk.rows);
            taken.refused.append(&mut chunk.refused);
            if !more {
                return Ok(taken);
            }
        }
    };
    match read() {
        Ok(taken) => Ok(Taken { bytes: done.load(Ordering::Relaxed), ..taken }),
        Err(Failure::Failed(text)) => Err(text.replace(&format!("{}/", folder.path().display()), "")),
        Err(other) => panic!("{other:?}"),
    }
}

fn tags(names: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(names.to_vec()))
}

fn times(nanos: &[i64]) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(nanos.to_vec()).with_timezone("UTC"))
}

fn values(array: ArrayRef) -> Vec<Value> {
    let rows = array.len();
    let names = vec!["A"; rows];
    let bytes = bytes_of(vec![("tag", tags(&names)), ("time", times(&vec![0; rows])), ("value", array)]);
    import(&bytes, None).unwrap().rows.into_iter().map(|row| row.value).collect()
}

#[test]
fn values_keep_their_kinds() {
    assert_eq!(values(Arc::new(Float64Array::from(vec![Some(0.1), None]))), [Value::Number(0.1), Value::Empty]);
    assert_eq!(values(Arc::new(Float32Array::from(vec![0.5]))), [Value::Number(0.5)]);
    assert_eq!(values(Arc::new(Int64Array::from(vec![i64::MAX]))), [Value::Integer(i64::MAX)]);
    assert_eq!(values(Arc::new(Int8Array::from(vec![-1]))), [Value::Integer(-1)]);
    assert_eq!(
        values(Arc::new(UInt64Array::from(vec![7, u64::MAX]))),
        [Value::Integer(7), Value::from("18446744073709551615")]
    );
    assert_eq!(values(Arc::new(BooleanArray::from(vec![true]))), [Value::Boolean(true)]);
    assert_eq!(values(Arc::new(StringArray::from(vec![Some(""), None]))), [Value::from(""), Value::Empty]);
    assert_eq!(values(Arc::new(StringViewArray::from(vec!["x"]))), [Value::from("x")]);
    let decimal = Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(values(Arc::new(decimal)), [Value::from("123.45")]);
    assert_eq!(values(Arc::new(NullArray::new(2))), [Value::Empty, Value::Empty]);
}

fn read_times(array: ArrayRef, unit: Option<TimeUnit>) -> Vec<i64> {
    let names = vec!["A"; array.len()];
    let ones = Arc::new(Int64Array::from(vec![1; array.len()]));
    let bytes = bytes_of(vec![("value", ones), ("timestamp", array), ("tag", tags(&names))]);
    import(&bytes, unit).unwrap().rows.into_iter().map(|row| row.time).collect()
}

#[test]
fn times_come_in_every_unit() {
    let expected = [1_500_000_000, -2_000_000_000];
    assert_eq!(read_times(Arc::new(TimestampMillisecondArray::from(vec![1500, -2000])), None), expected);
    assert_eq!(read_times(Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, -2_000_000])), None), expected);
    let zoned = TimestampNanosecondArray::from(expected.to_vec()).with_timezone("+02:00");
    assert_eq!(read_times(Arc::new(zoned), None), expected);
    assert_eq!(read_times(Arc::new(Int64Array::from(vec![1500, -2000])), Some(TimeUnit::Ms)), expected);
    assert_eq!(read_times(Arc::new(TimestampSecondArray::from(vec![2])), None), [2_000_000_000]);
    assert_eq!(read_times(Arc::new(Date32Array::from(vec![1])), None), [86_400_000_000_000]);
    let texts = StringArray::from(vec!["1970-01-01T00:00:01.5Z", "1969-12-31 23:59:58"]);
    assert_eq!(read_times(Arc::new(texts), None), expected);
}

#[test]
fn statuses_are_numbers_or_names() {
    let status = |name: &str, array: ArrayRef| {
        let rows = array.len();
        let ones = Arc::new(Int64Array::from(vec![1; rows]));
        let names = vec!["A"; rows];
        let columns = vec![("tag", tags(&names)), ("time", times(&vec![0; rows])), ("value", ones), (name, array)];
        let rows = import(&bytes_of(columns), None).unwrap().rows;
        rows.into_iter().map(|row| row.status).collect::<Vec<_>>()
    };
    assert_eq!(status("status", Arc::new(Int64Array::from(vec![Some(0x809B_0000), None]))), [0x809B_0000, 0]);
    assert_eq!(status("status", Arc::new(UInt32Array::from(vec![0x809B_0000]))), [0x809B_0000]);
    assert_eq!(status("status", Arc::new(Int32Array::from(vec![i32::MIN]))), [0x8000_0000]);
    assert_eq!(status("status", Arc::new(StringArray::from(vec!["BadNoData"]))), [0x809B_0000]);
    assert_eq!(status("quality", Arc::new(UInt8Array::from(vec![192, 64, 0]))), [0, 0x4000_0000, 0x8000_0000]);
    assert_eq!(status("quality", Arc::new(StringArray::from(vec!["bad", "192"]))), [0x8000_0000, 0]);
}

#[test]
fn rows_that_cannot_be_sent_are_refused_one_by_one() {
    let names: DictionaryArray<Int32Type> = vec![Some("A"), None, Some("A"), Some("A")].into_iter().collect();
    let bytes = bytes_of(vec![
        ("tag", Arc::new(names)),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(0), None, Some(i64::MAX)]))),
        ("value", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.5]))),
    ]);
    let taken = import(&bytes, None).unwrap();
    assert_eq!((taken.tags, taken.lines, taken.bytes), (vec!["A".to_string()], vec![1], bytes.len() as u64));
    let refused: Vec<(u64, &str)> = taken.refused.iter().map(|r| (r.line, r.reason.as_str())).collect();
    let expected = [(2, "the tag is missing"), (3, "the time is missing"), (4, "the time is outside of 1900 to 2262")];
    assert_eq!(refused, expected);
    assert_eq!(taken.refused[2].value, "4.5");
    let integers = bytes_of(vec![
        ("tag", tags(&["A"])),
        ("time", Arc::new(Int64Array::from(vec![5]))),
        ("value", Arc::new(Float64Array::from(vec![1.0]))),
    ]);
    assert!(import(&integers, None).unwrap().refused[0].reason.contains("--time-unit"));
}

#[test]
fn many_rows_keep_their_order_and_their_progress() {
    let rows = 50_000;
    let names: Vec<String> = (0..rows).map(|i| format!("T{}", i % 7)).collect();
    let bytes = bytes_of(vec![
        ("note", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("tag", Arc::new(StringArray::from(names.clone()))),
        ("time", times(&(0..rows).collect::<Vec<_>>())),
        ("value", Arc::new(Int64Array::from_iter_values(0..rows))),
    ]);
    let taken = import(&bytes, None).unwrap();
    assert_eq!(taken.tags, names);
    assert!(taken.rows.iter().zip(0..).all(|(row, i)| row.value == Value::Integer(i) && row.time == i));
    assert_eq!((taken.lines.last(), taken.bytes), (Some(&(rows as u64)), bytes.len() as u64));
}

#[test]
fn damaged_files_are_an_error_and_never_a_panic() {
    let bytes = bytes_of(vec![
        ("tag", tags(&["A", "B", "C"])),
        ("time", times(&[1, 2, 3])),
        ("value", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(2.5)]))),
    ]);
    let error = import(b"", None).err().unwrap();
    assert!(error.starts_with("reading a.parquet failed: "), "{error}");
    let missing = bytes_of(vec![("tag", tags(&["A"])), ("time", times(&[1]))]);
    assert!(import(&missing, None).err().unwrap().contains("there is no column value (its columns are: tag, time)"));
    for keep in 0..bytes.len() {
        assert!(import(&bytes[..keep], None).is_err(), "cut at {keep}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5A;
        // Pages carry no checksums here: other values are possible, a panic is not.
        if let Err(text) = import(&damaged, None) {
            assert!(text.starts_with("reading a.parquet failed: ") && !text.contains('\n'), "{text}");
        }
    }
}
