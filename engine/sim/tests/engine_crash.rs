//! The engine against power cuts and failing disks: a short history is cut at every sync, with
//! every fate, killed there, and met by every fault at every operation.

mod support;

use std::io::ErrorKind::{Other, StorageFull};

use support::{Plant, Seeds};
use tagus_sim::{Fate, Operation};

/// Writes, tag changes and flushes; ends early where the machine does.
fn live(plant: &Plant) -> support::History {
    let Ok(mut history) = plant.open() else { return plant.nothing() };
    for step in 0..14 {
        match step % 5 {
            4 => drop(history.flush()),
            2 => history.change_a_tag(),
            _ => history.write(),
        }
    }
    history
}

fn cut_everywhere(fate: impl Fn(u64) -> Fate) {
    for seed in Seeds::from_env("TAGUS_CRASH_SEEDS", 2) {
        let whole = Plant::new(seed);
        let end = live(&whole);
        drop(end);
        let syncs = whole.sim.disk.syncs();
        assert!(syncs > 20, "seed {seed}: the history has {syncs} syncs only");
        for k in 1..=syncs {
            let plant = Plant::new(seed);
            plant.sim.disk.crash_at_sync(k);
            let promised = live(&plant).into_promises();
            assert!(plant.sim.disk.is_off(), "seed {seed}: sync {k} was not reached");
            plant.sim.disk.restart(fate(seed * 1000 + k));
            let context = format!("seed {seed}, sync {k} of {syncs}");
            let first = promised.check_recovered(&plant, &context);
            // Recovering again, after a clean or another hard stop, gives the same.
            plant.sim.disk.crash();
            plant.sim.disk.restart(Fate::Lost);
            let second = promised.check_recovered(&plant, &context);
            assert_eq!(first, second, "{context}: recovering twice");
            if k % 3 == 0 {
                support::write_on(&plant, k % 2 == 0, fate(seed * 1000 + k), &context);
            }
        }
    }
}

#[test]
fn what_was_not_synced_is_kept() {
    cut_everywhere(|_| Fate::Kept);
}

#[test]
fn what_was_not_synced_is_lost() {
    cut_everywhere(|_| Fate::Lost);
}

#[test]
fn what_was_not_synced_is_torn() {
    cut_everywhere(Fate::Torn);
}

/// Where the process alone ends, and the power goes only after the next start.
#[test]
fn what_a_killed_process_left_is_built_upon() {
    let seed = 5;
    let whole = Plant::new(seed);
    drop(live(&whole));
    let mut met = 0;
    for k in 1..=whole.sim.disk.syncs() {
        for operation in [Operation::SyncData, Operation::SyncDir] {
            let plant = Plant::new(seed);
            plant.sim.disk.fail(operation, k, Other);
            let history = live(&plant);
            if history.is_open() {
                // The fault still waits, or met what can do without.
                continue;
            }
            let promised = history.into_promises();
            plant.sim.disk.kill_process();
            let context = format!("killed at {operation:?} {k}");
            let first = promised.check_recovered(&plant, &context);
            met += 1;
            plant.sim.disk.crash();
            plant.sim.disk.restart(Fate::Lost);
            assert_eq!(first, promised.check_recovered(&plant, &context), "{context}: after a power cut");
        }
    }
    assert!(met > 20, "{met} faults were met only");
}

#[test]
fn no_fault_costs_what_was_acknowledged() {
    const OPERATIONS: [Operation; 7] = [
        Operation::Create,
        Operation::Write,
        Operation::SyncData,
        Operation::SyncDir,
        Operation::Link,
        Operation::Rename,
        Operation::Remove,
    ];
    let seed = 6;
    for operation in OPERATIONS {
        for kind in [Other, StorageFull] {
            for nth in faults(operation) {
                let plant = Plant::new(seed);
                plant.sim.disk.fail(operation, nth, kind);
                let promised = live(&plant).into_promises();
                let context = format!("{operation:?} {nth} fails with {kind:?}");
                let fate = if nth % 2 == 0 { Fate::Lost } else { Fate::Torn(nth) };
                plant.sim.disk.crash();
                plant.sim.disk.restart(fate);
                promised.check_recovered(&plant, &context);
                if nth % 5 == 0 {
                    support::write_on(&plant, true, fate, &context);
                }
            }
        }
    }
}

#[test]
fn no_short_write_costs_what_was_acknowledged() {
    for nth in faults(Operation::Write) {
        let plant = Plant::new(7);
        plant.sim.disk.cut_write(nth, 600);
        let promised = live(&plant).into_promises();
        let context = format!("write {nth} is cut");
        plant.sim.disk.crash();
        plant.sim.disk.restart(Fate::Kept);
        promised.check_recovered(&plant, &context);
    }
}

/// Which operations of a history to meet: of the writes, most only fill log files with zeros.
fn faults(operation: Operation) -> Vec<u64> {
    match operation {
        Operation::Write => (1..12).chain((12..900).step_by(29)).collect(),
        _ => (1..24).collect(),
    }
}
