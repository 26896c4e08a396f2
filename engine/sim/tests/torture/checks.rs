//! Reads of every kind, held to the model; and what damage may do to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::env::{Disk, Env};
use tagus_engine::sample::Cell;
use tagus_engine::scan::{Order, QualitySet, ReadView, ScanRequest, TagSelection};
use tagus_engine::status::Quality;
use tagus_engine::tag::TagId;
use tagus_engine::{Engine, ErrorKind, TagTable};
use tagus_sim::{Fate, SimDisk};

use crate::model::{Map, Model};
use crate::plant::{DIR, Plant};

const HOUR: i64 = 3_600_000_000_000;

/// Everything that an engine holds.
pub fn everything(engine: &Engine, partitions: usize) -> Map {
    all_of(&engine.view(), &engine.tags(), partitions)
}

/// Everything that a view holds.
pub fn all_of(view: &ReadView, tags: &TagTable, partitions: usize) -> Map {
    let mut found = Map::new();
    for (tag, time, cell) in scan(view, &ScanRequest::of(TagSelection::All), partitions).expect("a healthy disk") {
        let name = tags.get(tag).expect("a known tag").spec.name.clone();
        assert!(found.insert((name, time), cell).is_none(), "a sample was read twice");
    }
    found
}

fn scan(view: &ReadView, request: &ScanRequest, partitions: usize) -> tagus_engine::Result<Vec<(TagId, i64, Cell)>> {
    let spec = view.plan(request, partitions)?;
    let mut found = Vec::new();
    for partition in 0..spec.partitions() {
        for batch in view.open(&spec, partition, Arc::default())? {
            let batch = batch?;
            for (tag, range) in &batch.runs {
                found.extend(range.clone().map(|i| (*tag, batch.rows.times[i], batch.rows.cell(i))));
            }
        }
    }
    Ok(found)
}

/// Reads as they come after each step: all of it, and one of the other ways.
pub fn reads(plant: &mut Plant) {
    if plant.sim.disk.is_off() {
        return;
    }
    let partitions = 1 + plant.sim.random.below(3) as usize;
    let found = everything(plant.engine(), partitions);
    if found != plant.model.map {
        let differ = |key: &&(String, i64)| found.get(*key) != plant.model.map.get(*key);
        let first = found.keys().chain(plant.model.map.keys()).find(differ).cloned();
        let key = first.expect("they differ");
        panic!("{key:?} is {:?}, not {:?}", found.get(&key), plant.model.map.get(&key));
    }
    plant.observed = plant.observed.wrapping_mul(31).wrapping_add(found.len() as u64);
    let (engine, model, sim) = (plant.engine(), &plant.model, &plant.sim);
    let tags = engine.tags();
    let tag = tags.get(TagId(1 + sim.random.below(tags.len() as u64) as u32)).expect("ids are dense").clone();
    let name = tag.spec.name.as_str();
    let now = plant.now();
    let from = now - sim.random.below(200).cast_signed() * HOUR;
    let to = from + sim.random.below(200).cast_signed() * HOUR;
    match sim.random.below(6) {
        0 => current(engine, model, now, plant.config.max_future),
        1 => one_tag(engine, model, tag.id, name, (from, to), 1 + sim.random.below(20)),
        2 => by_quality(engine, model, tag.id, name),
        3 => counts(engine, model, tag.id, name, (from, to)),
        4 => lookups(engine, model, tag.id, name, from),
        _ => {
            let newest = engine.view().newest_at(tag.id, to).expect("a healthy disk").map(|row| (row.time, row.cell));
            assert_eq!(newest, model.rows(name, i64::MIN, to).pop(), "the newest of {name} at {to}");
        }
    }
}

fn current(engine: &Engine, model: &Model, now: i64, max_future: i64) {
    for tag in engine.tags().iter() {
        let latest = if tag.spec.future { now } else { now + max_future };
        let expected = model.rows(&tag.spec.name, i64::MIN, latest).pop();
        let found = engine.current(tag.id).expect("a healthy disk").map(|row| (row.time, row.cell));
        assert_eq!(found, expected, "the current value of {}", tag.spec.name);
    }
}

fn one_tag(engine: &Engine, model: &Model, tag: TagId, name: &str, (from, to): (i64, i64), limit: u64) {
    let mut expected = model.rows(name, from, to);
    for order in [Order::Ascending, Order::Descending] {
        let request =
            ScanRequest { from, to, order, limit: Some(limit), ..ScanRequest::of(TagSelection::Ids(vec![tag])) };
        let found = scan(&engine.view(), &request, 1).expect("a healthy disk");
        let found: Vec<(i64, Cell)> = found.into_iter().map(|(_, time, cell)| (time, cell)).collect();
        let first: Vec<(i64, Cell)> = expected.iter().take(limit as usize).cloned().collect();
        assert_eq!(found, first, "{name} from {from} to {to}, {order:?}");
        expected.reverse();
    }
}

fn by_quality(engine: &Engine, model: &Model, tag: TagId, name: &str) {
    for quality in Quality::ALL {
        let qualities = QualitySet::NONE.with(quality);
        let request = ScanRequest { qualities, ..ScanRequest::of(TagSelection::Ids(vec![tag])) };
        let found = scan(&engine.view(), &request, 2).expect("a healthy disk").len();
        let rows = model.rows(name, i64::MIN, i64::MAX);
        let expected = rows.iter().filter(|(_, cell)| cell.status.quality() == quality).count();
        assert_eq!(found, expected, "{name}, {quality:?}");
    }
}

fn counts(engine: &Engine, model: &Model, tag: TagId, name: &str, (from, to): (i64, i64)) {
    for (from, to) in [(from, to), (i64::MIN, i64::MAX)] {
        let request = ScanRequest { from, to, ..ScanRequest::of(TagSelection::Ids(vec![tag])) };
        let found = engine.view().statistics(&request, Arc::default()).expect("a healthy disk");
        let rows = model.rows(name, from, to);
        let expected = (rows.len() as u64, rows.first().map(|r| r.0), rows.last().map(|r| r.0));
        assert_eq!((found.rows, found.first_time, found.last_time), expected, "{name} from {from} to {to}");
    }
}

fn lookups(engine: &Engine, model: &Model, tag: TagId, name: &str, from: i64) {
    let mut times: Vec<i64> = model.rows(name, i64::MIN, i64::MAX).iter().step_by(3).map(|row| row.0).collect();
    times.extend([from, from + 1]);
    times.sort_unstable();
    times.dedup();
    let found = engine.view().cells_at(tag, &times).expect("a healthy disk");
    let expected: Vec<Option<Cell>> = times.iter().map(|time| model.map.get(&(name.into(), *time)).cloned()).collect();
    assert_eq!(found, expected, "cells of {name}");
}

/// Flips a bit of a copy of the disk, or makes a sector of it unreadable: reads of the copy are right
/// or say which file is damaged.
pub fn damage(plant: &mut Plant) {
    if plant.is_broken() {
        return;
    }
    let disk = plant.sim.disk.fork();
    disk.restart(Fate::Kept);
    let files: Vec<PathBuf> = disk.files().into_iter().filter(|path| !path.ends_with("LOCK")).collect();
    let path = &files[plant.sim.random.below(files.len() as u64) as usize];
    let bytes = disk.read(path).expect("a listed file").len() as u64;
    if bytes == 0 {
        return;
    }
    let (offset, bit) = (plant.sim.random.below(bytes), plant.sim.random.below(8) as u8);
    let unreadable = plant.sim.random.chance(1, 4);
    plant.note(format!("damage {} at {offset}, bit {bit}, unreadable {unreadable}", path.display()));
    if unreadable {
        disk.make_unreadable(path, offset / 512 * 512..offset / 512 * 512 + 512).expect("a listed file");
    } else {
        disk.flip(path, offset, bit).expect("a listed file");
    }
    let env = Env { disk: Arc::new(disk.clone()), ..plant.sim.env() };
    // Of a log that was not closed, what follows the last frame may be anything.
    let is_log = path.starts_with(Path::new(DIR).join("wal"));
    let report = tagus_engine::verify(&env, Path::new(DIR), &mut |_, _| {}).expect("an archive that is there");
    assert!(is_log || !report.damages.is_empty(), "the damage is found");
    answers(plant, &disk, path, is_log);
}

fn answers(plant: &Plant, disk: &SimDisk, path: &Path, is_log: bool) {
    let env = Env { disk: Arc::new(disk.clone()), ..plant.sim.env() };
    let (engine, report) = match Engine::open(env, Path::new(DIR), plant.config.clone()) {
        Ok(opened) => opened,
        Err(error) => {
            let kinds = [ErrorKind::Damaged, ErrorKind::Unusable, ErrorKind::Io];
            assert!(kinds.contains(&error.kind()) && !error.to_string().contains('\n'), "{error}");
            assert!(
                !path.starts_with(Path::new(DIR).join("segments")),
                "a damaged segment does not stop a start: {error}"
            );
            return;
        }
    };
    if is_log && (!report.lost.is_empty() || !report.quarantined.is_empty()) {
        // Frames are lost, which was said.
        return;
    }
    let tags = engine.tags();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    for tag in tags.iter() {
        match scan(&engine.view(), &ScanRequest::of(TagSelection::Ids(vec![tag.id])), 1) {
            Ok(found) => {
                let found: Vec<(i64, Cell)> = found.into_iter().map(|(_, time, cell)| (time, cell)).collect();
                assert_eq!(found, plant.model.rows(&tag.spec.name, i64::MIN, i64::MAX), "{}", tag.spec.name);
            }
            Err(error) => assert!(error.to_string().contains(&name), "{error} does not name {name}"),
        }
    }
}

/// All bytes of all files, folded.
pub fn digest(disk: &SimDisk) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    disk.files().into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, path| {
        let bytes = disk.read(&path).expect("a listed file");
        let hash = path.to_string_lossy().bytes().fold(hash, fold);
        bytes.into_iter().fold(hash, fold)
    })
}
