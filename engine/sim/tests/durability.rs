//! Faults at the moments that matter: between two steps of a commit, while the disk is full, and
//! where a file that others rest on is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use tagus_engine::env::Disk;
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::tag::{TagSpec, TagType};
use tagus_engine::{Config, Engine, ErrorKind, RecoveryReport, Result, TagChange};
use tagus_sim::{Fate, Operation, Sim, SimDisk};

const DIR: &str = "/archive";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const LONG: usize = 32 * 1024;

fn open_with(sim: &Sim, config: Config) -> Result<(Engine, RecoveryReport)> {
    Engine::open(sim.env(), Path::new(DIR), config)
}

fn open(sim: &Sim) -> (Engine, RecoveryReport) {
    open_with(sim, Config::default()).expect("an archive that can be opened")
}

fn write(engine: &Engine, tag: &str, times: &[i64], values: Values) -> Result<()> {
    let shape = Shape::Series { tag: TagRef::Name(tag.into()), times: times.iter().map(|t| NOW - 1000 + t).collect() };
    let batch = Batch { blocks: vec![Block { shape, values, statuses: Vec::new() }] };
    let source = engine.open_source("", "", 0)?;
    let (send, receive) = mpsc::channel();
    source.submit(1, batch, move |done| drop(send.send(done.map(drop))))?;
    while engine.commit_step() {}
    receive.recv().expect("a step answers what waits")
}

fn write_numbers(engine: &Engine, tag: &str, times: &[i64]) -> Result<()> {
    write(engine, tag, times, Values::Doubles(vec![1.5; times.len()]))
}

/// Tag names and times of all samples.
fn read(engine: &Engine) -> BTreeSet<(String, i64)> {
    let (view, tags) = (engine.view(), engine.tags());
    let spec = view.plan(&ScanRequest::of(TagSelection::All), 1).expect("a healthy disk");
    let mut found = BTreeSet::new();
    for partition in 0..spec.partitions() {
        for batch in view.open(&spec, partition, Arc::new(ReadMetrics::default())).expect("a healthy disk") {
            let batch = batch.expect("a healthy disk");
            for (tag, range) in &batch.runs {
                let name = &tags.get(*tag).expect("a known tag").spec.name;
                found.extend(range.clone().map(|i| (name.clone(), batch.rows.times[i] - NOW + 1000)));
            }
        }
    }
    found
}

fn samples(tag: &str, times: std::ops::Range<i64>) -> BTreeSet<(String, i64)> {
    times.map(|time| (tag.to_owned(), time)).collect()
}

/// Another machine with a copy of the disk.
fn fork(sim: &Sim) -> Sim {
    Sim { disk: sim.disk.fork(), ..sim.clone() }
}

fn files_in(disk: &SimDisk, folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(DIR).join(folder);
    disk.files().into_iter().filter(|path| path.starts_with(&folder)).collect()
}

/// Several log files of text, none of it in a segment.
fn a_long_log() -> (Sim, BTreeSet<(String, i64)>) {
    let sim = Sim::new(3);
    let (engine, _) = open(&sim);
    let written = write_much(&engine, "text");
    sim.disk.kill_process();
    (sim, written)
}

/// Fills several log files.
fn write_much(engine: &Engine, tag: &str) -> BTreeSet<(String, i64)> {
    const BATCHES: i64 = 20;
    const ROWS: i64 = 120;
    for batch in 0..BATCHES {
        let times: Vec<i64> = (batch * ROWS..(batch + 1) * ROWS).collect();
        let texts = times.iter().map(|t| format!("{t:x>LONG$}")).collect();
        write(engine, tag, &times, Values::Texts(texts)).expect("a healthy disk");
    }
    samples(tag, 0..BATCHES * ROWS)
}

#[test]
fn a_flush_whose_manifest_entry_was_not_synced_is_made_durable_before_the_log_is_given_back() {
    let (base, expected) = a_long_log();
    for sync in 1.. {
        let sim = fork(&base);
        let (engine, _) = open(&sim);
        sim.disk.fail(Operation::SyncDir, sync, std::io::ErrorKind::Other);
        if engine.flush().is_ok() {
            assert!(sync > 3, "a flush syncs three folders");
            break;
        }
        sim.disk.kill_process();
        // What the log gives back is written anew.
        let more = write_much(&open(&sim).0, "more");
        sim.disk.crash();
        sim.disk.restart(Fate::Lost);
        let (engine, report) = open(&sim);
        assert!(read(&engine) == &expected | &more, "sync {sync}: samples are lost");
        assert_eq!(report.lost, [], "sync {sync}");
    }
}

/// All files and their bytes.
fn contents(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| (path.clone(), disk.read(&path).expect("a listed file"));
    disk.files().into_iter().map(read).collect()
}

#[test]
fn an_archive_without_its_manifest_is_refused_and_left_as_it_is() {
    let sim = Sim::new(1);
    let (engine, _) = open(&sim);
    write_numbers(&engine, "a", &[1, 2, 3]).expect("a healthy disk");
    engine.flush().expect("a healthy disk");
    write_numbers(&engine, "a", &[4]).expect("a healthy disk");
    sim.disk.kill_process();
    files_in(&sim.disk, "manifest").iter().for_each(|path| sim.disk.remove(path).expect("a file"));
    let before = contents(&sim.disk);
    let error = open_with(&sim, Config::default()).err().expect("the manifest is missing");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(contents(&sim.disk) == before, "something has changed");
}

#[test]
fn a_manifest_that_lost_its_newest_edit_is_made_up_for_while_the_log_reaches_back() {
    let sim = Sim::new(1);
    let (engine, _) = open(&sim);
    write_numbers(&engine, "a", &[1, 2, 3]).expect("a healthy disk");
    engine.flush().expect("a healthy disk");
    write_numbers(&engine, "a", &[4]).expect("a healthy disk");
    sim.disk.kill_process();
    let newest = files_in(&sim.disk, "manifest").pop().expect("a manifest");
    sim.disk.remove(&newest).expect("a file");
    let (engine, report) = open(&sim);
    assert_eq!(read(&engine), samples("a", 1..5));
    assert_eq!((report.removed, report.lost), (1, Vec::new()));
}

#[test]
fn a_manifest_that_lost_its_newest_edits_does_not_cost_the_segments() {
    let (sim, expected) = a_long_log();
    let (engine, _) = open(&sim);
    engine.flush().expect("a healthy disk");
    engine.close().expect("a healthy disk");
    drop(engine);
    sim.disk.kill_process();
    let newest = files_in(&sim.disk, "manifest").pop().expect("a manifest");
    let hidden = sim.disk.read(&newest).expect("a file");
    sim.disk.remove(&newest).expect("a file");
    let error = open_with(&sim, Config::default()).err().expect("an edit is missing");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    sim.disk.kill_process();
    let file = sim.disk.open(&newest, tagus_engine::env::OpenMode::CreateNew).expect("a free name");
    file.write_all_at(&hidden, 0).expect("a healthy disk");
    assert!(read(&open(&sim).0) == expected, "with the edit back all is back");
}

#[test]
fn nothing_is_written_after_the_latch() {
    let sim = Sim::new(2);
    let (engine, _) = open_with(&sim, Config { flush_age: 0, ..Config::default() }).expect("an empty disk");
    write_numbers(&engine, "a", &[1]).expect("a healthy disk");
    sim.disk.fail(Operation::SyncData, 1, std::io::ErrorKind::Other);
    write_numbers(&engine, "a", &[2]).expect_err("a failed sync");
    assert!(engine.status().latched.is_some());
    let before = sim.disk.counters();
    assert!(!engine.job_step().expect("nothing is due"));
    assert_eq!(engine.flush().expect_err("the engine is latched").kind(), ErrorKind::ReadOnly);
    assert_eq!(sim.disk.counters(), before);
    assert_eq!(read(&engine), samples("a", 1..2), "reads go on");
    assert_eq!(engine.compact().expect_err("merges write, too").kind(), ErrorKind::ReadOnly);
    assert_eq!(engine.open_source("later", "", 1).err().expect("nothing is written").kind(), ErrorKind::ReadOnly);
}

#[test]
fn a_full_disk_anywhere_in_a_flush_is_waited_out() {
    for operation in [Operation::Create, Operation::Write, Operation::SyncData] {
        for nth in 1.. {
            let sim = Sim::new(4);
            let (engine, _) = open(&sim);
            write_numbers(&engine, "a", &[1, 2, 3]).expect("a healthy disk");
            sim.disk.fail(operation, nth, std::io::ErrorKind::StorageFull);
            let before = sim.disk.counters();
            let flushed = engine.flush();
            let Err(error) = flushed else {
                assert!(nth > 1, "no {operation:?} was met by {before:?}");
                break;
            };
            let status = engine.status();
            // The sync of the manifest is where the promise begins.
            if operation == Operation::SyncData && status.latched.is_some() {
                continue;
            }
            let context = format!("{operation:?} {nth}: {error}");
            assert_eq!((error.kind(), status.latched), (ErrorKind::Exhausted, None), "{context}");
            assert!(status.disk_full.is_some(), "{context}");
            engine.flush().unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(engine.segments().len(), 1, "{context}");
            assert_eq!(files_in(&sim.disk, "segments").len(), 1, "{context}");
            sim.disk.kill_process();
            assert_eq!(read(&open(&sim).0), samples("a", 1..4), "{context}");
        }
    }
}

#[test]
fn any_other_fault_in_a_flush_ends_writing_and_nothing_is_lost() {
    let kind = std::io::ErrorKind::Other;
    for operation in [Operation::Create, Operation::Write, Operation::SyncData, Operation::SyncDir, Operation::Link] {
        for nth in 1.. {
            let sim = Sim::new(4);
            let (engine, _) = open(&sim);
            write_numbers(&engine, "a", &[1, 2, 3]).expect("a healthy disk");
            sim.disk.fail(operation, nth, kind);
            if engine.flush().is_ok() {
                assert!(nth > 1, "no {operation:?} was met");
                break;
            }
            assert!(engine.status().latched.is_some(), "{operation:?} {nth}");
            write_numbers(&engine, "a", &[4]).expect_err("the engine is latched");
            sim.disk.crash();
            sim.disk.restart(Fate::Lost);
            assert_eq!(read(&open(&sim).0), samples("a", 1..4), "{operation:?} {nth}");
        }
    }
}

#[test]
fn a_log_of_tag_changes_alone_is_flushed() {
    let sim = Sim::new(6);
    let (engine, _) = open(&sim);
    engine.create_tags(vec![TagSpec::new("mode", TagType::Digital)]).expect("a new tag");
    assert!(!engine.job_step().expect("a healthy disk"), "nothing is due");
    for round in 0..400 {
        // All states of a tag together may take 256 KiB.
        let states = (0..128).map(|code| (code, Arc::from(format!("{code:0>3}-{round:0>1996}").as_str())));
        let change = TagChange { states: Some(states.collect()), ..TagChange::default() };
        engine.update_tag("mode", change).expect("room in the log");
    }
    let before = engine.status().log_bytes;
    assert!(engine.job_step().expect("a healthy disk"), "{before} bytes of log are unflushed");
    assert!(engine.status().log_bytes < before / 2);
    assert!(!engine.job_step().expect("a healthy disk"), "nothing more is due");
}

#[test]
fn a_lost_tag_costs_its_samples_and_nothing_else() {
    let sim = Sim::new(8);
    let (engine, _) = open(&sim);
    for tag in ["alpha", "bravo", "charlie"] {
        write_numbers(&engine, tag, &[1, 2]).expect("a healthy disk");
    }
    let times = [NOW - 990; 3].to_vec();
    let shape = Shape::Scan { time: times[0], handles: vec![1, 2, 3], names: Vec::new() };
    let batch = Batch { blocks: vec![Block { shape, values: Values::Doubles(vec![7.0; 3]), statuses: Vec::new() }] };
    let source = engine.open_source("", "", 0).expect("an open engine");
    source.submit(1, batch, |done| assert!(done.is_ok())).expect("room");
    while engine.commit_step() {}
    write_numbers(&engine, "alpha", &[11]).expect("a healthy disk");
    sim.disk.kill_process();
    flip_where(&sim.disk, b"bravo");
    let expected: BTreeSet<_> =
        [("alpha", 1), ("alpha", 2), ("alpha", 10), ("alpha", 11), ("charlie", 1), ("charlie", 2), ("charlie", 10)]
            .map(|(tag, time)| (tag.to_owned(), time))
            .into();
    for round in 0..3 {
        let (engine, report) = open(&sim);
        assert_eq!(read(&engine), expected, "round {round}");
        if round < 2 {
            // The tag, and the two frames that name it.
            assert_eq!(report.lost, [(3, 4), (7, 7)], "round {round}");
            assert_eq!(report.quarantined.len(), 1, "round {round}");
        }
        let tags = engine.tags();
        assert_eq!(tags.find("charlie").expect("a tag that was kept").id.0, 3);
        assert!(tags.find("bravo").is_none());
        match round {
            1 => engine.flush().expect("a healthy disk"),
            2 => {
                write_numbers(&engine, "bravo", &[1]).expect("a healthy disk");
                assert_eq!(engine.tags().find("bravo").expect("a new tag").id.0, 4, "ids are never used twice");
            }
            _ => {}
        }
        drop(engine);
        sim.disk.kill_process();
    }
}

#[test]
fn the_last_tag_lost_keeps_its_id() {
    let sim = Sim::new(8);
    let (engine, _) = open(&sim);
    for tag in ["alpha", "bravo", "bravo"] {
        write_numbers(&engine, tag, &[1]).expect("a healthy disk");
    }
    sim.disk.kill_process();
    flip_where(&sim.disk, b"bravo");
    let (engine, _) = open(&sim);
    assert_eq!(read(&engine), samples("alpha", 1..2));
    write_numbers(&engine, "delta", &[5]).expect("a healthy disk");
    assert_eq!(engine.tags().find("delta").expect("a new tag").id.0, 3);
    sim.disk.kill_process();
    let (engine, _) = open(&sim);
    assert_eq!(read(&engine), [("alpha".to_owned(), 1), ("delta".to_owned(), 5)].into());
}

/// Flips a bit of the first place in the log that holds these bytes.
fn flip_where(disk: &SimDisk, bytes: &[u8]) {
    for path in files_in(disk, "wal") {
        let held = disk.read(&path).expect("a file");
        if let Some(at) = held.windows(bytes.len()).position(|window| window == bytes) {
            disk.flip(&path, at as u64, 3).expect("a byte");
            return;
        }
    }
    panic!("the log does not hold these bytes");
}

#[test]
fn tries_on_a_full_disk_do_not_pile_up() {
    let sim = Sim::new(9);
    let (engine, _) = open_with(&sim, Config { flush_age: 0, ..Config::default() }).expect("an empty disk");
    write_numbers(&engine, "a", &[0]).expect("a healthy disk");
    sim.disk.set_capacity(sim.disk.used_bytes());
    for time in 1..6 {
        let refused = write_numbers(&engine, "a", &[time]).expect_err("a flush would find no room");
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
        assert_eq!(engine.job_step().expect_err("the disk is full").kind(), ErrorKind::Exhausted);
        assert_eq!(engine.flush().expect_err("the disk is full").kind(), ErrorKind::Exhausted);
    }
    sim.disk.set_capacity(None);
    while engine.job_step().expect("room again") {}
    assert_eq!(engine.segments().len(), 1, "what was frozen at the first try");
    assert_eq!(read(&engine), samples("a", 0..1));
    assert_eq!(engine.status().disk_full, None);
}

fn a_sample(tag: &str, time: i64, values: Values) -> Batch {
    let shape = Shape::Series { tag: TagRef::Name(tag.into()), times: vec![time] };
    Batch { blocks: vec![Block { shape, values, statuses: Vec::new() }] }
}

#[test]
fn a_panic_in_a_step_ends_writing_and_nobody_waits_for_it() {
    let sim = Sim::new(10);
    let (engine, _) = open(&sim);
    engine.start();
    let source = engine.open_source("", "", 0).expect("an open engine");
    source.submit(1, a_sample("a", NOW, Values::Doubles(vec![1.0])), |_| panic!("ordered")).expect("room");
    // This one may have been in the same group.
    write_numbers_threaded(&engine, &[1]).expect_err("the engine is about to be latched");
    let error = write_numbers_threaded(&engine, &[2]).expect_err("the engine is latched");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert!(engine.status().latched.expect("the engine is latched").contains("ordered"));
    assert_eq!(engine.close().expect_err("the engine is latched").kind(), ErrorKind::ReadOnly);
    let source = engine.open_source("", "", 0).map(drop);
    assert_eq!(source.expect_err("the engine is latched").kind(), ErrorKind::ReadOnly);
}

#[test]
fn a_closed_engine_takes_no_batches_and_leaves_no_writer_waiting() {
    let sim = Sim::new(10);
    let (engine, _) = open(&sim);
    engine.start();
    write_numbers_threaded(&engine, &[1]).expect("a healthy disk");
    engine.close().expect("a healthy disk");
    let error = write_numbers_threaded(&engine, &[2]).expect_err("the engine is closed");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
}

fn write_numbers_threaded(engine: &Engine, times: &[i64]) -> Result<()> {
    let source = engine.open_source("", "", 0)?;
    let (send, receive) = mpsc::channel();
    let batch = a_sample("a", NOW + times[0], Values::Doubles(vec![1.0]));
    source.submit(1, batch, move |done| drop(send.send(done.map(drop))))?;
    receive.recv_timeout(std::time::Duration::from_secs(10)).expect("an answer")
}

#[test]
fn a_source_belongs_to_the_identity_whose_batch_came_first() {
    let (engine, _) = open(&Sim::new(11));
    let first = engine.open_source("gateway", "one", 1).expect("a new name");
    first.submit(1, a_sample("a", NOW, Values::Doubles(vec![1.0])), |_| {}).expect("room");
    // The batch is queued still: the name is free as far as the books go.
    let error = engine.open_source("gateway", "two", 1).map(drop).expect_err("it is taken meanwhile");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    engine.open_source("gateway", "one", 1).expect("its own name");
}

#[test]
fn an_ended_opening_is_told_so_even_for_old_batches() {
    let sim = Sim::new(12);
    let (engine, _) = open(&sim);
    let ended = engine.open_source("gateway", "", 1).expect("a new name");
    ended.submit(1, a_sample("a", NOW, Values::Doubles(vec![1.0])), |_| {}).expect("room");
    while engine.commit_step() {}
    let holder = engine.open_source("gateway", "", 1).expect("its own name");
    let batch = || a_sample("a", NOW, Values::Doubles(vec![2.0]));
    assert_eq!(ended.submit(1, batch(), |_| {}).expect_err("it is superseded").kind(), ErrorKind::Conflict);
    assert!(holder.submit(1, batch(), |_| {}).expect("an old batch").is_none());
    sim.disk.fail(Operation::SyncData, 1, std::io::ErrorKind::Other);
    holder.submit(2, batch(), |done| assert!(done.is_err())).expect("room");
    while engine.commit_step() {}
    assert_eq!(holder.submit(2, batch(), |_| {}).expect_err("it was refused").kind(), ErrorKind::Exhausted);
}

#[test]
fn what_is_refused_leaves_no_tag() {
    let (engine, _) = open(&Sim::new(13));
    let source = engine.open_source("", "", 0).expect("an open engine");
    let far = a_sample("far", NOW + 86_400_000_000_000, Values::Doubles(vec![1.0]));
    let submitted = source.submit(1, far, |_| {}).expect("a batch").expect("a new one");
    assert_eq!(submitted.rejections.len(), 1);
    assert!(submitted.rejections[0].reason.contains("future"), "{:?}", submitted.rejections);
    let texts = (0..300).map(|i| format!("{i:x>LONG$}")).collect();
    let shape = Shape::Series { tag: TagRef::Name("long".into()), times: (0..300).collect() };
    let long = Batch { blocks: vec![Block { shape, values: Values::Texts(texts), statuses: Vec::new() }] };
    assert_eq!(source.submit(2, long, |_| {}).expect_err("too long a frame").kind(), ErrorKind::InvalidInput);
    while engine.commit_step() {}
    assert!(engine.tags().is_empty(), "{:?}", engine.tags().iter().collect::<Vec<_>>());
}

#[test]
fn a_log_too_small_to_write_on_during_a_flush_is_refused() {
    let error = open_with(&Sim::new(14), Config { log_bytes_max: 96 << 20, ..Config::default() }).err();
    assert_eq!(error.expect("too small").kind(), ErrorKind::InvalidInput);
    let least = Config { log_bytes_max: tagus_engine::limits::LOG_BYTES_MIN, ..Config::default() };
    let (engine, _) = open_with(&Sim::new(14), least).expect("large enough");
    for batch in 0..60 {
        let texts = (0..120).map(|i| format!("{i:x>LONG$}")).collect();
        let times: Vec<i64> = (batch * 120..(batch + 1) * 120).collect();
        write(&engine, "text", &times, Values::Texts(texts)).expect("room in the log");
        while engine.job_step().expect("a healthy disk") {}
    }
    assert!(engine.segments().len() > 1);
}

#[test]
fn a_replay_lives_within_its_memory() {
    let (sim, expected) = a_long_log();
    let small = Config { memory_budget: 64 << 20, ..Config::default() };
    let (engine, _) = open_with(&sim, small.clone()).expect("a sound archive");
    assert!(engine.status().memtable_bytes <= 16 << 20, "{:?}", engine.status());
    assert!(read(&engine) == expected);
    sim.disk.crash();
    sim.disk.restart(Fate::Lost);
    let (engine, report) = open_with(&sim, small).expect("a sound archive");
    assert!(read(&engine) == expected && report.lost.is_empty());
}
