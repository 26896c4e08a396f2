//! Backups: what is restored is what was acknowledged before, whatever goes on meanwhile, and
//! wherever the power is cut or a disk fails.

mod support;

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use support::{Map, read_all};
use tagus_engine::env::{Disk, OpenMode};
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::sample::Cell;
use tagus_engine::{BackupReport, Config, Engine, Error, ErrorKind, Result, restore, verify};
use tagus_sim::{Fate, Operation, Sim};

const DATA: &str = "/data";
const BACKUP: &str = "/media/backup";
const RESTORED: &str = "/restored";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// An archive that is written to, and what it must hold.
struct Plant {
    sim: Sim,
    engine: Engine,
    map: Map,
    batches: i64,
}

impl Plant {
    fn new(seed: u64) -> Plant {
        Plant::open(&Sim::new(seed), DATA, Map::new())
    }

    fn open(sim: &Sim, dir: &str, map: Map) -> Plant {
        let (engine, report) = Engine::open(sim.env(), Path::new(dir), Config::default()).expect("a sound archive");
        assert_eq!(report.lost, []);
        let plant = Plant { sim: sim.clone(), engine, map, batches: 0 };
        assert!(plant.read() == plant.map, "{dir} holds what it must");
        plant
    }

    fn below(&self, bound: u64) -> u64 {
        self.sim.random.below(bound)
    }

    /// One batch of up to 4 tags: some new, some late, some in the place of others.
    fn write(&mut self) -> Result<()> {
        self.batches += 1;
        let mut batch = Batch::default();
        for _ in 0..1 + self.below(3) {
            let tag = format!("tag{}", self.below(4 + self.batches.cast_unsigned() / 4));
            let base = NOW - self.below(30).cast_signed() * 24 * HOUR;
            let times: Vec<i64> = (0..30).map(|i| base + (i + self.below(9).cast_signed()) * HOUR / 60).collect();
            let values: Vec<f64> = times.iter().map(|_| self.below(100_000) as f64 / 7.0).collect();
            let cells = values.iter().map(|value| Cell::good(value.to_bits()));
            self.map.extend(times.iter().map(|time| (tag.clone(), *time)).zip(cells));
            let shape = Shape::Series { tag: TagRef::Name(tag), times };
            batch.blocks.push(Block { shape, values: Values::Doubles(values), statuses: Vec::new() });
        }
        let source = self.engine.open_source("", "", 0)?;
        let (send, receive) = mpsc::channel();
        source.submit(1, batch, move |done| drop(send.send(done.map(drop))))?;
        while self.engine.commit_step() {}
        receive.recv().expect("a step answers what waits")
    }

    fn delete(&mut self) -> Result<()> {
        let tags = self.engine.tags();
        let tag = tags.iter().next().expect("a tag");
        let (from, to) = (NOW - 20 * 24 * HOUR, NOW - 15 * 24 * HOUR);
        self.engine.delete(&[tag.id], from, to)?;
        self.map.retain(|(name, time), _| *name != tag.spec.name || !(from..=to).contains(time));
        Ok(())
    }

    /// Some of what goes on in a server.
    fn live(&mut self, steps: u64) -> Result<()> {
        for _ in 0..steps {
            match self.below(12) {
                0..6 => self.write()?,
                6..9 => self.engine.flush()?,
                9 if !self.engine.tags().is_empty() => self.delete()?,
                10 => self.engine.compact()?,
                _ => drop(self.engine.merge_step()?),
            }
        }
        Ok(())
    }

    fn read(&self) -> Map {
        read_all(&self.engine, 2)
    }

    fn backup(&self) -> Result<BackupReport> {
        self.engine.backup(Path::new(BACKUP))
    }
}

/// What a restore of the backup holds; it is removed again.
fn restored(sim: &Sim) -> Map {
    let sim = Sim { disk: sim.disk.fork(), ..sim.clone() };
    restore(&sim.env(), Path::new(BACKUP), Path::new(RESTORED), &mut |_, _| {}).expect("a sound backup");
    check(&sim, RESTORED);
    let (engine, report) = Engine::open(sim.env(), Path::new(RESTORED), Config::default()).expect("a sound archive");
    assert_eq!((report.frames, report.removed), (0, 0));
    read_all(&engine, 2)
}

/// Nothing is wrong with an archive or a backup.
fn check(sim: &Sim, dir: &str) {
    let report = verify(&sim.env(), Path::new(dir), &mut |_, _| {}).expect("an archive");
    assert!(report.damages.is_empty(), "{dir}: {:?}", report.damages);
}

fn segment_names(sim: &Sim, dir: &str) -> Vec<String> {
    sim.disk.list(&Path::new(dir).join("segments")).expect("a healthy disk")
}

/// The FORMAT of a backup in an archive would make its log disappear at the next restore.
#[test]
fn an_archive_with_the_mark_of_a_backup_is_not_restored_from() {
    let mut plant = Plant::new(77);
    plant.live(10).expect("a healthy disk");
    plant.backup().expect("a healthy disk");
    plant.write().expect("a healthy disk");
    let sim = plant.sim.clone();
    sim.disk.kill_process();
    sim.disk.remove(&Path::new(DATA).join("FORMAT")).expect("a file that is there");
    sim.disk.link(&Path::new(BACKUP).join("FORMAT"), &Path::new(DATA).join("FORMAT")).expect("a free name");
    let report = verify(&sim.env(), Path::new(DATA), &mut |_, _| {}).expect("an archive");
    assert!(report.damages.iter().any(|damage| damage.to_string().contains("FORMAT")), "{:?}", report.damages);
    let refused = restore(&sim.env(), Path::new(DATA), Path::new(RESTORED), &mut |_, _| {}).expect_err("an archive");
    assert!(refused.to_string().contains("has a log"), "{refused}");
}

#[test]
fn a_backup_holds_what_was_acknowledged_before_it() {
    for seed in 0..30 {
        let mut plant = Plant::new(seed);
        for round in 0..4 {
            plant.live(12).expect("a healthy disk");
            let expected = plant.map.clone();
            let mut backup = plant.engine.begin_backup(Path::new(BACKUP)).expect("a healthy disk");
            loop {
                // What comes now is not in it, and takes nothing from it.
                plant.live(3).expect("a healthy disk");
                if !backup.step().expect("a healthy disk") {
                    break;
                }
            }
            let report = backup.finish().expect("a healthy disk");
            check(&plant.sim, BACKUP);
            assert_eq!(segment_names(&plant.sim, BACKUP).len(), report.segments, "seed {seed}, round {round}");
            assert!(restored(&plant.sim) == expected, "seed {seed}, round {round}");
            assert!(plant.read() == plant.map, "seed {seed}, round {round}: the archive goes on");
        }
    }
}

#[test]
fn segments_that_are_there_are_not_copied_again() {
    let mut plant = Plant::new(1);
    for _ in 0..8 {
        plant.write().expect("a healthy disk");
        plant.engine.flush().expect("a healthy disk");
    }
    let first = plant.backup().expect("a healthy disk");
    assert_eq!((first.copied_segments, first.copied_bytes), (8, first.bytes));
    plant.write().expect("a healthy disk");
    plant.engine.flush().expect("a healthy disk");
    let added = plant.engine.segments().last().expect("a segment").bytes;
    let written = |plant: &Plant| plant.sim.disk.counters().bytes_written;
    let before = written(&plant);
    let second = plant.backup().expect("a healthy disk");
    assert_eq!((second.segments, second.copied_segments, second.copied_bytes), (9, 1, added));
    let manifest = second.manifest;
    let state = plant.sim.disk.read(&Path::new(BACKUP).join(format!("manifest/{manifest:020}.manifest")));
    let overhead = state.expect("the manifest").len() as u64 + 40_000;
    assert!(written(&plant) - before <= added + overhead, "{} bytes were written", written(&plant) - before);
    let before = written(&plant);
    let third = plant.backup().expect("a healthy disk");
    assert_eq!((third.manifest, third.copied_bytes, written(&plant) - before), (manifest, 0, 0), "nothing has changed");
    plant.engine.compact().expect("a healthy disk");
    plant.backup().expect("a healthy disk");
    let live: Vec<String> = plant.engine.segments().iter().map(|segment| segment.name.clone()).collect();
    assert_eq!(segment_names(&plant.sim, BACKUP), live, "what is merged goes");
    assert!(restored(&plant.sim) == plant.map);
}

/// A plant with a backup, and then more; the map at that backup.
fn with_a_backup(seed: u64) -> (Plant, Map) {
    let mut plant = Plant::new(seed);
    for _ in 0..6 {
        plant.write().expect("a healthy disk");
        plant.engine.flush().expect("a healthy disk");
    }
    plant.backup().expect("a healthy disk");
    let first = plant.map.clone();
    plant.engine.compact().expect("a healthy disk");
    for _ in 0..4 {
        plant.write().expect("a healthy disk");
    }
    plant.delete().expect("a healthy disk");
    plant.engine.flush().expect("a healthy disk");
    plant.write().expect("a healthy disk");
    plant.engine.flush().expect("a healthy disk");
    (plant, first)
}

fn fates(k: u64) -> [Fate; 4] {
    [Fate::Kept, Fate::Lost, Fate::Torn(k), Fate::Torn(k + 1000)]
}

#[test]
fn a_power_cut_leaves_the_backup_before_or_the_new_one() {
    let syncs = |plant: &Plant| plant.sim.disk.syncs();
    let (whole, _) = with_a_backup(3);
    let before = syncs(&whole);
    whole.backup().expect("a healthy disk");
    let steps = syncs(&whole) - before;
    assert!(steps > 8, "{steps} syncs");
    for k in 1..=steps {
        let (plant, first) = with_a_backup(3);
        plant.sim.disk.crash_at_sync(k);
        assert!(plant.backup().is_err(), "sync {k}");
        for fate in fates(k) {
            let context = format!("sync {k} of {steps}, {fate:?}");
            let sim = Sim { disk: plant.sim.disk.fork(), ..plant.sim.clone() };
            sim.disk.restart(fate);
            check(&sim, BACKUP);
            let found = restored(&sim);
            assert!(found == first || found == plant.map, "{context}");
            // The next backup goes on from there.
            let mut again = Plant::open(&sim, DATA, plant.map.clone());
            again.write().expect("a healthy disk");
            again.backup().unwrap_or_else(|e| panic!("{context}: {e}"));
            check(&sim, BACKUP);
            assert!(restored(&sim) == again.map, "{context}: the next backup");
            let files = sim.disk.files();
            let left = files.iter().find(|p| p.starts_with(BACKUP) && p.extension().is_some_and(|e| e == "part"));
            assert_eq!(left, None, "{context}");
        }
    }
}

#[test]
fn a_first_backup_that_was_cut_is_none_and_the_next_goes_on() {
    for k in 1..=30 {
        let mut plant = Plant::new(4);
        for _ in 0..3 {
            plant.write().expect("a healthy disk");
            plant.engine.flush().expect("a healthy disk");
        }
        plant.sim.disk.crash_at_sync(k);
        if plant.backup().is_ok() {
            assert!(k > 10, "{k} syncs");
            return;
        }
        for fate in fates(k) {
            let sim = Sim { disk: plant.sim.disk.fork(), ..plant.sim.clone() };
            sim.disk.restart(fate);
            let target = Path::new(RESTORED);
            match restore(&sim.env(), Path::new(BACKUP), target, &mut |_, _| {}) {
                Ok(_) => assert!(restored_at(&sim) == plant.map, "sync {k}, {fate:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "sync {k}, {fate:?}: {error}");
                    let report = verify(&sim.env(), Path::new(BACKUP), &mut |_, _| {});
                    assert!(report.is_ok_and(|report| report.damages.len() == 1) || is_unmarked(&sim), "sync {k}");
                }
            }
            let again = Plant::open(&sim, DATA, plant.map.clone());
            again.backup().unwrap_or_else(|e| panic!("sync {k}, {fate:?}: {e}"));
            let fresh = sim.disk.fork();
            for path in fresh.files().iter().filter(|path| path.starts_with(RESTORED)) {
                fresh.remove(path).expect("a healthy disk");
            }
            assert!(restored(&Sim { disk: fresh, ..sim }) == plant.map, "sync {k}, {fate:?}");
        }
    }
    panic!("a first backup has more syncs than were cut");
}

fn is_unmarked(sim: &Sim) -> bool {
    sim.disk.read(&Path::new(BACKUP).join("FORMAT")).is_err()
}

fn restored_at(sim: &Sim) -> Map {
    let (engine, _) = Engine::open(sim.env(), Path::new(RESTORED), Config::default()).expect("a sound archive");
    read_all(&engine, 1)
}

/// A full or a failing disk under the backup ends the backup alone.
#[test]
fn faults_of_a_backup_do_not_end_writing() {
    use Operation::{Create, Remove, Rename, SyncData, SyncDir, Write};
    for operation in [Create, Write, Rename, Remove, SyncData, SyncDir] {
        for kind in [IoKind::StorageFull, IoKind::Other] {
            for nth in 1.. {
                let (mut plant, first) = with_a_backup(5);
                plant.sim.disk.fail(operation, nth, kind);
                let done = plant.backup();
                // What was ordered and did not come is not to come later.
                let context = format!("{operation:?} {nth} {kind}: {done:?}");
                let after = Sim { disk: plant.sim.disk.fork(), ..plant.sim.clone() };
                after.disk.restart(Fate::Kept);
                let found = restored(&after);
                assert!(
                    if done.is_ok() { found == plant.map } else { found == plant.map || found == first },
                    "{context}"
                );
                check(&after, BACKUP);
                if done.is_ok() {
                    break;
                }
                assert_eq!(plant.engine.status().latched, None, "{context}");
                plant.write().unwrap_or_else(|e| panic!("{context}: {e}"));
                plant.engine.flush().unwrap_or_else(|e| panic!("{context}: {e}"));
                plant.backup().unwrap_or_else(|e| panic!("{context}: {e}"));
                assert!(restored(&plant.sim) == plant.map, "{context}");
            }
        }
    }
}

#[test]
fn a_backup_leaves_room_for_what_is_written() {
    let mut plant = Plant::new(6);
    for _ in 0..40 {
        plant.write().expect("a healthy disk");
        plant.engine.flush().expect("a healthy disk");
    }
    let bytes: u64 = plant.engine.segments().iter().map(|segment| segment.bytes).sum();
    let room = 4 << 20;
    plant.sim.disk.set_capacity(plant.sim.disk.used_bytes() + bytes + room - 1);
    let before = plant.sim.disk.used_bytes();
    let error = plant.backup().expect_err("too little room");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(plant.sim.disk.used_bytes() - before < 1000, "nothing was copied");
    assert_eq!(plant.engine.status().disk_full, None);
    plant.sim.disk.set_capacity(plant.sim.disk.used_bytes() + bytes + (room + (1 << 20)));
    plant.backup().expect("enough room");
    plant.sim.disk.set_capacity(None);
    assert!(restored(&plant.sim) == plant.map);
}

#[test]
fn a_backup_that_is_left_alone_changes_nothing_and_its_segments_stay() {
    let (plant, first) = with_a_backup(7);
    let mut backup = plant.engine.begin_backup(Path::new(BACKUP)).expect("a healthy disk");
    let before = segment_names(&plant.sim, BACKUP).len();
    assert!(backup.step().expect("a healthy disk"));
    assert_eq!(segment_names(&plant.sim, BACKUP).len(), before + 1);
    let busy = plant.backup().expect_err("one at a time");
    assert_eq!(busy.kind(), ErrorKind::Conflict, "{busy}");
    drop(backup);
    check(&plant.sim, BACKUP);
    assert!(restored(&plant.sim) == first);
    let there = segment_names(&plant.sim, BACKUP);
    let missing = plant.engine.segments().iter().filter(|segment| !there.contains(&segment.name)).count();
    assert_eq!(plant.backup().expect("a healthy disk").copied_segments, missing);
    assert!(restored(&plant.sim) == plant.map);
}

/// A small archive and its backup.
fn small() -> Plant {
    let mut plant = Plant::new(8);
    for _ in 0..2 {
        plant.write().expect("a healthy disk");
        plant.engine.flush().expect("a healthy disk");
    }
    plant.delete().expect("a healthy disk");
    plant.backup().expect("a healthy disk");
    plant
}

#[test]
fn every_flipped_byte_of_a_backup_is_found_and_not_restored() {
    let plant = small();
    let mut flipped = 0;
    for path in plant.sim.disk.files().into_iter().filter(|path| path.starts_with(BACKUP)) {
        let name = path.display().to_string();
        for offset in 0..plant.sim.disk.read(&path).expect("a listed file").len() as u64 {
            let sim = Sim { disk: plant.sim.disk.fork(), ..plant.sim.clone() };
            sim.disk.flip(&path, offset, u8::try_from(offset % 8).expect("below 8")).expect("a byte that is there");
            let report = verify(&sim.env(), Path::new(BACKUP), &mut |_, _| {}).expect("an archive");
            assert!(report.damages.iter().any(|d| d.to_string().contains(&name)), "{name} byte {offset}");
            flipped += 1;
            match restore(&sim.env(), Path::new(BACKUP), Path::new(RESTORED), &mut |_, _| {}) {
                // Lists are made from the manifest.
                Ok(_) => assert!(name.contains("tags.parquet") || name.contains("deletes.parquet"), "{name} {offset}"),
                Err(error) => {
                    assert!(error.to_string().contains(&name), "{name} byte {offset}: {error}");
                    let left = sim.disk.files().into_iter().filter(|path| path.starts_with(RESTORED));
                    let left: Vec<PathBuf> = left.filter(|path| !path.ends_with("LOCK")).collect();
                    assert_eq!(left, [] as [PathBuf; 0], "{name} byte {offset}");
                }
            }
        }
    }
    assert!(flipped > 5000, "{flipped} bytes");
}

#[test]
fn a_damaged_tail_of_a_backup_is_copied_again() {
    let mut plant = small();
    let segment = plant.engine.segments()[0].clone();
    let path = Path::new(BACKUP).join("segments").join(&segment.name);
    plant.sim.disk.flip(&path, segment.tail_offset + 3, 1).expect("a byte that is there");
    plant.write().expect("a healthy disk");
    assert_eq!(plant.backup().expect("a healthy disk").copied_segments, 2, "the new one and the damaged one");
    check(&plant.sim, BACKUP);
    assert!(restored(&plant.sim) == plant.map);
}

#[test]
fn a_damaged_archive_is_not_backed_up_over_a_sound_backup() {
    let (plant, first) = with_a_backup(9);
    let segment = plant.engine.segments()[0].clone();
    let path = Path::new(DATA).join("segments").join(&segment.name);
    plant.sim.disk.flip(&path, 100, 1).expect("a byte that is there");
    let error = plant.backup().expect_err("a damaged segment");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    check(&plant.sim, BACKUP);
    assert!(restored(&plant.sim) == first);
}

#[test]
fn a_restore_that_was_cut_leaves_no_archive_or_all_of_it() {
    let plant = small();
    let run = |sim: &Sim| restore(&sim.env(), Path::new(BACKUP), Path::new(RESTORED), &mut |_, _| {});
    for k in 1.. {
        let off = Sim { disk: plant.sim.disk.fork(), ..plant.sim.clone() };
        off.disk.crash_at_sync(k);
        let done = run(&off).is_ok();
        for fate in fates(k) {
            let sim = Sim { disk: off.disk.fork(), ..off.clone() };
            sim.disk.restart(fate);
            let begun = sim.disk.list(Path::new(RESTORED)).is_ok_and(|names| names.iter().any(|n| n == "segments"));
            match Engine::open(sim.env(), Path::new(RESTORED), Config::default()) {
                Ok((engine, _)) if begun => assert!(read_all(&engine, 1) == plant.map, "sync {k}, {fate:?}"),
                Ok((engine, _)) => assert!(!done && engine.tags().is_empty(), "sync {k}, {fate:?}"),
                Err(error) => assert!(!done && error.kind() == ErrorKind::Unusable, "sync {k}, {fate:?}: {error}"),
            }
        }
        if done {
            assert!(k > 8, "{k} syncs");
            return;
        }
    }
}

#[test]
fn a_restore_that_failed_gives_back_its_room() {
    let plant = small();
    for (operation, kind) in [(Operation::Write, IoKind::StorageFull), (Operation::SyncData, IoKind::Other)] {
        for nth in 1.. {
            let sim = Sim { disk: plant.sim.disk.fork(), ..plant.sim.clone() };
            sim.disk.fail(operation, nth, kind);
            let (from, to) = (Path::new(BACKUP), Path::new(RESTORED));
            if restore(&sim.env(), from, to, &mut |_, _| {}).is_ok() {
                assert!(nth > 5);
                break;
            }
            restore(&sim.env(), from, to, &mut |_, _| {}).unwrap_or_else(|e| panic!("{operation:?} {nth}: {e}"));
            assert!(restored_at(&sim) == plant.map, "{operation:?} {nth}");
        }
    }
}

/// Restores to a directory and opens that.
fn restored_to(plant: &Plant, dir: &str, map: &Map) -> Plant {
    restore(&plant.sim.env(), Path::new(BACKUP), Path::new(dir), &mut |_, _| {}).expect("an empty directory");
    Plant::open(&plant.sim, dir, map.clone())
}

#[test]
fn a_restored_archive_goes_on_in_an_epoch_of_its_own() {
    for seed in 0..20 {
        let mut plant = Plant::new(seed);
        plant.live(20).expect("a healthy disk");
        for epoch in 2..4 {
            plant.backup().expect("a healthy disk");
            let map = plant.map.clone();
            let older = segment_names(&plant.sim, BACKUP);
            plant = restored_to(&plant, &format!("/restored{epoch}"), &map);
            plant.live(30).expect("a healthy disk");
            plant.write().expect("a healthy disk");
            plant.engine.flush().expect("a healthy disk");
            assert!(plant.read() == plant.map, "seed {seed}");
            // For other readers the name decides, too.
            let mut segments = plant.engine.segments();
            segments.sort_by(|a, b| a.name.cmp(&b.name));
            assert!(segments.is_sorted_by_key(|s| s.last_sequence), "seed {seed}: {segments:?}");
            let newest = &segments.last().expect("a segment").name;
            assert!(newest.starts_with(&format!("{epoch:04}-")), "seed {seed}: {newest}");
            let new = segments.iter().filter(|s| !older.contains(&s.name));
            assert!(new.map(|s| s.id).min() >= Some((epoch - 1) * 1_000_000_000), "seed {seed}");
        }
    }
}

fn refused(result: Result<impl Sized>, words: &str) -> Error {
    let error = result.err().unwrap_or_else(|| panic!("it is not refused: {words}"));
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
    assert!(text.contains(words) && text.contains(" failed: ") && !text.contains('\n'), "{words:?}: {text}");
    error
}

#[test]
fn lines_that_parted_do_not_share_a_backup() {
    let mut plant = small();
    let map = plant.map.clone();
    let mut second = restored_to(&plant, "/second", &map);
    let third = restored_to(&plant, "/third", &map);
    second.write().expect("a healthy disk");
    let report = second.backup().expect("the state that was restored is there");
    assert_eq!((report.copied_segments, report.segments), (1, plant.engine.segments().len() + 1));
    refused(plant.backup(), "another line of this archive");
    refused(third.backup(), "another line of this archive");
    assert!(restored(&plant.sim) == second.map);
    // Where the original is backed up before, the restored one is refused.
    plant.write().expect("a healthy disk");
    plant.engine.backup(Path::new("/other")).expect("an empty directory");
    refused(second.engine.backup(Path::new("/other")), "later than the one this archive was restored from");
    let fourth = restored_to(&second, "/fourth", &second.map);
    fourth.backup().expect("a restored archive of a restored one");
    refused(second.backup(), "another line of this archive");
}

#[test]
fn a_backup_is_not_replaced_by_an_older_archive() {
    let Plant { sim, engine, map, .. } = small();
    engine.close().expect("a healthy disk");
    drop(engine);
    let old = sim.disk.fork();
    let mut plant = Plant::open(&sim, DATA, map);
    plant.write().expect("a healthy disk");
    plant.backup().expect("a healthy disk");
    // The data directory is put back from a copy that was taken by other means.
    for path in plant.sim.disk.files().into_iter().filter(|path| path.starts_with(BACKUP)) {
        let bytes = plant.sim.disk.read(&path).expect("a listed file");
        let _ = old.remove(&path);
        let file = old.open(&path, OpenMode::CreateNew).expect("a healthy disk");
        file.write_all_at(&bytes, 0).expect("a healthy disk");
    }
    let sim = Sim { disk: old, ..plant.sim.clone() };
    let (engine, _) = Engine::open(sim.env(), Path::new(DATA), Config::default()).expect("a sound archive");
    refused(engine.backup(Path::new(BACKUP)), "a later state of this archive");
}

#[test]
fn directories_that_hold_other_things_are_refused() {
    let mut plant = small();
    let touch = |path: &str| {
        let path = Path::new(path);
        plant.sim.disk.create_dir(path.parent().expect("a folder")).expect("a healthy disk");
        plant.sim.disk.open(path, OpenMode::CreateNew).expect("a healthy disk");
    };
    touch("/foreign/letter.txt");
    let to = |dir: &str| plant.engine.backup(Path::new(dir));
    refused(to("/foreign"), "letter.txt");
    refused(to(DATA), "the same directory");
    refused(to("/data/segments/backup"), "lies in /data");
    refused(to("/"), "lies around /data");
    let other = Engine::open(plant.sim.env(), Path::new("/other"), Config::default()).expect("an empty directory").0;
    refused(other.backup(Path::new(BACKUP)), "another archive");
    assert_eq!(to("/other").err().map(|e| e.kind()), Some(ErrorKind::Unusable), "another process has it in use");
    let run = |from: &str, to: &str| restore(&plant.sim.env(), Path::new(from), Path::new(to), &mut |_, _| {});
    refused(run(BACKUP, "/foreign"), "letter.txt");
    refused(run(BACKUP, BACKUP), "the same directory");
    refused(run(BACKUP, "/media/backup/data"), "lies in");
    refused(run("/foreign", RESTORED), "is no backup");
    refused(run("/nowhere", RESTORED), "is not there");
    other.close().expect("a healthy disk");
    drop(other);
    refused(run("/other", RESTORED), "a data directory and no backup");
    refused(to("/other"), "a data directory and no backup");
    let error = Engine::open(plant.sim.env(), Path::new(BACKUP), Config::default()).err().expect("a backup");
    assert!(error.to_string().contains("it is a backup"), "{error}");
    plant.write().expect("a healthy disk");
    plant.backup().expect("all that was refused has changed nothing");
    assert!(restored(&plant.sim) == plant.map);
}
