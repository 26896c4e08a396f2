//! Faults of the disk, in the way of whatever comes next.

use std::io::ErrorKind::{Other, StorageFull};

use tagus_engine::ErrorKind;
use tagus_sim::Operation;

use crate::checks;
use crate::machine::Machine;
use crate::steps;

/// All that changes the disk.
const OPERATIONS: [Operation; 7] = [
    Operation::Create,
    Operation::Write,
    Operation::SyncData,
    Operation::SyncDir,
    Operation::Link,
    Operation::Rename,
    Operation::Remove,
];

/// Orders a fault: it comes at some operation of some later step, or never.
pub fn order(machine: &mut Machine) {
    let disk = machine.sim.disk.clone();
    let operation = OPERATIONS[machine.below(7) as usize];
    let nth = 1 + machine.below(if machine.chance(1, 2) { 4 } else { 16 });
    let what = match machine.below(6) {
        0 | 1 => {
            disk.crash_at_sync(nth);
            format!("the power will go at sync {nth}")
        }
        2 => {
            disk.crash_at(operation, nth);
            format!("the power will go at {operation:?} {nth}")
        }
        3 => {
            let landed = machine.below(9000) as usize;
            disk.cut_write(nth, landed);
            format!("write {nth} will end after {landed} bytes")
        }
        4 => {
            disk.fail(operation, nth, StorageFull);
            format!("{operation:?} {nth} will find a full disk")
        }
        _ => {
            disk.fail(operation, nth, Other);
            format!("{operation:?} {nth} will fail")
        }
    };
    machine.note(what);
}

/// Leaves little room on the disk, for some steps.
pub fn shorten_the_disk(machine: &mut Machine) {
    let room = machine.below([1 << 16, 8 << 20, 40 << 20][machine.below(3) as usize]);
    machine.note(format!("{room} bytes of disk are left"));
    machine.sim.disk.set_capacity(machine.sim.disk.used_bytes() + room);
    machine.disk_is_short = true;
}

/// Gives the room back: writing goes on by itself.
pub fn give_room(machine: &mut Machine) {
    machine.begin();
    machine.give_room();
    steps::work(machine, "room again: flush", |machine| machine.engine().flush());
}

/// Mounts the disk read-only, and writes.
pub fn refuse_changes(machine: &mut Machine) {
    machine.note("the disk refuses changes");
    machine.sim.disk.set_read_only(true);
    machine.read_only = true;
    if machine.chance(1, 2) {
        steps::work(machine, "flush", |machine| machine.engine().flush());
    }
    steps::write(machine);
    machine.sim.disk.set_read_only(false);
    machine.read_only = false;
}

/// Lets a read fail once, of a query or of some work: trying again gives the right answer.
pub fn fail_reads(machine: &mut Machine) {
    if machine.sim.disk.faults_left() > 0 {
        return;
    }
    let nth = 1 + machine.below(6);
    machine.note(format!("read {nth} fails"));
    machine.sim.disk.fail(Operation::Read, nth, Other);
    machine.begin();
    match machine.below(3) {
        0 => steps::work(machine, "merge", |machine| machine.engine().merge_step().map(drop)),
        1 => steps::work(machine, "compact", |machine| machine.engine().compact()),
        _ => {
            let (random, now) = (machine.sim.random.clone(), machine.now());
            if let Err(error) = checks::view(&random, &machine.engine().view(), &machine.model, now) {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                machine.accept("read", &error);
            }
        }
    }
    machine.sim.disk.call_off_faults();
}
