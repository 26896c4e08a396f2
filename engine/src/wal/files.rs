//! The files of the log: finding, preparing and copying them. What is in them is decided elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogOptions;
use crate::env::{Disk, File, OpenMode};
use crate::format::{crc32c, wide};
use crate::limits::{BLOCK_BYTES, LOG_FILE_BYTES};
use crate::{Error, ErrorKind, Result};

/// The folder for copies of damaged files, beside the folder of the log.
const QUARANTINE: &str = "quarantine";
/// Digits of a file's name.
const NAME_DIGITS: usize = 8;
/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// One file of the log.
#[derive(Clone)]
pub(super) struct LogFile {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub bytes: u64,
    /// Whether all bytes that its present use has not written are known to be zero.
    pub fresh: bool,
    pub shape: Shape,
    /// Whether the disk refused to read some of it.
    pub unreadable: bool,
}

/// What a file begins with. While a header is written, zeros or a valid frame stand behind it;
/// while carried frames are written, zeros stand before them. So a power cut never leaves both a
/// damaged header and torn frames, for that is how damage looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// It begins with neither a header nor a block of zeros.
    pub header_damaged: bool,
    /// What follows the header begins with neither a valid frame nor a block of zeros.
    pub frames_torn: bool,
}

impl Shape {
    /// That of a file which the log has written itself.
    pub const SOUND: Shape = Shape { header_damaged: false, frames_torn: false };
    /// That of a file with a header of which nothing more is known.
    pub const HEADED: Shape = Shape { header_damaged: false, frames_torn: true };
}

/// The bytes of a file as far as they can be read.
pub(super) struct Contents {
    pub bytes: Vec<u8>,
    /// Whether the disk refused some; zeros stand for them.
    pub unreadable: bool,
}

/// A file that is being filled with zeros and has no name as a log file yet.
pub(super) struct Preparation {
    path: PathBuf,
    file: Arc<dyn File>,
    written: u64,
}

/// The folders of the log.
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    quarantine: PathBuf,
    file_bytes: u64,
    next_name: u64,
    /// `Read` where nothing may be changed.
    mode: OpenMode,
}

impl Store {
    /// Opens or creates the folder of the log, and removes files whose preparation was
    /// interrupted. What is in the folder now stays there after a power cut.
    pub fn open(disk: &Arc<dyn Disk>, folder: &Path, options: LogOptions) -> Result<Store> {
        check(options)?;
        let mut store = Store { mode: OpenMode::Write, ..Store::look(disk, folder, options.file_bytes) };
        let folder = &store.folder;
        disk.create_dir(folder).map_err(|error| Error::io("creating", folder, &error))?;
        for name in list(disk, folder)? {
            if let Some(number) = number_of(&name, ".new") {
                let path = folder.join(&name);
                disk.remove(&path).map_err(|error| Error::io("removing", &path, &error))?;
                store.next_name = store.next_name.max(number + 1);
            }
        }
        sync_dir(disk, folder)?;
        if let Some(parent) = folder.parent() {
            sync_dir(disk, parent)?;
        }
        Ok(store)
    }

    /// The folder of the log, only to be read.
    pub fn look(disk: &Arc<dyn Disk>, folder: &Path, file_bytes: u64) -> Store {
        let (folder, quarantine) = (folder.to_owned(), folder.with_file_name(QUARANTINE));
        Store { disk: disk.clone(), folder, quarantine, file_bytes, next_name: 1, mode: OpenMode::Read }
    }

    /// The folder of the log files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All files that are named as log files, whatever they hold, by name.
    pub fn files(&mut self) -> Result<Vec<LogFile>> {
        let mut files = Vec::new();
        for name in list(&self.disk, &self.folder)? {
            let Some(number) = number_of(&name, ".log") else { continue };
            self.next_name = self.next_name.max(number + 1);
            let path = self.folder.join(&name);
            let file = self.disk.open(&path, self.mode).map_err(|error| Error::io("opening", &path, &error))?;
            let bytes = file.len().map_err(|error| Error::io("opening", &path, &error))?;
            files.push(LogFile { path, file, bytes, fresh: false, shape: Shape::HEADED, unreadable: false });
        }
        Ok(files)
    }

    /// The first `bytes_max` bytes of a file, fewer where it is shorter. Sectors that the disk
    /// refuses read as zeros, so that what lies around them is not lost with them.
    pub fn read(&self, file: &LogFile, bytes_max: u64) -> Result<Contents> {
        let bytes = usize::try_from(file.bytes.min(bytes_max)).map_err(|_| too_long(file))?;
        let mut contents = Contents { bytes: vec![0; bytes], unreadable: false };
        if file.file.read_exact_at(&mut contents.bytes, 0).is_ok() {
            return Ok(contents);
        }
        let mut offset = 0;
        for block in contents.bytes.chunks_mut(BLOCK_BYTES) {
            if file.file.read_exact_at(block, offset).is_err() {
                block.fill(0);
                contents.unreadable = true;
            }
            offset += wide(block.len());
        }
        Ok(contents)
    }

    /// The longest file that is read as a whole.
    pub fn read_bytes_max(&self) -> u64 {
        self.file_bytes.max(LOG_FILE_BYTES)
    }

    /// Whether a file may be used again: it has the length that new files have, and can be read.
    pub fn fits(&self, file: &LogFile) -> bool {
        file.bytes == self.file_bytes && !file.unreadable
    }

    /// Begins a new file, if the disk has room for all of it.
    pub fn begin(&mut self) -> Result<Option<Preparation>> {
        let free = self.disk.free_bytes(&self.folder);
        if free.map_err(|error| Error::io("measuring", &self.folder, &error))? < self.file_bytes {
            return Ok(None);
        }
        let path = self.folder.join(format!("{:0NAME_DIGITS$}.new", self.next_name));
        match self.disk.open(&path, OpenMode::CreateNew) {
            Ok(file) => {
                self.next_name += 1;
                Ok(Some(Preparation { path, file, written: 0 }))
            }
            Err(error) => none_if_full(Error::creating(&path, &error)),
        }
    }

    /// Writes and syncs up to `bytes` more zeros. Gives the preparation back while it is not done,
    /// and the file once it is; neither where the disk is full: then it is removed.
    pub fn prepare(&mut self, mut preparation: Preparation, bytes: u64) -> Result<Prepared> {
        let end = preparation.written.saturating_add(bytes).min(self.file_bytes);
        let result = write_zeros(&preparation.file, preparation.written, end);
        if let Err(error) = result.and_then(|()| preparation.file.sync_data()) {
            let error = Error::io("preparing", &preparation.path, &error);
            self.abandon(preparation)?;
            return none_if_full::<LogFile>(error).map(|_| Prepared::NoRoom);
        }
        preparation.written = end;
        if end < self.file_bytes {
            return Ok(Prepared::Partly(preparation));
        }
        let path = preparation.path.with_extension("log");
        let renamed = self.disk.rename(&preparation.path, &path).and_then(|()| self.disk.sync_dir(&self.folder));
        match renamed.map_err(|error| Error::io("preparing", &path, &error)) {
            Ok(()) => Ok(Prepared::Done(LogFile {
                path,
                file: preparation.file,
                bytes: self.file_bytes,
                fresh: true,
                shape: Shape::SOUND,
                unreadable: false,
            })),
            // Directories take space too. The name may be the old or the new one.
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                let old = self.disk.remove(&preparation.path);
                old.or_else(|_| self.disk.remove(&path)).map_err(|error| Error::io("removing", &path, &error))?;
                Ok(Prepared::NoRoom)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes names and their absence durable.
    pub fn sync(&self) -> Result<()> {
        sync_dir(&self.disk, &self.folder)
    }

    /// Gives up a preparation.
    pub fn abandon(&self, preparation: Preparation) -> Result<()> {
        let path = &preparation.path;
        self.disk.remove(path).map_err(|error| Error::io("removing", path, &error))
    }

    /// Removes a file. The name may come back after a power cut, with what the file held.
    pub fn remove(&self, file: &LogFile) -> Result<()> {
        self.disk.remove(&file.path).map_err(|error| Error::io("removing", &file.path, &error))
    }

    /// Copies a damaged file to the quarantine and returns the path of the copy. A copy of the same
    /// bytes is there only once, and nothing there is ever replaced. A store that is only read
    /// names the folder and copies nothing.
    pub fn quarantine(&self, file: &LogFile) -> Result<PathBuf> {
        if self.mode == OpenMode::Read {
            return Ok(self.quarantine.clone());
        }
        let bytes = self.read(file, self.read_bytes_max())?.bytes;
        let folder = &self.quarantine;
        self.disk.create_dir(folder).map_err(|error| Error::io("creating", folder, &error))?;
        if let Some(parent) = folder.parent() {
            sync_dir(&self.disk, parent)?;
        }
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        for copy in 1u32.. {
            let path = folder.join(format!("{name}.{:08x}.{copy}", crc32c(&bytes)));
            match self.disk.open(&path, OpenMode::Read) {
                Ok(there) if has(&there, &bytes) => return Ok(path),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.copy(&bytes, &path)
                        .map_err(|error| Error::io("copying a damaged log file to", &path, &error))?;
                    return Ok(path);
                }
                Err(error) => return Err(Error::io("opening", &path, &error)),
            }
        }
        Err(Error::new(
            ErrorKind::Exhausted,
            "copying a damaged log file failed",
            "no name is free",
            "empty quarantine/",
        ))
    }

    /// Writes a copy that has its name only once it is whole.
    fn copy(&self, bytes: &[u8], path: &Path) -> io::Result<()> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        match self.disk.remove(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.open(&part, OpenMode::CreateNew)?;
        let written = file.write_all_at(bytes, 0).and_then(|()| file.sync_data());
        let linked = written.and_then(|()| self.disk.link(&part, path));
        self.disk.remove(&part)?;
        linked?;
        self.disk.sync_dir(&self.quarantine)
    }
}

/// How far a preparation came.
pub(super) enum Prepared {
    /// There is more to write.
    Partly(Preparation),
    /// The file is ready.
    Done(LogFile),
    /// The disk is full.
    NoRoom,
}

/// Writes zeros from `from` to `to`.
pub(super) fn write_zeros(file: &Arc<dyn File>, from: u64, to: u64) -> io::Result<()> {
    let mut offset = from;
    while offset < to {
        let left = usize::try_from(to - offset).unwrap_or(usize::MAX);
        let piece = &ZEROS[..left.min(ZEROS.len())];
        file.write_all_at(piece, offset)?;
        offset += wide(piece.len());
    }
    Ok(())
}

fn check(options: LogOptions) -> Result<()> {
    let block = wide(BLOCK_BYTES);
    let LogOptions { file_bytes, bytes_max } = options;
    if file_bytes % block == 0 && file_bytes >= 2 * block && bytes_max >= 2 * file_bytes {
        return Ok(());
    }
    Err(Error::invalid(
        "opening the log",
        format!("files of {file_bytes} bytes within {bytes_max} are not possible"),
        format!("choose a multiple of {block} from {} on, and room for two files", 2 * block),
    ))
}

fn number_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let ours = digits.len() >= NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| ours && *number < u64::MAX)
}

fn list(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Vec<String>> {
    disk.list(folder).map_err(|error| Error::io("listing", folder, &error))
}

fn sync_dir(disk: &Arc<dyn Disk>, folder: &Path) -> Result<()> {
    disk.sync_dir(folder).map_err(|error| Error::io("syncing", folder, &error))
}

fn has(file: &Arc<dyn File>, bytes: &[u8]) -> bool {
    if file.len().ok() != Some(wide(bytes.len())) {
        return false;
    }
    let mut there = vec![0; bytes.len()];
    file.read_exact_at(&mut there, 0).is_ok() && there == bytes
}

fn none_if_full<T>(error: Error) -> Result<Option<T>> {
    if error.kind() == ErrorKind::Exhausted { Ok(None) } else { Err(error) }
}

fn too_long(file: &LogFile) -> Error {
    Error::new(
        ErrorKind::Unusable,
        format!("reading {} failed", file.path.display()),
        format!("{} bytes are more than this machine can address", file.bytes),
        "open the archive on a 64-bit machine",
    )
}
