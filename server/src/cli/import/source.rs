//! Opens a file of samples as what it is: CSV, gzipped CSV or Parquet.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use tagus_client::Value;

use super::chunk::{Chunk, Names, Refused};
use super::columns::{Columns, StatusReader};
use super::csv::{CsvError, Reader};
use super::firsts::Firsts;
use super::parquet::ParquetSource;
use super::time::{TimeReader, TimeUnit};
use crate::cli::error::{Failure, Result, io_words};

const FILE_BUFFER_BYTES: usize = 256 << 10;

/// A file that gives rows.
pub trait Source: Send {
    /// Appends rows to `chunk` until it is full or the next rows would have to be waited for;
    /// false when there are no more.
    fn read(&mut self, names: &mut Names, chunk: &mut Chunk) -> Result<bool>;

    /// Reads to the end: whether all of it can be read, and which values of its tags come first.
    fn verify(&mut self, firsts: &mut Firsts) -> Result<()>;
}

/// Opens the file and checks its header. `done` counts the bytes read of it.
pub fn open(path: &Path, unit: Option<TimeUnit>, done: &Arc<AtomicU64>) -> Result<Box<dyn Source>> {
    let mut file = File::open(path).map_err(|e| Failure::file("opening", path, &e))?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if path.is_dir() {
        return Err(unreadable(path, "it is a folder", "name its files"));
    }
    let start = if is_file { read_start(&mut file, path)? } else { Vec::new() };
    if start.starts_with(b"PAR1") || has_ending(path, "parquet") {
        return Ok(Box::new(ParquetSource::open(path, file, unit, done)?));
    }
    let counted = Counted { file, done: done.clone() };
    let mut buffered = BufReader::with_capacity(FILE_BUFFER_BYTES, counted);
    let start = buffered.fill_buf().map_err(|e| Failure::file("reading", path, &e))?;
    let bytes: Box<dyn Read + Send> = if start.starts_with(&[0x1F, 0x8B]) || has_ending(path, "gz") {
        Box::new(MultiGzDecoder::new(buffered))
    } else {
        Box::new(buffered)
    };
    Ok(Box::new(CsvSource::open(path, bytes, unit, Header::Required)?))
}

/// CSV lines from stdin, with or without a header.
pub fn stdin(unit: Option<TimeUnit>) -> Result<Box<dyn Source>> {
    Ok(Box::new(CsvSource::open(Path::new("stdin"), Box::new(io::stdin()), unit, Header::Optional)?))
}

/// The first bytes, which tell what a file is; it is at its start again afterwards.
fn read_start(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(4)
        .read_to_end(&mut start)
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(|e| Failure::file("reading", path, &e))?;
    Ok(start)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// `reading FILE failed: WHY; ADVICE`.
pub fn unreadable(path: &Path, why: impl std::fmt::Display, advice: &str) -> Failure {
    Failure::new(format_args!("reading {}", path.display()), why, advice)
}

/// Counts the bytes that are read.
struct Counted {
    file: File,
    done: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.done.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Whether the first line names the columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// It must.
    Required,
    /// It may.
    Optional,
}

/// Rows of a CSV file.
pub struct CsvSource {
    path: PathBuf,
    reader: Reader<Box<dyn Read + Send>>,
    columns: Columns,
    times: TimeReader,
    statuses: StatusReader,
    /// Somebody may be writing line by line: what is there goes on its way before more is
    /// waited for.
    interactive: bool,
    /// The record under the reader is a row that was taken for a header and is none.
    pending: bool,
}

impl CsvSource {
    /// Reads the header.
    pub fn open(path: &Path, bytes: Box<dyn Read + Send>, unit: Option<TimeUnit>, header: Header) -> Result<CsvSource> {
        let mut reader = Reader::new(bytes);
        let found = reader.next().map_err(|e| broken(path, &e))?;
        let names: Vec<String> =
            (0..reader.len()).map(|i| String::from_utf8_lossy(reader.field(i)).into_owned()).collect();
        let optional = header == Header::Optional;
        let (columns, pending) = if !found && !optional {
            return Err(unreadable(path, "it is empty", "give it a header line such as tag,timestamp,value"));
        } else if optional && !Columns::is_header(&names) {
            (Columns::default_order(), found)
        } else {
            let advice = "name the columns tag, timestamp, value and, where there are any, status or quality";
            let at = |why| unreadable(path, format_args!("line {}: {why}", reader.line()), advice);
            (Columns::from_names(&names).map_err(at)?, false)
        };
        let (times, statuses) = (TimeReader::new(unit), StatusReader::default());
        Ok(CsvSource { path: path.to_path_buf(), reader, columns, times, statuses, interactive: optional, pending })
    }

    /// Adds the record under the reader to `chunk`.
    fn add(&mut self, names: &mut Names, chunk: &mut Chunk) {
        if let Err(reason) = self.try_add(names, chunk) {
            let text = |index| String::from_utf8_lossy(self.reader.field(index)).into_owned();
            chunk.refused.push(Refused {
                line: self.reader.line(),
                tag: text(self.columns.tag),
                time: text(self.columns.time),
                value: text(self.columns.value),
                reason,
            });
        }
    }

    fn try_add(&mut self, names: &mut Names, chunk: &mut Chunk) -> std::result::Result<(), String> {
        let (time, value, status) = self.row()?;
        let reader = &self.reader;
        chunk.add(names, reader.line(), reader.field(self.columns.tag), time, value, status)
    }

    /// Time, value and status of the record under the reader.
    fn row(&mut self) -> std::result::Result<(i64, Value, u32), String> {
        let (reader, columns) = (&self.reader, &self.columns);
        if !(columns.least..=columns.most).contains(&reader.len()) {
            return Err(format!("the row has {} fields instead of {}", reader.len(), columns.least));
        }
        let time = self.times.text(reader.field(columns.time)).map_err(|why| why.to_string())?;
        let cell = |index: Option<usize>| index.map_or(&b""[..], |index| reader.field(index));
        let status = self.statuses.read(cell(columns.status), cell(columns.quality))?;
        let value = reader.field(columns.value);
        // Nothing is no value; an empty text stands in quotes.
        let value = if value.is_empty() && !reader.is_quoted(columns.value) {
            Value::Empty
        } else {
            Value::from(std::str::from_utf8(value).map_err(|_| "the value is not UTF-8".to_string())?)
        };
        Ok((time, value, status))
    }
}

impl Source for CsvSource {
    fn read(&mut self, names: &mut Names, chunk: &mut Chunk) -> Result<bool> {
        if std::mem::take(&mut self.pending) {
            self.add(names, chunk);
        }
        while !chunk.is_full() {
            if self.interactive && !chunk.is_empty() && self.reader.is_drained() {
                return Ok(true);
            }
            if !self.reader.next().map_err(|e| broken(&self.path, &e))? {
                return Ok(false);
            }
            self.add(names, chunk);
        }
        Ok(true)
    }

    fn verify(&mut self, firsts: &mut Firsts) -> Result<()> {
        while self.reader.next().map_err(|e| broken(&self.path, &e))? {
            if !firsts.is_decided(self.reader.field(self.columns.tag))
                && let Ok((_, value, status)) = self.row()
            {
                firsts.see(self.reader.field(self.columns.tag), &value, status);
            }
        }
        Ok(())
    }
}

fn broken(path: &Path, error: &CsvError) -> Failure {
    use super::csv::Why;
    let advice = match &error.why {
        Why::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "get the complete file and import it again",
        Why::Io(error) if error.kind() == io::ErrorKind::InvalidInput => "get an undamaged file",
        Why::Io(error) if io_words(error).contains("gzip") => "get an undamaged file",
        Why::Io(_) => "check the file and the disk",
        Why::Format(_) => "correct the line and import the file again",
    };
    unreadable(path, error, advice)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
