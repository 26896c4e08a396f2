//! CSV files for `tagus import`.

use std::io::{self, Read};

use crate::one_line;
use crate::server::columns::{Columns, StatusReader};
use crate::server::csv::Reader;
use crate::server::time::{TimeReader, TimeUnit};

/// A record: its line, and its fields with whether each stood in quotes.
type Record = (u64, Vec<(Vec<u8>, bool)>);

/// A CSV file: records do not depend on the pieces in which the bytes come.
pub fn csv(data: &[u8]) {
    let (records, end) = all(data);
    let bytes: usize = records.iter().flat_map(|(_, fields)| fields).map(|(field, _)| field.len()).sum();
    assert!(bytes <= data.len(), "{bytes} bytes of fields in {} bytes", data.len());
    let lines = data.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    assert!(records.iter().all(|(line, _)| (1..=lines).contains(line)));
    assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0), "lines do not ascend");
    for piece in [1, 3] {
        assert!(all(Pieces { rest: data, piece }) == (records.clone(), end.clone()), "pieces of {piece} differ");
    }
    rows(&records);
}

/// All records up to the end or the first error.
fn all(source: impl Read) -> (Vec<Record>, Option<String>) {
    let mut reader = Reader::new(source);
    let mut records = Vec::new();
    loop {
        match reader.next() {
            Ok(true) => {
                let fields = (0..reader.len()).map(|i| (reader.field(i).to_vec(), reader.is_quoted(i)));
                records.push((reader.line(), fields.collect()));
            }
            Ok(false) => return (records, None),
            Err(error) => {
                one_line(&error);
                return (records, Some(error.to_string()));
            }
        }
    }
}

/// Reads what an import would of each row.
fn rows(records: &[Record]) {
    let Some((_, head)) = records.first() else { return };
    let names: Vec<String> = head.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    let columns = match Columns::from_names(&names) {
        Ok(columns) => columns,
        Err(why) => {
            // The names in it come from the file; commands escape what they print.
            assert!(!why.is_empty());
            Columns::default_order()
        }
    };
    let (mut times, mut statuses) = (TimeReader::new(Some(TimeUnit::Ms)), StatusReader::default());
    for (_, fields) in records {
        let cell = |index: usize| fields.get(index).map_or(&b""[..], |(field, _)| field);
        let time = times.text(cell(columns.time));
        assert_eq!(time, TimeReader::new(Some(TimeUnit::Ms)).text(cell(columns.time)), "a time depends on others");
        let (status, quality) = (columns.status.map_or(&b""[..], cell), columns.quality.map_or(&b""[..], cell));
        let read = statuses.read(status, quality);
        assert_eq!(read, StatusReader::default().read(status, quality), "a status depends on others");
    }
}

/// Bytes that come a few at a time.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.min(into.len()).min(self.rest.len());
        into[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }
}
