//! What can happen to an archive, one step at a time.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tagus_engine::ingest::Batch;
use tagus_engine::tag::{TagId, TagSpec, TagType};
use tagus_engine::{Committed, Engine, ErrorKind, Result, TagChange, restore};

use crate::batches::{self, DAY, HOUR, SECOND};
use crate::checks;
use crate::damage;
use crate::faults;
use crate::machine::{Held, Machine, Stop};
use crate::model::{Model, Op};

/// Writers; the nameless one keeps no sequence.
const SOURCES: [&str; 4] = ["", "gateway", "historian", "Simulator 2"];
/// Views that are held at once.
const HELD: usize = 4;
const BACKUP: &str = "/media/backup";
const RESTORED: &str = "/restored";

/// One random step, and all checks after it.
pub fn step(machine: &mut Machine) {
    machine.begin();
    match machine.below(100) {
        0..=41 => write(machine),
        42..=44 => change_a_tag(machine),
        45 => create_tags(machine),
        46 => begin_an_epoch(machine),
        47..=52 => delete(machine),
        53..=59 => work(machine, "flush", |machine| machine.engine().flush()),
        60..=62 => work(machine, "job", |machine| machine.engine().job_step().map(drop)),
        63..=67 => merge(machine),
        68 => back_up(machine),
        69 | 70 => work(machine, "compact", |machine| machine.engine().compact()),
        71..=73 => retire(machine),
        74..=78 => move_the_clock(machine),
        79..=81 => hold_a_view(machine),
        82..=86 => {
            let stop = stop(machine);
            machine.restart(stop);
        }
        87..=92 => faults::order(machine),
        93 | 94 => faults::shorten_the_disk(machine),
        95 => faults::refuse_changes(machine),
        96 | 97 => faults::fail_reads(machine),
        _ => damage::inflict(machine),
    }
    settle(machine);
}

/// Restarts what has ended, and compares everything that can be read.
fn settle(machine: &mut Machine) {
    if machine.has_struck() {
        machine.reach("a fault of the disk");
    }
    if !machine.sim.disk.is_off() {
        check(machine);
        if machine.disk_is_short && machine.chance(1, 4) {
            faults::give_room(machine);
        }
    }
    if machine.is_in_doubt() {
        let fate = machine.fate();
        let is_off = machine.sim.disk.is_off();
        let stop = if is_off || machine.chance(1, 2) { Stop::PowerCut(fate) } else { Stop::Kill };
        machine.restart(stop);
        check(machine);
    }
    assert!(machine.unsure.is_empty(), "what is in doubt is settled by a restart");
}

/// Compares every kind of read with the model.
pub fn check(machine: &mut Machine) {
    let now = machine.now();
    let random = machine.sim.random.clone();
    let engine = machine.engine().clone();
    checks::view(&random, &engine.view(), &machine.model, now).expect("a disk that can be read");
    checks::current(&engine, &machine.model, now, machine.config.max_future).expect("a disk that can be read");
    if !machine.held.is_empty() && machine.chance(1, 3) {
        let index = machine.below(machine.held.len() as u64) as usize;
        let Held { view, model, is_fixed } = &machine.held[index];
        if *is_fixed {
            checks::view(&random, view, model, now).expect("a view that is held");
        } else {
            let found = checks::everything(view, 2).expect("a view that is held");
            checks::assert_written(&found, &machine.ever);
        }
        machine.reach("a view that was held");
        if machine.chance(1, 2) {
            machine.held.remove(index);
        }
    }
}

/// The last steps: everything is mended, merged and closed.
pub fn end(machine: &mut Machine) {
    machine.give_room();
    machine.sim.disk.call_off_faults();
    machine.restart(Stop::Clean);
    check(machine);
    machine.engine().compact().expect("a healthy disk");
    check(machine);
    let segments = machine.engine().segments();
    let rows: u64 = segments.iter().map(|segment| segment.rows).sum();
    // Windows of different width may overlap where the clock was set back: some rows are there twice.
    assert!(rows >= machine.model.samples.len() as u64, "{rows} rows are on disk");
    assert_eq!(machine.engine().status().deletes, 0, "merges have applied all deletes");
    machine.engine().compact().expect("a healthy disk");
    assert_eq!(machine.engine().segments(), segments, "there was nothing left to do");
    machine.held.clear();
    machine.restart(Stop::Clean);
    check(machine);
    damage::assert_sound(machine);
}

fn stop(machine: &Machine) -> Stop {
    match machine.below(3) {
        0 => Stop::Clean,
        1 => Stop::Kill,
        _ => Stop::PowerCut(machine.fate()),
    }
}

/// Does a piece of work that changes nothing anybody can see.
pub fn work(machine: &mut Machine, what: &str, work: impl Fn(&Machine) -> Result<()>) {
    machine.note(what);
    if let Err(error) = work(machine) {
        machine.accept(what, &error);
    }
}

fn merge(machine: &mut Machine) {
    machine.note("merge");
    match machine.engine().merge_step() {
        Ok(true) => machine.reach("a merge"),
        Ok(false) => {}
        Err(error) => machine.accept("merge", &error),
    }
}

/// Copies the archive while it is open; what is restored from the copy is the archive.
fn back_up(machine: &mut Machine) {
    machine.note("back up");
    if let Err(error) = machine.engine().backup(Path::new(BACKUP)) {
        return machine.accept("back up", &error);
    }
    machine.reach("a backup");
    let sim = machine.sound_copy();
    restore(&sim.env(), Path::new(BACKUP), Path::new(RESTORED), &mut |_, _| {}).expect("a sound backup");
    let (engine, report) =
        Engine::open(sim.env(), Path::new(RESTORED), machine.config.clone()).expect("a sound archive");
    assert_eq!((report.frames, report.lost), (0, Vec::new()), "a restored archive has an empty log");
    let difference = checks::difference(&engine, &machine.model);
    assert!(difference.is_empty(), "what is restored: {difference}");
}

type Answer = Arc<Mutex<Option<Result<Committed>>>>;

/// A frame on its way to the log.
struct Sent {
    op: Op,
    fate: Fate,
}

enum Fate {
    /// It is durable: a batch's answer says so.
    Done,
    /// Nobody has said yet.
    Waits(Answer),
    /// It was not written, or nobody can know.
    Refused,
}

/// Writes batches of one or several sources, which are committed together.
pub fn write(machine: &mut Machine) {
    let mut sent: Vec<Sent> = Vec::new();
    let mut ahead = machine.model.clone();
    for _ in 0..1 + machine.below(3) {
        if !send(machine, &mut ahead, &mut sent) {
            break;
        }
    }
    let dies = machine.chance(1, 25);
    if !dies {
        while machine.engine().commit_step() {}
    }
    let is_off = machine.sim.disk.is_off();
    let mut live = machine.model.clone();
    let mut unsure = Vec::new();
    let mut failed = false;
    for Sent { op, fate } in sent {
        let answer = match fate {
            Fate::Done => {
                live.apply(&op);
                continue;
            }
            Fate::Refused => None,
            Fate::Waits(answer) => answer.lock().expect("one thread").take(),
        };
        match answer {
            Some(Ok(committed)) => {
                let (expected, counts) = (live.apply(&op), committed.counts());
                // Counting may read segments, which a machine that is off does not let.
                assert!(is_off || counts == expected, "{counts:?}, expected {expected:?}");
            }
            Some(Err(error)) => {
                machine.accept("batch", &error);
                failed = true;
                unsure.push(op);
            }
            None => unsure.push(op),
        }
    }
    if failed {
        machine.sources.clear();
    }
    machine.note(format!("write: {} samples", live.samples.len()));
    machine.model = live;
    if dies {
        note_unsure(machine, &unsure);
        let stop = if machine.chance(1, 2) { Stop::Kill } else { Stop::PowerCut(machine.fate()) };
        machine.restart(stop);
    } else if machine.is_in_doubt() {
        note_unsure(machine, &unsure);
    }
}

/// After a restart the first of these frames may be there, or the first two, and so on.
fn note_unsure(machine: &mut Machine, frames: &[Op]) {
    machine.unsure = (1..=frames.len()).map(|count| machine.model.after(&frames[..count])).collect();
}

/// Submits one batch; says whether another may follow.
fn send(machine: &mut Machine, ahead: &mut Model, sent: &mut Vec<Sent>) -> bool {
    let name = SOURCES[machine.below(4) as usize];
    let Some(epoch) = open_source(machine, name, ahead) else { return false };
    let place = ahead.sources.get(name).filter(|place| place.epoch == epoch);
    let sequence = if name.is_empty() { 1 } else { place.map_or(1, |place| place.sequence + 1) };
    let random = machine.sim.random.clone();
    let composed = batches::compose(&random, ahead, machine.now(), machine.config.max_future);
    for row in &composed.rows {
        machine.ever.entry((row.tag, row.time)).or_default().push(row.cell.clone());
    }
    let mark = (!name.is_empty()).then(|| (name.to_owned(), epoch, sequence));
    let batch = Op::Batch { mark, rows: composed.rows, rejected: composed.rejected.len() as u64 };
    let answer = Answer::default();
    let slot = Arc::clone(&answer);
    let source = &machine.sources[name].0;
    let done = move |result| *slot.lock().expect("one thread") = Some(result);
    match source.submit(sequence, composed.batch, done) {
        Ok(submitted) => {
            let submitted =
                submitted.unwrap_or_else(|| panic!("batch {sequence} of {name:?} in {epoch} is taken for an old one"));
            let rejected: Vec<u32> = submitted.rejections.iter().map(|it| it.index).collect();
            assert_eq!(rejected, composed.rejected, "samples that are refused");
            for op in composed.tags {
                ahead.apply(&op);
                sent.push(Sent { op, fate: Fate::Done });
            }
            ahead.apply(&batch);
            sent.push(Sent { op: batch, fate: Fate::Waits(answer) });
            true
        }
        Err(error) => {
            machine.accept("submit", &error);
            machine.sources.clear();
            // Tags are made durable before the batch is queued.
            for op in composed.tags {
                let fate = if is_visible(machine, &op) { Fate::Done } else { Fate::Refused };
                sent.push(Sent { op, fate });
            }
            false
        }
    }
}

fn is_visible(machine: &Machine, op: &Op) -> bool {
    let Op::Tags(changed) = op else { return false };
    let tags = machine.engine().tags();
    changed.iter().all(|(id, spec)| tags.get(*id).is_some_and(|tag| tag.spec == *spec))
}

/// Opens a source unless it is open; answers its epoch.
fn open_source(machine: &mut Machine, name: &str, ahead: &Model) -> Option<u64> {
    if let Some((_, epoch)) = machine.sources.get(name).filter(|_| !name.is_empty()) {
        return Some(*epoch);
    }
    let place = ahead.sources.get(name).copied();
    let epoch = place.map_or(machine.epochs, |place| place.epoch);
    match machine.engine().open_source(name, "", epoch) {
        Ok(source) => {
            if let Some(place) = machine.model.sources.get(name) {
                let found = (source.last_sequence(), source.counts());
                assert_eq!(found, (place.sequence, place.counts), "source {name} at opening");
            }
            machine.sources.insert(name.to_owned(), (source, epoch));
            Some(epoch)
        }
        Err(error) => {
            machine.accept("open a source", &error);
            None
        }
    }
}

/// A gateway that has lost its number begins a new epoch; and writers that are out of step are told so.
fn begin_an_epoch(machine: &mut Machine) {
    let name = SOURCES[1 + machine.below(3) as usize];
    machine.note(format!("a new epoch of {name}"));
    machine.epochs += 1;
    let epoch = machine.epochs;
    match machine.engine().open_source(name, "", epoch) {
        Ok(source) => {
            assert_eq!((source.last_sequence(), source.counts()), Default::default(), "a new epoch begins at 0");
            let gap = source.submit(3, Batch::default(), |_| panic!("nobody has taken it")).expect_err("a gap");
            assert_eq!(gap.kind(), ErrorKind::InvalidInput, "{gap}");
            let old = source.submit(0, Batch::default(), |_| panic!("nobody has taken it")).expect("an old batch");
            assert!(old.is_none(), "an old batch is not taken again");
            machine.sources.insert(name.to_owned(), (source, epoch));
        }
        Err(error) => machine.accept("open a source", &error),
    }
    let Some(place) = machine.model.sources.get(name) else { return };
    let foreign = machine.engine().open_source(name, "somebody else", place.epoch).err();
    assert!(foreign.is_some_and(|error| error.kind() == ErrorKind::Conflict), "a source has one identity");
}

fn create_tags(machine: &mut Machine) {
    let kinds = TagType::ALL;
    let first = machine.model.tags.len();
    let spec = |i: usize| {
        let mut spec = TagSpec::new(format!("made.{}", first + i), kinds[machine.below(kinds.len() as u64) as usize]);
        spec.future = machine.chance(1, 8);
        spec
    };
    let specs: Vec<TagSpec> = (0..1 + machine.below(3) as usize).map(spec).collect();
    machine.note(format!("create {} tags", specs.len()));
    let ids = (first + 1..).map(|id| TagId(u32::try_from(id).expect("few tags")));
    let op = Op::Tags(ids.zip(specs.clone()).collect());
    let created = machine.engine().create_tags(specs).map(drop);
    take(machine, "create tags", created, vec![op]);
    let again = vec![TagSpec::new("PLANT.flow", TagType::Bool)];
    let error = machine.engine().create_tags(again).expect_err("a name that is there");
    assert!([ErrorKind::Conflict, ErrorKind::ReadOnly].contains(&error.kind()), "{error}");
}

fn change_a_tag(machine: &mut Machine) {
    let ids = machine.model.ids();
    let id = ids[machine.below(ids.len() as u64) as usize];
    let mut spec = machine.model.spec(id).clone();
    let mut change = TagChange::default();
    let number = machine.below(1000);
    match machine.below(5) {
        0 | 1 => change.unit = Some(format!("unit {number}")),
        2 => change.description = Some(format!("words {number}")),
        3 if spec.tag_type == TagType::Digital => {
            let code = spec.states.last().map_or(0, |(code, _)| code + 2);
            change.states = Some(vec![(code, format!("declared {code}").as_str().into())]);
        }
        3 => (change.low, change.high) = (Some(Some(-1.0)), Some(Some(number as f64))),
        _ => change.future = Some(machine.chance(1, 4)),
    }
    let set = change.clone();
    spec.unit = set.unit.unwrap_or(spec.unit);
    spec.description = set.description.unwrap_or(spec.description);
    spec.states.extend(set.states.unwrap_or_default());
    (spec.low, spec.high) = (set.low.unwrap_or(spec.low), set.high.unwrap_or(spec.high));
    spec.future = set.future.unwrap_or(spec.future);
    machine.note(format!("change tag {}", id.0));
    let changed = machine.engine().update_tag(&spec.name.to_uppercase(), change).map(drop);
    take(machine, "change a tag", changed, vec![Op::Tags(vec![(id, spec)])]);
}

/// Takes what became of frames that nobody answers one by one: all of them if it went well, and
/// otherwise those that can be seen.
fn take(machine: &mut Machine, what: &str, result: Result<()>, ops: Vec<Op>) {
    let Err(error) = result else {
        machine.model = machine.model.after(&ops);
        return;
    };
    machine.accept(what, &error);
    let mut ops = ops;
    while !machine.sim.disk.is_off() && !ops.is_empty() {
        let next = machine.model.after(&ops[..1]);
        let tags = machine.engine().tags();
        let found = checks::everything(&machine.engine().view(), 1).expect("a disk that can be read");
        let rows = next.samples.iter().map(|((tag, time), cell)| (*tag, *time, cell.clone()));
        if !(tags.iter().map(|tag| &tag.spec).eq(&next.tags) && rows.eq(found)) {
            break;
        }
        machine.model = next;
        ops.remove(0);
    }
    if machine.is_in_doubt() {
        note_unsure(machine, &ops);
    }
}

fn delete(machine: &mut Machine) {
    let now = machine.now();
    let random = machine.sim.random.clone();
    let tags: Vec<TagId> = machine.model.ids().into_iter().filter(|_| random.chance(1, 3)).collect();
    let (a, b) = (batches::time(&random, now), batches::time(&random, now));
    let (from, to) = match random.below(8) {
        0 => (i64::MIN, i64::MAX),
        1 => (a.max(b), a.max(b)),
        _ => (a.min(b), a.max(b)),
    };
    let count: usize = tags.iter().map(|tag| machine.model.range(*tag, from, to).count()).sum();
    machine.note(format!("delete {count} samples of {} tags, {from} to {to}", tags.len()));
    let deleted = machine.engine().delete(&tags, from, to);
    if let Ok(deleted) = deleted {
        assert_eq!(deleted, count as u64, "samples that were deleted");
        if count > 0 {
            machine.reach("a delete");
        }
    }
    let ops = if count > 0 { vec![Op::Delete { tags, from, to }] } else { Vec::new() };
    take(machine, "delete", deleted.map(drop), ops);
}

/// What retention has to delete now, rule by rule: the one with fewer letters first.
pub fn expired(machine: &Machine) -> Vec<Op> {
    let Some(newest) = machine.model.newest_time() else { return Vec::new() };
    let now = newest.min(machine.now());
    let mut rules: Vec<(String, i64)> = machine
        .config
        .retention
        .iter()
        .map(|rule| (rule.pattern.trim_end_matches('*').to_lowercase(), rule.age))
        .collect();
    rules.sort_by_key(|(prefix, _)| prefix.len());
    let rule_of = |id: &TagId| {
        let name = machine.model.spec(*id).name.to_lowercase();
        rules.iter().rposition(|(prefix, _)| name.starts_with(prefix.as_str()))
    };
    let op = |(index, (_, age)): (usize, &(String, i64))| {
        let tags: Vec<TagId> = machine.model.ids().into_iter().filter(|id| rule_of(id) == Some(index)).collect();
        let to = now.saturating_sub(*age);
        let any = tags.iter().any(|tag| machine.model.range(*tag, i64::MIN, to).next().is_some());
        any.then_some(Op::Delete { tags, from: i64::MIN, to })
    };
    rules.iter().enumerate().filter_map(op).collect()
}

fn retire(machine: &mut Machine) {
    let ops = expired(machine);
    machine.note(format!("retire: {} rules have something", ops.len()));
    match machine.engine().retire_step() {
        Ok(true) => {
            if !ops.is_empty() {
                machine.reach("a delete by retention");
            }
            take(machine, "retire", Ok(()), ops);
        }
        // It looks only now and then.
        Ok(false) => {}
        Err(error) => take(machine, "retire", Err(error), ops),
    }
}

fn move_the_clock(machine: &mut Machine) {
    let random = &machine.sim.random;
    let step = [SECOND, 60 * SECOND, HOUR, 5 * HOUR, DAY, 10 * DAY][random.below(6) as usize];
    let amount = step * (1 + random.below(3).cast_signed());
    let to = machine.now() + if random.chance(1, 2) { amount } else { -amount };
    if random.chance(1, 8) {
        machine.sim.clock.jump_to(to);
    } else {
        machine.sim.clock.advance(amount.unsigned_abs());
    }
    let now = machine.now();
    machine.note(format!("the clock is at {now}"));
}

fn hold_a_view(machine: &mut Machine) {
    if machine.held.len() == HELD {
        machine.held.remove(0);
    }
    let (view, model) = (machine.engine().view(), machine.model.clone());
    // A flush of nothing leaves the memtable as it is.
    let is_fixed = machine.chance(2, 3) && machine.engine().status().memtable_rows > 0;
    machine.note(format!("hold a view, fixed: {is_fixed}"));
    if is_fixed && let Err(error) = machine.engine().flush() {
        return machine.accept("flush", &error);
    }
    machine.held.push(Held { view, model, is_fixed });
}
