//! Recovery: from the files of the log to the frames that were accepted.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{LogFile, Store};
use super::frame::{Frame, group_bytes};
use super::header::Header;
use super::log::{Log, Standing, Start};
use super::scan::{Scan, Step};
use super::survey::{Candidate, Survey, begin_soundly, is_zero};
use super::{LogOptions, Replay};
use crate::env::{Env, File};
use crate::format::wide;
use crate::limits::BLOCK_BYTES;
use crate::{Error, ErrorKind, Result};

/// Takes the payload of an accepted frame.
type Apply<'a> = dyn FnMut(u64, &[u8]) -> Result<()> + 'a;

impl Log {
    /// Opens the log in the folder `dir`, creating it where there is none; copies of damaged files
    /// go to `quarantine` beside that folder. Hands all frames
    /// with a sequence above `after`, which segments hold, to `apply` in the order of sequences,
    /// and goes on in a new file. Reads one file at a time into memory.
    ///
    /// Frames are accepted up to the first that is neither valid nor proven to have been synced.
    /// Recovering again without writing accepts the same frames. Where the disk has no room for a
    /// new file the log opens all the same; appending waits for room.
    ///
    /// Errors: `Unusable` for files of another version, `Io` and `Exhausted` from the disk, and
    /// what `apply` answers.
    pub fn recover(
        env: &Env,
        dir: &Path,
        options: LogOptions,
        after: u64,
        apply: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<(Log, Replay)> {
        let mut store = Store::open(&env.disk, dir, options)?;
        let survey = Survey::of(&mut store, after)?;
        let mut replayer = Replayer::new(&store, after, apply);
        replayer.replay.quarantined = survey.quarantined;
        let candidates = replayer.run(survey.candidates)?;
        let Replayer { accepted, data, tail, replay, .. } = replayer;
        let number = candidates.iter().filter(|it| !it.salvaged).map(|it| it.header.number).max().unwrap_or(0);
        let standing = Standing { last: accepted, data, released: after, number };
        let mut log = Log::new(store, env.random.clone(), options, standing);
        log.spares = survey.free;
        for candidate in candidates {
            candidate.hand_to(&mut log, after);
        }
        log.resume(tail)?;
        Ok((log, replay))
    }

    /// The sequences above `after` that [`Log::recover`] would report as lost, ascending. Changes
    /// nothing; a folder that is not there has lost nothing.
    pub fn losses(env: &Env, dir: &Path, options: LogOptions, after: u64) -> Result<Vec<RangeInclusive<u64>>> {
        if matches!(env.disk.list(dir), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Ok(Vec::new());
        }
        let mut store = Store::look(&env.disk, dir, options.file_bytes);
        let survey = Survey::of(&mut store, after)?;
        rehearse(&store, survey.candidates, after).map(|(_, lost)| lost)
    }

    /// Begins a file and clears up.
    fn resume(&mut self, tail: Option<Tail>) -> Result<()> {
        let fitting = self.spares.iter().position(|file| self.store.fits(file));
        let file = match fitting {
            Some(index) => Ok(self.spares.swap_remove(index)),
            None => self.next_fitting(),
        };
        match file {
            Ok(file) => self.begin_after(file, tail)?,
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                if let Some(tail) = tail {
                    tail.sync()?;
                }
            }
            Err(error) => return Err(error),
        }
        self.trim()?;
        self.prepare_spare(u64::MAX)
    }

    /// A new file, whatever lies about.
    fn next_fitting(&mut self) -> Result<LogFile> {
        let unfit = std::mem::take(&mut self.spares);
        let file = self.next_file();
        self.spares.extend(unfit);
        file
    }

    fn begin_after(&mut self, file: LogFile, tail: Option<Tail>) -> Result<()> {
        let plain = Start { after: self.last_sequence(), data: self.data_sequence(), carried: &[] };
        let Some(tail) = tail else { return self.start(file, &plain) };
        let payloads: Vec<&[u8]> = tail.frames.iter().map(|(_, payload)| &payload[..]).collect();
        if wide(BLOCK_BYTES) + wide(group_bytes(&payloads)) > file.bytes {
            tail.sync()?;
            return self.start(file, &plain);
        }
        self.start(file, &Start { after: tail.durable, data: tail.durable_data, carried: &tail.frames })
    }
}

/// Goes through the files as a recovery would, and changes nothing: the files with what was found in
/// each, and the sequences that would be reported as lost.
pub(super) fn rehearse(
    store: &Store,
    candidates: Vec<Candidate>,
    after: u64,
) -> Result<(Vec<Candidate>, Vec<RangeInclusive<u64>>)> {
    let mut ignore = |_: u64, _: &[u8]| Ok(());
    let mut replayer = Replayer::new(store, after, &mut ignore);
    let candidates = replayer.run(candidates)?;
    Ok((candidates, replayer.replay.lost))
}

/// The last group of the log. Nothing says that it was ever synced: the page cache may hold what
/// the disk never took, also after a failed sync. It is therefore written anew to another file.
struct Tail {
    file: Arc<dyn File>,
    path: PathBuf,
    /// All frames up to this were synced.
    durable: u64,
    /// The last of those with a payload.
    durable_data: u64,
    frames: Vec<(u64, Vec<u8>)>,
}

impl Tail {
    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("syncing", &self.path, &error))
    }
}

/// Walks through the files in their order.
struct Replayer<'a> {
    store: &'a Store,
    after: u64,
    apply: &'a mut Apply<'a>,
    /// The last sequence accepted.
    accepted: u64,
    /// The last sequence with a payload.
    data: u64,
    tail: Option<Tail>,
    replay: Replay,
}

impl<'a> Replayer<'a> {
    fn new(store: &'a Store, after: u64, apply: &'a mut Apply<'a>) -> Replayer<'a> {
        Replayer { store, after, apply, accepted: after, data: after, tail: None, replay: Replay::default() }
    }

    fn run(&mut self, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>> {
        for index in 0..candidates.len() {
            let next = candidates[index + 1..].iter().find(|it| !it.salvaged).map(|it| it.header.start_after);
            let (before, rest) = candidates.split_at_mut(index);
            let candidate = &mut rest[0];
            if next.is_some_and(|next| next <= self.after) {
                self.data = self.data.max(candidate.header.data_through);
                continue;
            }
            if let Some(lost) = self.begin(&candidate.header, before.last_mut())? {
                let why = format!("frames {} to {} before this file are missing", lost.start(), lost.end());
                candidate.damages.push((0, why));
            }
            self.file(candidate, next)?;
        }
        Ok(candidates)
    }

    /// Takes note of what a header says of the time before it; what is lost of that.
    fn begin(&mut self, header: &Header, previous: Option<&mut Candidate>) -> Result<Option<RangeInclusive<u64>>> {
        let lost = self.lose(self.accepted.saturating_add(1)..=header.data_through);
        if lost.is_some()
            && let Some(previous) = previous
        {
            self.quarantine(previous)?;
        }
        self.data = self.data.max(header.data_through);
        if header.start_after >= self.accepted {
            self.accepted = header.start_after;
            self.tail = None;
        }
        Ok(lost)
    }

    fn file(&mut self, candidate: &mut Candidate, next: Option<u64>) -> Result<()> {
        let contents = self.store.read(&candidate.file, self.store.read_bytes_max())?;
        let mut scan = Scan::new(&contents.bytes, &candidate.header, next);
        // What is missing before a file is not in it.
        let damages_before = candidate.damages.len();
        let before = self.accepted;
        if contents.unreadable {
            candidate.damages.push((0, "some of its sectors cannot be read".into()));
        }
        loop {
            let at = scan.end();
            match scan.next() {
                None => break,
                Some(Step::Lost(range)) => {
                    if let Some(lost) = self.lose(range) {
                        let why = format!("frames {} to {} were synced and cannot be read", lost.start(), lost.end());
                        candidate.damages.push((wide(at), why));
                    }
                }
                Some(Step::Frame(frame)) if frame.sequence > self.accepted => self.accept(&frame, candidate)?,
                Some(Step::Frame(_)) => {}
            }
        }
        candidate.file.unreadable = contents.unreadable;
        candidate.end = wide(scan.end().next_multiple_of(BLOCK_BYTES));
        let behind_header = contents.bytes.get(BLOCK_BYTES..).unwrap_or(&[]);
        candidate.file.fresh = candidate.header.closed && is_zero(behind_header);
        candidate.file.shape.frames_torn = !begin_soundly(behind_header);
        let contributed = self.accepted > before;
        if contributed {
            self.tail = self.tail_of(&candidate.file, &scan);
        }
        // A header that a power cut met while the file was to be used again is no damage: all that
        // the file holds is in other files as well, or an idle frame.
        if candidate.salvaged && candidate.data > 0 {
            candidate.damages.push((0, "its header is damaged; its frames tell what it was".into()));
        }
        if candidate.damages.len() > damages_before {
            self.quarantine(candidate)?;
        }
        Ok(())
    }

    fn accept(&mut self, frame: &Frame<'_>, candidate: &mut Candidate) -> Result<()> {
        self.accepted = frame.sequence;
        if frame.payload.is_empty() {
            return Ok(());
        }
        self.data = frame.sequence;
        candidate.data = frame.sequence;
        self.replay.frames += 1;
        self.replay.bytes += wide(frame.payload.len());
        (self.apply)(frame.sequence, frame.payload)
    }

    /// The frames that have to be written anew: none where all are idle frames or in segments.
    fn tail_of(&self, file: &LogFile, scan: &Scan<'_>) -> Option<Tail> {
        let (durable, durable_data) = scan.durable_through();
        if self.data <= durable.max(self.after) {
            return None;
        }
        let frames = scan.unproven().map(|(sequence, payload)| (sequence, payload.to_vec())).collect();
        Some(Tail { file: file.file.clone(), path: file.path.clone(), durable, durable_data, frames })
    }

    /// Records sequences above the last accepted as lost; those, if there are any.
    fn lose(&mut self, range: RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
        let first = (*range.start()).max(self.accepted.saturating_add(1));
        let last = *range.end();
        if first > last {
            return None;
        }
        self.accepted = last;
        match self.replay.lost.last_mut() {
            Some(before) if *before.end() + 1 == first => *before = *before.start()..=last,
            _ => self.replay.lost.push(first..=last),
        }
        Some(first..=last)
    }

    fn quarantine(&mut self, candidate: &mut Candidate) -> Result<()> {
        if !candidate.quarantined {
            candidate.quarantined = true;
            self.replay.quarantined.push(self.store.quarantine(&candidate.file)?);
        }
        Ok(())
    }
}
