//! Random samples, and what the rules of coercion make of them.

use std::sync::Arc;

use tagus_engine::Engine;
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::sample::Cell;
use tagus_engine::status::Status;
use tagus_engine::tag::TagType;
use tagus_sim::Sim;

use crate::model::Sent;

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const BAD_NO_DATA: u32 = 0x809B_0000;
const BAD_OUT_OF_RANGE: u32 = 0x803C_0000;

/// A batch of a few series and scans, and what becomes of its samples, in order.
pub fn batch(sim: &Sim, engine: &Engine, now: i64) -> (Batch, Vec<Sent>) {
    let mut batch = Batch::default();
    let mut sent = Vec::new();
    let mut words = Vec::new();
    for _ in 0..1 + sim.random.below(3) {
        if sim.random.chance(1, 5) {
            scan(sim, time(sim, now), now, &mut batch, &mut sent);
        } else {
            series(sim, engine, now, &mut words, &mut batch, &mut sent);
        }
    }
    (batch, sent)
}

/// Times of all ages, on so coarse a grid that many are there already.
fn time(sim: &Sim, now: i64) -> i64 {
    let below = |bound: u64| sim.random.below(bound).cast_signed();
    let grid = now.div_euclid(MINUTE) * MINUTE;
    match sim.random.below(12) {
        0 => now - below(1100) * DAY,
        1 => grid - below(72) * HOUR,
        2 => grid + below(180) * MINUTE,
        _ => grid - below(90) * MINUTE,
    }
}

/// One time of several float tags.
fn scan(sim: &Sim, time: i64, now: i64, batch: &mut Batch, sent: &mut Vec<Sent>) {
    let names: Vec<String> = ["f0", "f1", "f2"].map(str::to_owned).to_vec();
    let values: Vec<f64> = names.iter().map(|_| sim.random.below(4) as f64 / 10.0).collect();
    for (tag, value) in names.iter().zip(&values) {
        let cell = Some(Cell::good(value.to_bits())).filter(|_| time <= now + HOUR);
        sent.push(Sent { tag: tag.clone(), time, cell, coerced: false });
    }
    let shape = Shape::Scan { time, handles: Vec::new(), names };
    batch.blocks.push(Block { shape, values: Values::Doubles(values), statuses: Vec::new() });
}

fn series(sim: &Sim, engine: &Engine, now: i64, words: &mut Vec<String>, batch: &mut Batch, sent: &mut Vec<Sent>) {
    let tags = engine.tags();
    let at = sim.random.below(tags.len() as u64) as u32 + 1;
    let tag = tags.get(tagus_engine::tag::TagId(at)).expect("ids are dense");
    let (name, kind, future) = (tag.spec.name.clone(), tag.spec.tag_type, tag.spec.future);
    let count = 1 + sim.random.below(8) as usize;
    // A new state of a sample that is refused would be another story.
    let latest = if kind == TagType::Digital { now } else { i64::MAX };
    let times: Vec<i64> = (0..count).map(|_| time(sim, now).min(latest)).collect();
    let draws: Vec<u64> = times.iter().map(|_| sim.random.below(4)).collect();
    let (values, raw) = values(sim, kind, &draws, &tag.spec.states, words);
    let statuses = statuses(sim, count, raw.iter().any(|raw| matches!(raw, Raw::Code(_, true))));
    for (i, raw) in raw.into_iter().enumerate() {
        let status = statuses.get(if statuses.len() == 1 { 0 } else { i }).copied().unwrap_or(0);
        let (cell, coerced) = raw.becomes(status);
        let cell = cell.filter(|_| future || times[i] <= now + HOUR);
        sent.push(Sent { tag: name.clone(), time: times[i], cell, coerced });
    }
    let tag = TagRef::Name(if sim.random.chance(1, 4) { name.to_uppercase() } else { name });
    batch.blocks.push(Block { shape: Shape::Series { tag, times }, values, statuses });
}

/// None, one for all, or one each; words of states come with none that is bad.
fn statuses(sim: &Sim, count: usize, good: bool) -> Vec<u32> {
    const ALL: [u32; 4] = [0, 0x4000_0000, 0x8000_0000, 0x8031_0000];
    let draw = || ALL[sim.random.below(4) as usize];
    match sim.random.below(5) {
        _ if good => Vec::new(),
        0 => vec![draw()],
        1 => (0..count).map(|_| draw()).collect(),
        _ => Vec::new(),
    }
}

/// A value before the rules.
enum Raw {
    Bits(u64),
    NotFinite,
    Word(String),
    Text(String),
    Empty,
    Impossible,
    /// A state's code, and whether it came as a word.
    Code(i64, bool),
}

impl Raw {
    fn becomes(self, status: u32) -> (Option<Cell>, bool) {
        let bad = status >> 31 == 1;
        let absent = |text: Option<Arc<str>>, otherwise: u32| {
            let status = Status(if bad { status } else { otherwise });
            (Some(Cell { value: None, text, status }), !bad)
        };
        let there = |value, text| (Some(Cell { value, text, status: Status(status) }), false);
        match self {
            Raw::Bits(bits) => there(Some(bits), None),
            Raw::Code(code, _) => there(Some(code.cast_unsigned()), None),
            Raw::Text(text) => there(None, Some(text.into())),
            Raw::NotFinite => (Some(Cell { value: None, text: None, status: Status(BAD_OUT_OF_RANGE) }), true),
            Raw::Word(word) => absent(Some(word.into()), 0x8000_0000),
            Raw::Empty => absent(None, BAD_NO_DATA),
            Raw::Impossible => (None, false),
        }
    }
}

fn values(
    sim: &Sim,
    kind: TagType,
    draws: &[u64],
    states: &[(i64, Arc<str>)],
    words: &mut Vec<String>,
) -> (Values, Vec<Raw>) {
    let each = |raw: &dyn Fn(u64) -> Raw| draws.iter().map(|draw| raw(*draw)).collect();
    let form = sim.random.below(8);
    match kind {
        // An empty cell of a text tag, too, is no value.
        _ if form == 0 => (Values::None, each(&|_| Raw::Empty)),
        TagType::Text => {
            let word = |draw: u64| format!("lot {draw}");
            (Values::Texts(draws.iter().map(|draw| word(*draw)).collect()), each(&|draw| Raw::Text(word(draw))))
        }
        TagType::Digital if form < 4 => state_words(sim, draws, states, words),
        TagType::Digital => {
            let code = |draw: u64| draw.cast_signed() - 1;
            (Values::Integers(draws.iter().map(|d| code(*d)).collect()), each(&|d| Raw::Code(code(d), false)))
        }
        TagType::Int64 if form == 1 => {
            (Values::Doubles(draws.iter().map(|_| 2.5).collect()), each(&|_| Raw::Impossible))
        }
        TagType::Float64 | TagType::Float32 | TagType::Int64 | TagType::Bool if form == 2 => {
            (Values::Texts(draws.iter().map(|_| "Scan Timeout".into()).collect()), {
                each(&|_| Raw::Word("Scan Timeout".into()))
            })
        }
        TagType::Int64 => {
            let number = |draw: u64| draw.cast_signed() * (i64::MAX / 4) - 1;
            let bits = |draw: u64| Raw::Bits(number(draw).cast_unsigned());
            (Values::Integers(draws.iter().map(|d| number(*d)).collect()), each(&bits))
        }
        TagType::Bool => {
            (Values::Booleans(draws.iter().map(|d| *d > 1).collect()), each(&|d| Raw::Bits(u64::from(d > 1))))
        }
        TagType::Float64 | TagType::Float32 => {
            let number = |draw: u64| if draw == 3 && form == 3 { f64::NAN } else { draw as f64 / 2.0 - 0.5 };
            let raw = |draw: u64| match number(draw) {
                number if number.is_nan() => Raw::NotFinite,
                number => Raw::Bits(number.to_bits()),
            };
            (Values::Doubles(draws.iter().map(|d| number(*d)).collect()), each(&raw))
        }
    }
}

/// Words of a digital tag: declared states, and now and then a new one, which gets the next code.
fn state_words(sim: &Sim, draws: &[u64], states: &[(i64, Arc<str>)], words: &mut Vec<String>) -> (Values, Vec<Raw>) {
    let mut all: Vec<(i64, String)> = states.iter().map(|(code, name)| (*code, name.to_string())).collect();
    let next = all.last().map_or(0, |last| last.0 + 1);
    all.extend((next..).zip(words.iter().cloned()));
    let fresh = (all.len() < 12 && sim.random.chance(1, 3)).then(|| all.last().map_or(0, |last| last.0 + 1));
    all.extend(fresh.map(|code| (code, format!("State {code}"))));
    let choose = |draw: &u64| all[all.len() - 1 - *draw as usize % all.len()].clone();
    let chosen: Vec<(i64, String)> = draws.iter().map(choose).collect();
    // A word that no sample says is not appended.
    words.extend(fresh.filter(|new| chosen.iter().any(|(code, _)| code == new)).map(|code| format!("State {code}")));
    let raw = chosen.iter().map(|(code, _)| Raw::Code(*code, true)).collect();
    (Values::Texts(chosen.into_iter().map(|(_, name)| name).collect()), raw)
}

/// A batch of one sample, and its cell.
pub fn one(tag: &str, time: i64, value: f64) -> (Batch, Cell) {
    let shape = Shape::Series { tag: TagRef::Name(tag.into()), times: vec![time] };
    let block = Block { shape, values: Values::Doubles(vec![value]), statuses: Vec::new() };
    (Batch { blocks: vec![block] }, Cell::good(value.to_bits()))
}
