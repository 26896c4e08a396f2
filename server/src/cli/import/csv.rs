//! A strict CSV reader: RFC 4180, with lines counted, and nothing longer than it may be.
//!
//! Lenient readers take an unclosed quote for a field that reaches to the end of the file; here
//! it is an error with its line. Fields are slices of the reader's buffer.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Longest record in bytes: a tag name and a text value, with room for columns that are ignored.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most fields of a record.
pub const FIELDS_MAX: usize = 1024;
const BUFFER_BYTES: usize = 256 << 10;

/// Why a file cannot be read on, and the line where.
#[derive(Debug)]
pub struct CsvError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong.
#[derive(Debug)]
pub enum Why {
    /// The bytes cannot be read.
    Io(io::Error),
    /// The quotes or the size.
    Format(&'static str),
}

/// Reads records from bytes.
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is read and not yet taken.
    unread: Range<usize>,
    ended: bool,
    /// Line of the last record, from 1, and of the next.
    line: u64,
    next_line: u64,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    start: usize,
    end: usize,
    quoted: bool,
    /// Doubled quotes are still to be halved.
    escaped: bool,
}

/// Where a scan of the buffer ended.
enum Scanned {
    /// A whole record; the next begins at `next`, `lines` below.
    Record { next: usize, lines: u64 },
    /// The buffer ends first.
    Cut,
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "line {}: the file is truncated", self.line)
            }
            Why::Io(error) => write!(f, "line {}: {}", self.line, tagus_client::io_words(error)),
            Why::Format(why) => write!(f, "line {}: {why}", self.line),
        }
    }
}

impl<R: Read> Reader<R> {
    /// A reader of `source`. A byte order mark is skipped.
    pub fn new(source: R) -> Reader<R> {
        let buffer = vec![0; BUFFER_BYTES];
        Reader { source, buffer, unread: 0..0, ended: false, line: 1, next_line: 1, fields: Vec::new() }
    }

    /// Moves on to the next record; false at the end. Blank lines are no records.
    pub fn next(&mut self) -> Result<bool, CsvError> {
        loop {
            if self.next_line == 1 && self.unread.start == 0 {
                self.skip_mark()?;
            }
            if self.unread.is_empty() && !self.fill()? {
                return Ok(false);
            }
            match self.scan()? {
                Scanned::Cut => {
                    self.fill()?;
                }
                Scanned::Record { next, lines } => {
                    self.line = self.next_line;
                    self.next_line += lines;
                    self.unread.start = next;
                    if !self.is_blank() {
                        self.unescape();
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// The line at which the record begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The number of fields of the record.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field of the record; empty where it has fewer.
    pub fn field(&self, index: usize) -> &[u8] {
        self.fields.get(index).map_or(&[], |field| &self.buffer[field.start..field.end])
    }

    /// Whether a field stands in quotes.
    pub fn is_quoted(&self, index: usize) -> bool {
        self.fields.get(index).is_some_and(|field| field.quoted)
    }

    /// Whether the next record needs more bytes from the source, which may take long.
    pub fn is_drained(&self) -> bool {
        !self.buffer[self.unread.clone()].contains(&b'\n')
    }

    fn is_blank(&self) -> bool {
        matches!(self.fields[..], [Field { start, end, quoted: false, .. }] if start == end)
    }

    fn skip_mark(&mut self) -> Result<(), CsvError> {
        while self.unread.len() < 3 && self.fill()? {}
        if self.buffer[self.unread.clone()].starts_with(b"\xEF\xBB\xBF") {
            self.unread.start += 3;
        }
        Ok(())
    }

    /// Reads more behind what is unread; false at the end of the source.
    fn fill(&mut self) -> Result<bool, CsvError> {
        if self.ended {
            return Ok(false);
        }
        self.make_room()?;
        loop {
            match self.source.read(&mut self.buffer[self.unread.end..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(count) => {
                    self.unread.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CsvError { line: self.next_line, why: Why::Io(error) }),
            }
        }
    }

    fn make_room(&mut self) -> Result<(), CsvError> {
        if self.unread.end < self.buffer.len() {
            return Ok(());
        }
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        } else if self.buffer.len() < RECORD_BYTES_MAX {
            self.buffer.resize(RECORD_BYTES_MAX.min(self.buffer.len() * 2), 0);
        } else {
            return Err(self.malformed(0, "the record is longer than 1 MiB"));
        }
        Ok(())
    }

    fn malformed(&self, lines_below: u64, why: &'static str) -> CsvError {
        CsvError { line: self.next_line + lines_below, why: Why::Format(why) }
    }

    /// Finds the fields of the record at the start of what is unread.
    fn scan(&mut self) -> Result<Scanned, CsvError> {
        self.fields.clear();
        let end = self.unread.end;
        let mut at = self.unread.start;
        let mut lines = 0;
        loop {
            if self.fields.len() == FIELDS_MAX {
                return Err(self.malformed(0, "the record has more than 1024 fields"));
            }
            let quoted = at < end && self.buffer[at] == b'"';
            let field = if quoted { self.quoted_field(at, &mut lines)? } else { self.bare_field(at, lines)? };
            let Some((field, after)) = field else { return Ok(Scanned::Cut) };
            self.fields.push(field);
            if after < end && self.buffer[after] == b',' {
                at = after + 1;
                continue;
            }
            // What ends the record is a line end or the end of the source.
            return Ok(Scanned::Record { next: (after + 1).min(end), lines: lines + 1 });
        }
    }

    /// A field without quotes, and where its comma or line end is; `None` where the buffer ends
    /// first.
    fn bare_field(&self, start: usize, lines: u64) -> Result<Option<(Field, usize)>, CsvError> {
        let bytes = &self.buffer[start..self.unread.end];
        let stop = bytes.iter().position(|b| matches!(b, b',' | b'\n' | b'"'));
        let (length, is_line_end) = match stop {
            Some(stop) if bytes[stop] == b'"' => {
                return Err(self.malformed(lines, "a quote stands within a field that does not begin with one"));
            }
            Some(stop) => (stop, bytes[stop] == b'\n'),
            None if self.ended => (bytes.len(), true),
            None => return Ok(None),
        };
        let carriage_return = is_line_end && length > 0 && bytes[length - 1] == b'\r';
        let end = start + length - usize::from(carriage_return);
        Ok(Some((Field { start, end, quoted: false, escaped: false }, start + length)))
    }

    /// A field in quotes whose opening quote is at `start`; as [`Reader::bare_field`].
    fn quoted_field(&self, start: usize, lines: &mut u64) -> Result<Option<(Field, usize)>, CsvError> {
        let first_line = *lines;
        let end = self.unread.end;
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            let Some(byte) = self.buffer[at..end].first() else {
                return if self.ended { Err(self.malformed(first_line, "a quote is not closed")) } else { Ok(None) };
            };
            match byte {
                b'"' if self.buffer.get(at + 1) == Some(&b'"') && at + 1 < end => {
                    escaped = true;
                    at += 2;
                }
                b'"' => break,
                b'\n' => {
                    *lines += 1;
                    at += 1;
                }
                _ => at += 1,
            }
        }
        let field = Field { start: start + 1, end: at, quoted: true, escaped };
        match &self.buffer[at + 1..end] {
            [] if !self.ended => Ok(None),
            [] | [b',' | b'\n', ..] => Ok(Some((field, at + 1))),
            [b'\r'] if !self.ended => Ok(None),
            [b'\r'] | [b'\r', b'\n', ..] => Ok(Some((field, at + 2))),
            _ => Err(self.malformed(*lines, "a closing quote is not followed by a comma or a line end")),
        }
    }

    fn unescape(&mut self) {
        for field in self.fields.iter_mut().filter(|field| field.escaped) {
            let mut to = field.start;
            let mut from = field.start;
            while from < field.end {
                self.buffer[to] = self.buffer[from];
                from += if self.buffer[from] == b'"' { 2 } else { 1 };
                to += 1;
            }
            field.end = to;
        }
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
