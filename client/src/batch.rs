//! Groups samples into few blocks: by time (scans), by tag (series), or each sample whichever
//! way has the larger group.
//!
//! Invariants:
//! 1. Samples of the same tag and time keep their order, so that the last write still wins:
//!    they are of one group in each of the three ways, unless their kinds differ; a batch is
//!    cut in runs within which no tag and time come with two kinds.
//! 2. Every sample is in exactly one block.
//! 3. A tag's first samples are a series, in the order they were written: an undeclared tag gets
//!    its type from the first of them.
//! 4. A tag's words are a series in every run, in the order they were written: a digital tag gives
//!    new ones its next codes. Numbers that came as text go either way.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::block::{Block, Column, Kind, Sample, Shape, squeeze};
use crate::value::Value;

/// Memory kept from batch to batch.
#[derive(Default)]
pub(crate) struct Shaper {
    /// Group of each (tag, kind), `NONE` between runs.
    tag_groups: Vec<u32>,
    /// A bit for each kind that a tag's values have, 0 between runs.
    tag_kinds: Vec<u8>,
    time_groups: HashMap<(i64, u8), u32, BuildHasherDefault<TimeHasher>>,
    /// Tags that came in an earlier batch.
    known: Vec<bool>,
}

const NONE: u32 = u32::MAX;
/// Groups of so many samples on average are taken without looking for larger ones: a block's own
/// cost is lost among theirs.
const COARSE: usize = 64;

/// One way to group: the group of each sample, and the size of each group.
struct Grouping {
    of: Vec<u32>,
    sizes: Vec<u32>,
}

/// The time's bits are multiplied apart: times of one batch differ by round numbers, and nobody
/// else chooses them.
#[derive(Default)]
struct TimeHasher(u64);

impl Hasher for TimeHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n.cast_unsigned());
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shaper {
    /// The blocks of `samples`, which count from 0 in `origins`; at most `u32::MAX` of them.
    pub fn shape(&mut self, samples: Vec<Sample>) -> Vec<Block> {
        let mut blocks = Vec::new();
        let kinds: Vec<Kind> = samples.iter().map(|sample| self.kind(sample)).collect();
        let mut kinds = &kinds[..];
        let mut rest = samples;
        let mut first = 0;
        let tags: Vec<u32> = rest.iter().map(|sample| sample.tag).filter(|tag| !self.is_known(*tag)).collect();
        while !rest.is_empty() {
            let run = self.unambiguous(&rest, kinds);
            let later = rest.split_off(run);
            self.shape_run(rest, &kinds[..run], first, &mut blocks);
            kinds = &kinds[run..];
            first += run as u32;
            rest = later;
        }
        for tag in tags {
            if self.known.len() <= tag as usize {
                self.known.resize(tag as usize + 1, false);
            }
            self.known[tag as usize] = true;
        }
        blocks
    }

    fn is_known(&self, tag: u32) -> bool {
        self.known.get(tag as usize).is_some_and(|known| *known)
    }

    /// The kind by which a sample is grouped. First samples are a series anyway, in which words
    /// and other texts have to keep their order.
    fn kind(&self, sample: &Sample) -> Kind {
        match &sample.value {
            Value::Text(text) if self.is_known(sample.tag) && !is_number(text) => Kind::Word,
            value => Kind::of(value),
        }
    }

    /// How many of the first samples hold no tag and time with two kinds of value; at least one.
    fn unambiguous(&mut self, samples: &[Sample], kinds: &[Kind]) -> usize {
        // Most batches are of one kind throughout.
        if kinds.iter().all(|kind| *kind == kinds[0]) {
            return samples.len();
        }
        let mut mixed = false;
        for (sample, kind) in samples.iter().zip(kinds) {
            let tag = sample.tag as usize;
            if self.tag_kinds.len() <= tag {
                self.tag_kinds.resize(tag + 1, 0);
            }
            self.tag_kinds[tag] |= 1 << *kind as u8;
            mixed |= !self.tag_kinds[tag].is_power_of_two();
        }
        let run = if mixed { self.first_conflict(samples, kinds) } else { samples.len() };
        for sample in samples {
            self.tag_kinds[sample.tag as usize] = 0;
        }
        run
    }

    /// The first sample whose tag and time came before with another kind; only tags with several
    /// kinds need to be looked at.
    fn first_conflict(&self, samples: &[Sample], kinds: &[Kind]) -> usize {
        let mut seen = HashMap::new();
        let conflict = samples.iter().zip(kinds).position(|(sample, kind)| {
            !self.tag_kinds[sample.tag as usize].is_power_of_two()
                && *seen.entry((sample.tag, sample.time)).or_insert(kind) != kind
        });
        conflict.unwrap_or(samples.len())
    }

    fn shape_run(&mut self, samples: Vec<Sample>, kinds: &[Kind], first: u32, blocks: &mut Vec<Block>) {
        let (groups, scan_groups) = self.group(&samples, kinds);
        let mut open: Vec<Option<Building>> = Vec::new();
        open.resize_with(groups.sizes.len(), || None);
        let start = blocks.len();
        for (origin, (sample, group)) in (first..).zip(samples.into_iter().zip(groups.of)) {
            let building = open[group as usize].get_or_insert_with(|| {
                let rows = groups.sizes[group as usize] as usize;
                let at = blocks.len();
                blocks.push(new_block(&sample, group < scan_groups, rows));
                Building { at, statuses: Vec::with_capacity(rows) }
            });
            building.statuses.push(sample.status);
            push(&mut blocks[building.at], sample, origin);
        }
        for building in open.into_iter().flatten() {
            debug_assert!(building.at >= start);
            blocks[building.at].statuses = squeeze(building.statuses);
        }
    }

    /// A grouping, and how many of its groups, which come first, are scans.
    fn group(&mut self, samples: &[Sample], kinds: &[Kind]) -> (Grouping, u32) {
        let serial = |(sample, kind): (&Sample, &Kind)| *kind == Kind::Word || !self.is_known(sample.tag);
        let serial: Vec<bool> = samples.iter().zip(kinds).map(serial).collect();
        let by_time = self.group_by_time(samples, kinds);
        if by_time.is_coarse() && !serial.contains(&true) {
            let scans = by_time.sizes.len() as u32;
            return (by_time, scans);
        }
        let by_tag = self.group_by_tag(samples, kinds);
        if by_tag.is_coarse() { (by_tag, 0) } else { fewest(by_time, by_tag, &serial) }
    }

    fn group_by_time(&mut self, samples: &[Sample], kinds: &[Kind]) -> Grouping {
        self.time_groups.clear();
        let mut grouping = Grouping::with_capacity(samples.len());
        let mut last = None;
        for (sample, kind) in samples.iter().zip(kinds) {
            let key = (sample.time, *kind as u8);
            let group = match last {
                Some((known, group)) if known == key => group,
                _ => *self.time_groups.entry(key).or_insert_with(|| grouping.open()),
            };
            last = Some((key, group));
            grouping.push(group);
        }
        grouping
    }

    fn group_by_tag(&mut self, samples: &[Sample], kinds: &[Kind]) -> Grouping {
        let mut grouping = Grouping::with_capacity(samples.len());
        for (sample, kind) in samples.iter().zip(kinds) {
            let slot = slot(sample, *kind);
            if self.tag_groups.len() <= slot {
                self.tag_groups.resize(slot + Kind::COUNT, NONE);
            }
            if self.tag_groups[slot] == NONE {
                self.tag_groups[slot] = grouping.open();
            }
            grouping.push(self.tag_groups[slot]);
        }
        for (sample, kind) in samples.iter().zip(kinds) {
            self.tag_groups[slot(sample, *kind)] = NONE;
        }
        grouping
    }
}

struct Building {
    at: usize,
    statuses: Vec<u32>,
}

impl Grouping {
    fn with_capacity(rows: usize) -> Grouping {
        Grouping { of: Vec::with_capacity(rows), sizes: Vec::new() }
    }

    fn open(&mut self) -> u32 {
        self.sizes.push(0);
        self.sizes.len() as u32 - 1
    }

    fn push(&mut self, group: u32) {
        self.sizes[group as usize] += 1;
        self.of.push(group);
    }

    fn is_coarse(&self) -> bool {
        self.sizes.len() * COARSE <= self.of.len()
    }

    fn count(&self) -> usize {
        self.sizes.iter().filter(|size| **size > 0).count()
    }
}

fn slot(sample: &Sample, kind: Kind) -> usize {
    sample.tag as usize * Kind::COUNT + kind as usize
}

/// Whether every server reads a text as a finite decimal number: `-1.5e3`.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).len();
    let text = text.trim();
    let text = &text[text.len() - unsigned(text)..];
    let whole = digits(text);
    let rest = &text[whole..];
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let exponent = match rest.strip_prefix(['e', 'E']) {
        Some(rest) => &rest[rest.len() - unsigned(rest)..],
        None if rest.is_empty() => "0",
        None => return false,
    };
    whole + fraction.len() > 0 && !exponent.is_empty() && digits(exponent) == exponent.len()
}

/// The grouping with the fewest groups, and how many of its groups, which come first, are scans.
/// Samples that are `serial` go by tag.
fn fewest(by_time: Grouping, by_tag: Grouping, serial: &[bool]) -> (Grouping, u32) {
    let scans = by_time.sizes.len() as u32;
    let mut mixed = Grouping::with_capacity(by_time.of.len());
    mixed.sizes = vec![0; by_time.sizes.len() + by_tag.sizes.len()];
    for ((time, tag), serial) in by_time.of.iter().zip(&by_tag.of).zip(serial) {
        let scan = !serial && by_time.sizes[*time as usize] >= by_tag.sizes[*tag as usize];
        mixed.push(if scan { *time } else { scans + *tag });
    }
    let any_serial = serial.contains(&true);
    let (all_scans, all_series) = (if any_serial { usize::MAX } else { by_time.count() }, by_tag.count());
    if mixed.count() < all_scans.min(all_series) {
        (mixed, scans)
    } else if all_scans <= all_series {
        (by_time, scans)
    } else {
        (by_tag, 0)
    }
}

fn new_block(sample: &Sample, scan: bool, rows: usize) -> Block {
    let shape = if scan {
        Shape::Scan { time: sample.time, tags: Vec::with_capacity(rows) }
    } else {
        Shape::Series { tag: sample.tag, times: Vec::with_capacity(rows) }
    };
    let column = Column::with_capacity(Kind::of(&sample.value), rows);
    Block { shape, column, statuses: Vec::new(), origins: Vec::with_capacity(rows) }
}

fn push(block: &mut Block, sample: Sample, origin: u32) {
    match &mut block.shape {
        Shape::Scan { tags, .. } => tags.push(sample.tag),
        Shape::Series { times, .. } => times.push(sample.time),
    }
    block.column.push(sample.value);
    block.origins.push(origin);
}

#[cfg(test)]
mod tests;
