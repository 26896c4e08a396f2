//! Rot: a bit is flipped or a sector cannot be read, on a copy of the disk. Answers are right or
//! errors that name the file, and `verify` finds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::scan::{ScanRequest, TagSelection};
use tagus_engine::segment::ReadMetrics;
use tagus_engine::{Engine, Error, ErrorKind, verify};
use tagus_sim::Sim;

use crate::checks;
use crate::machine::{DIR, Machine};
use crate::model::Model;
use crate::steps;

/// What is wrong with the copy.
struct Rot {
    path: PathBuf,
    offset: u64,
    /// Whether it is a flipped bit.
    flipped: bool,
}

/// Damages a copy of the archive, stopped or running, and looks at all of it.
pub fn inflict(machine: &mut Machine) {
    let sim = machine.sound_copy();
    let is_clean = machine.chance(1, 2);
    if is_clean {
        open(machine, &sim).expect("a sound copy").close().expect("a healthy disk");
        sim.disk.kill_process();
        assert_is_sound(&sim);
    }
    if machine.chance(1, 2) {
        let engine = open(machine, &sim).expect("a sound copy");
        let warm = machine.chance(1, 2);
        if warm {
            checks::view(&machine.sim.random, &engine.view(), &machine.model, machine.now()).expect("a sound copy");
        }
        let Some(rot) = spoil(machine, &sim) else { return };
        assert_right_or_told(machine, &engine, &rot, false);
        sim.disk.kill_process();
    } else {
        let Some(rot) = spoil(machine, &sim) else { return };
        let is_log = rot.path.starts_with("/archive/wal");
        if is_clean || rot.path.starts_with("/archive/segments") {
            assert_is_found(&sim, &rot);
            machine.reach("damage that verify finds");
        }
        match open(machine, &sim) {
            // What is not proven to have been synced ends the log.
            Ok(engine) => assert_right_or_told(machine, &engine, &rot, is_log && !is_clean),
            Err(error) => assert!(may_refuse(&error, &rot), "{}: {error}", rot.path.display()),
        }
        sim.disk.kill_process();
    }
}

/// The archive after a clean stop is sound.
pub fn assert_sound(machine: &Machine) {
    let sim = machine.sound_copy();
    open(machine, &sim).expect("a sound copy").close().expect("a healthy disk");
    sim.disk.kill_process();
    assert_is_sound(&sim);
}

fn open(machine: &Machine, sim: &Sim) -> Result<Engine, Error> {
    Engine::open(sim.env(), Path::new(DIR), machine.config.clone()).map(|(engine, _)| engine)
}

fn assert_is_sound(sim: &Sim) {
    let report = verify(&sim.env(), Path::new(DIR), &mut |_, _| {}).expect("an archive");
    assert!(report.damages.is_empty(), "verify finds damage where there is none: {:?}", report.damages);
}

fn assert_is_found(sim: &Sim, rot: &Rot) {
    let name = rot.path.display().to_string();
    match verify(&sim.env(), Path::new(DIR), &mut |_, _| {}) {
        Ok(report) => {
            let found = report.damages.iter().any(|damage| damage.to_string().contains(&name));
            assert!(found, "verify does not find byte {} of {name}: {:?}", rot.offset, report.damages);
        }
        Err(error) => assert!(may_refuse(&error, rot), "{name}: {error}"),
    }
}

/// Damages a random file; none where there is nothing to damage.
fn spoil(machine: &mut Machine, sim: &Sim) -> Option<Rot> {
    let files: Vec<PathBuf> =
        sim.disk.files().into_iter().filter(|path| path.starts_with(DIR) && has_bytes(sim, path)).collect();
    let segments: Vec<PathBuf> = files.iter().filter(|path| path.starts_with("/archive/segments")).cloned().collect();
    let among = if segments.is_empty() || machine.chance(1, 2) { files } else { segments };
    let path = among.get(machine.below(among.len() as u64) as usize)?.clone();
    let length = sim.disk.read(&path).expect("a listed file").len() as u64;
    // Of log files only the beginning is in use.
    let offset = machine.below(if machine.chance(1, 2) { length.min(16_384) } else { length });
    let flipped = machine.chance(2, 3);
    if flipped {
        sim.disk.flip(&path, offset, (offset % 8) as u8).expect("a byte that is there");
    } else {
        let sector = offset - offset % 512;
        sim.disk.make_unreadable(&path, sector..sector + 512).expect("a file that is there");
    }
    machine.note(format!("byte {offset} of {} is {}", path.display(), if flipped { "flipped" } else { "unreadable" }));
    Some(Rot { path, offset, flipped })
}

fn has_bytes(sim: &Sim, path: &Path) -> bool {
    sim.disk.read(path).is_ok_and(|bytes| !bytes.is_empty())
}

/// Whether an archive may refuse to open, or to be verified, for this reason.
fn may_refuse(error: &Error, rot: &Rot) -> bool {
    // A left-over name of a manifest file is a second name of its bytes.
    let named = error.to_string().contains(&rot.path.display().to_string())
        || (rot.path.ends_with("next.tmp") && error.to_string().contains("/archive/manifest/"));
    match error.kind() {
        ErrorKind::Damaged => named,
        // The disk's own words.
        ErrorKind::Io => named && !rot.flipped,
        // The name of another format, and a version to come.
        ErrorKind::Unusable => rot.path.ends_with("FORMAT") || (rot.path.starts_with("/archive/wal") && named),
        _ => false,
    }
}

/// Whether an answer may be this error.
fn assert_told(error: &Error, rot: &Rot) {
    let named = error.to_string().contains(&rot.path.display().to_string());
    assert!(error.kind() == ErrorKind::Damaged && named, "{}: {error}", rot.path.display());
}

/// Reads everything, one tag at a time, before and after work on it. `may_miss` where frames at the
/// end of the log may be gone.
fn assert_right_or_told(machine: &mut Machine, engine: &Engine, rot: &Rot, may_miss: bool) {
    let model = machine.model.clone();
    assert_reads(machine, engine, &model, rot, may_miss);
    for work in [Engine::flush, |engine: &Engine| engine.merge_step().map(drop), Engine::compact] {
        if let Err(error) = work(engine) {
            assert_excused(&error, rot);
        }
        assert_reads(machine, engine, &model, rot, may_miss);
    }
    let expired = steps::expired(machine);
    match engine.retire_step() {
        Ok(true) if !may_miss => assert_reads(machine, engine, &model.after(&expired), rot, false),
        Ok(_) => {}
        Err(error) => assert_excused(&error, rot),
    }
}

/// Whether work on a damaged archive may end like this.
fn assert_excused(error: &Error, rot: &Rot) {
    let excused = [ErrorKind::Damaged, ErrorKind::Io, ErrorKind::ReadOnly].contains(&error.kind());
    assert!(excused, "{}: {error}", rot.path.display());
}

fn assert_reads(machine: &mut Machine, engine: &Engine, model: &Model, rot: &Rot, may_miss: bool) {
    let view = engine.view();
    for tag in model.ids().into_iter().filter(|tag| engine.tags().get(*tag).is_some()) {
        let request = ScanRequest::of(TagSelection::Ids(vec![tag]));
        let expected: Vec<_> =
            model.range(tag, i64::MIN, i64::MAX).map(|(time, cell)| (tag, time, cell.clone())).collect();
        match checks::rows(&view, &request, 2) {
            Ok(found) if may_miss => {
                checks::assert_written(&found, &machine.ever);
                continue;
            }
            Ok(found) => assert!(found == expected, "{} byte {}: a wrong answer", rot.path.display(), rot.offset),
            Err(error) => {
                assert_told(&error, rot);
                machine.reach("an answer that names the damaged file");
            }
        }
        if may_miss {
            continue;
        }
        match view.statistics(&request, Arc::new(ReadMetrics::default())) {
            Ok(found) => assert_eq!(found.rows, expected.len() as u64, "{}: a wrong count", rot.path.display()),
            Err(error) => assert_told(&error, rot),
        }
    }
}
