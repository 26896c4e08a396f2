//! The disk as the engine sees it.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tagus_engine::env::{Disk, File, OpenMode};

use crate::fault::Operation;
use crate::inode::InodeId;
use crate::state::{State, names};

/// A disk in memory that crashes, fills up and fails as ordered. Clones are the same disk;
/// [`SimDisk::fork`] makes another one.
///
/// What `sync_data` and `sync_dir` have not made durable is decided by a [`Fate`](crate::Fate)
/// when the power goes. Entries of directories are names that lead to files; `sync_data` makes a
/// file's bytes and length durable, not its name.
#[derive(Clone)]
pub struct SimDisk {
    pub(crate) state: Arc<Mutex<State>>,
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_power()?;
        state.create_directories(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.check_power()?;
        let dir = state.directory(path)?;
        Ok(state.directories[&dir].entries.keys().cloned().collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.check_power()?;
        let name = state.name(path)?;
        let inode = match mode {
            OpenMode::CreateNew if state.find(&name).is_some() => return Err(ErrorKind::AlreadyExists.into()),
            OpenMode::CreateNew => state.create_file(name)?,
            OpenMode::Write if state.read_only => return Err(ErrorKind::ReadOnlyFilesystem.into()),
            OpenMode::Read | OpenMode::Write => state.find_file(&name)?,
        };
        *state.open.entry(inode).or_default() += 1;
        let process = state.process;
        Ok(Arc::new(SimFile { state: self.state.clone(), inode, process, writes: mode != OpenMode::Read }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Link)?;
        let (inode, to) = (state.file(from)?, state.name(to)?);
        if state.find(&to).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.change(vec![(to, Some(inode))]);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Rename)?;
        let (from, to) = (state.name(from)?, state.name(to)?);
        let inode = state.find_file(&from)?;
        match state.find(&to) {
            // POSIX: two names of one file both stay.
            Some(replaced) if replaced == inode => return Ok(()),
            Some(_) => _ = state.find_file(&to)?,
            None => {}
        }
        state.change(vec![(from, None), (to, Some(inode))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Remove)?;
        let name = state.name(path)?;
        state.find_file(&name)?;
        state.change(vec![(name, None)]);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::SyncDir)?;
        let dir = state.directory(path)?;
        state.sync_directory(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = self.state.lock();
        state.check_power()?;
        let name = state.name(path)?;
        if state.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let inode = match state.find(&name) {
            Some(_) => state.find_file(&name)?,
            None => state.create_file(name)?,
        };
        if !state.locked.insert(inode) {
            return Err(ErrorKind::WouldBlock.into());
        }
        *state.open.entry(inode).or_default() += 1;
        Ok(Box::new(LockGuard { state: self.state.clone(), inode, process: state.process }))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let state = self.state.lock();
        state.check_power()?;
        if state.directory(path).is_err() {
            state.file(path)?;
        }
        Ok(names(path)?.iter().fold(PathBuf::from("/"), |path, name| path.join(name)))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        state.check_power()?;
        if state.directory(path).is_err() {
            state.file(path)?;
        }
        Ok(state.free_bytes())
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: InodeId,
    process: u64,
    writes: bool,
}

impl SimFile {
    fn check(&self, state: &State) -> io::Result<()> {
        state.check_power()?;
        if state.process == self.process {
            Ok(())
        } else {
            Err(io::Error::other("the process that opened this file has ended"))
        }
    }

    fn check_range(&self, state: &State, range: &Range<u64>) -> io::Result<()> {
        if range.start > range.end {
            return Err(ErrorKind::InvalidInput.into());
        }
        let node = state.node(self.inode)?;
        if range.end > node.bytes.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if node.unreadable.overlaps(range) {
            const EIO: i32 = 5;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn read(&self, state: &mut State, buf: &mut [u8], range: &Range<u64>) -> io::Result<()> {
        self.check_range(state, range)?;
        state.node(self.inode)?.bytes.read(buf, range.start);
        state.counters.bytes_read += buf.len() as u64;
        Ok(())
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.state.lock();
        self.check(&state)?;
        Ok(state.node(self.inode)?.bytes.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        self.check(&state)?;
        state.begin(Operation::Read)?;
        if buf.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(buf.len() as u64).ok_or(ErrorKind::InvalidInput)?;
        self.read(&mut state, buf, &(offset..end))
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let mut state = self.state.lock();
        self.check(&state)?;
        state.begin(Operation::Read)?;
        let read = |range: &Range<u64>| {
            // Before memory is taken for it.
            self.check_range(&state, range)?;
            let mut buf = vec![0; (range.end - range.start) as usize];
            self.read(&mut state, &mut buf, range)?;
            Ok(Bytes::from(buf))
        };
        ranges.iter().map(read).collect()
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        self.check(&state)?;
        if !self.writes {
            return Err(ErrorKind::PermissionDenied.into());
        }
        state.write(self.inode, data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        self.check(&state)?;
        let result = state.begin(Operation::SyncData);
        // A crash is not a failed sync: what it leaves is the fate's to decide.
        state.check_power()?;
        let node = state.node_mut(self.inode)?;
        match result {
            Ok(_) => node.sync(),
            Err(_) => node.fail_sync(),
        }
        result.map(drop)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.state.lock().close(self.inode, self.process);
    }
}

struct LockGuard {
    state: Arc<Mutex<State>>,
    inode: InodeId,
    process: u64,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.process == self.process {
            state.locked.remove(&self.inode);
        }
        state.close(self.inode, self.process);
    }
}
