use super::*;

/// Gives out a few bytes at a time, as pipes do.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(self.bytes.len()).min(into.len());
        into[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

type Records = Vec<(u64, Vec<String>)>;

fn read(text: &[u8], step: usize) -> Result<Records, String> {
    let mut reader = Reader::new(Trickle { bytes: text, step });
    let mut records = Vec::new();
    while reader.next().map_err(|e| e.to_string())? {
        let fields = (0..reader.len()).map(|i| String::from_utf8(reader.field(i).to_vec()).unwrap()).collect();
        records.push((reader.line(), fields));
    }
    Ok(records)
}

/// Reads with every step size: where the source cuts must not matter.
fn all(text: &str) -> Result<Records, String> {
    let whole = read(text.as_bytes(), usize::MAX);
    for step in 1..=text.len().clamp(1, 24) {
        assert_eq!(read(text.as_bytes(), step), whole, "step {step}");
    }
    whole
}

fn records(lines: &[(u64, &[&str])]) -> Result<Records, String> {
    Ok(lines.iter().map(|(line, fields)| (*line, fields.iter().map(ToString::to_string).collect())).collect())
}

#[test]
fn fields_and_lines_are_found() {
    assert_eq!(all("a,b\n1,2\n"), records(&[(1, &["a", "b"]), (2, &["1", "2"])]));
    assert_eq!(all("a,b\r\n1,2"), records(&[(1, &["a", "b"]), (2, &["1", "2"])]));
    assert_eq!(all("a\n\n\r\nb\n"), records(&[(1, &["a"]), (4, &["b"])]));
    assert_eq!(all(",,\n"), records(&[(1, &["", "", ""])]));
    assert_eq!(all("a,"), records(&[(1, &["a", ""])]));
    assert_eq!(all("\u{feff}a,ü\n"), records(&[(1, &["a", "ü"])]));
    assert_eq!(all(" a , b \n"), records(&[(1, &[" a ", " b "])]));
    assert_eq!(all(""), records(&[]));
    assert_eq!(all("\n\n"), records(&[]));
}

#[test]
fn quoted_fields_hold_anything() {
    assert_eq!(all("\"a,b\",\"c\"\"d\"\n"), records(&[(1, &["a,b", "c\"d"])]));
    assert_eq!(all("\"a\nb\",c\n\"\"\"\"\nd\n"), records(&[(1, &["a\nb", "c"]), (3, &["\""]), (4, &["d"])]));
    assert_eq!(all("\"x\"\r\n\"y\"\r\n"), records(&[(1, &["x"]), (2, &["y"])]));
    assert_eq!(all("a,\"x\""), records(&[(1, &["a", "x"])]));
    assert_eq!(all("\"\"\n"), records(&[(1, &[""])]));
    assert_eq!(all("\"\"\"\"\"\",\"a\"\"\"\"b\"\n"), records(&[(1, &["\"\"", "a\"\"b"])]));
}

#[test]
fn an_empty_text_in_quotes_is_told_from_nothing() {
    let mut reader = Reader::new(&b"a,\"\",,\"b\"\n"[..]);
    assert!(reader.next().unwrap());
    let quoted: Vec<bool> = (0..5).map(|i| reader.is_quoted(i)).collect();
    assert_eq!(quoted, [false, true, false, true, false]);
    assert_eq!((reader.field(1), reader.field(2), reader.field(9)), (&b""[..], &b""[..], &b""[..]));
}

#[test]
fn malformed_quotes_are_said_with_their_line() {
    for (text, expected) in [
        ("a,b\n1,\"2\n3\n", "line 2: a quote is not closed"),
        ("a,b\n\"x\ny\",\"2\n", "line 3: a quote is not closed"),
        ("a,b\n\"x\n\ny\",\"1\"2\n", "line 4: a closing quote is not followed by a comma or a line end"),
        ("a,b\n1,5\" pipe\n", "line 2: a quote stands within a field that does not begin with one"),
        ("\"a\" ,b\n", "line 1: a closing quote is not followed by a comma or a line end"),
        ("\"a\"\rb\n", "line 1: a closing quote is not followed by a comma or a line end"),
    ] {
        assert_eq!(all(text), Err(expected.to_string()), "{text}");
    }
}

#[test]
fn records_are_bounded() {
    let long = format!("a\n\"{}", "x".repeat(3 << 20));
    let error = read(long.as_bytes(), usize::MAX).unwrap_err();
    assert_eq!(error, "line 2: the record is longer than 1 MiB");
    let wide = ",".repeat(2000);
    assert_eq!(read(wide.as_bytes(), 7).unwrap_err(), "line 1: the record has more than 1024 fields");
    let fits = format!("{}\n{}\n", "y".repeat(900 << 10), "z".repeat(900 << 10));
    let lengths: Vec<usize> = read(fits.as_bytes(), 100_000).unwrap().iter().map(|(_, f)| f[0].len()).collect();
    assert_eq!(lengths, [900 << 10, 900 << 10]);
}

#[test]
fn a_source_that_breaks_is_said_with_its_line() {
    struct Breaks(bool);
    impl Read for Breaks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into[..9].copy_from_slice(b"a,b\n1,2\n3");
            Ok(9)
        }
    }
    let mut reader = Reader::new(Breaks(false));
    assert!(reader.next().unwrap());
    assert!(reader.next().unwrap());
    assert_eq!(reader.field(1), b"2");
    assert!(reader.is_drained());
    assert_eq!(reader.next().unwrap_err().to_string(), "line 3: the file is truncated");
}

#[test]
fn what_the_other_half_writes_reads_back() {
    let texts = ["", "plain", "a,b", "say \"hi\"", "two\nlines", "\r\n", "\"", "ü\u{1F600}", " lead and trail "];
    let mut line = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        crate::cli::format::csv::push_field(&mut line, text.as_bytes());
    }
    line.push(b'\n');
    assert_eq!(read(&line, 3).unwrap()[0].1, texts);
}
