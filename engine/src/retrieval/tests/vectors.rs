//! The rows of the OPC Foundation's example file (`testdata/opcua`), each through its machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::*;
use crate::status::Status;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/opcua")
}

/// The rows of a file, each by the names of its columns. No cell has a comma in these columns.
fn rows(file: &str) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(folder().join(file)).expect("testdata");
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    lines.map(|cells| header.iter().cloned().zip(cells).collect()).collect()
}

fn ms(text: &str) -> i64 {
    text.parse::<i64>().expect("milliseconds") * 1_000_000
}

/// A history as columns.
#[derive(Default)]
struct History {
    times: Vec<i64>,
    values: Vec<f64>,
    statuses: Vec<u32>,
}

fn history(name: &str) -> History {
    let mut history = History::default();
    for row in rows(&format!("{name}.csv")) {
        let value = match row["value"].as_str() {
            "" | "false" => 0.0,
            "true" => 1.0,
            number => number.parse().expect("a number"),
        };
        history.times.push(ms(&row["timestamp_ms"]));
        history.values.push(value);
        history.statuses.push(Status::parse(&row["status"]).expect("a status").0);
    }
    history
}

impl History {
    /// The samples that are data, and when the first and the last of them are.
    fn data(&self) -> (Samples<'_>, Span) {
        let is_data = |status: &u32| !is_marker(Status(*status));
        let Some(first) = self.statuses.iter().position(is_data) else { return (Samples::default(), None) };
        let last = self.statuses.iter().rposition(is_data).expect("there is a first");
        let all = Samples { times: &self.times, values: &self.values, statuses: &self.statuses };
        (all.slice(first..last + 1), Some((self.times[first], self.times[last])))
    }
}

/// All answers in the order of the request; `slow` feeds one sample at a time and takes one answer.
pub fn answers(
    aggregate: Aggregate,
    rules: Rules,
    grid: Grid,
    samples: Samples<'_>,
    span: Span,
    slow: bool,
) -> Answers {
    let (step, room) = if slow { (1, 1) } else { (samples.len().max(1), usize::MAX) };
    let mut processor = Processor::new(aggregate, rules, grid, span);
    let (mut all, mut out) = (Answers::default(), Answers::default());
    let mut take = |out: &mut Answers| {
        all.times.append(&mut out.times);
        all.values.append(&mut out.values);
        all.statuses.append(&mut out.statuses);
    };
    for start in (0..samples.len()).step_by(step) {
        let piece = samples.slice(start..(start + step).min(samples.len()));
        let mut at = 0;
        while at < piece.len() {
            at = processor.feed(piece, at, &mut out, room);
            take(&mut out);
        }
    }
    while !processor.finish(&mut out, room) {
        take(&mut out);
    }
    take(&mut out);
    if grid.is_reverse() {
        all.reverse();
    }
    all
}

/// Location, Partial and MultipleValues, as the file writes them.
fn bits(words: &str) -> u32 {
    words
        .split('|')
        .map(|word| match word {
            "Calculated" => 1,
            "Interpolated" => 2,
            "Partial" => 4,
            "MultipleValues" => 16,
            "Raw" | "" => 0,
            other => panic!("{other}"),
        })
        .sum()
}

/// What a row has to be: the file's, or the prose's where that is to be followed.
struct Expected {
    value: Option<f64>,
    status: Status,
    bits: u32,
}

fn expected(row: &BTreeMap<String, String>) -> Expected {
    let value = match row["value"].as_str() {
        "" => None,
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => Some(text.parse().ok().or_else(|| Status::parse(text).map(|s| f64::from(s.0))).expect("a value")),
    };
    Expected { value, status: Status::parse(&row["status"]).expect("a status"), bits: bits(&row["bits"]) }
}

/// The rows of the classes of which the prose is followed; AnnotationCount has none, as there are no annotations.
fn by_the_prose() -> BTreeMap<(String, String, String), Expected> {
    let mut found = BTreeMap::new();
    for row in rows("errata.csv") {
        let class = row["category"].trim_matches('"').chars().take(2).collect::<String>();
        let expected = match class.as_str() {
            "E1" | "E2" | "E3" => Expected {
                value: row["rules_value"].parse().ok(),
                status: Status::parse(&row["rules_status"]).expect("a status"),
                bits: bits(&row["rules_bits"]),
            },
            "E6" if row["expected_status"] == "Good" => {
                Expected { value: Some(0.0), status: Status::GOOD, bits: bits(&row["expected_bits"]) }
            }
            _ => continue,
        };
        found.insert((row["aggregate"].clone(), row["historian"].clone(), row["interval_start"].clone()), expected);
    }
    found
}

#[test]
fn every_row_of_the_example_file_is_answered() {
    let prose = by_the_prose();
    let mut matched: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut differences = Vec::new();
    for slow in [false, true] {
        for row in rows("expected.csv") {
            let aggregate = Aggregate::parse(&row["aggregate"]).expect("one of 37");
            let rules = Rules {
                treat_uncertain_as_bad: row["treat_uncertain_as_bad"] == "true",
                percent_data_bad: row["percent_data_bad"].parse().expect("a number"),
                percent_data_good: row["percent_data_good"].parse().expect("a number"),
                use_sloped_extrapolation: row["use_sloped_extrapolation"] == "true",
                stepped: row["stepped"] == "true",
            };
            let grid = Grid::new(0, ms("100000"), ms(&row["processing_interval_ms"]).cast_unsigned());
            let history = history(&row["historian"]);
            let (samples, span) = history.data();
            let all = answers(aggregate, rules, grid, samples, span, slow);
            assert_eq!(all.len() as u64, grid.len());
            let at =
                usize::try_from(ms(&row["interval_start_ms"]) / ms(&row["processing_interval_ms"])).expect("a row");
            let key = (row["aggregate"].clone(), row["historian"].clone(), row["interval_start"].clone());
            let of_file = expected(&row);
            let wanted = prose.get(&key).unwrap_or(&of_file);
            let (value, status) = (all.values[at], all.statuses[at]);
            let is_same = match (value, wanted.value) {
                (Some(a), Some(b)) => (a - b).abs() <= 5e-4,
                (None, None) => true,
                _ => false,
            };
            let flags = status & 0xFFFF;
            let wanted_flags = wanted.bits | if wanted.bits == 0 { 0 } else { 0x400 };
            let stamp = if prose.contains_key(&key) { all.times[at] } else { ms(&row["timestamp_ms"]) };
            let ok =
                is_same && status & 0xFFFF_0000 == wanted.status.0 && flags == wanted_flags && all.times[at] == stamp;
            let count = matched.entry(row["aggregate"].clone()).or_default();
            count.0 += usize::from(ok);
            count.1 += 1;
            if !ok {
                differences.push(format!(
                    "{key:?}: {value:?} {} {flags:x} at {}, expected {:?} {} {wanted_flags:x} at {stamp}",
                    Status(status & 0xFFFF_0000),
                    all.times[at],
                    wanted.value,
                    wanted.status
                ));
            }
        }
    }
    for (aggregate, (matched, all)) in &matched {
        println!("{aggregate}: {matched} of {all}");
    }
    assert_eq!(matched.len(), 37, "all aggregates are in the file");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
