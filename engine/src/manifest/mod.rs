//! The manifest: the archive's one commit point.
//!
//! 1. A manifest file, once it has its number, never changes.
//! 2. Numbers follow each other; the state is the newest snapshot and the edits after it.
//! 3. A file has its number only after its bytes are durable, and an edit counts only after the
//!    directory entry is durable too.
//! 4. What an edit names is durable before the edit is written.
//! 5. Nothing rests on an edit before its directory entry is durable, also one that was found at
//!    start: a process may have ended between the link and the sync.

mod codec;
mod reducers;
mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use state::{Edit, ListFile, ManifestState, SourceState};

use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::format::wide;
use crate::limits;
use codec::Kind;

/// The writer of manifest files.
pub struct Manifest {
    env: Env,
    dir: PathBuf,
    archive: u64,
    state: Arc<ManifestState>,
    /// Number of the newest snapshot.
    snapshot: u64,
    next_segment_id: u64,
    /// Why nothing more can be appended: after a failed write what is on disk is not known.
    broken: Option<Error>,
}

impl Manifest {
    /// Starts the manifest of an empty archive, or reads the one that is there.
    ///
    /// # Errors
    /// `Damaged` where a file is missing or its bytes are not what was written.
    pub fn open(env: &Env, dir: &Path, archive: u64) -> Result<Manifest> {
        env.disk.create_dir(dir).map_err(|e| Error::io("creating", dir, &e))?;
        env.disk.sync_dir(dir).map_err(|e| Error::io("syncing", dir, &e))?;
        let mut numbers = list_numbers(env, dir)?;
        let mut manifest = Manifest::unread(env, dir, archive);
        manifest.state = Arc::new(ManifestState { next_segment_id: 1, ..ManifestState::default() });
        if let Some(newest) = numbers.pop() {
            manifest.replay(newest)?;
        }
        manifest.next_segment_id = manifest.state.next_segment_id;
        Ok(manifest)
    }

    fn unread(env: &Env, dir: &Path, archive: u64) -> Manifest {
        let (env, dir) = (env.clone(), dir.to_owned());
        Manifest { env, dir, archive, state: Arc::default(), snapshot: 0, next_segment_id: 1, broken: None }
    }

    /// The state after the last edit.
    pub fn state(&self) -> &Arc<ManifestState> {
        &self.state
    }

    /// An id for a new segment. It is given once, whatever becomes of the segment: the next edit
    /// says so, and a file that no edit names goes at the next start.
    pub fn take_segment_id(&mut self) -> u64 {
        self.next_segment_id += 1;
        self.next_segment_id - 1
    }

    /// Makes an edit durable and returns the state after it.
    ///
    /// # Errors
    /// `Conflict` where `expected` is not the last number or the edit cannot be. `Exhausted` where
    /// the disk is full or the file would be too long to be read: nothing has changed and the same
    /// edit may be tried again. After a failed write nothing more can be appended.
    pub fn append(&mut self, expected: u64, mut edit: Edit) -> Result<&Arc<ManifestState>> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if expected != self.state.number {
            return Err(impossible(format!(
                "edit {} follows {}, not {expected}",
                self.state.number + 1,
                self.state.number
            )));
        }
        edit.next_segment_id = edit.next_segment_id.max(self.next_segment_id);
        let number = self.state.number + 1;
        let is_snapshot = self.snapshot == 0 || number - self.snapshot >= limits::MANIFEST_EDITS_PER_SNAPSHOT;
        // Encoded before it is applied: an edit of many tags is not there twice.
        let encoded = (!is_snapshot).then(|| codec::encode(Kind::Edit, self.archive, number, &edit));
        let mut next = ManifestState::clone(&self.state);
        next.apply(edit).map_err(impossible)?;
        let bytes = encoded.unwrap_or_else(|| codec::encode(Kind::Snapshot, self.archive, number, &next.as_edit()));
        check_length(bytes.len())?;
        if let Err(error) = self.write(next.number, &bytes) {
            if error.kind() != ErrorKind::Exhausted {
                self.broken = Some(error.clone());
            }
            return Err(error);
        }
        self.next_segment_id = next.next_segment_id;
        self.state = Arc::new(next);
        if is_snapshot {
            self.snapshot = self.state.number;
            self.remove_before_snapshot();
        }
        Ok(&self.state)
    }

    fn write(&mut self, number: u64, bytes: &[u8]) -> Result<()> {
        let disk = &self.env.disk;
        let temporary = self.dir.join("next.tmp");
        let target = self.path(number);
        match disk.remove(&temporary) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("removing", &temporary, &e)),
            _ => {}
        }
        let made = disk.open(&temporary, OpenMode::CreateNew).map_err(|e| Error::creating(&temporary, &e))?;
        let filled = made.write_all_at(bytes, 0).map(|()| made);
        // Until the sync nothing is promised: a full disk is given back what was taken.
        let file = filled.map_err(|e| {
            let _ = disk.remove(&temporary);
            Error::io("writing", &temporary, &e)
        })?;
        let broken = |what: &str, path: &Path, e: std::io::Error| {
            let error = Error::io(what, path, &e);
            if error.kind() == ErrorKind::Exhausted { error.with_kind(ErrorKind::Io) } else { error }
        };
        file.sync_data().map_err(|e| broken("syncing", &temporary, e))?;
        disk.link(&temporary, &target).map_err(|e| broken("linking", &target, e))?;
        disk.sync_dir(&self.dir).map_err(|e| broken("syncing", &self.dir, e))?;
        // The second name is of no more use; a left-over is removed before the next edit.
        let _ = disk.remove(&temporary);
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(file_name(number))
    }

    fn remove_before_snapshot(&self) {
        // What cannot be removed now is removed after a later snapshot: it is not read again.
        for number in list_numbers(&self.env, &self.dir).unwrap_or_default() {
            if number < self.snapshot {
                let _ = self.env.disk.remove(&self.path(number));
            }
        }
    }

    /// Goes back from the newest file to a snapshot, then forward again.
    fn replay(&mut self, newest: u64) -> Result<()> {
        let mut edits = Vec::new();
        let mut number = newest;
        loop {
            let (kind, edit) = self.read(number)?;
            edits.push(edit);
            if kind == Kind::Snapshot {
                break;
            }
            number = number
                .checked_sub(1)
                .filter(|n| *n > 0)
                .ok_or_else(|| Error::damaged(&self.path(number), 0, "no snapshot stands before the first edit"))?;
        }
        self.snapshot = number;
        let mut state = ManifestState { number: number - 1, ..ManifestState::default() };
        for edit in edits.into_iter().rev() {
            let path = self.path(state.number + 1);
            state.apply(edit).map_err(|why| Error::damaged(&path, 0, why))?;
        }
        self.state = Arc::new(state);
        Ok(())
    }

    fn read(&self, number: u64) -> Result<(Kind, Edit)> {
        let path = self.path(number);
        let file = self.env.disk.open(&path, OpenMode::Read).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::damaged(&path, 0, "the file is missing"),
            _ => Error::io("opening", &path, &e),
        })?;
        let length = file.len().map_err(|e| Error::io("reading", &path, &e))?;
        if length > limits::MANIFEST_FILE_BYTES_MAX {
            let most = limits::MANIFEST_FILE_BYTES_MAX;
            return Err(Error::damaged(&path, 0, format!("the file has {length} bytes, at most {most} are read")));
        }
        let bytes =
            file.read_ranges(std::slice::from_ref(&(0..length))).map_err(|e| Error::io("reading", &path, &e))?;
        codec::decode(&bytes[0], self.archive, number).map_err(|e| e.in_file(&path, 0))
    }
}

/// Checks all files of a manifest that nobody writes; the state, where it can be told, and how many
/// files there are, which may be none.
///
/// # Errors
/// The directory is there and cannot be listed. Damages are put to the others.
pub(crate) fn verify(
    env: &Env,
    dir: &Path,
    archive: u64,
    damages: &mut Vec<Error>,
) -> Result<(Option<Arc<ManifestState>>, usize)> {
    let missing = matches!(env.disk.list(dir), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
    let numbers = if missing { Vec::new() } else { list_numbers(env, dir)? };
    let mut manifest = Manifest::unread(env, dir, archive);
    let before = damages.len();
    damages.extend(numbers.iter().filter_map(|number| manifest.read(*number).err()));
    let Some(newest) = numbers.last() else { return Ok((None, 0)) };
    match manifest.replay(*newest) {
        Ok(()) => Ok((Some(manifest.state), numbers.len())),
        Err(error) => {
            // A file that cannot be read was found before; one that is missing, or contradicts, was not.
            if damages[before..].iter().all(|found| found.finding() != error.finding()) {
                damages.push(error);
            }
            Ok((None, numbers.len()))
        }
    }
}

/// The newest state of a manifest that nobody writes; none where it has no files.
///
/// # Errors
/// As [`Manifest::open`]; nothing is changed.
pub(crate) fn read(env: &Env, dir: &Path, archive: u64) -> Result<Option<Arc<ManifestState>>> {
    let Some(newest) = newest_number(env, dir)? else { return Ok(None) };
    let mut manifest = Manifest::unread(env, dir, archive);
    manifest.replay(newest)?;
    Ok(Some(manifest.state))
}

/// The highest number of a manifest's files.
pub(crate) fn newest_number(env: &Env, dir: &Path) -> Result<Option<u64>> {
    Ok(list_numbers(env, dir)?.pop())
}

/// Writes a state as a snapshot to a manifest that no engine has open. Once this returns, the state
/// is what is read there, if no file has a higher number.
///
/// # Errors
/// `Exhausted` where the disk is full: what was read there before is read still.
pub(crate) fn write_snapshot(env: &Env, dir: &Path, archive: u64, state: &ManifestState) -> Result<()> {
    let bytes = codec::encode(Kind::Snapshot, archive, state.number, &state.as_edit());
    check_length(bytes.len())?;
    files::replace(env, &snapshot_path(dir, state.number), &bytes)
}

/// Where [`write_snapshot`] puts a state.
pub(crate) fn snapshot_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(file_name(number))
}

/// Removes what a snapshot has made needless: the files of other numbers, and unfinished ones.
pub(crate) fn remove_others(env: &Env, dir: &Path, snapshot: u64) -> Result<()> {
    let others = list_numbers(env, dir)?.into_iter().filter(|number| *number != snapshot).map(file_name);
    let names = env.disk.list(dir).map_err(|e| Error::io("listing", dir, &e))?;
    let unfinished = names.into_iter().filter(|name| name.ends_with(".tmp"));
    others.chain(unfinished).try_for_each(|name| files::remove(env, &dir.join(name)))
}

fn impossible(why: String) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "appending to the manifest failed",
        why,
        "this is a defect; restart the server and report it",
    )
}

/// What could not be read again is not written.
fn check_length(bytes: usize) -> Result<()> {
    let most = limits::MANIFEST_FILE_BYTES_MAX;
    if wide(bytes) <= most {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Exhausted,
        "appending to the manifest failed",
        format!("the file would have {bytes} bytes, at most {most} are allowed"),
        "begin another archive for part of the tags",
    ))
}

fn file_name(number: u64) -> String {
    format!("{number:020}.manifest")
}

/// Numbers of the manifest files of a directory, ascending. Other files are left alone.
fn list_numbers(env: &Env, dir: &Path) -> Result<Vec<u64>> {
    let names = env.disk.list(dir).map_err(|e| Error::io("listing", dir, &e))?;
    let number = |name: &String| {
        let number = name.strip_suffix(".manifest")?.parse().ok()?;
        (*name == file_name(number)).then_some(number)
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
