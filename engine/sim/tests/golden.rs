//! Archives written by each format version, kept in `testdata/format-N`: a newer engine reads them,
//! and this one still writes the same log, manifest and mark as the newest.
//!
//! A new format version gets a folder of its own, written by the ignored test; the folders of
//! older versions are never written again.

#![expect(clippy::disallowed_methods, reason = "kept files lie on the real disk")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::env::{Disk, OpenMode};
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::reduction::{Field, Reduction};
use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::tag::{TagSpec, TagType};
use tagus_engine::{Config, Engine, RecoveryReport, TagChange};
use tagus_sim::{Fate, Sim};

const ARCHIVE: &str = "/archive";
/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const T0: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// The listing of all samples beside the archive's files.
const SAMPLES: &str = "samples.txt";
/// Log files are kept without the zeros at their end.
const LOG_FILE_BYTES: u64 = 16 << 20;

fn kept(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/format-{version}"))
}

fn series(name: &str, start: i64, values: Values, statuses: Vec<u32>) -> Block {
    let rows = match &values {
        Values::None => 2,
        Values::Doubles(v) => v.len(),
        Values::Integers(v) => v.len(),
        Values::Booleans(v) => v.len(),
        Values::Texts(v) => v.len(),
    };
    let times = (0..rows as i64).map(|i| T0 + (start + i) * SECOND + i % 3).collect();
    Block { shape: Shape::Series { tag: TagRef::Name(name.into()), times }, values, statuses }
}

/// Every type of tag and value, in a segment and behind it in the log.
fn write(engine: &Engine) {
    let types = [TagType::Float64, TagType::Float32, TagType::Int64, TagType::Bool, TagType::Digital, TagType::Text];
    let specs = types.map(|kind| TagSpec::new(format!("plant.{}", kind.word()), kind)).to_vec();
    engine.create_tags(specs).expect("new tags");
    let texts = |words: &[&str]| Values::Texts(words.iter().map(|w| (*w).to_owned()).collect());
    let source = engine.open_source("gateway", "", 42).expect("a new source");
    let mut sequence = 0;
    let mut send = |blocks| {
        sequence += 1;
        let submitted = source.submit(sequence, Batch { blocks }, |done| drop(done.expect("a healthy disk")));
        assert!(submitted.expect("a sound batch").expect("a new batch").rejections.is_empty());
        while engine.commit_step() {}
    };
    let decimals = (0..200).map(|i| f64::from(i) / 10.0).collect();
    send(vec![
        series("plant.float64", 0, Values::Doubles(decimals), Vec::new()),
        series("plant.float64", 300, Values::Doubles(vec![-0.0, 0.1 + 0.2, 5e-324, f64::MAX, f64::NAN]), Vec::new()),
        series("plant.float32", 0, Values::Doubles(vec![0.1, 16_777_216.0, 1.5]), vec![0, 0x4000_0000, 0x8000_0000]),
        series("plant.int64", 0, Values::Integers(vec![i64::MIN, -1, 0, i64::MAX]), Vec::new()),
        series("plant.bool", 0, Values::Booleans(vec![true, false]), Vec::new()),
        series("plant.digital", 0, texts(&["Closed", "Open", "Closed"]), Vec::new()),
        series("plant.text", 0, texts(&["", "batch 7", "Größe"]), Vec::new()),
        series("plant.bool", 10, texts(&["Scan Timeout", "Bad"]), vec![0x8000_0000]),
    ]);
    engine.flush().expect("room");
    let change = TagChange { unit: Some("°C".into()), low: Some(Some(-40.0)), ..TagChange::default() };
    engine.update_tag("plant.float64", change).expect("a known tag");
    send(vec![
        series("plant.float64", 100, Values::Doubles(vec![7.25, 7.5]), vec![0x4000_0000]),
        series("plant.digital", 3, texts(&["Jammed", "Open"]), Vec::new()),
        series("plant.int64", 9, Values::None, Vec::new()),
    ]);
}

/// What version 2 has beside that: deletes in the manifest, one behind it in the log, and an epoch
/// that has ended.
fn write_deletes(engine: &Engine) {
    let delete = |names: &[&str], from: i64, to: i64| {
        let tags = engine.tags();
        let ids: Vec<_> = names.iter().map(|name| tags.find(name).expect("a known tag").id).collect();
        engine.delete(&ids, T0 + from * SECOND, T0 + to * SECOND).expect("a healthy disk");
    };
    delete(&["plant.float64", "plant.text"], 1, 40);
    engine.flush().expect("room");
    delete(&["plant.digital"], 3, 3);
    let source = engine.open_source("gateway", "", 43).expect("a new epoch");
    let block = series("plant.float64", 20, Values::Doubles(vec![1.25]), Vec::new());
    let submitted = source.submit(1, Batch { blocks: vec![block] }, |done| drop(done.expect("a healthy disk")));
    submitted.expect("a sound batch");
    while engine.commit_step() {}
}

/// What version 3 has beside that: a tag with reduction, whose summaries are in the segment, and whose
/// newest samples are in the manifest, and behind it in the log.
fn write_reduced(engine: &Engine) {
    let reduction = Reduction::parse("ExcDev=0.5,ExcMax=90s,CompDev=1.5").expect("sound settings");
    let spec = TagSpec { reduction: Some(reduction), ..TagSpec::new("plant.reduced", TagType::Float64) };
    engine.create_tags(vec![spec]).expect("a new tag");
    let source = engine.open_source("gateway", "", 43).expect("the epoch that is open");
    let send = |sequence, start: i64, rows: i32| {
        let values = (0..rows).map(|i| f64::from(i * i % 97) / 10.0 + f64::from(i) / 4.0).collect();
        let statuses = (0..rows).map(|i| if i / 60 == 1 { 0x4000_0000 } else { 0 }).collect();
        let block = series("plant.reduced", start, Values::Doubles(values), statuses);
        let submitted =
            source.submit(sequence, Batch { blocks: vec![block] }, |done| drop(done.expect("a healthy disk")));
        submitted.expect("a sound batch");
        while engine.commit_step() {}
    };
    send(2, 0, 200);
    engine.flush().expect("room");
    send(3, 200, 20);
}

/// All samples and tags, a line each.
fn listing(engine: &Engine) -> String {
    let view = engine.view();
    let tags = engine.tags();
    let mut out = String::new();
    for tag in tags.iter() {
        let spec = &tag.spec;
        let (kind, states) = (spec.tag_type.word(), spec.states_text());
        out += &format!("tag {} {kind} unit={} low={:?} states={states}", spec.name, spec.unit, spec.low);
        out += &spec.reduction.map_or("\n".into(), |reduction| format!(" reduction={reduction}\n"));
    }
    let spec = view.plan(&ScanRequest::of(TagSelection::All), 1).expect("a healthy disk");
    for batch in view.open(&spec, 0, Arc::new(ReadMetrics::default())).expect("a healthy disk") {
        let batch = batch.expect("a healthy disk");
        for (tag, range) in &batch.runs {
            let name = &tags.get(*tag).expect("a known tag").spec.name;
            for i in range.clone() {
                let cell = batch.rows.cell(i);
                let value = cell.value.map_or("-".into(), |bits| format!("{bits:016x}"));
                let text = cell.text.map_or("-".into(), |text| format!("\"{text}\""));
                out += &format!("{name} {} {value} {text} {:08x}\n", batch.rows.times[i], cell.status.0);
            }
        }
    }
    out
}

/// The files that this engine writes, by path below the archive, and the listing.
fn written() -> (Vec<(PathBuf, Vec<u8>)>, String) {
    let sim = Sim::new(1);
    let (engine, _) = Engine::open(sim.env(), Path::new(ARCHIVE), Config::default()).expect("an empty disk");
    write(&engine);
    write_deletes(&engine);
    write_reduced(&engine);
    let listing = listing(&engine);
    let files = sim.disk.files().into_iter().map(|path| {
        let mut bytes = sim.disk.read(&path).expect("a listed file");
        if path.starts_with(Path::new(ARCHIVE).join("wal")) {
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            bytes.truncate(end);
        }
        (path.strip_prefix(ARCHIVE).expect("all lies in the archive").to_owned(), bytes)
    });
    (files.filter(|(path, _)| path != Path::new("LOCK")).collect(), listing)
}

/// Puts the kept files on a simulated disk.
fn put(from: &Path, to: &Path, disk: &dyn Disk) {
    disk.create_dir(to).expect("a healthy disk");
    for entry in fs::read_dir(from).expect("kept test data") {
        let entry = entry.expect("kept test data");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("kept test data").is_dir() {
            put(&entry.path(), &target, disk);
        } else if entry.file_name() != SAMPLES {
            let file = disk.open(&target, OpenMode::CreateNew).expect("a healthy disk");
            file.write_all_at(&fs::read(entry.path()).expect("kept test data"), 0).expect("a healthy disk");
            if to.ends_with("wal") {
                file.write_all_at(&[0], LOG_FILE_BYTES - 1).expect("a healthy disk");
            }
        }
    }
}

/// The kept archive of a version, opened by this engine.
fn opened(version: u32) -> (Engine, RecoveryReport) {
    let sim = Sim::new(2);
    put(&kept(version), Path::new(ARCHIVE), &sim.disk);
    let (engine, report) = Engine::open(sim.env(), Path::new(ARCHIVE), Config::default()).expect("a sound archive");
    assert_eq!(listing(&engine), fs::read_to_string(kept(version).join(SAMPLES)).expect("kept test data"));
    assert!(report.lost.is_empty(), "{report:?}");
    (engine, report)
}

#[test]
fn an_archive_of_version_1_reads_as_it_was_written() {
    let (engine, report) = opened(1);
    assert_eq!(report.frames, 3);
    let source = engine.open_source("gateway", "", 42).expect("the source that wrote it");
    assert_eq!((source.last_sequence(), source.counts().rows()), (2, 228));
}

/// The mark of an older layout is written anew before anything else is, whenever the power goes.
#[test]
fn an_older_mark_becomes_one_of_this_version() {
    let mark = |sim: &Sim| {
        let bytes = sim.disk.read(&Path::new(ARCHIVE).join("FORMAT")).expect("a marked archive");
        String::from_utf8(bytes).expect("text")
    };
    let newest = fs::read_to_string(kept(3).join("FORMAT")).expect("kept test data");
    for k in 1.. {
        let sim = Sim::new(2);
        put(&kept(1), Path::new(ARCHIVE), &sim.disk);
        let older = mark(&sim);
        sim.disk.restart(Fate::Kept);
        sim.disk.crash_at_sync(k);
        let opened = Engine::open(sim.env(), Path::new(ARCHIVE), Config::default()).is_ok();
        for fate in [Fate::Kept, Fate::Lost, Fate::Torn(k)] {
            let sim = Sim { disk: sim.disk.fork(), ..sim.clone() };
            sim.disk.restart(fate);
            assert!([&older, &newest].contains(&&mark(&sim)), "sync {k}, {fate:?}");
            let (engine, _) = Engine::open(sim.env(), Path::new(ARCHIVE), Config::default()).expect("a sound archive");
            assert_eq!(listing(&engine), fs::read_to_string(kept(1).join(SAMPLES)).expect("kept test data"));
            assert_eq!(mark(&sim), newest, "sync {k}, {fate:?}");
        }
        if opened {
            assert!(k > 3, "{k} syncs");
            return;
        }
    }
}

#[test]
fn an_archive_of_version_2_reads_as_it_was_written() {
    let (engine, report) = opened(2);
    assert_eq!((report.frames, engine.status().deletes), (2, 2));
    let source = engine.open_source("gateway", "", 43).expect("the epoch that wrote last");
    assert_eq!((source.last_sequence(), source.counts().rows()), (1, 1));
    assert!(engine.open_source("gateway", "", 42).is_err(), "an epoch that has ended");
}

#[test]
fn an_archive_of_version_3_reads_as_it_was_written() {
    let (engine, report) = opened(3);
    assert_eq!(report.frames, 1);
    let source = engine.open_source("gateway", "", 43).expect("the epoch that wrote last");
    let counts = source.counts();
    assert_eq!((source.last_sequence(), counts.rows()), (3, 221));
    assert!(counts.reduced > 50, "{counts:?}");
    let tag = engine.tags().find("plant.reduced").expect("a known tag").id;
    let series = ScanRequest::of(TagSelection::Ids(Field::all_of(tag).collect()));
    let summaries = engine.view().statistics(&series, Arc::default()).expect("a healthy disk");
    assert!(summaries.rows > 20, "{summaries:?}");
}

/// Segments and lists may differ: their bytes follow the parquet crate, too.
#[test]
fn this_engine_writes_version_3() {
    let (files, listing) = written();
    assert_eq!(listing, fs::read_to_string(kept(3).join(SAMPLES)).expect("kept test data"));
    for (path, bytes) in files {
        let there = fs::read(kept(3).join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let same = there == bytes || path.extension().is_some_and(|e| e == "parquet");
        assert!(same, "{} has other bytes: a change of the format needs a new version", path.display());
    }
}

#[test]
#[ignore = "writes testdata/format-3, for a new format version"]
fn write_the_archive() {
    let (files, listing) = written();
    for (path, bytes) in files.into_iter().chain([(PathBuf::from(SAMPLES), listing.into_bytes())]) {
        let target = kept(3).join(path);
        fs::create_dir_all(target.parent().expect("a file in a folder")).expect("room");
        fs::write(target, bytes).expect("room");
    }
}
