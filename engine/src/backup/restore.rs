//! Restore: a backup becomes an archive, in an empty directory.
//!
//! The mark is written last: a directory without one is not opened as an archive.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lists::{self, Named};
use super::place::{self, FOLDERS, refused};
use crate::archive::{Lock, lock, lock_if_writable};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::limits::SEGMENT_IDS_PER_EPOCH;
use crate::manifest::{self, ManifestState};
use crate::mark::{self, MARK, Mark};
use crate::segment::Segment;

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// The number of the manifest that was backed up.
    pub manifest: u64,
    /// Its segments.
    pub segments: usize,
    /// Rows of these.
    pub rows: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// Restores the backup in `from` to the missing or empty directory `to`: the archive as it was at
/// the last backup that was completed. Every byte is checked. `progress` is told the bytes that are
/// done, and all. The archive that was backed up may go on; the restored one is another line of it.
///
/// # Errors
/// `InvalidInput` where `to` is not empty, or `from` holds no complete backup; `Unusable` where one
/// is in use; `Damaged` where a byte of the backup is not what was written; `Exhausted` where the
/// disk has no room; `Io` from the disks. Then `to` holds no archive.
pub fn restore(env: &Env, from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<RestoreReport> {
    let source = Source::open(env, from).map_err(|error| failed(from, to, &error))?;
    let target = Target { env, dir: to, written: Vec::new() };
    target.fill(&source, progress).map_err(|error| failed(from, to, &error))
}

fn failed(from: &Path, to: &Path, error: &Error) -> Error {
    let what = format!("restoring {} to {} failed", from.display(), to.display());
    let advice = match error.kind() {
        // Such an error says all that is to be said.
        ErrorKind::Unusable => return error.clone(),
        ErrorKind::InvalidInput => "name a complete backup and an empty directory",
        ErrorKind::Exhausted => "free some space and restore again",
        ErrorKind::Damaged => "nothing was restored; name another backup, or put the file back from another copy",
        _ => "check the disks and the rights of the directories, and restore again",
    };
    Error::new(error.kind(), what, super::why(error), advice)
}

/// A backup that is read.
struct Source<'a> {
    env: &'a Env,
    dir: &'a Path,
    mark: Mark,
    state: Arc<ManifestState>,
    _lock: Option<Lock>,
}

impl Source<'_> {
    fn open<'a>(env: &'a Env, dir: &'a Path) -> Result<Source<'a>> {
        let names = env.disk.list(dir).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => refused(dir, "is not there"),
            _ => Error::io("listing", dir, &e),
        })?;
        if !names.iter().any(|name| name == MARK) {
            return Err(refused(dir, "is no backup"));
        }
        let lock = lock_if_writable(env, dir)?;
        let (mark, _) = mark::read(env, dir)?;
        if !mark.backup {
            return Err(refused(dir, "is a data directory and no backup"));
        }
        if !place::names(env, &dir.join("wal"))?.is_empty() {
            return Err(refused(dir, "has a log: it is a data directory with the FORMAT of a backup"));
        }
        let manifest = dir.join("manifest");
        let none = place::names(env, &manifest)?.is_empty();
        let state = if none { None } else { manifest::read(env, &manifest, mark.id)? };
        let state = state.ok_or_else(|| refused(dir, "holds no backup that was completed"))?;
        Ok(Source { env, dir, mark, state, _lock: lock })
    }

    fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let dir = self.dir.join("segments");
        let disk = &self.env.disk;
        self.state.segments.iter().map(move |meta| Segment::new(Arc::clone(disk), &dir, meta.clone()))
    }
}

/// The directory that becomes an archive.
struct Target<'a> {
    env: &'a Env,
    dir: &'a Path,
    written: Vec<PathBuf>,
}

impl Target<'_> {
    fn fill(mut self, source: &Source<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<RestoreReport> {
        place::check_apart(self.env, self.dir, source.dir)?;
        place::check_empty(self.env, self.dir)?;
        files::create_durably(self.env, self.dir).map_err(|e| Error::io("creating", self.dir, &e))?;
        let _lock = lock(self.env, self.dir)?;
        let done = self.write(source, progress);
        if done.is_err() {
            self.undo();
        }
        done
    }

    fn write(&mut self, source: &Source<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<RestoreReport> {
        let (env, dir) = (self.env, self.dir);
        let sync = |path: &Path| env.disk.sync_dir(path).map_err(|e| Error::io("syncing", path, &e));
        for name in FOLDERS {
            let folder = dir.join(name);
            env.disk.create_dir(&folder).map_err(|e| Error::io("creating", &folder, &e))?;
        }
        sync(dir)?;
        let report = self.copy_segments(source, progress)?;
        sync(&dir.join("segments"))?;
        let mark = source.mark.restored(source.state.number, env.random.next());
        self.written.extend(["tags.parquet", "deletes.parquet"].map(|name| dir.join(name)));
        let mut state = lists::write(env, dir, &source.state, Named::default())?;
        let first_id = (mark.epoch - 1).saturating_mul(SEGMENT_IDS_PER_EPOCH);
        state.next_segment_id = state.next_segment_id.max(first_id);
        let manifest = dir.join("manifest");
        self.written.push(manifest::snapshot_path(&manifest, state.number));
        manifest::write_snapshot(env, &manifest, mark.id, &state)?;
        mark::write(env, dir, &mark)?;
        Ok(report)
    }

    fn copy_segments(&mut self, source: &Source<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<RestoreReport> {
        let all = source.state.segments.iter().map(|meta| meta.bytes).sum();
        let free = self.env.disk.free_bytes(self.dir).map_err(|e| Error::io("measuring", self.dir, &e))?;
        if free < all {
            let why = format!("it needs {all} bytes and {free} are free");
            return Err(Error::new(ErrorKind::Exhausted, "finding room failed", why, "free some space"));
        }
        let mut report = RestoreReport { manifest: source.state.number, ..RestoreReport::default() };
        for segment in source.segments() {
            let meta = segment.meta();
            let path = self.dir.join("segments").join(&meta.name);
            self.written.push(path.clone());
            let mut done = report.bytes;
            segment.copy(&self.env.disk, &path, &mut |bytes| {
                done += bytes;
                progress(done, all);
                Ok(())
            })?;
            report.segments += 1;
            report.rows += meta.rows;
            report.bytes += meta.bytes;
        }
        Ok(report)
    }

    /// Gives back the room. The mark goes first, and nothing else while it may still be there.
    fn undo(&self) {
        let unmarked = files::remove(self.env, &self.dir.join(MARK));
        if unmarked.is_ok() && self.env.disk.sync_dir(self.dir).is_ok() {
            for path in &self.written {
                let _ = self.env.disk.remove(path);
            }
        }
    }
}
