//! The data directory: its lock, the file that says what it is, and where things are in it.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{Disk, Env, OpenMode};
use crate::error::{Error, ErrorKind, Result, io_words};
use crate::format::crc32c;
use crate::segment::{Damages, Footers, Segment, SegmentMeta};

/// The version of the archive's layout that this engine writes and reads.
pub const FORMAT_VERSION: u32 = 1;

const MARK: &str = "FORMAT";
const LOCK: &str = "LOCK";
/// What may lie in a directory that is to become an archive.
const HARMLESS: [&str; 3] = [LOCK, "FORMAT.tmp", "lost+found"];

/// A locked data directory.
pub(crate) struct Archive {
    pub dir: PathBuf,
    /// The archive's own number, which its manifest files carry.
    pub id: u64,
    /// Counts the restores from backups; the first part of segment names.
    pub epoch: u64,
    footers: Arc<Footers>,
    damages: Arc<Damages>,
    disk: Arc<dyn Disk>,
    _lock: Box<dyn Any + Send + Sync>,
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
        let id = if is_archive { read_mark(env, dir)? } else { write_mark(env, dir)? };
        let archive = Archive::locked(env, dir, id, footer_bytes_max, lock);
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
        let lock = lock(env, dir)?;
        let id = read_mark(env, dir)?;
        Ok(Archive::locked(env, dir, id, 0, lock))
    }

    fn locked(env: &Env, dir: &Path, id: u64, footer_bytes_max: usize, lock: Box<dyn Any + Send + Sync>) -> Archive {
        let footers = Arc::new(Footers::new(footer_bytes_max));
        let damages = Arc::new(Damages::new(Arc::clone(&env.clock)));
        Archive { dir: dir.to_owned(), id, epoch: 1, footers, damages, disk: Arc::clone(&env.disk), _lock: lock }
    }

    pub fn manifest_dir(&self) -> PathBuf {
        self.dir.join("manifest")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// The name of a new segment; names sort as their samples win.
    pub fn segment_name(&self, last_sequence: u64, id: u64) -> String {
        format!("{:04}-{last_sequence:016}-{id:08}.parquet", self.epoch)
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

/// Creates a directory and its parents, and makes their names durable: a name that vanishes in a
/// power cut takes everything below with it.
fn create_durably(env: &Env, dir: &Path) -> io::Result<()> {
    let parent = |path: &Path| path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let mut to_sync = Vec::new();
    let mut path = dir.to_owned();
    while env.disk.list(&path).is_err() {
        let above = parent(&path);
        if above == path {
            break;
        }
        to_sync.push(above.clone());
        path = above;
    }
    env.disk.create_dir(dir)?;
    to_sync.iter().try_for_each(|path| env.disk.sync_dir(path))
}

fn unusable(dir: &Path, why: &str, advice: &str) -> Error {
    Error::new(ErrorKind::Unusable, format!("opening data directory {} failed", dir.display()), why, advice)
}

fn lock(env: &Env, dir: &Path) -> Result<Box<dyn Any + Send + Sync>> {
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

fn write_mark(env: &Env, dir: &Path) -> Result<u64> {
    let id = env.random.next();
    let body = format!("tagus archive\nversion {FORMAT_VERSION}\nid {id:016x}\n");
    let text = format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes()));
    let (temporary, path) = (dir.join("FORMAT.tmp"), dir.join(MARK));
    let write = || -> io::Result<()> {
        match env.disk.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = env.disk.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        env.disk.rename(&temporary, &path)?;
        env.disk.sync_dir(dir)
    };
    write().map_err(|e| Error::io("writing", &path, &e))?;
    Ok(id)
}

fn read_mark(env: &Env, dir: &Path) -> Result<u64> {
    let path = dir.join(MARK);
    let read = || -> io::Result<Vec<u8>> {
        let file = env.disk.open(&path, OpenMode::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?.min(4096)).unwrap_or(4096)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| Error::io("reading", &path, &e))?;
    parse_mark(&bytes).map_err(|mark| match mark {
        Mark::Newer(version) => unusable(
            dir,
            &format!("it was written by a newer Tagus (layout version {version}, this one knows {FORMAT_VERSION})"),
            "start it with that version",
        ),
        Mark::Damaged => Error::damaged(&path, 0, "the file is not what was written"),
    })
}

enum Mark {
    Newer(u32),
    Damaged,
}

fn parse_mark(bytes: &[u8]) -> std::result::Result<u64, Mark> {
    let text = std::str::from_utf8(bytes).map_err(|_| Mark::Damaged)?;
    let body_end = text.rfind("crc32c ").ok_or(Mark::Damaged)?;
    if text[body_end..] != format!("crc32c {:08x}\n", crc32c(&bytes[..body_end])) {
        return Err(Mark::Damaged);
    }
    let mut lines = text.lines();
    if lines.next() != Some("tagus archive") {
        return Err(Mark::Damaged);
    }
    let version = lines.next().and_then(|l| l.strip_prefix("version ")).and_then(|v| v.parse().ok());
    match version.ok_or(Mark::Damaged)? {
        FORMAT_VERSION => {}
        newer => return Err(Mark::Newer(newer)),
    }
    let id = lines.next().and_then(|l| l.strip_prefix("id "));
    id.and_then(|id| u64::from_str_radix(id, 16).ok()).ok_or(Mark::Damaged)
}
