//! The world outside the engine: disk, clock and randomness.
//!
//! Only this module's `os` touches `std::fs`, the system clock and `memmap2`; everything else
//! goes through the traits here, so that a simulation can stand in for the machine and replay a
//! run from its seed.

mod os;

use std::any::Any;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

pub use os::{OsClock, OsDisk, OsRandom};

/// The parts of the outside world that the engine uses.
#[derive(Clone)]
pub struct Env {
    /// Where files live.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub random: Arc<dyn Random>,
}

impl Env {
    /// The machine's own disk, clock and randomness.
    pub fn os() -> Env {
        Env { disk: Arc::new(OsDisk), clock: Arc::new(OsClock::new()), random: Arc::new(OsRandom) }
    }
}

/// Whether an error of reading says that the medium has lost the bytes, or the file system its own
/// notes about them: reading again may not help, and nothing else is wrong with the machine.
pub(crate) fn is_medium_error(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno
        .is_some_and(|errno| [Errno::IO, Errno::NODATA, Errno::BADMSG, Errno::UCLEAN, Errno::REMOTEIO].contains(&errno))
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    Write,
    /// For reading and writing; the file must not exist.
    CreateNew,
}

/// A file system.
///
/// What is assumed of it: after `sync_data` on a file returns, the bytes and the length written
/// before survive a power cut; after `sync_dir` returns, so do the directory's entries. Without
/// them every 512-byte sector and every directory entry may or may not survive, each by itself.
/// `rename` and `link` are atomic.
pub trait Disk: Send + Sync {
    /// Creates a directory and its parents; an existing one is left as it is.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names of the entries of a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Gives a file a second name; `AlreadyExists` where that name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file, replacing one of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Locks a file for this process, creating it where absent, until the guard is dropped;
    /// `WouldBlock` where another process or engine holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// The path of a file or directory from the root on, without links, `.` and `..`; `NotFound`
    /// where there is none.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Bytes that this process may still write below `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. All positions are bytes from its start; there is no cursor.
pub trait File: Send + Sync {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buf` from `offset`; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Reads several ranges at once, in the order asked; object storage serves this in one trip.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>>;
    /// Writes all of `data` at `offset`, growing the file where needed.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all bytes written so far durable, with the length needed to read them.
    fn sync_data(&self) -> io::Result<()>;
}

/// Time, in nanoseconds.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970 UTC; may jump.
    fn now(&self) -> i64;
    /// Nanoseconds since some fixed moment; never goes back.
    fn monotonic(&self) -> u64;
}

/// Random numbers.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn next(&self) -> u64;
}
