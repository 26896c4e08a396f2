//! Torture: everything that can happen to an archive, at random and from a seed, against a map.
//!
//! Writes of every kind, late and replaced and refused ones, deletes, retention, tags, flushes,
//! merges, stops, kills, power cuts at any moment with every fate, failing and cut writes, failed
//! syncs, full disks and damaged bytes; after each step the archive is read and compared. A seed that
//! fails is printed with its last steps. `TAGUS_TORTURE_SEEDS=0..100000` runs these seeds.

mod checks;
mod model;
mod plant;
mod samples;

use std::io::ErrorKind::{Other, StorageFull};

use plant::Plant;
use tagus_engine::Engine;
use tagus_sim::{Fate, Operation};

/// Steps of one seed.
const STEPS: u64 = 70;
/// Seeds that run without being asked for, in all parts together.
const SEEDS: u64 = 200;
/// The parts run side by side.
const PARTS: u64 = 4;

fn live(seed: u64) -> (u64, u64) {
    let mut plant = Plant::new(seed);
    for _ in 0..STEPS {
        step(&mut plant);
        checks::reads(&mut plant);
        if plant.is_broken() {
            let fate = any_fate(&plant);
            let kill = !plant.sim.disk.is_off() && plant.sim.random.chance(1, 3);
            plant.restart("after a fault", (!kill).then_some(fate));
            checks::reads(&mut plant);
        }
    }
    plant.restart("at the end", Some(Fate::Lost));
    checks::reads(&mut plant);
    plant.work("compact at the end", Engine::compact);
    checks::reads(&mut plant);
    (plant.observed, checks::digest(&plant.sim.disk))
}

fn any_fate(plant: &Plant) -> Fate {
    match plant.sim.random.below(4) {
        0 => Fate::Kept,
        1 => Fate::Lost,
        _ => Fate::Torn(plant.sim.random.below(1 << 40)),
    }
}

fn step(plant: &mut Plant) {
    let dice = plant.sim.random.clone();
    match dice.below(60) {
        0..24 => plant.write(),
        24..28 => plant.work("flush", Engine::flush),
        28..34 => plant.work("merge", |engine| engine.merge_step().map(drop)),
        34 => plant.work("compact", Engine::compact),
        35 => plant.read_across_merges(),
        36..40 => plant.delete(),
        40..42 => plant.retire(),
        42..44 => plant.change_tags(),
        44 => plant.work("jobs", |engine| engine.job_step().map(drop)),
        45..48 => {
            plant.note("time passes");
            plant.sim.clock.advance(dice.below(3 * 86_400) * 1_000_000_000);
        }
        48 => plant.stop_and_start(),
        49 => plant.restart("killed", None),
        50 => {
            let fate = any_fate(plant);
            plant.restart("power cut", Some(fate));
        }
        51..53 => {
            plant.note("the power will go at a sync");
            plant.sim.disk.crash_at_sync(1 + dice.below(12));
        }
        53..55 => fault(plant),
        55 => {
            plant.note("a write will be cut");
            plant.sim.disk.cut_write(1 + dice.below(6), dice.below(3000) as usize);
        }
        56 => {
            plant.note("the disk is nearly full");
            plant.sim.disk.set_capacity(plant.sim.disk.used_bytes() + dice.below(40 << 10));
        }
        57 => {
            plant.note("the disk has room");
            plant.sim.disk.set_capacity(None);
        }
        _ => checks::damage(plant),
    }
}

/// An operation soon fails.
fn fault(plant: &mut Plant) {
    const OPERATIONS: [Operation; 7] = [
        Operation::Create,
        Operation::Write,
        Operation::SyncData,
        Operation::SyncDir,
        Operation::Link,
        Operation::Rename,
        Operation::Remove,
    ];
    let operation = OPERATIONS[plant.sim.random.below(OPERATIONS.len() as u64) as usize];
    let kind = if plant.sim.random.chance(1, 4) { StorageFull } else { Other };
    plant.note(format!("{operation:?} will fail with {kind}"));
    plant.sim.disk.fail(operation, 1 + plant.sim.random.below(6), kind);
}

/// One part of the seeds: those of the environment, or the usual ones.
fn part(part: u64) {
    let seeds = match std::env::var("TAGUS_TORTURE_SEEDS") {
        Ok(text) => match text.split_once("..") {
            Some((first, last)) => first.parse().expect("a seed")..last.parse().expect("a seed"),
            None => 0..text.parse().expect("a number of seeds"),
        },
        Err(_) => 0..SEEDS,
    };
    for seed in seeds.filter(|seed| seed % PARTS == part) {
        live(seed);
    }
}

#[test]
fn torture_of_the_first_seeds() {
    part(0);
}

#[test]
fn torture_of_the_second_seeds() {
    part(1);
}

#[test]
fn torture_of_the_third_seeds() {
    part(2);
}

#[test]
fn torture_of_the_fourth_seeds() {
    part(3);
}

#[test]
fn the_same_seed_ends_in_the_same_bytes() {
    for seed in [3, 6] {
        assert_eq!(live(seed), live(seed), "seed {seed}");
    }
    assert_ne!(live(3), live(4));
}
