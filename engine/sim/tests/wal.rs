//! Whole logs on the simulated disk: what recovery gives back after crashes, damage and full disks.
#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::env::{Disk, OpenMode};
use tagus_engine::wal::{Log, LogDamage, LogOptions, Replay, verify};
use tagus_engine::{ErrorKind, Result};
use tagus_sim::{Fate, Operation, Sim, SimDisk, SimRandom};

const BLOCK: u64 = 4096;
/// Small files, so that short histories fill many of them.
const OPTIONS: LogOptions = LogOptions { file_bytes: 8 * BLOCK, bytes_max: 128 * BLOCK };

fn dir() -> &'static Path {
    Path::new("/archive/wal")
}

fn machine(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    sim.disk.create_dir(Path::new("/archive")).unwrap();
    sim.disk.sync_dir(Path::new("/")).unwrap();
    sim
}

/// The same machine with another disk.
fn with_disk(sim: &Sim, disk: SimDisk) -> Sim {
    Sim { disk, clock: sim.clock.clone(), random: sim.random.clone() }
}

/// A payload; a failed comparison prints only how long it is and what it begins with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Payload(Vec<u8>);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes {:?}", self.0.len(), &self.0[..self.0.len().min(2)])
    }
}

type Frames = Vec<(u64, Payload)>;

fn recover(sim: &Sim, after: u64) -> Result<(Log, Replay, Frames)> {
    let mut frames = Vec::new();
    let (log, replay) = Log::recover(&sim.env(), dir(), OPTIONS, after, &mut |sequence, payload| {
        frames.push((sequence, Payload(payload.to_vec())));
        Ok(())
    })?;
    let bytes: usize = frames.iter().map(|(_, payload)| payload.0.len()).sum();
    assert_eq!((replay.frames, replay.bytes), (frames.len() as u64, bytes as u64));
    Ok((log, replay, frames))
}

/// A payload that tells its sequence, of a length that follows from it.
fn payload(sequence: u64, length: usize) -> Payload {
    let mut bytes = sequence.to_le_bytes().repeat(length / 8 + 1);
    bytes.truncate(length.max(1));
    Payload(bytes)
}

fn append(log: &mut Log, payloads: &[Payload]) -> Result<u64> {
    log.append(&payloads.iter().map(|payload| &payload.0[..]).collect::<Vec<_>>())
}

/// Appends frames of such lengths as one group; returns the frames.
fn append_lengths(log: &mut Log, lengths: &[usize]) -> Frames {
    let first = log.last_sequence() + 1;
    let frames: Frames =
        (first..).zip(lengths).map(|(sequence, length)| (sequence, payload(sequence, *length))).collect();
    let payloads: Vec<Payload> = frames.iter().map(|(_, payload)| payload.clone()).collect();
    assert_eq!(append(log, &payloads).unwrap(), first);
    frames
}

fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with(dir())).collect()
}

fn quarantined_files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with("/archive/quarantine")).collect()
}

/// The file and offset at which a frame with `payload` stands.
fn place(disk: &SimDisk, Payload(payload): &Payload) -> (PathBuf, u64) {
    let found = log_files(disk).into_iter().find_map(|path| {
        let bytes = disk.read(&path).unwrap();
        let at = bytes.windows(payload.len()).position(|window| window == payload)?;
        Some((path, at as u64))
    });
    found.expect("the payload is in the log")
}

// Histories.

/// A log, and what it must give back.
struct History {
    sim: Sim,
    dice: SimRandom,
    log: Option<Log>,
    /// What the manifest says is in segments.
    after: u64,
    acknowledged: BTreeMap<u64, Payload>,
    /// The group that was being written.
    attempted: Frames,
}

impl History {
    fn new(seed: u64) -> History {
        History {
            sim: machine(seed),
            dice: SimRandom::new(seed ^ 0x5eed),
            log: None,
            after: 0,
            acknowledged: BTreeMap::new(),
            attempted: Vec::new(),
        }
    }

    /// Goes through a history that follows from the seed, up to the first error.
    fn run(&mut self, steps: u32) -> Result<()> {
        self.open()?;
        for _ in 0..steps {
            match self.dice.below(16) {
                0 => self.log_mut().mark_idle()?,
                1 | 2 => self.release()?,
                3 => {
                    self.log = None;
                    self.sim.disk.kill_process();
                    self.open()?;
                }
                4 => {
                    self.log.take().expect("it is open").close()?;
                    self.open()?;
                }
                _ => self.append()?,
            }
        }
        Ok(())
    }

    fn log_mut(&mut self) -> &mut Log {
        self.log.as_mut().expect("it is open")
    }

    fn open(&mut self) -> Result<()> {
        let (log, replay, frames) = recover(&self.sim, self.after)?;
        self.log = Some(log);
        assert_eq!(frames, self.expected(), "a restart without a crash changes nothing");
        assert_eq!((replay.lost, replay.quarantined), (vec![], vec![]));
        Ok(())
    }

    fn expected(&self) -> Frames {
        self.acknowledged.range(self.after + 1..).map(|(sequence, payload)| (*sequence, payload.clone())).collect()
    }

    fn append(&mut self) -> Result<()> {
        let frames = 1 + self.dice.below(4);
        let longest = [50, 900, 5000][self.dice.below(3) as usize];
        let first = self.log_mut().last_sequence() + 1;
        self.attempted.clear();
        for sequence in first..first + frames {
            let length = 8 + self.dice.below(longest) as usize;
            self.attempted.push((sequence, payload(sequence, length)));
        }
        let payloads: Vec<Payload> = self.attempted.iter().map(|(_, payload)| payload.clone()).collect();
        assert_eq!(append(self.log_mut(), &payloads)?, first);
        self.acknowledged.extend(self.attempted.drain(..));
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        let last = self.log_mut().last_sequence();
        self.after += self.dice.below(last - self.after + 1);
        let after = self.after;
        self.log_mut().release(after)?;
        if after == last && !self.sim.disk.is_off() {
            assert_eq!(self.log_mut().bytes(), 0);
            let files = log_files(&self.sim.disk).len();
            assert!(files <= 4, "{files} files are kept");
        }
        Ok(())
    }

    /// What recovery may give back: all that was acknowledged, then a part of the last group from
    /// its beginning.
    fn check(&self, frames: &Frames, replay: &Replay, story: &str) {
        let expected = self.expected();
        assert!(frames.starts_with(&expected), "{story}: acknowledged frames are missing");
        let rest = &frames[expected.len()..];
        let attempted: Vec<_> = self.attempted.iter().filter(|(sequence, _)| *sequence > self.after).cloned().collect();
        assert!(attempted.starts_with(rest), "{story}: more than was written came back");
        assert_eq!((&replay.lost, &replay.quarantined), (&vec![], &vec![]), "{story}");
    }
}

/// `count` seeds from `first` on, or as many as the environment says.
fn seeds(first: u64, count: u64) -> Range<u64> {
    let count = std::env::var("WAL_SEEDS").map_or(count, |text| text.parse().expect("a number of seeds"));
    first..first + count
}

fn fates() -> impl Iterator<Item = Fate> {
    [Fate::Kept, Fate::Lost].into_iter().chain((0..8).map(Fate::Torn))
}

/// The syncs of a history.
fn count_syncs(seed: u64, steps: u32) -> u64 {
    let mut history = History::new(seed);
    let before = history.sim.disk.syncs();
    history.run(steps).unwrap();
    history.sim.disk.syncs() - before
}

#[test]
fn a_crash_at_any_sync_loses_nothing_acknowledged() {
    for seed in seeds(0, 6) {
        for k in 1..=count_syncs(seed, 60) {
            let mut history = History::new(seed);
            history.sim.disk.crash_at_sync(k);
            // An error while preparing shows only with the next group, and there may be none.
            let _ = history.run(60);
            assert!(history.sim.disk.is_off());
            for fate in fates() {
                let story = format!("seed {seed}, sync {k}, {fate:?}");
                let sim = with_disk(&history.sim, history.sim.disk.fork());
                sim.disk.restart(fate);
                let (_, replay, first) = recover(&sim, history.after).unwrap();
                history.check(&first, &replay, &story);
                // What was accepted once stays, whatever a second crash takes.
                sim.disk.restart(Fate::Lost);
                let (_, replay, second) = recover(&sim, history.after).unwrap();
                assert_eq!(second, first, "{story}: the second recovery differs");
                assert_eq!((replay.lost, replay.quarantined), (vec![], vec![]), "{story}");
            }
        }
    }
}

#[test]
fn a_crash_during_recovery_changes_nothing() {
    for seed in seeds(10, 3) {
        for k in (1..=count_syncs(seed, 40)).step_by(2) {
            let mut history = History::new(seed);
            history.sim.disk.crash_at_sync(k);
            let _ = history.run(40);
            assert!(history.sim.disk.is_off());
            for (fate, again) in fates().zip(fates().skip(1)) {
                let crashed = history.sim.disk.fork();
                crashed.restart(fate);
                for j in 1.. {
                    let story = format!("seed {seed}, sync {k}, {fate:?}, then sync {j} of recovery, {again:?}");
                    let sim = with_disk(&history.sim, crashed.fork());
                    sim.disk.crash_at_sync(j);
                    let done = recover(&sim, history.after).is_ok();
                    sim.disk.restart(again);
                    let (_, replay, frames) = recover(&sim, history.after).unwrap();
                    history.check(&frames, &replay, &story);
                    if done {
                        break;
                    }
                }
            }
        }
    }
}

/// A failed sync leaves pages that look clean. What a restarted process takes from them has to be
/// durable like everything else it took.
#[test]
fn what_recovery_takes_after_a_failed_sync_is_durable() {
    let mut taken = 0;
    for nth in 1..60 {
        let mut history = History::new(21);
        history.open().unwrap();
        history.sim.disk.fail(Operation::SyncData, nth, io::ErrorKind::Other);
        let Err(error) = (0..80).try_for_each(|_| history.append()) else { continue };
        // A failure to prepare the next file shows with the group after it.
        assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::ReadOnly), "{error}");
        let refused = append(history.log_mut(), &[Payload(vec![1])]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnly, "{refused}");
        history.log = None;
        history.sim.disk.kill_process();
        let (log, replay, first) = recover(&history.sim, 0).unwrap();
        history.check(&first, &replay, &format!("sync {nth} failed"));
        taken += first.len() - history.expected().len();
        drop(log);
        history.sim.disk.restart(Fate::Lost);
        let (_, replay, second) = recover(&history.sim, 0).unwrap();
        assert_eq!(second, first, "sync {nth} failed");
        assert_eq!(replay.lost, vec![]);
    }
    assert!(taken > 0, "some unacknowledged group was taken from the page cache");
}

#[test]
fn sequences_go_on_over_restarts() {
    let sim = machine(1);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    assert_eq!(log.last_sequence(), 0);
    append_lengths(&mut log, &[10, 20]);
    log.mark_idle().unwrap();
    log.mark_idle().unwrap();
    assert_eq!(log.last_sequence(), 3, "the idle frame has a sequence, the second call writes none");
    drop(log);
    let (mut log, _, frames) = recover(&sim, 0).unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(append_lengths(&mut log, &[30])[0].0, 4);
    // The manifest may know more than a log that was lost.
    drop(log);
    let (mut log, replay, frames) = recover(&sim, 100).unwrap();
    assert_eq!((frames, replay), (vec![], Replay::default()));
    assert_eq!(log.last_sequence(), 100);
    let newest = append_lengths(&mut log, &[40]);
    drop(log);
    let (_, replay, frames) = recover(&sim, 100).unwrap();
    assert_eq!((frames, replay.lost), (newest, vec![]));
}

#[test]
fn idle_restarts_take_no_space() {
    let sim = machine(2);
    for turn in 0..20 {
        let (mut log, replay, _) = recover(&sim, 3).unwrap();
        assert_eq!(replay, Replay::default(), "turn {turn}");
        log.mark_idle().unwrap();
        if turn % 2 == 0 {
            log.close().unwrap();
        }
    }
    assert!(log_files(&sim.disk).len() <= 3, "{:?}", log_files(&sim.disk));
}

// Damage.

/// Six groups of two frames, marked idle, in a log that nobody has open.
fn six_groups(sim: &Sim) -> Frames {
    let (mut log, ..) = recover(sim, 0).unwrap();
    let mut frames: Frames = (0..6).flat_map(|_| append_lengths(&mut log, &[300, 2000])).collect();
    log.mark_idle().unwrap();
    frames.sort();
    frames
}

fn flip_in(sim: &Sim, frame: &(u64, Payload)) {
    let (path, offset) = place(&sim.disk, &frame.1);
    sim.disk.flip(&path, offset + 33, 2).unwrap();
}

/// Recovers, and again after a crash: both must say the same.
fn recover_twice(sim: &Sim, after: u64) -> (Replay, Frames) {
    let (log, replay, frames) = recover(sim, after).unwrap();
    drop(log);
    sim.disk.restart(Fate::Lost);
    let (_, again, same) = recover(sim, after).unwrap();
    assert_eq!((&again, &same), (&replay, &frames));
    (replay, frames)
}

#[test]
fn damage_to_an_acknowledged_frame_is_reported() {
    for damaged in 0..12 {
        let sim = machine(3);
        let mut frames = six_groups(&sim);
        flip_in(&sim, &frames[damaged]);
        let (path, _) = place(&sim.disk, &frames[(damaged + 1) % 12].1);
        let bytes = sim.disk.read(&path).unwrap();
        let (sequence, _) = frames.remove(damaged);
        let (replay, found) = recover_twice(&sim, 0);
        assert_eq!(found, frames, "all others are there");
        assert_eq!(replay.lost, [sequence..=sequence]);
        assert_eq!(replay.quarantined, quarantined_files(&sim.disk));
        assert_eq!(replay.quarantined.len(), 1);
        if damaged < 6 {
            assert_eq!(sim.disk.read(&replay.quarantined[0]).unwrap(), bytes);
        }
        // What segments hold is no loss.
        let (replay, _) = recover_twice(&sim, sequence);
        assert_eq!(replay.lost, []);
    }
}

#[test]
fn the_last_group_may_be_torn() {
    let sim = machine(4);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    let kept = append_lengths(&mut log, &[100, 100]);
    let torn = append_lengths(&mut log, &[100, 100]);
    drop(log);
    let (path, offset) = place(&sim.disk, &torn[0].1);
    sim.disk.flip(&path, offset, 0).unwrap();
    let (mut log, replay, frames) = recover(&sim, 0).unwrap();
    assert_eq!(frames, kept);
    assert_eq!((replay.lost, replay.quarantined), (vec![], vec![]));
    // What is written next has the torn frames' sequences; they never come back, even whole.
    let newer = append_lengths(&mut log, &[50]);
    assert_eq!(newer[0].0, torn[0].0);
    drop(log);
    sim.disk.flip(&path, offset, 0).unwrap();
    assert_eq!(place(&sim.disk, &torn[0].1), (path, offset));
    let (replay, frames) = recover_twice(&sim, 0);
    assert_eq!(frames, [kept, newer].concat());
    assert_eq!(replay.lost, []);
}

/// The length of a payload whose frame fills a block.
const FILLS_BLOCK: usize = 4096 - 40;

/// A log whose only group is torn: its first frame is damaged, the second, in a block of its own,
/// is whole. Returns the file and the frames.
fn torn_from_the_beginning(sim: &Sim) -> (PathBuf, Frames) {
    let (mut log, ..) = recover(sim, 0).unwrap();
    let torn = append_lengths(&mut log, &[FILLS_BLOCK, 100]);
    drop(log);
    flip_in(sim, &torn[0]);
    (place(&sim.disk, &torn[1].1).0, torn)
}

#[test]
fn what_a_file_held_before_never_comes_back() {
    let sim = machine(32);
    let (path, torn) = torn_from_the_beginning(&sim);
    for other in log_files(&sim.disk).iter().filter(|other| **other != path) {
        sim.disk.remove(other).unwrap();
    }
    // The only file is used again, and the new first frame stands right before the old second one.
    let (mut log, ..) = recover(&sim, 0).unwrap();
    let newer = append_lengths(&mut log, &[100]);
    drop(log);
    assert_eq!(place(&sim.disk, &torn[1].1), (path, 2 * BLOCK + 40));
    let (replay, frames) = recover_twice(&sim, 0);
    assert_eq!((frames, replay.lost), (newer, vec![]));
}

#[test]
fn frames_behind_a_damaged_header_must_prove_themselves() {
    let sim = machine(33);
    let (path, _) = torn_from_the_beginning(&sim);
    sim.disk.flip(&path, 20, 0).unwrap();
    let (_, replay, frames) = recover(&sim, 0).unwrap();
    assert_eq!((frames, replay.lost), (vec![], vec![]), "the second frame was never accepted");
    assert_eq!(replay.quarantined.len(), 1);
}

#[test]
fn a_damaged_header_costs_no_frame() {
    let sim = machine(5);
    let frames = six_groups(&sim);
    let (path, _) = place(&sim.disk, &frames[0].1);
    sim.disk.flip(&path, 20, 0).unwrap();
    let (replay, found) = recover_twice(&sim, 0);
    assert_eq!(found, frames);
    assert_eq!((replay.lost.len(), replay.quarantined.len()), (0, 1));
}

#[test]
fn a_missing_file_is_reported() {
    let sim = machine(6);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    let frames: Frames = (0..12).flat_map(|_| append_lengths(&mut log, &[3000, 3000])).collect();
    log.mark_idle().unwrap();
    drop(log);
    let (path, _) = place(&sim.disk, &frames[10].1);
    let bytes = sim.disk.read(&path).unwrap();
    sim.disk.remove(&path).unwrap();
    let is_in = |frame: &(u64, Payload)| bytes.windows(frame.1.0.len()).any(|window| window == frame.1.0);
    let (gone, kept): (Frames, Frames) = frames.into_iter().partition(is_in);
    let (replay, found) = recover_twice(&sim, 0);
    assert_eq!(found, kept);
    assert_eq!(replay.lost, [gone[0].0..=gone[gone.len() - 1].0]);
}

#[test]
fn unreadable_sectors_cost_only_their_frames() {
    let sim = machine(7);
    let mut frames = six_groups(&sim);
    let (path, offset) = place(&sim.disk, &frames[2].1);
    sim.disk.make_unreadable(&path, offset..offset + 512).unwrap();
    // The group of that frame lies in one block.
    let lost: Frames = frames.drain(2..4).collect();
    let (_, replay, found) = recover(&sim, 0).unwrap();
    assert_eq!(found, frames);
    assert_eq!(replay.lost, [lost[0].0..=lost[1].0]);
    assert_eq!(replay.quarantined.len(), 1);
}

#[test]
fn foreign_files_stay_as_they_are() {
    let sim = machine(8);
    let frames = six_groups(&sim);
    let foreign: [(&str, &[u8]); 4] =
        [("notes.txt", b"mine"), ("1.log", b"mine"), ("00000001.log.bak", b"mine"), ("00000077.log", b"short")];
    for (name, bytes) in foreign {
        let file = sim.disk.open(&dir().join(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.sync_data().unwrap();
    }
    let (replay, found) = recover_twice(&sim, 0);
    assert_eq!((found, replay.lost), (frames, vec![]));
    assert_eq!(replay.quarantined.len(), 1, "only the one that is named like a log file is of interest");
    for (name, bytes) in foreign {
        assert_eq!(sim.disk.read(&dir().join(name)).unwrap(), bytes);
    }
}

#[test]
fn a_copied_log_file_counts_once() {
    let sim = machine(9);
    let frames = six_groups(&sim);
    for (number, path) in log_files(&sim.disk).into_iter().enumerate() {
        let bytes = sim.disk.read(&path).unwrap();
        let copy = dir().join(format!("000009{number:02}.log"));
        let file = sim.disk.open(&copy, OpenMode::CreateNew).unwrap();
        file.write_all_at(&bytes, 0).and_then(|()| file.sync_data()).unwrap();
    }
    let (replay, found) = recover_twice(&sim, 0);
    assert_eq!((found, replay.lost, replay.quarantined), (frames, vec![], vec![]));
}

#[test]
fn garbage_never_panics() {
    for seed in 0..200 {
        let sim = machine(seed);
        let dice = SimRandom::new(seed);
        let frames = six_groups(&sim);
        for path in log_files(&sim.disk) {
            let bytes = sim.disk.read(&path).unwrap();
            let file = sim.disk.open(&path, OpenMode::Write).unwrap();
            for _ in 0..dice.below(4) {
                let garbage: Vec<u8> = (0..dice.below(9000)).map(|_| dice.below(256) as u8).collect();
                file.write_all_at(&garbage, dice.below(bytes.len() as u64)).unwrap();
            }
        }
        let size = dice.below(3 * OPTIONS.file_bytes) as usize;
        let garbage: Vec<u8> = (0..size).map(|_| dice.below(256) as u8).collect();
        let file = sim.disk.open(&dir().join("00000500.log"), OpenMode::CreateNew).unwrap();
        file.write_all_at(&garbage, 0).unwrap();
        let after = dice.below(5);
        let (_, _, found) = recover(&sim, after).unwrap();
        assert!(found.iter().all(|frame| frames.contains(frame)), "seed {seed}: a frame nobody wrote");
        assert!(found.is_sorted(), "seed {seed}");
        let disk: Arc<dyn Disk> = Arc::new(sim.disk.clone());
        verify(&disk, dir(), after).unwrap();
    }
}

#[test]
fn another_version_is_refused() {
    let sim = machine(31);
    let frames = six_groups(&sim);
    let (path, _) = place(&sim.disk, &frames[0].1);
    let mut header = sim.disk.read(&path).unwrap()[..60].to_vec();
    header[8] = 2;
    let crc = tagus_engine::format::crc32c(&header[..56]);
    header[56..60].copy_from_slice(&crc.to_le_bytes());
    sim.disk.open(&path, OpenMode::Write).unwrap().write_all_at(&header, 0).unwrap();
    let error = recover(&sim, 0).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
}

// Space.

#[test]
fn released_files_are_used_again() {
    let sim = machine(41);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    let mut newest = Vec::new();
    for _ in 0..200 {
        newest = append_lengths(&mut log, &[5000, 3000]);
        let released = log.last_sequence() - 2;
        log.release(released).unwrap();
        assert!(log.bytes() <= 2 * OPTIONS.file_bytes);
        assert!(log_files(&sim.disk).len() <= 5);
    }
    drop(log);
    sim.disk.restart(Fate::Kept);
    let after = newest[0].0 - 1;
    // No frame of an earlier use of the files comes back.
    let (_, replay, frames) = recover(&sim, after).unwrap();
    assert_eq!((frames, replay.lost), (newest, vec![]));
}

#[test]
fn a_full_disk_is_waited_for() {
    let sim = machine(42);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    sim.disk.set_capacity(5 * OPTIONS.file_bytes + 2 * BLOCK);
    let mut frames = Vec::new();
    let error = loop {
        let sequence = log.last_sequence() + 1;
        match append(&mut log, &[payload(sequence, 4000)]) {
            Ok(first) => frames.push((first, payload(first, 4000))),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(frames.len(), 5 * 7, "five files are filled to the end");
    assert_eq!(log_files(&sim.disk).len(), 5, "nothing half made is left");
    assert_eq!(append(&mut log, &[Payload(vec![1])]).unwrap_err().kind(), ErrorKind::Exhausted);
    log.mark_idle().unwrap();

    // Also a restart goes on without room for another file.
    drop(log);
    sim.disk.restart(Fate::Lost);
    let (mut log, replay, found) = recover(&sim, 0).unwrap();
    assert_eq!((&found, replay.lost), (&frames, vec![]));
    assert_eq!(append(&mut log, &[Payload(vec![1])]).unwrap_err().kind(), ErrorKind::Exhausted);
    sim.disk.set_capacity(None);
    frames.extend(append_lengths(&mut log, &[100]));
    drop(log);
    let (mut log, replay, found) = recover(&sim, 0).unwrap();
    assert_eq!((&found, replay.lost), (&frames, vec![]));

    // Releasing gives room as well.
    sim.disk.set_capacity(sim.disk.used_bytes());
    log.release(frames[frames.len() - 1].0).unwrap();
    append_lengths(&mut log, &[4000]);
}

#[test]
fn a_disk_that_is_full_in_spite_of_its_figures_is_waited_for() {
    for operation in [Operation::Create, Operation::Write, Operation::SyncData, Operation::Rename, Operation::SyncDir] {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let sim = machine(43);
            let (mut log, ..) = recover(&sim, 0).unwrap();
            // The seventh group fills the first file, and the spare is prepared already; once the
            // second is begun, the third is prepared.
            let mut frames: Frames = (0..7).flat_map(|_| append_lengths(&mut log, &[4000])).collect();
            // The eighth append writes a header and a group before it prepares.
            let nth = if matches!(operation, Operation::Write | Operation::SyncData) { 3 } else { 1 };
            sim.disk.fail(operation, nth, kind);
            frames.extend(append_lengths(&mut log, &[4000]));
            assert_eq!(log_files(&sim.disk).len(), 2, "{operation:?}: what was begun is removed");
            frames.extend((0..20).flat_map(|_| append_lengths(&mut log, &[4000])));
            drop(log);
            sim.disk.restart(Fate::Lost);
            let (_, replay, found) = recover(&sim, 0).unwrap();
            assert_eq!((found, replay.lost), (frames, vec![]), "{operation:?} {kind}");
        }
    }
}

#[test]
fn the_budget_bounds_unflushed_files() {
    let sim = machine(44);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    let error = loop {
        if let Err(error) = append(&mut log, &[payload(7, 4000)]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(log.bytes(), OPTIONS.bytes_max);
    let last = log.last_sequence();
    log.release(last - 1).unwrap();
    append_lengths(&mut log, &[4000]);
    drop(log);
    assert_eq!(recover(&sim, last).unwrap().2.len(), 1);
}

#[test]
fn wrong_groups_are_refused_and_harmless() {
    let sim = machine(45);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    let wrong: [&[Payload]; 4] =
        [&[], &[Payload(vec![])], &[payload(0, 8 << 20)], &[payload(0, 20_000), payload(0, 20_000)]];
    for payloads in wrong {
        assert_eq!(append(&mut log, payloads).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let frames = append_lengths(&mut log, &[7 * 4096 - 40]);
    assert_eq!(frames[0].0, 1, "the longest frame fits");
    drop(log);
    assert_eq!(recover(&sim, 0).unwrap().2, frames);
}

// Verification.

fn damages(sim: &Sim, after: u64) -> Vec<LogDamage> {
    let disk: Arc<dyn Disk> = Arc::new(sim.disk.clone());
    verify(&disk, dir(), after).unwrap().damages
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found() {
    let sim = machine(51);
    let (mut log, ..) = recover(&sim, 0).unwrap();
    for _ in 0..30 {
        append_lengths(&mut log, &[5000, 3000]);
        let last = log.last_sequence();
        log.release(last).unwrap();
    }
    let last = log.last_sequence();
    log.close().unwrap();
    assert_eq!(damages(&sim, last), []);
    let files = log_files(&sim.disk);
    assert!(!files.is_empty());
    for path in files {
        let length = sim.disk.read(&path).unwrap().len() as u64;
        for offset in 0..length {
            sim.disk.flip(&path, offset, (offset % 8) as u8).unwrap();
            let found = damages(&sim, last);
            assert_eq!(found.len(), 1, "byte {offset} of {}", path.display());
            assert_eq!(found[0].path, path);
            sim.disk.flip(&path, offset, (offset % 8) as u8).unwrap();
        }
    }
    let (log, replay, frames) = recover(&sim, last).unwrap();
    assert_eq!((log.last_sequence(), replay, frames), (last, Replay::default(), vec![]));
}

#[test]
fn every_flipped_bit_of_acknowledged_frames_is_found() {
    const FRAME_HEADER_BYTES: u64 = 40;
    let sim = machine(53);
    for (sequence, payload) in six_groups(&sim) {
        let (path, start) = place(&sim.disk, &payload);
        for offset in start - FRAME_HEADER_BYTES..start + payload.0.len() as u64 {
            let bit = (offset % 8) as u8;
            sim.disk.flip(&path, offset, bit).unwrap();
            let found = damages(&sim, 0);
            assert!(found.iter().any(|damage| damage.path == path), "frame {sequence}, byte {offset}");
            sim.disk.flip(&path, offset, bit).unwrap();
        }
    }
    assert_eq!(damages(&sim, 0), []);
}

#[test]
fn a_log_that_was_not_closed_is_checked_as_far_as_it_can_be() {
    let sim = machine(52);
    let frames = six_groups(&sim);
    assert_eq!(damages(&sim, 0), []);
    flip_in(&sim, &frames[3]);
    let found = damages(&sim, 0);
    assert_eq!(found.len(), 1);
    let (path, _) = place(&sim.disk, &frames[4].1);
    assert_eq!(found[0].path, path);
    assert!(found[0].why.contains("frames 4 to 4"), "{}", found[0].why);
    assert_eq!(damages(&sim, 4), []);
}
