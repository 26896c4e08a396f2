//! Errors that a disk gives when they are ordered.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::slice::from_ref;
use std::sync::Arc;

use tagus_engine::env::{Disk, File, OpenMode};
use tagus_sim::{Fate, Operation, SimDisk};

const A: &str = "/a";

fn with_file(bytes: &[u8]) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    let file = disk.open(Path::new(A), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    (disk, file)
}

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("this had to fail").kind()
}

#[test]
fn the_nth_write_fails_alone() {
    let (disk, file) = with_file(b"....");
    disk.fail(Operation::Write, 2, ErrorKind::Other);
    file.write_all_at(b"1", 0).unwrap();
    assert_eq!(kind(file.write_all_at(b"2", 1)), ErrorKind::Other);
    file.write_all_at(b"3", 2).unwrap();
    assert_eq!(disk.read(Path::new(A)).unwrap(), b"1.3.");
}

#[test]
fn a_cut_write_leaves_its_first_bytes() {
    let (disk, file) = with_file(b"");
    disk.cut_write(1, 3);
    assert_eq!(kind(file.write_all_at(b"abcdef", 0)), ErrorKind::WriteZero);
    assert_eq!(disk.read(Path::new(A)).unwrap(), b"abc");
}

#[test]
fn a_full_disk_takes_what_fits_and_overwrites() {
    let (disk, file) = with_file(&[1; 1000]);
    disk.set_capacity(1500);
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 500);
    assert_eq!(kind(file.write_all_at(&[0; 800], 1000)), ErrorKind::StorageFull);
    assert_eq!((file.len().unwrap(), disk.free_bytes(Path::new("/")).unwrap()), (1500, 0));
    file.write_all_at(&[2; 1500], 0).unwrap();
    file.sync_data().unwrap();
    let other = disk.open(Path::new("/b"), OpenMode::CreateNew).unwrap();
    assert_eq!(kind(other.write_all_at(&[0], 0)), ErrorKind::StorageFull);

    // A removed file takes room until it is closed.
    disk.remove(Path::new(A)).unwrap();
    assert_eq!(kind(other.write_all_at(&[0], 0)), ErrorKind::StorageFull);
    drop(file);
    other.write_all_at(&[0; 1500], 0).unwrap();
    disk.set_capacity(None);
    other.write_all_at(&[0; 1500], 1500).unwrap();
    assert_eq!(disk.used_bytes(), 3000);
}

#[test]
fn a_write_beyond_a_full_disk_leaves_nothing() {
    let (disk, file) = with_file(&[1; 10]);
    disk.set_capacity(20);
    assert_eq!(kind(file.write_all_at(&[1; 5], 100)), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 10);
}

#[test]
fn a_failed_sync_gives_up_its_bytes() {
    let (disk, file) = with_file(&[1; 2048]);
    file.write_all_at(&[2; 1024], 0).unwrap();
    disk.fail(Operation::SyncData, 1, ErrorKind::Other);
    assert_eq!(kind(file.sync_data()), ErrorKind::Other);
    file.sync_data().unwrap();
    assert_eq!(disk.read(Path::new(A)).unwrap()[..1024], [2; 1024], "the page cache shows what is not on disk");
    let lost = disk.fork();
    lost.restart(Fate::Lost);
    assert_eq!(lost.read(Path::new(A)).unwrap(), [1; 2048]);

    // Writing again brings the bytes back under the next sync.
    file.write_all_at(&[2; 512], 0).unwrap();
    file.sync_data().unwrap();
    let mut given_up = BTreeSet::new();
    for seed in 0..50 {
        let torn = disk.fork();
        torn.restart(Fate::Torn(seed));
        let bytes = torn.read(Path::new(A)).unwrap();
        assert!(bytes[..512] == [2; 512] && bytes[1024..] == [1; 1024], "seed {seed}");
        given_up.insert(bytes[512..1024].to_vec());
    }
    assert!(given_up.len() > 2, "the sector that was not written again can end in any way");
}

#[test]
fn a_failed_directory_sync_leaves_entries_pending() {
    let (disk, _file) = with_file(b"a");
    disk.link(Path::new(A), Path::new("/b")).unwrap();
    disk.fail(Operation::SyncDir, 1, ErrorKind::Other);
    assert_eq!(kind(disk.sync_dir(Path::new("/"))), ErrorKind::Other);
    disk.restart(Fate::Lost);
    assert_eq!(disk.files(), [Path::new(A)]);
}

#[test]
fn every_operation_can_fail_and_then_changes_nothing() {
    let (disk, file) = with_file(b"a");
    let (a, b) = (Path::new(A), Path::new("/b"));
    for operation in
        [Operation::Create, Operation::Read, Operation::Link, Operation::Rename, Operation::Remove, Operation::Write]
    {
        disk.fail(operation, 1, ErrorKind::QuotaExceeded);
        let result = match operation {
            Operation::Create => disk.open(b, OpenMode::CreateNew).map(drop),
            Operation::Read => file.read_ranges(from_ref(&(0..1))).map(drop),
            Operation::Link => disk.link(a, b),
            Operation::Rename => disk.rename(a, b),
            Operation::Remove => disk.remove(a),
            _ => file.write_all_at(b"b", 0),
        };
        assert_eq!(kind(result), ErrorKind::QuotaExceeded, "{operation:?}");
        assert_eq!((disk.files(), disk.read(a).unwrap()), (vec![a.to_owned()], b"a".to_vec()), "{operation:?}");
    }
}

#[test]
fn a_flipped_bit_is_on_the_medium() {
    let (disk, file) = with_file(&[0; 600]);
    disk.flip(Path::new(A), 599, 3).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 599).unwrap();
    assert_eq!(byte, [8]);
    disk.restart(Fate::Lost);
    assert_eq!(disk.read(Path::new(A)).unwrap()[599], 8);
    assert_eq!(kind(disk.flip(Path::new(A), 600, 0)), ErrorKind::UnexpectedEof);
}

#[test]
fn unreadable_bytes_fail_the_reads_that_touch_them() {
    let (disk, file) = with_file(&[7; 4096]);
    disk.make_unreadable(Path::new(A), 512..1024).unwrap();
    assert!(file.read_ranges(&[0..10, 1000..1001]).is_err());
    assert!(file.read_exact_at(&mut [0; 2], 511).is_err());
    assert_eq!(file.read_ranges(&[0..512, 1024..4096]).unwrap().len(), 2);
    disk.restart(Fate::Kept);
    let file = disk.open(Path::new(A), OpenMode::Read).unwrap();
    assert!(file.read_ranges(from_ref(&(0..4096))).is_err(), "the medium is bad after a restart, too");
    disk.make_readable(Path::new(A)).unwrap();
    assert!(file.read_ranges(from_ref(&(0..4096))).is_ok());
}

#[test]
fn a_read_only_disk_refuses_changes_and_reads() {
    let (disk, file) = with_file(b"a");
    let (a, b) = (Path::new(A), Path::new("/b"));
    disk.set_read_only(true);
    let refused = [
        disk.open(b, OpenMode::CreateNew).map(drop),
        disk.open(a, OpenMode::Write).map(drop),
        disk.create_dir(b),
        disk.link(a, b),
        disk.rename(a, b),
        disk.remove(a),
        disk.lock(b).map(drop),
        file.write_all_at(b"b", 0),
    ];
    for (index, result) in refused.into_iter().enumerate() {
        assert_eq!(kind(result), ErrorKind::ReadOnlyFilesystem, "call {index}");
    }
    assert!(disk.open(a, OpenMode::Read).is_ok() && disk.create_dir(Path::new("/")).is_ok());
    disk.set_read_only(false);
    disk.remove(a).unwrap();
}

#[test]
fn calls_are_counted() {
    let (disk, file) = with_file(&[1; 100]);
    file.read_ranges(&[0..10, 20..25]).unwrap();
    let counters = disk.counters();
    assert_eq!((counters.reads, counters.bytes_read), (1, 15));
    assert_eq!((counters.writes, counters.bytes_written, counters.syncs), (1, 100, 2));
}

#[test]
fn forks_part_ways() {
    let (disk, file) = with_file(&[1; 10_000]);
    let fork = disk.fork();
    file.write_all_at(&[2; 10], 0).unwrap();
    fork.remove(Path::new(A)).unwrap();
    assert_eq!(disk.read(Path::new(A)).unwrap()[..11], [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
    assert!(fork.files().is_empty());
}
