//! Deletes and retention: what is deleted is gone for every reader, through restarts and merges, and
//! leaves the disk; what is written afterwards is new.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use support::{Map, read_all};
use tagus_engine::ingest::{Batch, Block, Counts, Shape, TagRef, Values};
use tagus_engine::sample::Cell;
use tagus_engine::scan::{ReadView, ScanRequest, TagSelection};
use tagus_engine::tag::{TagId, TagSpec, TagType};
use tagus_engine::{Config, Engine, ErrorKind, OpenSource, Retention};
use tagus_sim::{Fate, Sim};

const DIR: &str = "/archive";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const TAGS: u64 = 5;

struct Plant {
    sim: Sim,
    config: Config,
    engine: Engine,
    source: OpenSource,
    sequence: u64,
    map: Map,
}

impl Plant {
    fn new(seed: u64) -> Plant {
        Plant::with(seed, Config::default())
    }

    fn with(seed: u64, config: Config) -> Plant {
        let sim = Sim::new(seed);
        let (engine, source) = open(&sim, &config);
        engine.create_tags((0..TAGS).map(|tag| TagSpec::new(name(tag), TagType::Float64)).collect()).unwrap();
        Plant { sim, config, engine, source, sequence: 0, map: Map::new() }
    }

    /// Writes samples and says what became of them.
    fn write(&mut self, samples: &[(u64, i64, f64)]) -> Counts {
        let mut batch = Batch::default();
        for (tag, time, value) in samples {
            let shape = Shape::Series { tag: TagRef::Name(name(*tag)), times: vec![*time] };
            batch.blocks.push(Block { shape, values: Values::Doubles(vec![*value]), statuses: Vec::new() });
        }
        self.sequence += 1;
        let done = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&done);
        let submitted = self.source.submit(self.sequence, batch, move |result| *slot.lock().unwrap() = Some(result));
        assert!(submitted.unwrap().unwrap().rejections.is_empty());
        while self.engine.commit_step() {}
        let committed = done.lock().unwrap().take().expect("a step commits what waits");
        let counts = committed.unwrap().counts();
        assert_eq!(counts, apply(&mut self.map, samples), "seed of {samples:?}");
        counts
    }

    fn delete(&mut self, tags: &[u64], from: i64, to: i64) -> u64 {
        let ids: Vec<TagId> = tags.iter().map(|tag| self.id(*tag)).collect();
        let before = self.map.len();
        let names: Vec<String> = tags.iter().map(|tag| name(*tag)).collect();
        self.map.retain(|(tag, time), _| !names.contains(tag) || !(from..=to).contains(time));
        let gone = self.engine.delete(&ids, from, to).unwrap();
        assert_eq!(gone, (before - self.map.len()) as u64);
        gone
    }

    fn id(&self, tag: u64) -> TagId {
        self.id_of(&name(tag))
    }

    fn id_of(&self, name: &str) -> TagId {
        self.engine.tags().find(name).unwrap().id
    }

    /// Ends the process, with or without the power, and starts again.
    fn restart(&mut self, fate: Option<Fate>) {
        match fate {
            Some(fate) => {
                self.sim.disk.crash();
                self.sim.disk.restart(fate);
            }
            None => self.engine.close().unwrap(),
        }
        // A closed engine still holds the directory.
        let (engine, source) = {
            let placeholder = Sim::new(0);
            let (engine, source) = open(&placeholder, &self.config);
            self.engine = engine;
            self.source = source;
            open(&self.sim, &self.config)
        };
        (self.engine, self.source) = (engine, source);
        assert_eq!(self.source.last_sequence(), self.sequence);
    }

    /// Everything reads as the map has it.
    fn check(&self, context: &str) {
        for partitions in [1, 3] {
            assert_eq!(read_all(&self.engine, partitions), self.map, "{context}");
        }
        let all = ScanRequest::of(TagSelection::All);
        let found = self.engine.view().statistics(&all, Arc::default()).unwrap();
        assert_eq!(found.rows, self.map.len() as u64, "{context}");
        assert_eq!(found.first_time, self.map.keys().map(|key| key.1).min(), "{context}");
        for tag in 0..TAGS {
            let range = (name(tag), i64::MIN)..=(name(tag), i64::MAX);
            let newest = self.map.range(range).next_back().map(|(key, cell)| (key.1, cell.clone()));
            let current = self.engine.current(self.id(tag)).unwrap().map(|row| (row.time, row.cell));
            assert_eq!(current, newest, "{context}: tag {tag}");
        }
    }

    fn segments(&self) -> usize {
        self.engine.segments().len()
    }

    fn rows_on_disk(&self) -> u64 {
        self.engine.segments().iter().map(|segment| segment.rows).sum()
    }
}

fn open(sim: &Sim, config: &Config) -> (Engine, OpenSource) {
    let (engine, _) = Engine::open(sim.env(), Path::new(DIR), config.clone()).unwrap();
    let source = engine.open_source("gateway", "", 1).unwrap();
    (engine, source)
}

fn name(tag: u64) -> String {
    format!("tag{tag}")
}

fn apply(map: &mut Map, samples: &[(u64, i64, f64)]) -> Counts {
    let mut counts = Counts::default();
    for (tag, time, value) in samples {
        let cell = Cell::good(value.to_bits());
        match map.insert((name(*tag), *time), cell.clone()) {
            None => counts.stored += 1,
            Some(before) if before == cell => counts.duplicate += 1,
            Some(_) => counts.replaced += 1,
        }
    }
    counts
}

/// A few samples of a few tags, old and new, many of them at times that are there already.
fn samples(sim: &Sim) -> Vec<(u64, i64, f64)> {
    let count = 1 + sim.random.below(20);
    let sample = |_| {
        let time = NOW - sim.random.below(60).cast_signed() * HOUR;
        (sim.random.below(TAGS), time, sim.random.below(4) as f64)
    };
    (0..count).map(sample).collect()
}

#[test]
fn deletes_equal_a_map_through_flushes_merges_and_restarts() {
    for seed in 0..60 {
        let mut plant = Plant::new(seed);
        let sim = plant.sim.clone();
        for step in 0..60 {
            let context = format!("seed {seed}, step {step}");
            match sim.random.below(12) {
                0 => plant.engine.flush().unwrap(),
                1 => drop(plant.engine.merge_step().unwrap()),
                2 if sim.random.chance(1, 3) => plant.engine.compact().unwrap(),
                3 | 4 => {
                    let tags: Vec<u64> = (0..1 + sim.random.below(3)).map(|_| sim.random.below(TAGS)).collect();
                    let from = NOW - sim.random.below(62).cast_signed() * HOUR;
                    plant.delete(&tags, from, from + sim.random.below(20).cast_signed() * HOUR);
                }
                5 if sim.random.chance(1, 2) => plant.restart(None),
                5 => plant.restart(Some([Fate::Kept, Fate::Lost, Fate::Torn(seed)][sim.random.below(3) as usize])),
                6 => sim.clock.advance(2 * HOUR.unsigned_abs()),
                _ => drop(plant.write(&samples(&sim))),
            }
            plant.check(&context);
        }
        plant.engine.compact().unwrap();
        plant.check(&format!("seed {seed}, compacted"));
        assert_eq!(plant.engine.status().deletes, 0, "seed {seed}: merges have applied all deletes");
        assert_eq!(plant.rows_on_disk(), plant.map.len() as u64, "seed {seed}: what is deleted is off the disk");
    }
}

/// A reader from before a delete sees what was there then: not what had been replaced before.
#[test]
fn a_view_from_before_a_delete_shows_no_older_value() {
    let mut plant = Plant::new(14);
    plant.write(&[(0, NOW - HOUR, 1.0), (1, NOW - HOUR, 1.0)]);
    plant.engine.flush().unwrap();
    plant.write(&[(0, NOW - HOUR, 2.0), (1, NOW - HOUR, 2.0), (0, NOW, 3.0)]);
    let view = plant.engine.view();
    let expected = plant.map.clone();
    plant.delete(&[0], NOW - HOUR, NOW - HOUR);
    plant.check("after the delete");
    plant.write(&[(1, NOW, 4.0)]);
    let rows = |view: &ReadView| -> Vec<(TagId, i64, Cell)> {
        let spec = view.plan(&ScanRequest::of(TagSelection::All), 1).unwrap();
        let batches = view.open(&spec, 0, Arc::default()).unwrap().map(|batch| batch.unwrap());
        batches
            .flat_map(|batch| {
                let row = |tag: TagId, i: usize| (tag, batch.rows.times[i], batch.rows.cell(i));
                batch.runs.iter().flat_map(|(tag, range)| range.clone().map(|i| row(*tag, i))).collect::<Vec<_>>()
            })
            .collect()
    };
    let there: Vec<_> = expected.iter().map(|((tag, time), cell)| (plant.id_of(tag), *time, cell.clone())).collect();
    assert_eq!(rows(&view), there);
    drop(view);
    plant.engine.flush().unwrap();
    plant.check("after a flush");
    plant.restart(Some(Fate::Kept));
    plant.check("after a restart");
    plant.engine.compact().unwrap();
    plant.check("after merges");
}

/// A delete is taken where writes are refused, and files of which nothing is left need no room to go.
#[test]
fn a_disk_without_room_gets_it_from_deletes() {
    /// For the manifest and a flush; writers leave more alone.
    const ROOM: u64 = 64 << 10;
    let mut plant = Plant::new(15);
    for day in 0..3 {
        let time = |i: u64| NOW - (10 - day) * DAY + i.cast_signed() * SECOND;
        let samples: Vec<(u64, i64, f64)> = (0..400).map(|i| (i % TAGS, time(i), i as f64 / 7.0)).collect();
        plant.write(&samples);
        plant.engine.flush().unwrap();
    }
    plant.write(&[(0, NOW, 1.0)]);
    let used = plant.sim.disk.used_bytes();
    plant.sim.disk.set_capacity(Some(used + ROOM));
    let refused = plant.engine.create_tags(vec![TagSpec::new("one more", TagType::Float64)]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exhausted, "{refused}");
    let all: Vec<u64> = (0..TAGS).collect();
    plant.delete(&all, i64::MIN, NOW - 8 * DAY);
    plant.engine.flush().unwrap();
    sim_hours(&plant, 2);
    let before = plant.segments();
    while plant.engine.merge_step().unwrap() {}
    assert!(plant.segments() < before, "files are gone");
    plant.sim.disk.set_capacity(None);
    plant.check("after the purge");
}

#[test]
fn a_frozen_view_reads_on() {
    let mut plant = Plant::new(1);
    plant.write(&[(0, NOW, 1.0), (0, NOW - HOUR, 2.0)]);
    plant.engine.flush().unwrap();
    let before = plant.engine.view();
    plant.delete(&[0], NOW, NOW);
    plant.engine.compact().unwrap();
    let all = ScanRequest::of(TagSelection::All);
    assert_eq!(before.statistics(&all, Arc::default()).unwrap().rows, 2, "a view keeps what it was made of");
    assert_eq!(plant.engine.view().statistics(&all, Arc::default()).unwrap().rows, 1);
}

#[test]
fn whole_files_go_without_being_read() {
    let mut plant = Plant::new(2);
    for day in 0..5 {
        plant.write(
            &(0..24).map(|hour| (hour as u64 % TAGS, NOW - day * DAY - hour * HOUR / 2, 1.0)).collect::<Vec<_>>(),
        );
        plant.engine.flush().unwrap();
    }
    plant.delete(&[0, 1, 2, 3, 4], i64::MIN, NOW - 3 * DAY + HOUR);
    plant.engine.flush().unwrap();
    let before = plant.sim.disk.counters().bytes_read;
    let files = plant.segments();
    sim_hours(&plant, 2);
    while plant.engine.merge_step().unwrap() {}
    plant.check("after the purge");
    assert!(plant.segments() < files, "{} of {files} files are left", plant.segments());
    let tails: u64 = plant.sim.disk.counters().bytes_read - before;
    assert!(tails < 200_000, "{tails} bytes were read");
}

fn sim_hours(plant: &Plant, hours: u64) {
    plant.sim.clock.advance(hours * HOUR.unsigned_abs());
}

#[test]
fn a_delete_waits_an_hour_before_it_costs_a_rewrite() {
    let mut plant = Plant::new(3);
    plant.write(&[(0, NOW, 1.0), (1, NOW, 1.0), (0, NOW - HOUR, 1.0)]);
    plant.engine.flush().unwrap();
    plant.delete(&[0], NOW, NOW);
    plant.engine.flush().unwrap();
    assert!(!plant.engine.merge_step().unwrap());
    assert_eq!((plant.rows_on_disk(), plant.engine.status().deletes), (3, 1));
    sim_hours(&plant, 2);
    assert!(plant.engine.merge_step().unwrap());
    assert_eq!((plant.rows_on_disk(), plant.engine.status().deletes), (2, 0));
    plant.check("purged");
}

#[test]
fn a_delete_of_nothing_leaves_nothing_to_do() {
    let mut plant = Plant::new(4);
    plant.write(&[(0, NOW, 1.0), (2, NOW, 1.0)]);
    plant.engine.flush().unwrap();
    assert_eq!(plant.delete(&[1], i64::MIN, i64::MAX), 0);
    assert_eq!(plant.delete(&[0], NOW + 1, i64::MAX), 0);
    assert_eq!(plant.engine.status().deletes, 0);
    assert!(plant.engine.delete(&[plant.id(0)], 1, 0).is_err());
}

#[test]
fn a_segment_between_the_deleted_tags_is_only_marked() {
    let mut plant = Plant::new(5);
    plant.write(&[(0, NOW, 1.0), (4, NOW, 1.0)]);
    plant.engine.flush().unwrap();
    plant.write(&[(2, NOW, 1.0)]);
    plant.engine.flush().unwrap();
    plant.delete(&[2], NOW, NOW);
    plant.engine.flush().unwrap();
    sim_hours(&plant, 2);
    let names: Vec<String> = plant.engine.segments().iter().map(|segment| segment.name.clone()).collect();
    while plant.engine.merge_step().unwrap() {}
    assert_eq!(plant.engine.status().deletes, 0);
    let left: Vec<String> = plant.engine.segments().iter().map(|segment| segment.name.clone()).collect();
    assert_eq!(left, names[..1], "the one is as it was, the other is gone");
    plant.restart(None);
    plant.check("after a restart");
}

fn keep(rules: &[(&str, i64)]) -> Config {
    let rule = |(pattern, age): &(&str, i64)| Retention { pattern: (*pattern).to_owned(), age: *age };
    Config { retention: rules.iter().map(rule).collect(), ..Config::default() }
}

#[test]
fn retention_deletes_what_is_too_old_and_drops_its_files() {
    let mut plant = Plant::with(6, keep(&[("*", 10 * DAY), ("tag3", 3 * DAY), ("tag4", 1000 * DAY)]));
    for day in 0..40 {
        let now = NOW + day * DAY;
        plant.write(&(0..TAGS).map(|tag| (tag, now - SECOND, 1.0)).collect::<Vec<_>>());
        plant.engine.flush().unwrap();
        if plant.engine.retire_step().unwrap() {
            plant.engine.flush().unwrap();
        }
        let age = |tag: &str| match tag {
            "tag3" => 3 * DAY,
            "tag4" => 1000 * DAY,
            _ => 10 * DAY,
        };
        // The newest sample is a second older than the clock.
        plant.map.retain(|(tag, time), _| *time > now - SECOND - age(tag));
        plant.check(&format!("day {day}"));
        while plant.engine.merge_step().unwrap() {}
        plant.check(&format!("day {day}, merged"));
        assert!(plant.engine.status().deletes <= 2, "day {day}: {} deletes wait", plant.engine.status().deletes);
        sim_hours(&plant, 24);
    }
    assert_eq!(plant.map.len(), 3 * 10 + 3 + 40);
    plant.engine.compact().unwrap();
    assert_eq!(plant.rows_on_disk(), plant.map.len() as u64);
}

#[test]
fn a_clock_that_runs_ahead_deletes_nothing() {
    let mut plant = Plant::with(7, keep(&[("*", 10 * DAY)]));
    plant.write(&[(0, NOW - 9 * DAY, 1.0), (0, NOW, 1.0)]);
    plant.sim.clock.jump_to(NOW + 50 * 365 * DAY);
    assert!(!plant.engine.retire_step().unwrap(), "the plant's newest sample counts");
    plant.check("years ahead");
}

#[test]
fn retention_rests_for_a_day_after_the_clock_jumped() {
    let mut plant = Plant::with(8, keep(&[("*", 10 * DAY)]));
    plant.write(&[(0, NOW - 9 * DAY, 1.0), (0, NOW, 1.0)]);
    assert!(!plant.engine.retire_step().unwrap());
    sim_hours(&plant, 30);
    let jumped = NOW + 300 * DAY;
    plant.sim.clock.jump_to(jumped);
    plant.write(&[(0, jumped, 1.0)]);
    assert!(!plant.engine.retire_step().unwrap(), "the clock has jumped");
    sim_hours(&plant, 20);
    assert!(!plant.engine.retire_step().unwrap(), "and rests");
    sim_hours(&plant, 20);
    assert!(plant.engine.retire_step().unwrap(), "a day later it goes on");
    assert_eq!(read_all(&plant.engine, 1).len(), 1);
}

#[test]
fn a_clock_that_was_set_while_nothing_ran_is_not_trusted_for_a_day() {
    let mut plant = Plant::with(10, keep(&[("*", 10 * DAY)]));
    plant.write(&[(0, NOW - 9 * DAY, 1.0), (0, NOW, 1.0)]);
    plant.sim.clock.jump_to(NOW + 300 * DAY);
    plant.restart(None);
    plant.write(&[(0, NOW + 300 * DAY, 1.0)]);
    assert!(!plant.engine.retire_step().unwrap(), "the clock was elsewhere");
    sim_hours(&plant, 20);
    assert!(!plant.engine.retire_step().unwrap(), "and is not trusted yet");
    sim_hours(&plant, 20);
    assert!(plant.engine.retire_step().unwrap(), "a day later it is");
}

/// Retention goes on where a segment cannot be read, and so do its other rules.
#[test]
fn a_damaged_segment_does_not_stop_retention() {
    let mut plant = Plant::with(11, keep(&[("tag0", 10 * DAY), ("tag1", 10 * DAY)]));
    plant.write(&[(0, NOW, 1.0), (0, NOW + HOUR, 1.0)]);
    plant.engine.flush().unwrap();
    plant.write(&[(1, NOW, 1.0), (1, NOW + HOUR, 1.0)]);
    plant.engine.flush().unwrap();
    let first = plant.engine.segments()[0].clone();
    plant.sim.env().disk.remove(&plant.engine.segment_path(&first)).unwrap();
    sim_hours(&plant, 30 * 24);
    let now = NOW + 30 * DAY;
    plant.write(&[(0, now, 2.0), (1, now, 2.0)]);
    assert!(plant.engine.retire_step().unwrap());
    plant.map.retain(|(_, time), _| *time == now);
    plant.check("the damaged segment is deleted as a whole");
}

#[test]
fn the_power_may_go_at_any_sync_of_a_delete() {
    let live = |plant: &mut Plant| -> tagus_engine::Result<()> {
        plant.engine.delete(&[plant.id(0), plant.id(1)], NOW - 20 * HOUR, NOW - 2 * HOUR)?;
        plant.engine.flush()?;
        plant.engine.compact()
    };
    let begin = || {
        let mut plant = Plant::new(9);
        let sim = plant.sim.clone();
        for _ in 0..6 {
            plant.write(&samples(&sim));
            plant.engine.flush().unwrap();
        }
        plant
    };
    let mut whole = begin();
    let before = whole.map.clone();
    let syncs = whole.sim.disk.syncs();
    live(&mut whole).unwrap();
    let after = read_all(&whole.engine, 1);
    assert!(after.len() < before.len());
    let syncs = whole.sim.disk.syncs() - syncs;
    assert!(syncs > 8, "{syncs} syncs only");
    for k in 1..=syncs {
        for fate in [Fate::Kept, Fate::Lost, Fate::Torn(k)] {
            let mut plant = begin();
            plant.sim.disk.crash_at_sync(k);
            assert!(live(&mut plant).is_err());
            plant.sim.disk.restart(fate);
            let (engine, _) = open(&plant.sim, &plant.config);
            let found = read_all(&engine, 1);
            // The first sync is that of the delete's own frame.
            let all_or_nothing = if k > 1 { found == after } else { found == after || found == before };
            assert!(all_or_nothing, "sync {k}, {fate:?}");
            engine.compact().unwrap();
            assert_eq!(read_all(&engine, 1), found, "sync {k}, {fate:?}: compacted");
        }
    }
}
