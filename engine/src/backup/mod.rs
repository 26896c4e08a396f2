//! Backup: a copy of the archive as of one manifest number, made while writing, flushing and merging
//! go on.
//!
//! 1. A backup is laid out as an archive whose log is empty: what was acknowledged before is flushed
//!    first, and the state that names the segments is its only manifest file.
//! 2. Its manifest is its commit point: everything that it names is durable before it is written, and
//!    nothing that the one before it names is touched until it is durable.
//! 3. Segments that are being copied are held as a reader holds them: no merge removes their files.
//! 4. Nothing that happens to a backup ends writing: the disk of the backup is another one, or has
//!    room that writers do not need.

mod lists;
mod place;
mod restore;
mod target;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) use lists::is_there as list_is_there;
pub use restore::{RestoreReport, restore};

use crate::engine::{Engine, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::manifest::ManifestState;
use crate::segment::Segment;
use target::Target;

/// What a backup holds, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The number of the manifest that was backed up.
    pub manifest: u64,
    /// Its segments.
    pub segments: usize,
    /// Rows of these.
    pub rows: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Segments that were not in the backup yet.
    pub copied_segments: usize,
    /// Bytes of these.
    pub copied_bytes: u64,
}

/// A backup that is being made, a segment at a time. Dropped before [`Backup::finish`], it leaves
/// the backup before it as it was.
pub struct Backup {
    target: Target,
    state: Arc<ManifestState>,
    /// Segments that are not there yet.
    missing: Vec<Arc<Segment>>,
    missing_bytes: u64,
    report: BackupReport,
    turn: Turn,
}

impl Engine {
    /// Copies everything that was acknowledged before the call to the directory `to`: a missing or
    /// an empty one, or that of an earlier backup of this archive, to which only segments are copied
    /// that it does not have.
    ///
    /// # Errors
    /// `InvalidInput` for a directory that cannot be one; `Conflict` while another backup is made;
    /// `Exhausted` where a disk has no room; `Damaged` where a segment of the archive is; `Io` from
    /// the disks. The backup before is as it was then, and the next one goes on from what was copied.
    pub fn backup(&self, to: &Path) -> Result<BackupReport> {
        let mut backup = self.begin_backup(to)?;
        while backup.step()? {}
        backup.finish()
    }

    /// Begins a backup to the directory `to`: flushes, and finds out what has to be copied.
    ///
    /// # Errors
    /// As [`Engine::backup`].
    pub fn begin_backup(&self, to: &Path) -> Result<Backup> {
        let turn = Turn::take(&self.shared, to)?;
        Backup::begin(turn, to).map_err(|error| failed(to, &error))
    }
}

impl Backup {
    fn begin(turn: Turn, to: &Path) -> Result<Backup> {
        let shared = &turn.0;
        let archive = &shared.archive;
        let number = shared.published.read().base.number;
        let target = Target::open(&shared.env, &archive.dir, archive.mark, number, to)?;
        shared.flush()?;
        let (state, segments) = {
            let published = shared.published.read();
            (Arc::clone(&published.base), Arc::clone(&published.segments))
        };
        let missing: Vec<Arc<Segment>> = segments.iter().filter(|s| !target.has(s.meta())).rev().cloned().collect();
        let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|s| s.meta().bytes).sum();
        let report = BackupReport {
            manifest: state.number,
            segments: segments.len(),
            rows: segments.iter().map(|s| s.meta().rows).sum(),
            bytes: bytes(&segments),
            copied_segments: missing.len(),
            copied_bytes: bytes(&missing),
        };
        Ok(Backup { target, state, missing_bytes: report.copied_bytes, missing, report, turn })
    }

    /// Copies the next segment; says whether there was one.
    ///
    /// # Errors
    /// As [`Engine::backup`].
    pub fn step(&mut self) -> Result<bool> {
        let Some(segment) = self.missing.pop() else { return Ok(false) };
        let copied = self.copy(&segment).map_err(|error| failed(&self.target.dir, &error));
        copied.map(|()| true)
    }

    fn copy(&mut self, segment: &Segment) -> Result<()> {
        let shared = &self.turn.0;
        // Where the backup is on the archive's disk, this is what a flush will take.
        let reserve = shared.log_bytes.load(Relaxed).saturating_add(limits::DISK_RESERVE_BYTES);
        self.target.check_room(self.missing_bytes, reserve)?;
        self.target.copy(segment, &mut |_| {
            if shared.turns.stopping.load(Relaxed) { Err(stopping()) } else { Ok(()) }
        })?;
        self.missing_bytes -= segment.meta().bytes;
        Ok(())
    }

    /// Makes what was copied, and nothing else, the backup.
    ///
    /// # Errors
    /// As [`Engine::backup`]; `InvalidInput` where segments are still to be copied.
    pub fn finish(self) -> Result<BackupReport> {
        if !self.missing.is_empty() {
            return Err(Error::invalid("finishing a backup failed", "segments are missing", "copy them first"));
        }
        let committed = self.target.commit(&self.state);
        committed.map_err(|error| failed(&self.target.dir, &error))?;
        Ok(self.report)
    }
}

/// The right to make a backup, which one at a time has.
struct Turn(Arc<Shared>);

impl Turn {
    fn take(shared: &Arc<Shared>, to: &Path) -> Result<Turn> {
        if shared.turns.backing_up.swap(true, Relaxed) {
            let what = format!("backing up to {} failed", to.display());
            let why = "another backup of this archive is being made";
            return Err(Error::new(ErrorKind::Conflict, what, why, "wait until that has ended"));
        }
        Ok(Turn(Arc::clone(shared)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turns.backing_up.store(false, Relaxed);
    }
}

fn stopping() -> Error {
    Error::new(ErrorKind::Unusable, "copying failed", "the server is stopping", "start it again")
}

/// The error of a backup as a whole.
fn failed(to: &Path, error: &Error) -> Error {
    let advice = match error.kind() {
        // Such an error says all that is to be said.
        ErrorKind::Unusable => return error.clone(),
        ErrorKind::InvalidInput => "name another directory",
        ErrorKind::Exhausted => "free some space and back up again; the backup before is as it was",
        ErrorKind::Damaged => "run `tagus verify` on the archive; the backup before is as it was",
        ErrorKind::ReadOnly => "restart the server, then back up again",
        _ => "check the disk and the rights of the directory, and back up again; the backup before is as it was",
    };
    Error::new(error.kind(), format!("backing up to {} failed", to.display()), why(error), advice)
}

/// Why a backup or a restore failed, as a part of it did.
fn why(error: &Error) -> String {
    if error.kind() == ErrorKind::InvalidInput { error.why().to_owned() } else { error.finding() }
}
