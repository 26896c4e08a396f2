//! A small plant on a simulated machine, and the map it is compared with.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tagus_engine::ingest::{Batch, Block, Counts, Shape, TagRef, Values};
use tagus_engine::sample::Cell;
use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::status::Status;
use tagus_engine::tag::{TagSpec, TagType};
use tagus_engine::{Config, Engine, ErrorKind, OpenSource, Result, TagChange};
use tagus_sim::{Fate, Sim};

const DIR: &str = "/archive";
const EPOCH: u64 = 77;
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;

/// What was written where: tag name and time to cell.
pub type Map = BTreeMap<(String, i64), Cell>;

/// Seeds to run, printed by the assertion that fails.
pub struct Seeds;

impl Seeds {
    /// `count` seeds, or as many as the environment says, from `NAME=first..last`, or `NAME=n`.
    pub fn from_env(name: &str, count: u64) -> std::ops::Range<u64> {
        match std::env::var(name) {
            Ok(text) => match text.split_once("..") {
                Some((first, last)) => first.parse().expect("a seed")..last.parse().expect("a seed"),
                None => 0..text.parse().expect("a number of seeds"),
            },
            Err(_) => 0..count,
        }
    }
}

/// A machine and the random choices of what happens on it.
pub struct Plant {
    pub sim: Sim,
    pub seed: u64,
}

/// An open archive, and what it must hold.
pub struct History {
    plant: Sim,
    seed: u64,
    engine: Option<(Engine, OpenSource)>,
    /// Every batch that was sent, in order, applied to the map before.
    states: Vec<Map>,
    /// What became of all samples up to each of them.
    sums: Vec<Counts>,
    /// How many of them were acknowledged.
    acknowledged: usize,
    /// Units that were acknowledged, by tag.
    units: BTreeMap<String, String>,
    unit_sent: u64,
}

/// What a machine that was cut owes.
pub struct Promises {
    states: Vec<Map>,
    sums: Vec<Counts>,
    acknowledged: usize,
    units: BTreeMap<String, String>,
}

impl Plant {
    pub fn new(seed: u64) -> Plant {
        Plant { sim: Sim::new(seed), seed }
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.sim.random.below(bound)
    }

    pub fn open(&self) -> Result<History> {
        let mut history = self.nothing();
        history.engine = Some(open(&self.sim)?);
        Ok(history)
    }

    pub fn nothing(&self) -> History {
        History {
            plant: self.sim.clone(),
            seed: self.seed,
            engine: None,
            states: vec![Map::new()],
            sums: vec![Counts::default()],
            acknowledged: 0,
            units: BTreeMap::new(),
            unit_sent: 0,
        }
    }
}

fn open(sim: &Sim) -> Result<(Engine, OpenSource)> {
    let (engine, _) = Engine::open(sim.env(), Path::new(DIR), Config::default())?;
    if engine.tags().is_empty() {
        let mut valve = TagSpec::new("valve", TagType::Digital);
        valve.states = (0..4).map(|code| (code, format!("state {code}").as_str().into())).collect();
        engine.create_tags(vec![TagSpec::new("count", TagType::Int64), valve])?;
    }
    let source = engine.open_source("gateway", "", EPOCH)?;
    Ok((engine, source))
}

impl History {
    fn engine(&self) -> &Engine {
        &self.engine.as_ref().expect("an open archive").0
    }

    /// Writes one random batch. On a machine that is off nothing more is acknowledged.
    pub fn write(&mut self) {
        let Some((engine, source)) = &self.engine else { return };
        let (batch, rows) = random_batch(&self.plant);
        let mut next = self.states[self.states.len() - 1].clone();
        let expected = apply(&mut next, rows);
        let sequence = self.states.len() as u64;
        self.states.push(next);
        let mut sum = self.sums[self.sums.len() - 1];
        sum += expected;
        self.sums.push(sum);
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let submitted = source.submit(sequence, batch, move |done| *slot.lock().expect("one thread") = Some(done));
        if submitted.is_err() {
            self.engine = None;
            return;
        }
        while engine.commit_step() {}
        let done = result.lock().expect("one thread").take().expect("a step commits what waits");
        match done {
            Ok(committed) => {
                assert_eq!(committed.counts(), expected, "seed {}, batch {sequence}", self.seed);
                self.acknowledged = self.states.len() - 1;
            }
            Err(_) => self.engine = None,
        }
    }

    pub fn change_a_tag(&mut self) {
        let Some((engine, _)) = &self.engine else { return };
        let Some(name) = engine.tags().iter().next().map(|t| t.spec.name.clone()) else { return };
        self.unit_sent += 1;
        let unit = format!("unit{}", self.unit_sent);
        let change = TagChange { unit: Some(unit.clone()), ..TagChange::default() };
        match engine.update_tag(&name, change) {
            Ok(_) => drop(self.units.insert(name, unit)),
            Err(_) => self.engine = None,
        }
    }

    pub fn flush(&mut self) -> Result<()> {
        let Some((engine, _)) = &self.engine else { return Ok(()) };
        let flushed = engine.flush();
        // A full disk is waited out; all else ends writing.
        let full = flushed.as_ref().is_err_and(|e| e.kind() == ErrorKind::Exhausted);
        assert!(!full || engine.status().latched.is_none(), "seed {}: {flushed:?}", self.seed);
        if flushed.is_err() && !full {
            self.engine = None;
        }
        flushed
    }

    /// Whether nothing has failed but for want of space.
    pub fn is_open(&self) -> bool {
        self.engine.is_some()
    }

    pub fn into_promises(self) -> Promises {
        Promises { states: self.states, sums: self.sums, acknowledged: self.acknowledged, units: self.units }
    }
}

impl Promises {
    /// Opens what is left: it holds every acknowledged batch and at most some of those sent after
    /// it, in order. Returns what it holds.
    pub fn check_recovered(&self, plant: &Plant, context: &str) -> Map {
        let (engine, source) = open(&plant.sim).unwrap_or_else(|e| panic!("{context}: {e}"));
        let found = read_all(&engine, 2);
        let sequence = usize::try_from(source.last_sequence()).expect("a small number");
        assert!(sequence >= self.acknowledged, "{context}: {sequence} of {} acknowledged batches", self.acknowledged);
        assert_eq!(Some(&found), self.states.get(sequence), "{context}: the samples of batch {sequence}");
        assert_eq!(source.counts(), self.sums[sequence], "{context}: the counts of batch {sequence}");
        for (name, unit) in &self.units {
            let tags = engine.tags();
            let tag = tags.find(name).unwrap_or_else(|| panic!("{context}: tag {name} is lost"));
            let number = |unit: &str| unit.trim_start_matches("unit").parse::<u64>().expect("a unit of this test");
            assert!(number(&tag.spec.unit) >= number(unit), "{context}: tag {name} has {}", tag.spec.unit);
        }
        found
    }
}

/// Goes on after a recovery, and is cut again: what is acknowledged now is kept as well.
pub fn write_on(plant: &Plant, flush: bool, fate: Fate, context: &str) {
    let (engine, source) = open(&plant.sim).unwrap_or_else(|e| panic!("{context}: {e}"));
    let mut expected = read_all(&engine, 1);
    let (batch, rows) = random_batch(&plant.sim);
    apply(&mut expected, rows);
    let sequence = source.last_sequence() + 1;
    let submitted = source.submit(sequence, batch, |done| assert!(done.is_ok()));
    submitted.unwrap_or_else(|e| panic!("{context}: {e}"));
    while engine.commit_step() {}
    if flush {
        engine.flush().unwrap_or_else(|e| panic!("{context}: {e}"));
    }
    plant.sim.disk.crash();
    plant.sim.disk.restart(fate);
    let (engine, source) = open(&plant.sim).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_eq!(read_all(&engine, 1), expected, "{context}: after going on");
    assert_eq!(source.last_sequence(), sequence, "{context}: after going on");
}

/// Everything that the engine holds.
pub fn read_all(engine: &Engine, partitions: usize) -> Map {
    let view = engine.view();
    let tags = engine.tags();
    let spec = view.plan(&ScanRequest::of(TagSelection::All), partitions).expect("a healthy disk");
    let mut found = Map::new();
    for partition in 0..spec.partitions() {
        let cursor = view.open(&spec, partition, Arc::new(ReadMetrics::default())).expect("a healthy disk");
        for batch in cursor {
            let batch = batch.expect("a healthy disk");
            for (tag, range) in &batch.runs {
                let name = &tags.get(*tag).expect("a known tag").spec.name;
                for i in range.clone() {
                    let before = found.insert((name.clone(), batch.rows.times[i]), batch.rows.cell(i));
                    assert!(before.is_none(), "a sample was read twice");
                }
            }
        }
    }
    found
}

/// A batch of a few blocks, and its samples in order.
fn random_batch(sim: &Sim) -> (Batch, Vec<(String, i64, Cell)>) {
    let mut batch = Batch::default();
    let mut rows = Vec::new();
    for _ in 0..1 + sim.random.below(3) {
        let kind = sim.random.below(9);
        let count = 1 + sim.random.below(12) as usize;
        let late = sim.random.chance(1, 3);
        let base = NOW - 1_000_000 + if late { 0 } else { sim.random.below(1_000_000) as i64 };
        let (names, times, shape) = if kind == 0 { scan(base) } else { series(sim, kind, base, count) };
        let statuses: Vec<u32> = if kind < 5 && sim.random.chance(1, 3) {
            times.iter().map(|_| if sim.random.chance(1, 2) { 0x8000_0000 } else { 0 }).collect()
        } else {
            Vec::new()
        };
        let draws: Vec<u64> = times.iter().map(|_| sim.random.below(4)).collect();
        let (values, cells) = values(kind, &draws);
        for (i, cell) in cells.into_iter().enumerate() {
            let status = Status(statuses.get(i).copied().unwrap_or(0));
            rows.push((names[i].clone(), times[i], Cell { status, ..cell }));
        }
        batch.blocks.push(Block { shape, values, statuses });
    }
    (batch, rows)
}

/// Names and times of the samples, and their shape.
type Shaped = (Vec<String>, Vec<i64>, Shape);

/// One time of several float tags.
fn scan(time: i64) -> Shaped {
    let names = ["u", "tag3", "tag5"].map(str::to_owned).to_vec();
    (names.clone(), vec![time; 3], Shape::Scan { time, handles: Vec::new(), names })
}

/// Some times of one tag of the kind.
fn series(sim: &Sim, kind: u64, base: i64, count: usize) -> Shaped {
    let name = match kind {
        5 => "count",
        6 => "running",
        7 => "batch",
        8 => "valve",
        _ => ["t", "u", "tag2", "tag3", "tag4", "tag5"][sim.random.below(6) as usize],
    };
    let times: Vec<i64> = (0..count).map(|_| base + sim.random.below(40) as i64).collect();
    (vec![name.to_owned(); count], times.clone(), Shape::Series { tag: TagRef::Name(name.into()), times })
}

/// The values of a kind that these numbers stand for, and what they read as.
fn values(kind: u64, draws: &[u64]) -> (Values, Vec<Cell>) {
    let cells = |cell: fn(u64) -> Cell| draws.iter().map(|draw| cell(*draw)).collect();
    let word = |draw: u64| format!("lot {draw}");
    match kind {
        5 => (Values::Integers(draws.iter().map(|draw| -draw.cast_signed()).collect()), {
            cells(|draw| Cell::good((-draw.cast_signed()).cast_unsigned()))
        }),
        6 => (Values::Booleans(draws.iter().map(|draw| *draw > 1).collect()), {
            cells(|draw| Cell::good(u64::from(draw > 1)))
        }),
        7 => {
            let texts: Vec<String> = draws.iter().map(|draw| word(*draw)).collect();
            let text = |text: &String| Cell { value: None, text: Some(text.as_str().into()), status: Status::GOOD };
            let cells = texts.iter().map(text).collect();
            (Values::Texts(texts), cells)
        }
        8 => (Values::Texts(draws.iter().map(|draw| format!("state {draw}")).collect()), cells(Cell::good)),
        _ => (Values::Doubles(draws.iter().map(|draw| *draw as f64 / 10.0).collect()), {
            cells(|draw| Cell::good((draw as f64 / 10.0).to_bits()))
        }),
    }
}

fn apply(map: &mut Map, rows: Vec<(String, i64, Cell)>) -> Counts {
    let mut counts = Counts::default();
    for (name, time, cell) in rows {
        match map.insert((name, time), cell.clone()) {
            None => counts.stored += 1,
            Some(before) if before == cell => counts.duplicate += 1,
            Some(_) => counts.replaced += 1,
        }
    }
    counts
}
