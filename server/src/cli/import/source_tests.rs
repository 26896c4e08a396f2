use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::chunk::Row;
use super::*;

fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

struct Taken {
    rows: Vec<(String, Row)>,
    lines: Vec<u64>,
    refused: Vec<Refused>,
    end: Result<()>,
    bytes: u64,
}

fn take(source: Result<Box<dyn Source>>, done: &Arc<AtomicU64>) -> Taken {
    let mut taken = Taken { rows: Vec::new(), lines: Vec::new(), refused: Vec::new(), end: Ok(()), bytes: 0 };
    let (mut names, mut known) = (Names::default(), Vec::new());
    let mut source = match source {
        Ok(source) => source,
        Err(failure) => return Taken { end: Err(failure), ..taken },
    };
    loop {
        let mut chunk = Chunk::default();
        let more = source.read(&mut names, &mut chunk);
        known.append(&mut chunk.names);
        taken.lines.extend((0..chunk.kept.len()).map(|i| chunk.kept.get(i).unwrap().0));
        taken.rows.extend(chunk.rows.into_iter().map(|row| (known[row.tag as usize].to_string(), row)));
        taken.refused.append(&mut chunk.refused);
        match more {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => {
                taken.end = Err(failure);
                break;
            }
        }
    }
    taken.bytes = done.load(Ordering::Relaxed);
    taken
}

fn import(name: &str, bytes: &[u8], unit: Option<TimeUnit>) -> Taken {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let mut taken = take(open(&path, unit, &done), &done);
    if let Err(Failure::Failed(text)) = &mut taken.end {
        *text = text.replace(&format!("{}/", folder.path().display()), "");
    }
    taken
}

fn failed(taken: Taken) -> String {
    match taken.end {
        Err(Failure::Failed(text)) => text,
        other => panic!("it must fail: {other:?}"),
    }
}

const GOOD: &str = "\
tag,timestamp,value,quality
A,1970-01-01T00:00:01Z,1.5,192
B,1970-01-01 00:00:02.5,Scan Timeout,0
A,1970-01-01T01:00:03+01:00,,64
C,1970-01-01T00:00:04Z,\"\",
";

#[test]
fn rows_come_in_order_with_their_lines() {
    let taken = import("a.csv", GOOD.as_bytes(), None);
    assert_eq!(taken.end, Ok(()));
    let row = |tag, time_ms: i64, value, status| Row { tag, time: time_ms * 1_000_000, value, status };
    let expected = [
        ("A".to_string(), row(0, 1000, Value::from("1.5"), 0)),
        ("B".to_string(), row(1, 2500, Value::from("Scan Timeout"), 0x8000_0000)),
        ("A".to_string(), row(0, 3000, Value::Empty, 0x4000_0000)),
        ("C".to_string(), row(2, 4000, Value::from(""), 0)),
    ];
    assert_eq!(taken.rows, expected);
    assert_eq!(taken.lines, [2, 3, 4, 5]);
    assert_eq!(taken.bytes, GOOD.len() as u64);
    let zipped = gzipped(GOOD.as_bytes());
    for name in ["a.csv.gz", "a.csv", "a"] {
        let taken = import(name, &zipped, None);
        assert_eq!((taken.rows, taken.bytes), (expected_again(&expected), zipped.len() as u64), "{name}");
    }
}

fn expected_again(rows: &[(String, Row)]) -> Vec<(String, Row)> {
    let copy = |row: &Row| Row { tag: row.tag, time: row.time, value: row.value.clone(), status: row.status };
    rows.iter().map(|(tag, row)| (tag.clone(), copy(row))).collect()
}

#[test]
fn rows_that_cannot_be_read_are_refused_one_by_one() {
    let text =
        b"value,tag,time,status\n1,A,yesterday,\n2,,1970-01-01,\n3,A,1970-01-01,Splendid\n4,A\n5,A,1970-01-01,\n\
        6,A,1899-01-01,\n7,A,123,\n\xFF,A,1970-01-01,\n";
    let taken = import("a.csv", text, None);
    assert_eq!((taken.end, taken.rows.len(), taken.lines), (Ok(()), 1, vec![6]));
    let reasons: Vec<(u64, &str)> = taken.refused.iter().map(|r| (r.line, r.reason.as_str())).collect();
    let expected = [
        (2, "the time is neither RFC 3339 nor YYYY-MM-DD HH:MM:SS"),
        (3, "the tag is missing"),
        (4, "the status 'Splendid' is no number and no OPC UA name"),
        (5, "the row has 2 fields instead of 4"),
        (7, "the time is outside of 1900 to 2262"),
        (8, "an integer time needs --time-unit s, ms, us or ns"),
        (9, "the value is not UTF-8"),
    ];
    assert_eq!(reasons, expected);
    let first = &taken.refused[0];
    assert_eq!((&*first.tag, &*first.time, &*first.value), ("A", "yesterday", "1"));
}

#[test]
fn integer_times_have_the_unit_that_was_told() {
    let taken = import("a.csv", b"tag,time,value\nA,1500,1\nA,-1,2\n", Some(TimeUnit::Ms));
    let times: Vec<i64> = taken.rows.iter().map(|(_, row)| row.time).collect();
    assert_eq!(times, [1_500_000_000, -1_000_000]);
}

#[test]
fn bad_headers_are_said_before_any_row() {
    for (bytes, expected) in [
        (&b""[..], "reading a.csv failed: it is empty; give it a header line such as tag,timestamp,value"),
        (
            b"tag,value\nA,1\n",
            "reading a.csv failed: line 1: there is no column timestamp or time (its columns are: tag, value); \
             name the columns tag, timestamp, value and, where there are any, status or quality",
        ),
        (
            b"tag,\"time\nA,1",
            "reading a.csv failed: line 1: a quote is not closed; correct the line and import the file again",
        ),
    ] {
        assert_eq!(failed(import("a.csv", bytes, None)), expected);
    }
}

#[test]
fn a_truncated_archive_is_said_with_its_line() {
    let mut text = String::from("tag,time,value\n");
    for second in 0..20_000 {
        text.push_str(&format!("TAG{},{},{}\n", second % 7, second, second * second % 1009));
    }
    let zipped = gzipped(text.as_bytes());
    for keep in [zipped.len() - 1, zipped.len() - 8, zipped.len() - 9, zipped.len() / 2, 100, 12] {
        let taken = import("a.csv.gz", &zipped[..keep], Some(TimeUnit::S));
        let line = taken.rows.len() + 2;
        let text = failed(taken);
        let tail = ": the file is truncated; get the complete file and import it again";
        assert!(text.starts_with("reading a.csv.gz failed: line ") && text.ends_with(tail), "{keep}: {text}");
        if keep > zipped.len() / 2 {
            assert!(line > 10_000, "{keep}: rows before the cut are read");
        }
    }
    let mut damaged = zipped.clone();
    damaged[zipped.len() / 2] ^= 0x55;
    assert!(failed(import("a.csv.gz", &damaged, Some(TimeUnit::S))).starts_with("reading a.csv.gz failed: line "));
    let plain = failed(import("a.csv.gz", b"tag,time,value\nA,1,2\n", None));
    assert!(plain.starts_with("reading a.csv.gz failed: line 1: invalid gzip header; "), "{plain}");
}

#[test]
fn archives_of_several_members_are_one_file() {
    let (first, second) = GOOD.split_at(70);
    let mut zipped = gzipped(first.as_bytes());
    zipped.extend(gzipped(second.as_bytes()));
    assert_eq!(import("a.csv.gz", &zipped, None).rows.len(), 4);
}

#[test]
fn lines_without_a_header_have_default_columns() {
    let source = |text: &'static str| -> Result<Box<dyn Source>> {
        let source = CsvSource::open(Path::new("stdin"), Box::new(text.as_bytes()), None, Header::Optional)?;
        Ok(Box::new(source))
    };
    let done = Arc::new(AtomicU64::new(0));
    let taken = take(source("A,1970-01-01,1\nB,1970-01-01,2,Bad\nC,1970-01-01\n"), &done);
    assert_eq!((taken.rows.len(), taken.refused.len()), (2, 1));
    assert_eq!(taken.rows[1].1.status, 0x8000_0000);
    assert_eq!(taken.lines, [1, 2]);
    let taken = take(source("value,time,tag\n1,1970-01-01,A\n"), &done);
    assert_eq!((taken.rows[0].0.as_str(), taken.lines), ("A", vec![2]));
    assert_eq!(take(source(""), &done).rows.len(), 0);
}

#[test]
fn folders_and_missing_files_are_said() {
    let done = Arc::new(AtomicU64::new(0));
    assert_eq!(
        failed(take(open(Path::new("/"), None, &done), &done)),
        "reading / failed: it is a folder; name its files"
    );
    assert_eq!(
        failed(take(open(Path::new("/nowhere.csv"), None, &done), &done)),
        "opening /nowhere.csv failed: no such file or folder; check the path"
    );
}
