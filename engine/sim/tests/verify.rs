//! Every byte of an archive after a clean stop is checked: any flipped bit is found, and located.

use std::path::Path;
use std::sync::mpsc;

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
