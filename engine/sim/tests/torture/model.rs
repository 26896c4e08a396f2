//! What an archive must hold: maps, and what each frame of the log does to them.

use std::collections::BTreeMap;

use tagus_engine::ingest::Counts;
use tagus_engine::sample::Cell;
use tagus_engine::tag::{TagId, TagSpec};

/// Samples by tag and time.
pub type Samples = BTreeMap<(TagId, i64), Cell>;

/// The whole state of an archive, as far as anybody can see it.
#[derive(Clone, Default, PartialEq)]
pub struct Model {
    /// By id, from 1.
    pub tags: Vec<TagSpec>,
    pub samples: Samples,
    pub sources: BTreeMap<String, Place>,
}

/// Where a source is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    pub epoch: u64,
    pub sequence: u64,
    pub counts: Counts,
}

/// One frame of the log.
#[derive(Clone)]
pub enum Op {
    /// Tags that are new or changed.
    Tags(Vec<(TagId, TagSpec)>),
    /// A batch; its mark is the source, the epoch and the sequence.
    Batch { mark: Option<(String, u64, u64)>, rows: Vec<Written>, rejected: u64 },
    /// A delete of these tags and times, both ends included.
    Delete { tags: Vec<TagId>, from: i64, to: i64 },
}

/// A sample as it is to be stored.
#[derive(Clone)]
pub struct Written {
    pub tag: TagId,
    pub time: i64,
    pub cell: Cell,
    pub coerced: bool,
}

impl Model {
    /// Does what a frame does; says what became of its samples.
    pub fn apply(&mut self, op: &Op) -> Counts {
        match op {
            Op::Tags(tags) => {
                for (id, spec) in tags {
                    let index = id.0 as usize - 1;
                    self.tags.resize_with(self.tags.len().max(index + 1), || spec.clone());
                    self.tags[index] = spec.clone();
                }
                Counts::default()
            }
            Op::Batch { mark, rows, rejected } => {
                let mut counts = self.write(rows);
                counts.rejected = *rejected;
                if let Some((source, epoch, sequence)) = mark {
                    self.enter(source, *epoch, *sequence, counts);
                }
                counts
            }
            Op::Delete { tags, from, to } => {
                self.samples.retain(|(tag, time), _| !(tags.contains(tag) && (*from..=*to).contains(time)));
                Counts::default()
            }
        }
    }

    fn write(&mut self, rows: &[Written]) -> Counts {
        let mut counts = Counts::default();
        for row in rows {
            match self.samples.insert((row.tag, row.time), row.cell.clone()) {
                Some(before) if before == row.cell => {
                    counts.duplicate += 1;
                    continue;
                }
                Some(_) => counts.replaced += 1,
                None => counts.stored += 1,
            }
            counts.coerced += u64::from(row.coerced);
        }
        counts
    }

    fn enter(&mut self, source: &str, epoch: u64, sequence: u64, counts: Counts) {
        let nowhere = Place { epoch, sequence: 0, counts: Counts::default() };
        let place = self.sources.entry(source.to_owned()).or_insert(nowhere);
        if place.epoch != epoch {
            *place = nowhere;
        }
        place.sequence = sequence;
        place.counts += counts;
    }

    /// The state after some frames.
    pub fn after<'a>(&self, ops: impl IntoIterator<Item = &'a Op>) -> Model {
        let mut next = self.clone();
        for op in ops {
            next.apply(op);
        }
        next
    }

    /// All ids.
    pub fn ids(&self) -> Vec<TagId> {
        (1..=u32::try_from(self.tags.len()).expect("few tags")).map(TagId).collect()
    }

    pub fn spec(&self, tag: TagId) -> &TagSpec {
        &self.tags[tag.0 as usize - 1]
    }

    /// The id of a name in any case.
    pub fn find(&self, name: &str) -> Option<TagId> {
        let folded = name.to_lowercase();
        self.ids().into_iter().find(|id| self.spec(*id).name.to_lowercase() == folded)
    }

    /// A tag's samples from `from` to `to`, ascending.
    pub fn range(&self, tag: TagId, from: i64, to: i64) -> impl DoubleEndedIterator<Item = (i64, &Cell)> {
        let range = if from <= to { (tag, from)..=(tag, to) } else { (tag, 0)..=(tag, 0) };
        let samples = self.samples.range(range).filter(move |_| from <= to);
        samples.map(|((_, time), cell)| (*time, cell))
    }

    /// The newest time of the tags that do not lie in the future.
    pub fn newest_time(&self) -> Option<i64> {
        self.samples.keys().filter(|(tag, _)| !self.spec(*tag).future).map(|(_, time)| *time).max()
    }
}
