//! What an archive must hold: a map, and the books of its sources.

use std::collections::BTreeMap;

use tagus_engine::ingest::Counts;
use tagus_engine::sample::Cell;

/// Samples by tag name and time.
pub type Map = BTreeMap<(String, i64), Cell>;

/// A sample as it is sent, and what has to become of it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub tag: String,
    pub time: i64,
    /// None where it is refused.
    pub cell: Option<Cell>,
    pub coerced: bool,
}

/// One change of the archive; durable as a whole or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// A batch of a source.
    Batch { source: usize, epoch: u64, sequence: u64, samples: Vec<Sent> },
    /// Samples of these tags, from and to a time.
    Delete { tags: Vec<String>, from: i64, to: i64 },
    /// A tag's unit.
    Unit { tag: String, unit: String },
}

/// Where a source is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    pub epoch: u64,
    pub sequence: u64,
    pub counts: Counts,
}

/// Everything that was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub map: Map,
    pub sources: Vec<Source>,
    pub units: BTreeMap<String, String>,
}

impl Model {
    /// Applies a change; for a batch, what became of its samples.
    pub fn apply(&mut self, change: &Change) -> Counts {
        let mut counts = Counts::default();
        match change {
            Change::Batch { source, epoch, sequence, samples } => {
                counts = self.write(samples);
                let books = &mut self.sources[*source];
                if books.epoch != *epoch {
                    *books = Source { epoch: *epoch, ..Source::default() };
                }
                books.sequence = *sequence;
                books.counts += counts;
            }
            Change::Delete { tags, from, to } => {
                self.map.retain(|(tag, time), _| !tags.contains(tag) || !(from..=to).contains(&time));
            }
            Change::Unit { tag, unit } => drop(self.units.insert(tag.clone(), unit.clone())),
        }
        counts
    }

    fn write(&mut self, samples: &[Sent]) -> Counts {
        let mut counts = Counts::default();
        for sample in samples {
            let Some(cell) = &sample.cell else {
                counts.rejected += 1;
                continue;
            };
            match self.map.insert((sample.tag.clone(), sample.time), cell.clone()) {
                None => counts.stored += 1,
                Some(before) if before == *cell => {
                    counts.duplicate += 1;
                    continue;
                }
                Some(_) => counts.replaced += 1,
            }
            counts.coerced += u64::from(sample.coerced);
        }
        counts
    }

    /// The rows of one tag within some times, ascending.
    pub fn rows(&self, tag: &str, from: i64, to: i64) -> Vec<(i64, Cell)> {
        if from > to {
            return Vec::new();
        }
        let range = (tag.to_owned(), from)..=(tag.to_owned(), to);
        self.map.range(range).map(|(key, cell)| (key.1, cell.clone())).collect()
    }
}
