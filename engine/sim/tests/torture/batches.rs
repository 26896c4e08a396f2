//! Random batches, and the frames that the log gets for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use tagus_engine::ingest::{Batch, Block, Shape, TagRef};
use tagus_engine::limits;
use tagus_engine::status::Status;
use tagus_engine::tag::{TagId, TagSpec, TagType};
use tagus_sim::SimRandom;

use crate::model::{Model, Op, Written};
use crate::values::{self, Outcome, STATUSES, Value};

pub const SECOND: i64 = 1_000_000_000;
pub const HOUR: i64 = 3600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// Where the simulated clock begins.
pub const START: i64 = 1_767_225_600_000_000_000;

/// A batch and what must become of it.
pub struct Composed {
    pub batch: Batch,
    /// Frames of tags that it makes necessary, in order.
    pub tags: Vec<Op>,
    pub rows: Vec<Written>,
    /// Places of the samples that are to be refused.
    pub rejected: Vec<u32>,
}

/// One sample before it is known what becomes of it.
struct Sample {
    who: Who,
    time: i64,
    value: Value,
    status: Status,
}

#[derive(Clone)]
enum Who {
    Handle(u32),
    Name(String),
}

/// A random batch, as the engine must take it at `now`.
pub fn compose(random: &SimRandom, model: &Model, now: i64, max_future: i64) -> Composed {
    let mut batch = Batch::default();
    let mut samples = Vec::new();
    for _ in 0..1 + random.below(4) {
        let (block, of_block) = block(random, model, now);
        batch.blocks.push(block);
        samples.extend(of_block);
    }
    let latest = |future: bool| if future { limits::TIME_MAX } else { now + max_future };
    let mut known = model.clone();
    known.samples.clear();
    let mut tags = Vec::new();
    let new = missing(&samples, &known, latest(false));
    if !new.is_empty() {
        let first = known.tags.len() + 1;
        let ids = (first..).map(|id| TagId(u32::try_from(id).expect("few tags")));
        tags.push(Op::Tags(ids.zip(new).collect()));
        known = known.after(&tags);
    }
    let mut appended: BTreeMap<TagId, Vec<String>> = BTreeMap::new();
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    for (index, sample) in (0..).zip(&samples) {
        let tag = match &sample.who {
            Who::Handle(handle) => Some(TagId(*handle)).filter(|id| (1..=known.tags.len()).contains(&(id.0 as usize))),
            Who::Name(name) => known.find(name),
        };
        let possible = |tag: &TagId| (limits::TIME_MIN..=latest(known.spec(*tag).future)).contains(&sample.time);
        let Some(tag) = tag.filter(possible) else {
            rejected.push(index);
            continue;
        };
        let spec = known.spec(tag);
        match values::outcome(spec, &sample.value, sample.status, appended.entry(tag).or_default()) {
            Outcome::Kept { cell, coerced } => rows.push(Written { tag, time: sample.time, cell, coerced }),
            Outcome::Refused => rejected.push(index),
        }
    }
    let grown: Vec<(TagId, TagSpec)> = appended
        .into_iter()
        .filter(|(_, words)| !words.is_empty())
        .map(|(tag, words)| (tag, grown(known.spec(tag), words)))
        .collect();
    if !grown.is_empty() {
        tags.push(Op::Tags(grown));
    }
    Composed { batch, tags, rows, rejected }
}

/// A digital tag with more states.
fn grown(spec: &TagSpec, words: Vec<String>) -> TagSpec {
    let mut spec = spec.clone();
    for word in words {
        let code = spec.states.last().map_or(0, |(code, _)| code + 1);
        spec.states.push((code, Arc::from(word.as_str())));
    }
    spec
}

/// Tags that samples of possible times name and that are not there.
fn missing(samples: &[Sample], known: &Model, latest: i64) -> Vec<TagSpec> {
    let mut new: Vec<(String, Option<TagType>)> = Vec::new();
    for sample in samples {
        let Who::Name(name) = &sample.who else { continue };
        if name.is_empty() || known.find(name).is_some() || !(limits::TIME_MIN..=latest).contains(&sample.time) {
            continue;
        }
        let at = new.iter().position(|(there, _)| there.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
            new.push((name.clone(), None));
            new.len() - 1
        });
        if !sample.status.is_bad() {
            new[at].1 = new[at].1.or(values::type_of(&sample.value));
        }
    }
    new.into_iter().map(|(name, kind)| TagSpec::new(name, kind.unwrap_or(TagType::Float64))).collect()
}

/// A block, and its samples in order.
fn block(random: &SimRandom, model: &Model, now: i64) -> (Block, Vec<Sample>) {
    let is_scan = random.chance(1, 4);
    let count = 1 + random.below(if is_scan { 6 } else { 14 }) as usize;
    let (shape, places) = if is_scan { scan(random, model, now, count) } else { series(random, model, now, count) };
    let values = values::draw(random, count);
    let statuses: Vec<u32> = match random.below(6) {
        0 => vec![status(random)],
        1 | 2 => (0..count).map(|_| status(random)).collect(),
        _ => Vec::new(),
    };
    let status_of =
        |i: usize| Status(if statuses.len() == 1 { statuses[0] } else { statuses.get(i).copied().unwrap_or(0) });
    let samples = places.into_iter().zip(&values).enumerate();
    let samples =
        samples.map(|(i, ((who, time), value))| Sample { who, time, value: value.clone(), status: status_of(i) });
    let samples = samples.collect();
    (Block { shape, values: values::column(&values), statuses }, samples)
}

fn status(random: &SimRandom) -> u32 {
    STATUSES[random.below(STATUSES.len() as u64) as usize]
}

fn scan(random: &SimRandom, model: &Model, now: i64, count: usize) -> (Shape, Vec<(Who, i64)>) {
    let time = time(random, now);
    let (mut handles, mut names) = (Vec::new(), Vec::new());
    for _ in 0..count {
        match who(random, model) {
            Who::Handle(handle) => handles.push(handle),
            Who::Name(name) => names.push(name),
        }
    }
    let places = handles.iter().map(|handle| Who::Handle(*handle)).chain(names.iter().cloned().map(Who::Name));
    let places = places.map(|who| (who, time)).collect();
    (Shape::Scan { time, handles, names }, places)
}

fn series(random: &SimRandom, model: &Model, now: i64, count: usize) -> (Shape, Vec<(Who, i64)>) {
    let who = who(random, model);
    let tag = match &who {
        Who::Handle(handle) => TagRef::Handle(*handle),
        Who::Name(name) => TagRef::Name(name.clone()),
    };
    let base = time(random, now);
    let step = [SECOND, 60 * SECOND, HOUR, 1][random.below(4) as usize];
    let one = |_| match random.below(12) {
        0 => time(random, now),
        _ => base.saturating_sub(random.below(count as u64 + 2).cast_signed() * step),
    };
    let times: Vec<i64> = (0..count).map(one).collect();
    let places = times.iter().map(|time| (who.clone(), *time)).collect();
    (Shape::Series { tag, times }, places)
}

fn who(random: &SimRandom, model: &Model) -> Who {
    let known = model.tags.len() as u64;
    match random.below(20) {
        0 => Who::Name(String::new()),
        1 => Who::Handle(u32::try_from(known + 1 + random.below(2)).expect("few tags")),
        2 | 3 => Who::Name(format!("auto.{}", random.below(8))),
        _ if known == 0 => Who::Name(format!("Auto.{}", random.below(8))),
        4..=8 => Who::Handle(u32::try_from(1 + random.below(known)).expect("few tags")),
        n => {
            let name = &model.tags[random.below(known) as usize].name;
            Who::Name(if n < 11 { name.to_uppercase() } else { name.clone() })
        }
    }
}

/// A time of any age; those of one kind often meet.
pub fn time(random: &SimRandom, now: i64) -> i64 {
    let back = |most: u64, step: i64| random.below(most).cast_signed() * step;
    let today = now - now.rem_euclid(SECOND);
    match random.below(40) {
        0 => i64::MIN,
        1 => limits::TIME_MAX + 1,
        2 => limits::TIME_MIN + back(3, 1),
        3 => now + back(120, 60 * SECOND),
        4..=6 => START - back(10 * 365, DAY),
        7..=9 => START - back(3, 365 * DAY) - back(5, 60 * SECOND),
        10..=15 => START - back(20, DAY) - back(4, HOUR),
        16..=20 => START - back(60, 60 * SECOND) + back(3, 1),
        _ => today - back(30, SECOND),
    }
}
