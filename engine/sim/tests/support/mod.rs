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
use tagus_engine::{Config, Engine, OpenSource, Result, TagChange};
use tagus_sim::Sim;

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
    /// How many of them were acknowledged.
    acknowledged: usize,
    counts: Counts,
    /// Units that were acknowledged, by tag.
    units: BTreeMap<String, String>,
    unit_sent: u64,
}

/// What a machine that was cut owes.
pub struct Promises {
    states: Vec<Map>,
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
            acknowledged: 0,
            counts: Counts::default(),
            units: BTreeMap::new(),
            unit_sent: 0,
        }
    }

    /// All bytes of all files, folded.
    pub fn digest(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for path in self.sim.disk.files() {
            let bytes = self.sim.disk.read(&path).expect("a listed file");
            for byte in path.to_string_lossy().bytes().chain(bytes) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash
    }
}

fn open(sim: &Sim) -> Result<(Engine, OpenSource)> {
    let (engine, _) = Engine::open(sim.env(), Path::new(DIR), Config::default())?;
    let source = engine.open_source("gateway", "", EPOCH)?;
    Ok((engine, source))
}

impl History {
    fn engine(&self) -> &Engine {
        &self.engine.as_ref().expect("an open archive").0
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes one random batch. On a machine that is off nothing more is acknowledged.
    pub fn write(&mut self) {
        let Some((engine, source)) = &self.engine else { return };
        let (batch, rows) = random_batch(&self.plant);
        let mut next = self.states[self.states.len() - 1].clone();
        let expected = apply(&mut next, rows);
        let sequence = self.states.len() as u64;
        self.states.push(next);
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
                self.counts += expected;
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
        if flushed.is_err() {
            self.engine = None;
        }
        flushed
    }

    /// Stops, cleanly or not, and opens again.
    pub fn reopen(mut self) -> History {
        if self.plant.random.chance(1, 2) {
            self.engine().close().expect("a healthy disk");
        }
        self.engine = None;
        let opened = open(&self.plant).unwrap_or_else(|e| panic!("seed {}: {e}", self.seed));
        assert_eq!(opened.1.last_sequence(), self.acknowledged as u64, "seed {}", self.seed);
        assert_eq!(opened.1.counts(), self.counts, "seed {}", self.seed);
        self.engine = Some(opened);
        self
    }

    /// Everything reads as the map has it: all at once, in partitions, a tag at a time, and the
    /// current values.
    pub fn check(&self) {
        let expected = &self.states[self.states.len() - 1];
        for partitions in [1, 3] {
            assert_eq!(&read_all(self.engine(), partitions), expected, "seed {}", self.seed);
        }
        for tag in self.engine().tags().iter() {
            let newest =
                expected.range((tag.spec.name.clone(), i64::MIN)..=(tag.spec.name.clone(), i64::MAX)).next_back();
            let current = self.engine().current(tag.id).expect("a healthy disk").map(|row| (row.time, row.cell));
            assert_eq!(current, newest.map(|(k, c)| (k.1, c.clone())), "seed {}", self.seed);
        }
        let tags = self.engine().tags();
        for (name, unit) in &self.units {
            assert_eq!(&tags.find(name).expect("a known tag").spec.unit, unit, "seed {}", self.seed);
        }
    }

    pub fn into_promises(self) -> Promises {
        Promises { states: self.states, acknowledged: self.acknowledged, units: self.units }
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
        for (name, unit) in &self.units {
            let tags = engine.tags();
            let tag = tags.find(name).unwrap_or_else(|| panic!("{context}: tag {name} is lost"));
            let number = |unit: &str| unit.trim_start_matches("unit").parse::<u64>().expect("a unit of this test");
            assert!(number(&tag.spec.unit) >= number(unit), "{context}: tag {name} has {}", tag.spec.unit);
        }
        found
    }
}

fn read_all(engine: &Engine, partitions: usize) -> Map {
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
        let name = ["t", "u", "tag2", "tag3", "tag4", "tag5"][sim.random.below(6) as usize].to_owned();
        let count = 1 + sim.random.below(12) as usize;
        let late = sim.random.chance(1, 3);
        let base = NOW - 1_000_000 + if late { 0 } else { sim.random.below(1_000_000) as i64 };
        let times: Vec<i64> = (0..count).map(|_| base + sim.random.below(40) as i64).collect();
        let values: Vec<f64> = (0..count).map(|_| sim.random.below(4) as f64 / 10.0).collect();
        let statuses: Vec<u32> = if sim.random.chance(1, 3) {
            (0..count).map(|_| if sim.random.chance(1, 2) { 0x8000_0000 } else { 0 }).collect()
        } else {
            Vec::new()
        };
        for i in 0..count {
            let status = Status(statuses.get(i).copied().unwrap_or(0));
            rows.push((name.clone(), times[i], Cell { value: Some(values[i].to_bits()), text: None, status }));
        }
        let shape = Shape::Series { tag: TagRef::Name(name), times };
        batch.blocks.push(Block { shape, values: Values::Doubles(values), statuses });
    }
    (batch, rows)
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
