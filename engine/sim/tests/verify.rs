//! Every byte of an archive after a clean stop is checked: any flipped bit is found, and located.

mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use support::read_all;
use tagus_engine::env::Disk;
use tagus_engine::format::crc32c;
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::{Config, Engine, Error, ErrorKind, Result, VerifyReport, verify};
use tagus_sim::{Fate, Sim};

const DIR: &str = "/archive";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;

fn write(engine: &Engine, batch: i64) {
    try_write(engine, batch).expect("a healthy disk");
}

fn try_write(engine: &Engine, batch: i64) -> Result<()> {
    let source = engine.open_source("gateway", "", 1)?;
    let series = |name: &str, values| {
        let times = (0..20).map(|i| NOW - 1_000_000_000 * (100 * batch + i)).collect();
        Block { shape: Shape::Series { tag: TagRef::Name(name.into()), times }, values, statuses: Vec::new() }
    };
    let blocks = vec![
        series("number", Values::Doubles((0..20).map(|i| f64::from(i) / 7.0).collect())),
        series("word", Values::Texts((0..20).map(|i| format!("note {}", i % 3)).collect())),
    ];
    let (send, receive) = mpsc::channel();
    let sequence = source.last_sequence() + 1;
    source.submit(sequence, Batch { blocks }, move |done| drop(send.send(done.map(drop))))?;
    while engine.commit_step() {}
    receive.recv().expect("a step answers")
}

fn check(sim: &Sim) -> VerifyReport {
    verify(&sim.env(), Path::new(DIR), &mut |_, _| {}).expect("an archive")
}

/// An archive of two segments after a clean stop.
fn closed() -> Sim {
    let sim = Sim::new(11);
    let (engine, _) = Engine::open(sim.env(), Path::new(DIR), Config::default()).expect("an empty disk");
    for batch in 0..4 {
        write(&engine, batch);
        if batch % 2 == 1 {
            engine.flush().expect("a healthy disk");
        }
    }
    engine.close().expect("a healthy disk");
    sim
}

fn is_log(path: &Path) -> bool {
    path.starts_with("/archive/wal")
}

/// The same archive without its log files, which are megabytes of zeros.
fn without_log(sim: &Sim) -> Sim {
    let disk = sim.disk.fork();
    for path in disk.files().into_iter().filter(|path| is_log(path)) {
        disk.remove(&path).expect("a file that is there");
    }
    Sim { disk, ..sim.clone() }
}

fn flip(sim: &Sim, path: &Path, offset: u64) {
    let damaged = sim.disk.fork();
    damaged.flip(path, offset, u8::try_from(offset % 8).expect("below 8")).expect("a byte that is there");
    let report = check(&Sim { disk: damaged, ..sim.clone() });
    let name = path.display().to_string();
    let found = report.damages.iter().any(|damage| damage.to_string().contains(&name));
    assert!(found, "{name} byte {offset}: {:?}", report.damages);
}

#[test]
fn a_sound_archive_has_no_damage() {
    let sim = closed();
    let report = check(&sim);
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    assert_eq!((report.segments, report.rows), (2, 160));
}

#[test]
fn every_flipped_byte_is_found() {
    let sim = without_log(&closed());
    let mut flipped = 0;
    for path in sim.disk.files() {
        for offset in 0..sim.disk.read(&path).expect("a listed file").len() as u64 {
            flip(&sim, &path, offset);
            flipped += 1;
        }
    }
    assert!(flipped > 5000, "{flipped} bytes");
}

/// A log file is a header and zeros: some of the zeros stand for all.
#[test]
fn flipped_bytes_of_the_log_are_found() {
    let sim = closed();
    for path in sim.disk.files().into_iter().filter(|path| is_log(path)) {
        let length = sim.disk.read(&path).expect("a listed file").len() as u64;
        let places = (0..64).chain((64..length).step_by(997_001)).chain([4095, 4096, length - 1]);
        places.for_each(|offset| flip(&sim, &path, offset));
    }
}

#[test]
fn missing_files_are_found() {
    let sim = closed();
    for path in sim.disk.files().into_iter().filter(|path| !is_log(path) && !path.ends_with("LOCK")) {
        let disk = sim.disk.fork();
        disk.remove(&path).expect("a file that is there");
        match verify(&Sim { disk, ..sim.clone() }.env(), Path::new(DIR), &mut |_, _| {}) {
            Ok(report) => assert!(!report.damages.is_empty(), "{}", path.display()),
            Err(error) => assert!(path.ends_with("FORMAT"), "{}: {error}", path.display()),
        }
    }
}

/// Writes, flushes, merges and restarts; ends where the machine does.
fn live(sim: &Sim) -> Result<()> {
    for life in 0..3 {
        let (engine, _) = Engine::open(sim.env(), Path::new(DIR), Config::default())?;
        for batch in 0..4 {
            try_write(&engine, 10 * life + batch)?;
            if batch % 2 == 1 {
                engine.flush()?;
            }
            if batch == 2 && life == 1 {
                engine.compact()?;
            }
        }
        if life == 1 {
            engine.close()?;
        }
    }
    Ok(())
}

/// Whether the newest header of the log says that the log was closed, or there is none.
fn is_closed(sim: &Sim) -> bool {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let headers = sim.disk.files().into_iter().filter(|path| is_log(path)).filter_map(|path| {
        let bytes = sim.disk.read(&path).expect("a listed file");
        let is_valid = bytes.starts_with(b"TAGUSLOG") && number(&bytes[56..60]) == u64::from(crc32c(&bytes[..56]));
        is_valid.then(|| ((number(&bytes[32..40]), number(&bytes[24..32])), bytes[12] == 1))
    });
    headers.max().is_none_or(|(_, closed)| closed)
}

/// What a power cut leaves is no damage, whatever is torn: all of it was never promised. Only the
/// first write to the log after a clean stop cannot be told from damage to a stopped archive.
#[test]
fn a_power_cut_leaves_no_damage() {
    let whole = Sim::new(12);
    live(&whole).expect("a healthy disk");
    let syncs = whole.disk.syncs();
    let mut checked = 0;
    for k in 1..=syncs {
        let sim = Sim::new(12);
        sim.disk.crash_at_sync(k);
        live(&sim).expect_err("the power is gone");
        for fate in [Fate::Kept, Fate::Lost, Fate::Torn(k), Fate::Torn(k + 1000), Fate::Torn(k + 2000)] {
            let after = Sim { disk: sim.disk.fork(), ..sim.clone() };
            after.disk.restart(fate);
            let context = format!("sync {k} of {syncs}, {fate:?}");
            match verify(&after.env(), Path::new(DIR), &mut |_, _| {}) {
                Ok(report) => {
                    let elsewhere = |damage: &&Error| !damage.to_string().contains("/archive/wal/");
                    assert_eq!(report.damages.iter().find(elsewhere).map(Error::finding), None, "{context}");
                    assert!(report.damages.is_empty() || is_closed(&after), "{context}: {:?}", report.damages);
                    checked += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unusable, "{context}: {error}"),
            }
        }
    }
    assert!(checked > 300, "{checked} archives");
}

/// How many samples each batch has.
const ROWS: usize = 40;

/// An archive whose process was killed: batches 0 and 1 are in a segment, 2 to 5 in the log, of which
/// the last is not proven to have been synced. And which frames of the log hold 2 to 4.
fn killed() -> (Sim, Vec<(PathBuf, Range<u64>)>) {
    let sim = Sim::new(13);
    let (engine, _) = Engine::open(sim.env(), Path::new(DIR), Config::default()).expect("an empty disk");
    for batch in 0..6 {
        if batch == 2 {
            engine.flush().expect("a healthy disk");
        }
        write(&engine, batch);
    }
    let flushed = engine.segments()[0].last_sequence;
    sim.disk.kill_process();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut frames = Vec::new();
    for path in sim.disk.files().into_iter().filter(|path| is_log(path)) {
        let bytes = sim.disk.read(&path).expect("a listed file");
        for at in (4096..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"TLF1")) {
            let (length, sequence) = (number(&bytes[at + 8..at + 12]), number(&bytes[at + 16..at + 24]));
            frames.push((sequence, path.clone(), at as u64..at as u64 + 40 + length));
        }
    }
    frames.sort_by_key(|(sequence, ..)| *sequence);
    frames.retain(|(sequence, ..)| *sequence > flushed);
    assert_eq!(frames.len(), 4, "batches 2 to 5");
    frames.pop();
    (sim, frames.into_iter().map(|(_, path, range)| (path, range)).collect())
}

fn flipped(sim: &Sim, path: &Path, offset: u64) -> Sim {
    let disk = sim.disk.fork();
    disk.flip(path, offset, u8::try_from(offset % 8).expect("below 8")).expect("a byte that is there");
    Sim { disk, ..sim.clone() }
}

fn is_found(sim: &Sim, path: &Path) -> bool {
    let name = path.display().to_string();
    check(sim).damages.iter().any(|damage| damage.to_string().contains(&name))
}

#[test]
fn flipped_bytes_of_a_killed_archive_are_found_where_they_mean_something() {
    let (sim, frames) = killed();
    let lists = ["tags.parquet", "deletes.parquet"];
    assert!(check(&sim).damages.is_empty() && check(&sim).unchecked.is_empty());
    for (path, range) in &frames {
        for offset in range.clone().step_by(19).chain([range.end - 1]) {
            assert!(is_found(&flipped(&sim, path, offset), path), "{} byte {offset}", path.display());
        }
    }
    for path in sim.disk.files().into_iter().filter(|path| !is_log(path)) {
        let length = sim.disk.read(&path).expect("a listed file").len() as u64;
        for offset in (0..length).step_by(47) {
            let sim = flipped(&sim, &path, offset);
            // A stop may come between the writing of such a file and the edit that names it.
            let is_named = check(&sim).unchecked.iter().any(|unchecked| unchecked.path == path);
            assert!(
                is_found(&sim, &path) || (is_named && lists.iter().any(|list| path.ends_with(list))),
                "{}",
                path.display()
            );
        }
    }
}

/// What verify does not find in a log that was not closed has no meaning: headers of files without a
/// frame that counts and what fills up the header block, frames that segments hold, what fills up a
/// group, what lies behind the last frame. And the last group itself, until an idle frame follows it:
/// were it torn, it would look the same.
#[test]
fn flipped_bytes_of_a_killed_archive_that_are_not_found_cost_nothing_but_the_last_group() {
    let (sim, frames) = killed();
    let (mut lost_last, mut cost_nothing) = (0, 0);
    for path in sim.disk.files().into_iter().filter(|path| is_log(path)) {
        let length = sim.disk.read(&path).expect("a listed file").len() as u64;
        let last = frames.iter().filter(|(of, _)| *of == path).map(|(_, range)| range.end).max().unwrap_or(4096);
        let near = (0..last + 8192).step_by(211);
        for offset in near.chain((0..64).step_by(9)).chain((last + 8192..length).step_by(5_000_011)) {
            let sim = flipped(&sim, &path, offset);
            if is_found(&sim, &path) {
                continue;
            }
            let context = format!("{} byte {offset}", path.display());
            let (engine, report) = Engine::open(sim.env(), Path::new(DIR), Config::default()).expect("no damage");
            assert!(report.lost.is_empty() && report.quarantined.is_empty(), "{context}: {report:?}");
            match read_all(&engine, 1).len() {
                240 => cost_nothing += 1,
                200 => lost_last += 1,
                rows => panic!("{context}: {rows} samples"),
            }
        }
    }
    assert_eq!(6 * ROWS, 240);
    assert!(lost_last > 0 && cost_nothing > 10, "{lost_last}, {cost_nothing}");
}

/// Losses put files aside; merges replace others. Nothing of what is left goes unchecked but what
/// verify names.
#[test]
fn every_flipped_byte_is_found_after_losses_and_merges() {
    let (sim, frames) = killed();
    let (path, range) = &frames[0];
    sim.disk.flip(path, range.start + 50, 0).expect("a byte that is there");
    let segment = sim.disk.files().into_iter().find(|path| path.starts_with("/archive/segments")).expect("a segment");
    let stray = Path::new("/archive/segments/0001-0000000000000001-00000099.parquet");
    sim.disk.link(&segment, stray).expect("a free name");
    sim.disk.sync_dir(Path::new("/archive/segments")).expect("a healthy disk");
    assert_eq!(check(&sim).unchecked.len(), 1, "the stray is named");
    let (engine, report) = Engine::open(sim.env(), Path::new(DIR), Config::default()).expect("an archive with losses");
    assert_eq!((report.lost.len(), report.quarantined.len()), (1, 2), "{report:?}");
    for batch in 6..9 {
        write(&engine, batch);
        engine.flush().expect("a healthy disk");
    }
    let before = engine.segments().len();
    engine.compact().expect("a healthy disk");
    assert!(engine.segments().len() < before, "merges replace files");
    engine.close().expect("a healthy disk");
    drop(engine);

    let report = check(&sim);
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    let named: Vec<PathBuf> = report.unchecked.into_iter().map(|unchecked| unchecked.path).collect();
    assert_eq!(named, [Path::new("/archive/quarantine/0001-0000000000000001-00000099.parquet.1")]);
    let small = without_log(&sim);
    let copies: Vec<PathBuf> =
        sim.disk.files().into_iter().filter(|path| path.starts_with("/archive/quarantine")).collect();
    for path in &copies {
        small.disk.remove(path).expect("a file that is there");
        let length = sim.disk.read(path).expect("a listed file").len() as u64;
        for offset in (0..length).step_by(2_000_003).filter(|_| !named.contains(path)) {
            assert!(is_found(&flipped(&sim, path, offset), path), "{} byte {offset}", path.display());
        }
    }
    assert_eq!(copies.len(), 2);
    for path in small.disk.files() {
        for offset in 0..small.disk.read(&path).expect("a listed file").len() as u64 {
            flip(&small, &path, offset);
        }
    }
}

#[test]
fn verify_goes_on_where_a_segment_is_missing_or_unreadable() {
    let sim = closed();
    let segments: Vec<PathBuf> =
        sim.disk.files().into_iter().filter(|path| path.starts_with("/archive/segments")).collect();
    sim.disk.remove(&segments[0]).expect("a file that is there");
    sim.disk.flip(&segments[1], 9, 1).expect("a byte that is there");
    let found: Vec<String> = check(&sim).damages.iter().map(Error::finding).collect();
    assert_eq!(
        found,
        [
            format!("reading {} at byte 0 failed: the file is missing", segments[0].display()),
            format!("reading {} at byte 0 failed: a checksum does not match", segments[1].display()),
        ]
    );
    sim.disk.make_unreadable(&segments[1], 9..10).expect("a file that is there");
    assert!(check(&sim).damages[1].why().contains("the disk cannot read it"));
}

#[test]
fn what_is_no_archive_is_said_in_words() {
    let error = verify(&Sim::new(1).env(), Path::new("/nowhere"), &mut |_, _| {}).expect_err("no folder");
    let text = "opening data directory /nowhere failed: it does not exist; name the directory that holds FORMAT";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unusable, text));
}
