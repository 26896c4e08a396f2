//! Merges: what is read stays the same, also where the power is cut at any sync of them.

mod support;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, mpsc};

use support::{Map, read_all};
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::sample::Cell;
use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::{Config, Engine, Result};
use tagus_sim::{Fate, Operation, Sim};

const DIR: &str = "/archive";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const HOUR: i64 = 3_600_000_000_000;
const TAGS: u64 = 5;

struct Plant {
    sim: Sim,
    engine: Engine,
    sequence: u64,
    /// The map after each batch that was sent.
    states: Vec<Map>,
    acknowledged: usize,
}

impl Plant {
    fn open(sim: &Sim) -> Result<Plant> {
        Plant::open_with(sim, Config::default())
    }

    fn open_with(sim: &Sim, config: Config) -> Result<Plant> {
        let (engine, _) = Engine::open(sim.env(), Path::new(DIR), config)?;
        Ok(Plant { sim: sim.clone(), engine, sequence: 0, states: vec![Map::new()], acknowledged: 0 })
    }

    /// One batch: mostly recent samples, some up to 400 days old, some in the place of others.
    fn write(&mut self) -> Result<()> {
        let random = &self.sim.random;
        let now = NOW + i64::try_from(self.sequence).expect("few batches") * HOUR;
        self.sim.clock.jump_to(now);
        let mut map = self.states[self.states.len() - 1].clone();
        let mut batch = Batch::default();
        for tag in 0..TAGS {
            let old = random.chance(1, 4);
            let base = if old { now - random.below(400 * 24).cast_signed() * HOUR } else { now - HOUR };
            let times: Vec<i64> = (0..8).map(|i| base + (random.below(3).cast_signed() + i) * HOUR / 50).collect();
            let values: Vec<f64> = times.iter().map(|_| random.below(1000) as f64 / 10.0).collect();
            map.extend(
                times
                    .iter()
                    .zip(&values)
                    .map(|(time, value)| ((format!("tag{tag}"), *time), Cell::good(value.to_bits()))),
            );
            let shape = Shape::Series { tag: TagRef::Name(format!("tag{tag}")), times };
            batch.blocks.push(Block { shape, values: Values::Doubles(values), statuses: Vec::new() });
        }
        self.sequence += 1;
        self.states.push(map);
        let (send, receive) = mpsc::channel();
        let source = self.engine.open_source("gateway", "", 1)?;
        source.submit(self.sequence, batch, move |done| drop(send.send(done.map(drop))))?;
        while self.engine.commit_step() {}
        receive.recv().expect("a step answers what waits")?;
        self.acknowledged = self.states.len() - 1;
        Ok(())
    }

    fn read(&self) -> Map {
        read_all(&self.engine, 2)
    }

    fn files(&self) -> usize {
        self.sim.disk.files().iter().filter(|path| path.starts_with("/archive/segments")).count()
    }
}

/// A history of writes, flushes and merges; ends where the machine does.
fn live(plant: &mut Plant) -> Result<()> {
    for step in 0..40 {
        plant.write()?;
        if step % 2 == 1 {
            plant.engine.flush()?;
        }
        if step % 9 == 8 {
            plant.engine.merge_step()?;
        }
        if step == 31 {
            plant.engine.compact()?;
        }
    }
    Ok(())
}

#[test]
fn merged_segments_hold_what_their_inputs_held() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let mut plant = Plant::open(&sim).expect("an empty disk");
        live(&mut plant).expect("a healthy disk");
        let expected = &plant.states[plant.states.len() - 1];
        assert_eq!(&plant.read(), expected, "seed {seed}");
        plant.engine.compact().expect("a healthy disk");
        let segments = plant.engine.segments();
        plant.engine.compact().expect("a healthy disk");
        assert_eq!(plant.engine.segments(), segments, "seed {seed}: there was nothing left to do");
        assert_eq!(plant.files(), plant.engine.segments().len(), "seed {seed}: merged files are removed");
        assert_eq!(&plant.read(), expected, "seed {seed}: after compaction");
        let expected = expected.clone();
        drop(plant);
        let plant = Plant::open(&sim).expect("a healthy disk");
        assert_eq!(plant.read(), expected, "seed {seed}: after a restart");
    }
}

/// A run of a window that is too large for one file is several, cut between tags, which merge with
/// what comes later like any other.
#[test]
fn a_run_of_several_segments_is_cut_between_tags() {
    for seed in 0..10 {
        let sim = Sim::new(seed);
        let config = Config { segment_bytes: 2000, ..Config::default() };
        let mut plant = Plant::open_with(&sim, config.clone()).expect("an empty disk");
        for round in 0..3 {
            live(&mut plant).expect("a healthy disk");
            plant.engine.compact().expect("a healthy disk");
            let expected = &plant.states[plant.states.len() - 1];
            assert_eq!(&plant.read(), expected, "seed {seed}, round {round}");
        }
        let segments = plant.engine.segments();
        let mut cut = 0;
        for (i, a) in segments.iter().enumerate() {
            for b in segments[i + 1..].iter().filter(|b| b.last_sequence == a.last_sequence) {
                let meet_in_time = a.first_time <= b.last_time && b.first_time <= a.last_time;
                let meet_in_tags = a.first_tag <= b.last_tag && b.first_tag <= a.last_tag;
                assert!(!meet_in_time || !meet_in_tags, "seed {seed}: {a:?} and {b:?}");
                cut += usize::from(meet_in_time);
            }
        }
        assert!(cut > 0, "seed {seed}: no run was cut");
        let expected = plant.states[plant.states.len() - 1].clone();
        drop(plant);
        let plant = Plant::open_with(&sim, config).expect("a healthy disk");
        assert_eq!(plant.read(), expected, "seed {seed}: after a restart");
    }
}

#[test]
fn a_view_keeps_the_files_it_reads() {
    let sim = Sim::new(3);
    let mut plant = Plant::open(&sim).expect("an empty disk");
    live(&mut plant).expect("a healthy disk");
    let view = plant.engine.view();
    let spec = view.plan(&ScanRequest::of(TagSelection::All), 1).expect("a healthy disk");
    let cursor = view.open(&spec, 0, Arc::new(ReadMetrics::default())).expect("a healthy disk");
    plant.engine.compact().expect("a healthy disk");
    assert!(plant.files() > plant.engine.segments().len());
    let rows: usize = cursor.map(|batch| batch.expect("files that are there").len).sum();
    assert_eq!(rows, plant.states[plant.states.len() - 1].len());
    drop(view);
    assert_eq!(plant.files(), plant.engine.segments().len());
}

#[test]
fn power_cuts_leave_the_old_or_the_new() {
    for fate in [|_| Fate::Kept, |_| Fate::Lost, Fate::Torn] {
        let whole = Sim::new(1);
        live(&mut Plant::open(&whole).expect("an empty disk")).expect("a healthy disk");
        let syncs = whole.disk.syncs();
        for k in (1..=syncs).step_by(3) {
            let sim = Sim::new(1);
            sim.disk.crash_at_sync(k);
            let Ok(mut plant) = Plant::open(&sim) else { continue };
            let _ = live(&mut plant);
            let (states, acknowledged) = (plant.states.clone(), plant.acknowledged);
            drop(plant);
            sim.disk.restart(fate(k));
            let plant = Plant::open(&sim).unwrap_or_else(|e| panic!("sync {k} of {syncs}: {e}"));
            let found = plant.read();
            assert!(
                states[acknowledged..].contains(&found),
                "sync {k} of {syncs}: {acknowledged} batches acknowledged"
            );
            assert_eq!(plant.files(), plant.engine.segments().len(), "sync {k} of {syncs}");
        }
    }
}

/// A fault at any point of a compaction, and then a power cut: the edit that names the outputs may
/// be there although appending it failed, and so must they.
#[test]
fn no_fault_of_a_merge_costs_a_sample() {
    let operations = [
        Operation::Create,
        Operation::Write,
        Operation::SyncData,
        Operation::SyncDir,
        Operation::Link,
        Operation::Remove,
    ];
    for operation in operations {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            for nth in 1.. {
                let sim = Sim::new(2);
                let mut plant = Plant::open(&sim).expect("an empty disk");
                for _ in 0..6 {
                    plant.write().expect("a healthy disk");
                    plant.engine.flush().expect("a healthy disk");
                }
                let expected = plant.states[plant.states.len() - 1].clone();
                sim.disk.fail(operation, nth, kind);
                let done = plant.engine.compact().is_ok();
                assert_eq!(plant.read(), expected, "{operation:?} {nth} {kind}: reads go on");
                drop(plant);
                for fate in [Fate::Kept, Fate::Lost, Fate::Torn(nth)] {
                    let after = Sim { disk: sim.disk.fork(), ..sim.clone() };
                    after.disk.crash();
                    after.disk.restart(fate);
                    let plant = Plant::open(&after).unwrap_or_else(|e| panic!("{operation:?} {nth} {kind}: {e}"));
                    assert_eq!(plant.read(), expected, "{operation:?} {nth} {kind} {fate:?}");
                }
                if done {
                    break;
                }
            }
        }
    }
}
