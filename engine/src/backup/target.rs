//! The directory of a backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lists::{self, Named};
use super::place::{self, FOLDERS, refused};
use crate::archive::{Lock, lock};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::manifest::{self, ManifestState};
use crate::mark::{self, HARMLESS, MARK, Mark};
use crate::segment::{Segment, SegmentMeta};
use crate::strays::is_segment_name;

/// What a segment's name ends with until it is copied.
const PART: &str = ".part";

/// A locked directory that holds a backup, or is to.
pub(super) struct Target {
    env: Env,
    pub dir: PathBuf,
    archive: u64,
    /// The state that is there, if it can be read.
    before: Option<Arc<ManifestState>>,
    _lock: Lock,
}

impl Target {
    /// Makes a directory ready for a backup of the archive in `data`, whose manifest is at `number`.
    /// What was backed up there stays as it is.
    pub fn open(env: &Env, data: &Path, mark: Mark, number: u64, dir: &Path) -> Result<Target> {
        place::check_apart(env, dir, data)?;
        let names = place::names(env, dir)?;
        let is_marked = names.iter().any(|name| name == MARK);
        if !is_marked && let Some(foreign) = names.iter().find(|name| !HARMLESS.contains(&name.as_str())) {
            return Err(refused(dir, &format!("is no backup and not empty (it holds {foreign})")));
        }
        files::create_durably(env, dir).map_err(|e| Error::io("creating", dir, &e))?;
        let lock = lock(env, dir)?;
        let found = if is_marked { Some(mark::read(env, dir)?.0) } else { None };
        let at = match found {
            Some(there) if !there.backup => return Err(refused(dir, "is a data directory and no backup")),
            Some(there) => {
                let at = number_of(env, dir)?;
                mark.check_follows(number, &there, at).map_err(|why| refused(dir, &why))?;
                at
            }
            None => 0,
        };
        // The mark comes first: without it a directory that is not empty is refused, and with an older
        // one a restore would not begin a new epoch.
        if found != Some(mark.of_backup()) {
            mark::write(env, dir, &mark.of_backup())?;
        }
        for name in FOLDERS {
            let folder = dir.join(name);
            env.disk.create_dir(&folder).map_err(|e| Error::io("creating", &folder, &e))?;
        }
        env.disk.sync_dir(dir).map_err(|e| Error::io("syncing", dir, &e))?;
        // A manifest that is damaged cannot be restored: it is no reason to refuse a sound one.
        let before = if at > 0 { manifest::read(env, &dir.join("manifest"), mark.id).ok().flatten() } else { None };
        Ok(Target { env: env.clone(), dir: dir.to_owned(), archive: mark.id, before, _lock: lock })
    }

    fn segment_dir(&self) -> PathBuf {
        self.dir.join("segments")
    }

    /// Whether a segment is there, by name, length and tail.
    pub fn has(&self, meta: &SegmentMeta) -> bool {
        Segment::new(Arc::clone(&self.env.disk), &self.segment_dir(), meta.clone()).is_alike(&self.env.disk)
    }

    /// Whether so many bytes find room, and leave `reserve` to others.
    pub fn check_room(&self, bytes: u64, reserve: u64) -> Result<()> {
        let free = self.env.disk.free_bytes(&self.dir).map_err(|e| Error::io("measuring", &self.dir, &e))?;
        if bytes.saturating_add(reserve) <= free {
            return Ok(());
        }
        let why = format!("{bytes} bytes are to be copied and {reserve} left free, and {free} are free");
        Err(Error::new(ErrorKind::Exhausted, "finding room failed", why, "free some space"))
    }

    /// Copies a segment, which gets its name once it is whole.
    pub fn copy(&self, segment: &Segment, step: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let disk = &self.env.disk;
        let path = self.segment_dir().join(&segment.meta().name);
        let part = self.segment_dir().join(format!("{}{PART}", segment.meta().name));
        files::remove(&self.env, &part)?;
        segment.copy(disk, &part, step)?;
        disk.rename(&part, &path).map_err(|e| Error::io("renaming", &part, &e))
    }

    /// Makes a state whose segments are all there the backup, then clears up.
    pub fn commit(&self, state: &ManifestState) -> Result<()> {
        let (env, segments) = (&self.env, self.segment_dir());
        env.disk.sync_dir(&segments).map_err(|e| Error::io("syncing", &segments, &e))?;
        let before = self.before.as_ref().map_or_else(Named::default, |before| Named::by(before));
        let state = lists::write(env, &self.dir, state, before)?;
        let manifest = self.dir.join("manifest");
        let is_there = self.before.as_ref().is_some_and(|there| {
            there.number == state.number
                && there.tags_file == state.tags_file
                && there.deletes_file == state.deletes_file
        });
        if !is_there {
            manifest::write_snapshot(env, &manifest, self.archive, &state)?;
        }
        // It is the backup now; what cannot be removed is removed by the next one.
        if let Err(error) = self.clear(&state) {
            tracing::warn!("what the backup needs no more stays behind: {error}");
        }
        Ok(())
    }

    /// Removes what the backup does not name. Files of other names are never touched.
    fn clear(&self, state: &ManifestState) -> Result<()> {
        manifest::remove_others(&self.env, &self.dir.join("manifest"), state.number)?;
        lists::forget_before(&self.env, &self.dir)?;
        let is_live = |name: &str| state.segments.iter().any(|meta| meta.name == name);
        for name in place::names(&self.env, &self.segment_dir())? {
            let stray = name.strip_suffix(PART).map_or(!is_live(&name), |_| true);
            if stray && is_segment_name(name.trim_end_matches(PART)) {
                files::remove(&self.env, &self.segment_dir().join(name))?;
            }
        }
        Ok(())
    }
}

/// The manifest number of the backup in a directory; 0 where none was completed.
fn number_of(env: &Env, dir: &Path) -> Result<u64> {
    let manifest = dir.join("manifest");
    if place::names(env, &manifest)?.is_empty() {
        return Ok(0);
    }
    Ok(manifest::newest_number(env, &manifest)?.unwrap_or(0))
}
