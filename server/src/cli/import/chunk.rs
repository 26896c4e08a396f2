//! Rows on their way from a file to the server, and what has to be kept of them.
//!
//! A rejection may come long after a row was sent. Until then its line and its value are kept,
//! in a few bytes, so that a report can name them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tagus_client::Value;
use tagus_engine::limits::{TAGS_MAX, TEXT_BYTES_MAX};
use tagus_engine::tag::check_name;

use crate::cli::format::value::{push, push_float};

/// Rows that travel together at most.
pub const CHUNK_ROWS: usize = 8192;
/// Text of a chunk, in bytes, beyond which it is full.
const CHUNK_TEXT_BYTES: usize = 1 << 20;

/// Some rows of one file, in order.
#[derive(Default)]
pub struct Chunk {
    /// The rows to be sent.
    pub rows: Vec<Row>,
    /// What is kept of them.
    pub kept: Kept,
    /// Rows that are not sent.
    pub refused: Vec<Refused>,
    /// Names that rows of this chunk are the first to use; they follow those of chunks before.
    pub names: Vec<Arc<str>>,
}

/// A row that is sent.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// Index among the names.
    pub tag: u32,
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    /// The value as it came.
    pub value: Value,
    /// OPC UA.
    pub status: u32,
}

/// A row that is not sent, as it stands in its file.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// The line, or the row of a Parquet file, from 1.
    pub line: u64,
    /// The tag's name, as far as there is one.
    pub tag: String,
    /// The time's text.
    pub time: String,
    /// The value's text.
    pub value: String,
    /// Why.
    pub reason: String,
}

/// Lines and values of rows.
#[derive(Debug, Default)]
pub struct Kept {
    rows: Vec<(u64, u32)>,
    /// Values one behind the other: a byte that says the kind, then the bits or the text.
    bytes: Vec<u8>,
}

/// Tag names in the order in which they came up. Names that differ by case alone are one tag:
/// rows of a tag must keep their order.
#[derive(Default)]
pub struct Names {
    exact: HashMap<Box<[u8]>, u32>,
    folded: HashMap<String, u32>,
    count: u32,
}

impl Chunk {
    /// Whether it should travel.
    pub fn is_full(&self) -> bool {
        self.rows.len() + self.refused.len() >= CHUNK_ROWS || self.kept.bytes.len() >= CHUNK_TEXT_BYTES
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.refused.is_empty()
    }

    /// Adds a row, or the reason why it cannot be sent.
    pub fn add(
        &mut self,
        names: &mut Names,
        line: u64,
        tag: &[u8],
        time: i64,
        value: Value,
        status: u32,
    ) -> Result<(), String> {
        if let Value::Text(text) = &value
            && text.len() > TEXT_BYTES_MAX
        {
            return Err(format!("the value has {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len()));
        }
        let tag = names.index(tag, &mut self.names)?;
        self.kept.push(line, &value);
        self.rows.push(Row { tag, time, value, status });
        Ok(())
    }
}

impl Names {
    /// The index of a name that came before in this spelling.
    pub fn known(&self, name: &[u8]) -> Option<u32> {
        self.exact.get(name).copied()
    }

    /// The index of a name; a new one is added to `new` as well.
    pub fn index(&mut self, name: &[u8], new: &mut Vec<Arc<str>>) -> Result<u32, String> {
        if let Some(index) = self.exact.get(name) {
            return Ok(*index);
        }
        if name.is_empty() {
            return Err("the tag is missing".to_string());
        }
        let text = std::str::from_utf8(name).map_err(|_| "the tag is not UTF-8".to_string())?;
        check_name(text).map_err(|error| error.to_string())?;
        let index = match self.folded.get(&text.to_lowercase()) {
            Some(index) => *index,
            None => self.add(text, new)?,
        };
        self.exact.insert(name.into(), index);
        Ok(index)
    }

    fn add(&mut self, name: &str, new: &mut Vec<Arc<str>>) -> Result<u32, String> {
        let index = self.count;
        if usize::try_from(index).map_or(true, |count| count >= TAGS_MAX) {
            return Err(format!("there are more than {TAGS_MAX} tags"));
        }
        self.folded.insert(name.to_lowercase(), index);
        new.push(name.into());
        self.count += 1;
        Ok(index)
    }
}

impl Kept {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn push(&mut self, line: u64, value: &Value) {
        match value {
            Value::Empty => self.bytes.push(b'e'),
            Value::Number(number) => self.push_bits(b'n', number.to_bits()),
            Value::Integer(number) => self.push_bits(b'i', number.cast_unsigned()),
            Value::Boolean(truth) => self.bytes.extend([b'b', u8::from(*truth)]),
            Value::Text(text) => {
                self.bytes.push(b't');
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
        // A chunk has at most 16,384 rows, and a text at most 32 KiB: the sum fits in 32 bits.
        self.rows.push((line, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)));
    }

    fn push_bits(&mut self, kind: u8, bits: u64) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    /// Line and value of a row, in words.
    pub fn get(&self, index: usize) -> Option<(u64, String)> {
        let (line, end) = *self.rows.get(index)?;
        let start = if index == 0 { 0 } else { self.rows[index - 1].1 };
        let range: Range<usize> = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        let (kind, bytes) = self.bytes.get(range)?.split_first()?;
        let bits = || bytes.try_into().map_or(0, u64::from_le_bytes);
        let mut text = Vec::new();
        match kind {
            b'n' => push_float(&mut text, f64::from_bits(bits())),
            b'i' => push(&mut text, bits().cast_signed()),
            b'b' => push(&mut text, bytes == [1]),
            _ => text.extend_from_slice(bytes),
        }
        Some((line, String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_values_are_kept() {
        let mut chunk = Chunk::default();
        let mut names = Names::default();
        let values = [
            (Value::Text("Scan Timeout".into()), "Scan Timeout"),
            (Value::Empty, ""),
            (Value::Number(-0.5), "-0.5"),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Boolean(true), "true"),
            (Value::Boolean(false), "false"),
            (Value::Text("".into()), ""),
        ];
        for (line, (value, _)) in (10..).zip(values.clone()) {
            chunk.add(&mut names, line, b"A", 0, value, 0).unwrap();
        }
        for (index, (_, text)) in values.iter().enumerate() {
            assert_eq!(chunk.kept.get(index), Some((10 + index as u64, text.to_string())));
        }
        assert_eq!(chunk.kept.get(values.len()), None);
    }

    #[test]
    fn names_that_differ_by_case_are_one_tag() {
        let (mut names, mut new) = (Names::default(), Vec::new());
        let indices: Vec<u32> = ["FIC1", "TIC1", "fic1", "FIC1", "Größe", "GRÖSSE", "GRÖßE"]
            .iter()
            .map(|name| names.index(name.as_bytes(), &mut new).unwrap())
            .collect();
        assert_eq!(indices, [0, 1, 0, 0, 2, 3, 2]);
        assert_eq!(new.iter().map(|n| &**n).collect::<Vec<_>>(), ["FIC1", "TIC1", "Größe", "GRÖSSE"]);
    }

    #[test]
    fn what_no_server_takes_is_refused_here() {
        let mut chunk = Chunk::default();
        let mut names = Names::default();
        let long = Value::Text("x".repeat(TEXT_BYTES_MAX + 1).into());
        let mut refused = |tag: &[u8], value| chunk.add(&mut names, 1, tag, 0, value, 0).unwrap_err();
        assert_eq!(refused(b"", Value::Empty), "the tag is missing");
        assert_eq!(refused(b"\xFF", Value::Empty), "the tag is not UTF-8");
        assert!(refused(b"a\tb", Value::Empty).contains("control character"));
        assert!(refused(b"a", long).contains("at most 32768"));
        assert_eq!(chunk.rows.len(), chunk.kept.len());
        assert!(chunk.is_empty());
    }
}
