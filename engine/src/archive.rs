//! The data directory: its lock, the file that says what it is, and where things are in it.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{Disk, Env};
use crate::error::{Error, ErrorKind, Result, io_words};
use crate::files::create_durably;
use crate::mark::{self, FORMAT_VERSION, HARMLESS, MARK, Mark};
use crate::segment::{Damages, Footers, Segment, SegmentMeta};

const LOCK: &str = "LOCK";

/// Holds the lock of a directory while it lives.
pub(crate) type Lock = Box<dyn Any + Send + Sync>;

/// A locked data directory.
pub(crate) struct Archive {
    pub dir: PathBuf,
    /// The archive's own number, which its manifest files carry.
    pub id: u64,
    pub mark: Mark,
    /// The version of the layout that the mark says.
    version: u32,
    footers: Arc<Footers>,
    damages: Arc<Damages>,
    disk: Arc<dyn Disk>,
    _lock: Option<Lock>,
}

impl Archive {
    /// Locks a data directory, initialising a missing or empty one. Footers of its segments take
    /// `footer_bytes_max` of memory together.
    ///
    /// # Errors
    /// `Unusable` where it is in use, is no data directory, or was written by a newer version.
    pub fn open(env: &Env, dir: &Path, footer_bytes_max: usize) -> Result<Archive> {
        create_durably(env, dir).map_err(|e| unusable(dir, &io_words(&e), "name a directory that can be created"))?;
        let names =
            env.disk.list(dir).map_err(|e| unusable(dir, &io_words(&e), "name a directory that can be read"))?;
        let is_archive = names.iter().any(|n| n == MARK);
        if !is_archive && let Some(foreign) = names.iter().find(|n| !HARMLESS.contains(&n.as_str())) {
            let why = format!("it is no Tagus data directory and not empty (it holds {foreign})");
            return Err(unusable(dir, &why, "name an empty or a Tagus directory"));
        }
        let lock = lock(env, dir)?;
        let (mark, version) = if is_archive { mark::read(env, dir)? } else { begin(env, dir)? };
        if mark.backup {
            let advice = "restore it to another directory with `tagus restore`, and name that";
            return Err(unusable(dir, "it is a backup", advice));
        }
        let archive = Archive::of(env, dir, (mark, version), footer_bytes_max, Some(lock));
        for part in [archive.manifest_dir(), archive.log_dir(), archive.segment_dir()] {
            env.disk.create_dir(&part).map_err(|e| Error::io("creating", &part, &e))?;
        }
        env.disk.sync_dir(dir).map_err(|e| Error::io("syncing", dir, &e))?;
        Ok(archive)
    }

    /// Locks an archive that is there, to be looked at only.
    ///
    /// # Errors
    /// As [`Archive::open`], and `Unusable` where there is no archive.
    pub fn look(env: &Env, dir: &Path) -> Result<Archive> {
        let names = env.disk.list(dir).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => unusable(dir, "it does not exist", "name the directory that holds FORMAT"),
            _ => unusable(dir, &io_words(&e), "name a directory that can be read"),
        })?;
        if !names.iter().any(|n| n == MARK) {
            return Err(unusable(dir, "it is no Tagus data directory", "name the directory that holds FORMAT"));
        }
        let lock = lock_if_writable(env, dir)?;
        Ok(Archive::of(env, dir, mark::read(env, dir)?, 0, lock))
    }

    fn of(env: &Env, dir: &Path, mark: (Mark, u32), footer_bytes_max: usize, lock: Option<Lock>) -> Archive {
        let (mark, version) = mark;
        let footers = Arc::new(Footers::new(footer_bytes_max));
        let damages = Arc::new(Damages::new(Arc::clone(&env.clock)));
        let (dir, disk) = (dir.to_owned(), Arc::clone(&env.disk));
        Archive { dir, id: mark.id, mark, version, footers, damages, disk, _lock: lock }
    }

    /// Marks an archive of an older layout as one of this version, which older engines refuse.
    /// Nothing that they would not understand may be written before.
    pub fn renew_mark(&self, env: &Env) -> Result<()> {
        if self.version == FORMAT_VERSION { Ok(()) } else { mark::write(env, &self.dir, &self.mark) }
    }

    pub fn manifest_dir(&self) -> PathBuf {
        self.dir.join("manifest")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// The name of a new segment of rows of new frames; names sort as their samples win.
    pub fn segment_name(&self, last_sequence: u64, id: u64) -> String {
        segment_name(self.mark.epoch, last_sequence, id)
    }

    /// The name of a new segment in the place of others, whose last frame is of that sequence. Its
    /// epoch is the one in which that frame was written, so that the name sorts as the others did.
    pub fn merged_name(&self, inputs: &[Arc<Segment>], last_sequence: u64, id: u64) -> String {
        let newest = inputs.iter().map(|s| s.meta()).find(|meta| meta.last_sequence == last_sequence);
        let epoch = newest.and_then(|meta| meta.name.split('-').next()?.parse().ok());
        segment_name(epoch.unwrap_or(self.mark.epoch), last_sequence, id)
    }

    /// A segment of the archive.
    pub fn segment(&self, meta: SegmentMeta) -> Arc<Segment> {
        let (footers, damages) = (Arc::clone(&self.footers), Arc::clone(&self.damages));
        Arc::new(Segment::sharing(Arc::clone(&self.disk), &self.segment_dir(), meta, footers, damages))
    }

    /// Segments that were found damaged.
    pub fn damages(&self) -> &Damages {
        &self.damages
    }

    /// Bytes of memory that the footers of segments take.
    pub fn footer_bytes(&self) -> usize {
        self.footers.bytes()
    }

    pub fn segment_dir(&self) -> PathBuf {
        self.dir.join("segments")
    }

    pub fn quarantine_dir(&self) -> PathBuf {
        self.dir.join("quarantine")
    }

    pub fn tags_file(&self) -> PathBuf {
        self.dir.join("tags.parquet")
    }

    pub fn deletes_file(&self) -> PathBuf {
        self.dir.join("deletes.parquet")
    }
}

fn segment_name(epoch: u64, last_sequence: u64, id: u64) -> String {
    format!("{epoch:04}-{last_sequence:016}-{id:08}.parquet")
}

fn unusable(dir: &Path, why: &str, advice: &str) -> Error {
    Error::new(ErrorKind::Unusable, format!("opening data directory {} failed", dir.display()), why, advice)
}

/// Locks a directory; its `LOCK` is made where there is none.
///
/// # Errors
/// `Unusable` where another process has it in use, or it cannot be written.
pub(crate) fn lock(env: &Env, dir: &Path) -> Result<Lock> {
    env.disk.lock(&dir.join(LOCK)).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => {
            unusable(dir, "another process has it in use", "stop that one or name another directory")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => unusable(
            dir,
            &format!("it cannot be written ({})", io_words(&e)),
            "make the disk and the directory writable",
        ),
        _ => Error::io("locking", &dir.join(LOCK), &e),
    })
}

/// Keeps an archive from being changed while it is read. Where it cannot be written, nobody changes it.
pub(crate) fn lock_if_writable(env: &Env, dir: &Path) -> Result<Option<Lock>> {
    match env.disk.lock(&dir.join(LOCK)) {
        Ok(lock) => Ok(Some(lock)),
        Err(e) if matches!(e.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(_) => lock(env, dir).map(Some),
    }
}

/// Marks a directory as a new archive.
fn begin(env: &Env, dir: &Path) -> Result<(Mark, u32)> {
    let mark = Mark::new(env.random.next());
    mark::write(env, dir, &mark)?;
    Ok((mark, FORMAT_VERSION))
}
