//! The machine's own disk, clock and randomness.
//!
//! Reading is by `pread` into buffers, not through a memory map: an unreadable sector is then the
//! error of one call, where a map would end the process with SIGBUS.

#![expect(clippy::disallowed_methods, reason = "this module alone touches the machine")]

use std::any::Any;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::{Clock, Disk, File, OpenMode, Random};

/// The machine's file systems.
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    // A name that is no UTF-8 cannot be one of ours; it is listed all the same, so that a folder
    // holding it does not look empty.
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => _ = options.write(true),
            OpenMode::CreateNew => _ = options.write(true).create_new(true),
        }
        let file = options.open(path)?;
        // Linux opens a directory for reading and fails only at the first read.
        if file.metadata()?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(OsFile(file)))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let dir = fs::File::open(path)?;
        if !dir.metadata()?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        dir.sync_all()
    }

    // The lock belongs to the opened file, not to the process: a second engine in this process is
    // kept out as another process would be, and the kernel releases it however the process ends.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => ErrorKind::WouldBlock.into(),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Box::new(file))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

struct OsFile(fs::File);

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let len = self.len()?;
        ranges.iter().map(|range| self.read_range(range, len)).collect()
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl OsFile {
    /// Reads one range of a file of `len` bytes. A range may come from damaged bytes, so it is
    /// held against the length before memory is taken for it.
    fn read_range(&self, range: &Range<u64>, len: u64) -> io::Result<Bytes> {
        let wanted = range.end.checked_sub(range.start).ok_or(ErrorKind::InvalidInput)?;
        if range.end > len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let wanted = usize::try_from(wanted).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut buf: Vec<u8> = Vec::new();
        buf.try_reserve_exact(wanted).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut offset = range.start;
        while buf.len() < wanted {
            // The bytes go straight into memory that was never zeroed.
            match rustix::io::pread(&self.0, spare_capacity(&mut buf), offset) {
                // The file was cut after its length was asked for.
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => offset += u64::try_from(read).map_err(|_| ErrorKind::InvalidData)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // An allocator may give more than was asked for, and then more is read.
        buf.truncate(wanted);
        Ok(Bytes::from(buf))
    }
}

/// The machine's clock.
pub struct OsClock {
    start: Instant,
}

impl OsClock {
    /// The clock; its `monotonic` counts from this call.
    pub fn new() -> OsClock {
        OsClock { start: Instant::now() }
    }
}

impl Default for OsClock {
    fn default() -> OsClock {
        OsClock::new()
    }
}

impl Clock for OsClock {
    fn now(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        }
    }

    fn monotonic(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The machine's randomness, good enough for secrets.
pub struct OsRandom;

impl Random for OsRandom {
    fn next(&self) -> u64 {
        // Where the kernel has no generator to ask, as in a bare sandbox, the standard library's
        // keys, which come from the kernel by another way, are the source.
        getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(Instant::now()))
    }
}
