//! Rejected rows: which line each was, and why.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tagus_client::{Rejection, Unseen};

use super::chunk::{Kept, Refused};
use crate::cli::error::{Failure, Result};
use crate::cli::format::csv::push_field;
use crate::cli::format::value::{push, push_time};
use crate::cli::output::NewFile;

/// Collects rejected rows.
#[derive(Default)]
pub struct Report {
    /// Where they are written, if anywhere.
    file: Option<NewFile>,
    /// What is on its way, by how many rows were sent before it.
    in_flight: VecDeque<InFlight>,
    /// Rows refused before they were sent.
    own: u64,
    /// Rows that the server refused with a reason.
    explained: u64,
    /// Samples of which the server refused some, and where each stood.
    unseen: Vec<(Unseen, Vec<Place>)>,
    /// The first rejected row in words.
    first: Option<String>,
    /// Why the file cannot be written.
    failure: Option<Failure>,
}

struct InFlight {
    first: u64,
    file: Arc<str>,
    kept: Kept,
}

/// Where a row that was sent stood: file, line and value in words.
pub type Place = (Arc<str>, u64, String);

impl Report {
    /// A report that goes to `path`, or only counts.
    pub fn create(path: Option<&Path>) -> Result<Report> {
        let mut report = Report::default();
        if let Some(path) = path {
            report.file = Some(NewFile::create(path)?);
            report.write_line(b"file,line,tag,timestamp,value,reason\n");
        }
        Ok(report)
    }

    /// Rows are about to be sent; `first` were sent before them.
    pub fn sending(&mut self, first: u64, file: Arc<str>, kept: Kept) {
        if kept.len() > 0 {
            self.in_flight.push_back(InFlight { first, file, kept });
        }
    }

    /// The first `rows` of all that were sent are settled, with all their rejections.
    pub fn settled(&mut self, rows: u64) {
        while self.in_flight.front().is_some_and(|f| f.first + f.kept.len() as u64 <= rows) {
            self.in_flight.pop_front();
        }
    }

    /// Rows that are not sent.
    pub fn refused(&mut self, file: &str, rows: &[Refused]) {
        self.own += rows.len() as u64;
        for row in rows {
            let Refused { line, tag, time, value, reason } = row;
            self.add(file, *line, [tag, time, value], reason);
        }
    }

    /// A row that the server refused.
    pub fn rejected(&mut self, rejection: &Rejection) {
        let place = self.place(rejection.ordinal);
        self.explain(place, &rejection.tag, rejection.time_ns, &rejection.reason);
    }

    /// Samples of which the server refused some; they are to be explained.
    pub fn unseen(&mut self, unseen: Unseen) {
        let places = unseen.samples.iter().map(|sample| self.place(sample.ordinal)).collect();
        self.unseen.push((unseen, places));
    }

    /// Some samples that are to be explained.
    pub fn take_unseen(&mut self) -> Option<(Unseen, Vec<Place>)> {
        self.unseen.pop()
    }

    /// They could not be explained now.
    pub fn put_back(&mut self, unseen: (Unseen, Vec<Place>)) {
        self.unseen.push(unseen);
    }

    /// A row at `place` was refused for `reason`.
    pub fn explain(&mut self, (file, line, value): Place, tag: &str, time_ns: i64, reason: &str) {
        self.explained += 1;
        let mut time = Vec::new();
        push_time(&mut time, time_ns, 1_000_000_000);
        self.add(&file, line, [tag, &String::from_utf8_lossy(&time), &value], reason);
    }

    /// Where a row stood that is the `ordinal`th of all that were sent.
    fn place(&self, ordinal: u64) -> Place {
        let at = self.in_flight.partition_point(|f| f.first + f.kept.len() as u64 <= ordinal);
        let found = self.in_flight.get(at).and_then(|in_flight| {
            let index = usize::try_from(ordinal.checked_sub(in_flight.first)?).ok()?;
            let (line, value) = in_flight.kept.get(index)?;
            Some((in_flight.file.clone(), line, value))
        });
        // Every row that was sent and not settled is in flight.
        found.unwrap_or_else(|| ("".into(), 0, String::new()))
    }

    /// How many rows were refused before they were sent.
    pub fn own(&self) -> u64 {
        self.own
    }

    /// Completes the file, and says whether rejections are a failure of the command: of `rows`
    /// rows `rejected` were, those refused here among them.
    pub fn finish(mut self, rows: u64, rejected: u64, again: &str) -> Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let kept = self.file.take().map(NewFile::keep).transpose()?.is_some();
        let unexplained = rejected.saturating_sub(self.own + self.explained);
        if kept && unexplained == 0 || rejected == 0 {
            return Ok(());
        }
        if kept {
            let why = format!("the server gave no reason for {unexplained} of {rejected} rejected rows");
            return Err(Failure::new("writing the rejected rows", why, again));
        }
        let noun = if rows == 1 { "row was" } else { "rows were" };
        let first = self.first.map(|first| format!(", the first at {first}")).unwrap_or_default();
        Err(Failure::new("importing", format_args!("{rejected} of {rows} {noun} rejected{first}"), again))
    }

    fn add(&mut self, file: &str, line: u64, cells: [&str; 3], reason: &str) {
        if self.first.is_none() {
            // Parts of a message are divided by semicolons; a reason must not look like several.
            self.first = Some(format!("{file} line {line}: {}", reason.replace("; ", ", ")));
        }
        if self.file.is_none() {
            return;
        }
        let mut text = Vec::new();
        push_cell(&mut text, file);
        push(&mut text, format_args!(",{line}"));
        for cell in cells.into_iter().chain([reason]) {
            text.push(b',');
            push_cell(&mut text, cell);
        }
        text.push(b'\n');
        self.write_line(&text);
    }

    fn write_line(&mut self, line: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(line)
        {
            self.failure.get_or_insert(file.failure(&error));
        }
    }
}

fn push_cell(line: &mut Vec<u8>, cell: &str) {
    if !cell.is_empty() {
        push_field(line, cell.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tagus_client::Value;

    use super::super::chunk::{Chunk, Names};
    use super::*;

    fn kept(lines: std::ops::Range<u64>) -> Kept {
        let (mut chunk, mut names) = (Chunk::default(), Names::default());
        for line in lines {
            chunk.add(&mut names, line, b"A", 0, Value::from(format!("v{line}")), 0).unwrap();
        }
        chunk.kept
    }

    fn rejection(ordinal: u64) -> Rejection {
        Rejection { ordinal, tag: "A,1".into(), time_ns: 1_500_000_000, reason: "too far; change it".into() }
    }

    #[test]
    fn rejections_find_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejected.csv");
        let mut report = Report::create(Some(&path)).unwrap();
        report.sending(0, "a.csv".into(), kept(2..12));
        report.sending(10, "a.csv".into(), kept(13..15));
        report.sending(12, "b.csv".into(), kept(2..5));
        report.rejected(&rejection(0));
        report.settled(11);
        report.rejected(&rejection(11));
        report.settled(12);
        report.rejected(&rejection(14));
        let refused = Refused { line: 9, tag: "B".into(), time: "x".into(), value: String::new(), reason: "no".into() };
        report.refused("b.csv", &[refused]);
        report.finish(16, 4, "again").unwrap();
        let expected = "\
file,line,tag,timestamp,value,reason
a.csv,2,\"A,1\",1970-01-01T00:00:01.500Z,v2,too far; change it
a.csv,14,\"A,1\",1970-01-01T00:00:01.500Z,v14,too far; change it
b.csv,4,\"A,1\",1970-01-01T00:00:01.500Z,v4,too far; change it
b.csv,9,B,x,,no
";
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }

    #[test]
    fn without_a_file_rejections_are_a_failure() {
        let mut report = Report::create(None).unwrap();
        report.sending(0, "a.csv".into(), kept(2..4));
        report.rejected(&rejection(1));
        assert_eq!(
            report.finish(2, 1, "give --rejects FILE to keep them"),
            Err(Failure::Failed(
                "importing failed: 1 of 2 rows were rejected, the first at a.csv line 3: too far, change it; \
                 give --rejects FILE to keep them"
                    .to_string()
            ))
        );
        assert_eq!(Report::create(None).unwrap().finish(2, 0, "again"), Ok(()));
    }

    #[test]
    fn reasons_that_never_came_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let report = Report::create(Some(&folder.path().join("r.csv"))).unwrap();
        let Err(Failure::Failed(text)) = report.finish(10, 3, "import again") else { panic!("it must be said") };
        assert!(text.contains("no reason for 3 of 3 rejected rows; import again"), "{text}");
    }
}
