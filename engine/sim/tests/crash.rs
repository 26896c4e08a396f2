//! What a crash leaves of what was not synced.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::env::{Disk, File, OpenMode};
use tagus_sim::{Fate, Operation, SimDisk, SimRandom};

const ROOT: &str = "/";
const SECTOR: usize = 512;

/// A file whose name, `old` bytes and length are durable.
fn durable_file(disk: &SimDisk, path: &str, old: &[u8]) -> Arc<dyn File> {
    let file = disk.open(Path::new(path), OpenMode::CreateNew).unwrap();
    file.write_all_at(old, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    file
}

/// What a fork of `disk` holds under `path` after a crash.
fn after(disk: &SimDisk, fate: Fate, path: &str) -> Option<Vec<u8>> {
    let fork = disk.fork();
    fork.restart(fate);
    fork.read(Path::new(path)).ok()
}

fn names_after(disk: &SimDisk, fate: Fate) -> Vec<PathBuf> {
    let fork = disk.fork();
    fork.restart(fate);
    fork.files()
}

#[test]
fn the_kth_sync_fails_and_all_after_it() {
    for k in 1..=4 {
        let disk = SimDisk::new();
        disk.crash_at_sync(k);
        let run = || -> std::io::Result<()> {
            let file = disk.open(Path::new("/a"), OpenMode::CreateNew)?;
            file.sync_data()?;
            disk.sync_dir(Path::new(ROOT))?;
            file.sync_data()?;
            disk.sync_dir(Path::new(ROOT))
        };
        assert!(run().is_err());
        assert_eq!(disk.syncs(), k);
        assert!(disk.is_off());
        assert!(disk.list(Path::new(ROOT)).is_err());
        assert!(disk.create_dir(Path::new(ROOT)).is_err());
        assert!(disk.lock(Path::new("/LOCK")).is_err());
        disk.restart(Fate::Lost);
        assert_eq!(disk.files().len(), usize::from(k > 2), "the name is durable from the second sync on");
    }
}

#[test]
fn what_was_synced_survives_every_fate() {
    let disk = SimDisk::new();
    durable_file(&disk, "/a", &[1; 5000]);
    disk.crash();
    for fate in [Fate::Kept, Fate::Lost].into_iter().chain((0..50).map(Fate::Torn)) {
        assert_eq!(after(&disk, fate, "/a"), Some(vec![1; 5000]), "{fate:?}");
    }
}

#[test]
fn unsynced_bytes_are_kept_or_lost_whole() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", &[1; 700]);
    file.write_all_at(&[2; 1000], 600).unwrap();
    assert_eq!(after(&disk, Fate::Lost, "/a"), Some(vec![1; 700]));
    let mut kept = vec![2; 1600];
    kept[..600].fill(1);
    assert_eq!(after(&disk, Fate::Kept, "/a"), Some(kept));
}

#[test]
fn a_torn_crash_treats_each_unsynced_sector_by_itself() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", &[1; 8 * SECTOR]);
    // Sectors 2 to 5, of which the first and the last only in part.
    let (start, end) = (2 * SECTOR + 100, 5 * SECTOR + 100);
    file.write_all_at(&vec![2; end - start], start as u64).unwrap();
    let new = disk.read(Path::new("/a")).unwrap();

    let (mut kept, mut lost, mut half, mut garbage, mut mixed_files) = (0, 0, 0, 0, 0);
    for seed in 0..400 {
        let torn = after(&disk, Fate::Torn(seed), "/a").unwrap();
        assert_eq!(torn.len(), 8 * SECTOR, "seed {seed}: the length was durable");
        assert!(torn[..2 * SECTOR] == [1; 2 * SECTOR] && torn[6 * SECTOR..] == [1; 2 * SECTOR], "seed {seed}");
        let mut states = BTreeSet::new();
        for (torn, new) in torn.chunks(SECTOR).zip(new.chunks(SECTOR)).skip(2).take(4) {
            let counter = match torn {
                _ if torn == new => &mut kept,
                _ if torn == [1; SECTOR] => &mut lost,
                _ if torn.iter().all(|byte| [1, 2].contains(byte)) => &mut half,
                _ => &mut garbage,
            };
            *counter += 1;
            states.insert(torn == new);
        }
        mixed_files += u32::from(states.len() == 2);
    }
    assert!(kept > 400 && lost > 80 && half > 80 && garbage > 80, "{kept} {lost} {half} {garbage}");
    assert!(mixed_files > 50, "{mixed_files} files with sectors of different fates");
}

#[test]
fn a_torn_crash_leaves_any_length_between_old_and_new() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", &[1; 1000]);
    file.write_all_at(&[2; 4000], 1000).unwrap();
    let mut lengths = BTreeSet::new();
    let mut zeros = 0;
    for seed in 0..300 {
        let torn = after(&disk, Fate::Torn(seed), "/a").unwrap();
        lengths.insert(torn.len());
        // A sector lost under a length that survived.
        zeros += u32::from(torn.chunks(SECTOR).skip(2).any(|sector| sector.iter().all(|&byte| byte == 0)));
    }
    assert_eq!((lengths.first(), lengths.last()), (Some(&1000), Some(&5000)));
    assert!(lengths.len() > 20 && zeros > 30, "{} lengths, {zeros} holes", lengths.len());
}

#[test]
fn a_seed_replays() {
    let disk = SimDisk::new();
    for name in 0..20 {
        let file = disk.open(Path::new(&format!("/{name}")), OpenMode::CreateNew).unwrap();
        file.write_all_at(&[1; 3000], 0).unwrap();
    }
    let end = |seed| {
        let fork = disk.fork();
        fork.restart(Fate::Torn(seed));
        fork.files().into_iter().map(|path| (fork.read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    assert!(end(5) == end(5));
    assert!(end(5) != end(6));
}

#[test]
fn what_a_crash_left_is_durable() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"");
    file.write_all_at(&[3; 9000], 0).unwrap();
    disk.restart(Fate::Torn(11));
    let left = disk.read(Path::new("/a")).unwrap();
    assert_eq!(after(&disk, Fate::Lost, "/a"), Some(left));
}

#[test]
fn names_come_back_or_vanish_until_their_directory_is_synced() {
    let disk = SimDisk::new();
    durable_file(&disk, "/removed", b"r");
    durable_file(&disk, "/from", b"f");
    disk.remove(Path::new("/removed")).unwrap();
    disk.rename(Path::new("/from"), Path::new("/to")).unwrap();
    disk.link(Path::new("/to"), Path::new("/linked")).unwrap();
    let created = disk.open(Path::new("/created"), OpenMode::CreateNew).unwrap();
    created.write_all_at(b"c", 0).unwrap();
    created.sync_data().unwrap();

    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(names_after(&disk, Fate::Lost), paths(&["/from", "/removed"]));
    assert_eq!(names_after(&disk, Fate::Kept), paths(&["/created", "/linked", "/to"]));
    assert_eq!(after(&disk, Fate::Lost, "/removed"), Some(b"r".to_vec()));
    assert_eq!(after(&disk, Fate::Kept, "/linked"), Some(b"f".to_vec()));

    let mut seen = BTreeSet::new();
    for seed in 0..500 {
        let names = names_after(&disk, Fate::Torn(seed));
        let has = |name: &str| names.contains(&PathBuf::from(name));
        assert!(has("/from") != has("/to"), "seed {seed}: a rename is atomic");
        seen.insert((has("/removed"), has("/to"), has("/linked"), has("/created")));
    }
    assert_eq!(seen.len(), 16, "each entry by itself");

    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names_after(&disk, Fate::Lost), paths(&["/created", "/linked", "/to"]));
}

#[test]
fn a_torn_crash_may_leave_a_name_that_was_there_for_a_moment() {
    let disk = SimDisk::new();
    let temporary = Path::new("/temporary");
    disk.open(temporary, OpenMode::CreateNew).unwrap();
    disk.link(temporary, Path::new("/1")).unwrap();
    disk.remove(temporary).unwrap();
    let left = (0..100).filter(|&seed| names_after(&disk, Fate::Torn(seed)).contains(&temporary.to_owned())).count();
    assert!(left > 5, "{left} of 100 leave the temporary name");
    assert_eq!(names_after(&disk, Fate::Lost), Vec::<PathBuf>::new());
}

#[test]
fn a_replaced_file_comes_back_with_its_bytes() {
    let disk = SimDisk::new();
    durable_file(&disk, "/name", b"old");
    durable_file(&disk, "/next", b"new");
    disk.rename(Path::new("/next"), Path::new("/name")).unwrap();
    for seed in 0..50 {
        let fork = disk.fork();
        fork.restart(Fate::Torn(seed));
        let (name, next) = (fork.read(Path::new("/name")).unwrap(), fork.read(Path::new("/next")).ok());
        let expected = if name == b"old" { Some(b"new".to_vec()) } else { None };
        assert_eq!(next, expected, "seed {seed}");
    }
}

#[test]
fn syncing_one_directory_completes_a_rename_between_two() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/dir")).unwrap();
    durable_file(&disk, "/file", b"f");
    disk.rename(Path::new("/file"), Path::new("/dir/file")).unwrap();
    disk.sync_dir(Path::new("/dir")).unwrap();
    assert_eq!(names_after(&disk, Fate::Lost), [PathBuf::from("/dir/file")]);
}

#[test]
fn a_directory_vanishes_with_all_below_it_unless_its_parent_is_synced() {
    let disk = SimDisk::new();
    let dir = Path::new("/data/log");
    disk.create_dir(dir).unwrap();
    let file = disk.open(&dir.join("1"), OpenMode::CreateNew).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(dir).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    assert!(names_after(&disk, Fate::Lost).is_empty(), "/data itself is not durable");
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(names_after(&disk, Fate::Lost), [dir.join("1")]);
}

#[test]
fn a_name_can_be_durable_before_its_bytes() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"bytes", 0).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert_eq!(after(&disk, Fate::Lost, "/a"), Some(Vec::new()));
}

#[test]
fn a_crash_ends_handles_and_locks() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"a");
    let lock = disk.lock(Path::new("/LOCK")).unwrap();
    disk.restart(Fate::Kept);
    assert!(file.len().is_err(), "the handle is of the process before the crash");
    let again = disk.lock(Path::new("/LOCK")).unwrap();
    drop(lock);
    let refused = disk.lock(Path::new("/LOCK")).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::WouldBlock), "an old guard does not release a new lock");
    drop((file, again));
    assert!(disk.lock(Path::new("/LOCK")).is_ok());
}

#[test]
fn a_killed_process_leaves_its_bytes_visible_and_not_durable() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"old");
    let lock = disk.lock(Path::new("/LOCK")).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    disk.kill_process();
    assert!(file.sync_data().is_err());
    let again = disk.lock(Path::new("/LOCK"));
    assert!(again.is_ok());
    assert_eq!(disk.read(Path::new("/a")).unwrap(), b"new");
    assert_eq!(after(&disk, Fate::Lost, "/a"), Some(b"old".to_vec()));

    // The next process can sync what it found.
    disk.open(Path::new("/a"), OpenMode::Write).unwrap().sync_data().unwrap();
    assert_eq!(after(&disk, Fate::Lost, "/a"), Some(b"new".to_vec()));
    drop(lock);
}

#[test]
fn a_crash_can_come_instead_of_any_operation() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"old");
    disk.crash_at(Operation::Write, 2);
    file.write_all_at(b"1", 0).unwrap();
    assert!(file.write_all_at(b"2", 1).is_err());
    assert!(disk.is_off());
    disk.restart(Fate::Kept);
    assert_eq!(disk.read(Path::new("/a")).unwrap(), b"1ld");
}

#[test]
fn a_crash_during_recovery_starts_from_what_the_first_left() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.restart(Fate::Lost);
    let file = disk.open(Path::new("/a"), OpenMode::Write).unwrap();
    disk.crash_at_sync(1);
    file.write_all_at(b"NEW", 0).unwrap();
    assert!(file.sync_data().is_err());
    assert_eq!(after(&disk, Fate::Lost, "/a"), Some(b"old".to_vec()));
    assert_eq!(after(&disk, Fate::Kept, "/a"), Some(b"NEW".to_vec()));
}

/// Writes at random places with a sync here and there; the sectors written since the last one.
fn scribble(file: &dyn File, random: &SimRandom) -> BTreeSet<usize> {
    let mut at_risk = BTreeSet::new();
    for _ in 0..12 {
        let (offset, len) = (random.below(20_000) as usize, random.below(5_000) as usize + 1);
        file.write_all_at(&vec![random.below(256) as u8; len], offset as u64).unwrap();
        at_risk.extend(offset / SECTOR..(offset + len).div_ceil(SECTOR));
        if random.chance(1, 4) {
            file.sync_data().unwrap();
            at_risk.clear();
        }
    }
    at_risk
}

#[test]
fn only_sectors_written_since_the_last_sync_are_at_risk() {
    for seed in 0..200 {
        let disk = SimDisk::new();
        let file = durable_file(&disk, "/a", b"");
        let at_risk = scribble(&*file, &SimRandom::new(seed));
        let old = after(&disk, Fate::Lost, "/a").unwrap();
        let new = after(&disk, Fate::Kept, "/a").unwrap();
        let torn = after(&disk, Fate::Torn(seed), "/a").unwrap();
        assert!(new == disk.read(Path::new("/a")).unwrap(), "seed {seed}");
        assert!((old.len()..=new.len()).contains(&torn.len()), "seed {seed}");
        for sector in (0..torn.len().div_ceil(SECTOR)).filter(|sector| !at_risk.contains(sector)) {
            // Beyond the old end a sector that was never written reads as zeros.
            let bytes = sector * SECTOR..torn.len().min((sector + 1) * SECTOR);
            let expected = bytes.clone().map(|at| old.get(at).copied().unwrap_or(0));
            assert!(expected.eq(torn[bytes].iter().copied()), "seed {seed}, sector {sector}");
        }
    }
}
