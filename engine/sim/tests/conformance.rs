//! The machine's disk and the simulated one pass the same checks.

use std::collections::BTreeSet;
use std::path::Path;

use tagus_engine::env::{Clock, Disk, OpenMode, OsClock, OsDisk, OsRandom, Random};
use tagus_sim::conformance::check_disk;
use tagus_sim::{Fate, Sim, SimDisk};

#[test]
fn the_machines_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    check_disk(&OsDisk, folder.path());
}

#[test]
fn the_simulated_disk_conforms() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/data")).unwrap();
    check_disk(&disk, Path::new("/data"));
}

#[test]
fn the_simulated_disk_conforms_after_a_crash_and_on_a_fork() {
    let disk = SimDisk::new();
    disk.crash();
    disk.restart(Fate::Torn(1));
    disk.create_dir(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    check_disk(&disk.fork(), Path::new("/data"));
    assert!(disk.files().is_empty(), "a fork writes nothing to its origin");
}

/// The kernel's own lock tells one opened file from another, also within a process: the engine
/// counts on that to keep a second engine out.
#[test]
fn the_machines_lock_file_can_be_opened_while_it_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("LOCK");
    let guard = OsDisk.lock(&path).unwrap();
    drop(OsDisk.open(&path, OpenMode::Write).unwrap());
    assert!(OsDisk.lock(&path).is_err(), "closing another handle must not release the lock");
    drop(guard);
    assert!(OsDisk.lock(&path).is_ok());
}

#[test]
fn clocks_go_forward() {
    let clock = OsClock::new();
    let (first, second) = (clock.monotonic(), clock.monotonic());
    assert!(first <= second);
    assert!(clock.now() > 1_600_000_000_000_000_000, "nanoseconds since 1970");

    let clock = Sim::new(0).clock;
    let start = clock.now();
    clock.advance(5);
    assert_eq!((clock.now(), clock.monotonic()), (start + 5, 5));
    clock.jump_to(-3);
    assert_eq!((clock.now(), clock.monotonic()), (-3, 5));
}

#[test]
fn random_numbers_differ_and_replay() {
    let drawn: BTreeSet<u64> = (0..10_000).map(|_| OsRandom.next()).collect();
    assert_eq!(drawn.len(), 10_000);
    let row = |seed| {
        let random = Sim::new(seed).random;
        (0..100).map(|_| random.next()).collect::<Vec<_>>()
    };
    assert_eq!(row(1), row(1));
    assert_ne!(row(1), row(2));
}
