//! The whole state of a simulated disk, and what the operations do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::sync::Arc;

use crate::fault::{Effect, Faults, Operation};
use crate::inode::{Directory, FileNode, InodeId};
use crate::journal::{Change, Journal, Name};

pub(crate) const ROOT: InodeId = 0;

/// What a disk was asked to do so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Calls of `read_exact_at` and `read_ranges`.
    pub reads: u64,
    /// Bytes that these returned.
    pub bytes_read: u64,
    /// Calls of `write_all_at`.
    pub writes: u64,
    /// Bytes that these were given.
    pub bytes_written: u64,
    /// Calls of `sync_data` and `sync_dir`.
    pub syncs: u64,
}

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) directories: BTreeMap<InodeId, Directory>,
    /// Shared with forks until written.
    pub(crate) files: BTreeMap<InodeId, Arc<FileNode>>,
    pub(crate) journal: Journal,
    next_inode: InodeId,
    /// Counts processes: a handle of an earlier one is dead.
    pub(crate) process: u64,
    /// How many handles each file has.
    pub(crate) open: BTreeMap<InodeId, u64>,
    pub(crate) locked: BTreeSet<InodeId>,
    pub(crate) off: bool,
    pub(crate) read_only: bool,
    pub(crate) capacity: Option<u64>,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            directories: BTreeMap::from([(ROOT, Directory::default())]),
            files: BTreeMap::new(),
            journal: Journal::default(),
            next_inode: ROOT + 1,
            process: 0,
            open: BTreeMap::new(),
            locked: BTreeSet::new(),
            off: false,
            read_only: false,
            capacity: None,
            faults: Faults::default(),
            counters: Counters::default(),
        }
    }

    /// Ends the process: its handles are dead and its locks released.
    pub(crate) fn end_process(&mut self) {
        self.process += 1;
        self.open.clear();
        self.locked.clear();
    }

    pub(crate) fn power_off(&mut self) {
        self.end_process();
        self.off = true;
    }

    /// Whether any call can succeed.
    pub(crate) fn check_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the machine is off")) } else { Ok(()) }
    }

    /// Counts an operation and fails it where that was ordered. `Ok` carries how many bytes of a
    /// write land before it fails.
    pub(crate) fn begin(&mut self, operation: Operation) -> io::Result<Option<usize>> {
        self.check_power()?;
        match operation {
            Operation::Read => self.counters.reads += 1,
            Operation::Write => self.counters.writes += 1,
            Operation::SyncData | Operation::SyncDir => self.counters.syncs += 1,
            _ => {}
        }
        match self.faults.strike(operation) {
            Some(Effect::Fail(kind)) => return Err(io::Error::new(kind, "this failure was ordered")),
            Some(Effect::Crash) => self.power_off(),
            Some(Effect::Cut(landed)) => return Ok(Some(landed)),
            None => {}
        }
        self.check_power()?;
        let changes = !matches!(operation, Operation::Read | Operation::SyncData | Operation::SyncDir);
        if changes && self.read_only { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(None) }
    }

    /// The directory and the name in it that `path` ends with.
    pub(crate) fn name(&self, path: &Path) -> io::Result<Name> {
        let mut names = names(path)?;
        let last = names.pop().ok_or(ErrorKind::IsADirectory)?;
        Ok((self.walk(&names)?, last))
    }

    pub(crate) fn directory(&self, path: &Path) -> io::Result<InodeId> {
        self.walk(&names(path)?)
    }

    fn walk(&self, names: &[String]) -> io::Result<InodeId> {
        names.iter().try_fold(ROOT, |dir, name| {
            let inode = self.find(&(dir, name.clone())).ok_or(ErrorKind::NotFound)?;
            if self.directories.contains_key(&inode) { Ok(inode) } else { Err(ErrorKind::NotADirectory.into()) }
        })
    }

    /// What a name leads to.
    pub(crate) fn find(&self, (dir, name): &Name) -> Option<InodeId> {
        self.directories.get(dir)?.entries.get(name).copied()
    }

    /// The file that a name leads to.
    pub(crate) fn find_file(&self, name: &Name) -> io::Result<InodeId> {
        let inode = self.find(name).ok_or(ErrorKind::NotFound)?;
        if self.files.contains_key(&inode) { Ok(inode) } else { Err(ErrorKind::IsADirectory.into()) }
    }

    pub(crate) fn file(&self, path: &Path) -> io::Result<InodeId> {
        self.find_file(&self.name(path)?)
    }

    pub(crate) fn node(&self, inode: InodeId) -> io::Result<&FileNode> {
        self.files.get(&inode).map(|node| &**node).ok_or(ErrorKind::NotFound.into())
    }

    /// The file for writing, with its own copy of what forks share.
    pub(crate) fn node_mut(&mut self, inode: InodeId) -> io::Result<&mut FileNode> {
        self.files.get_mut(&inode).map(Arc::make_mut).ok_or(ErrorKind::NotFound.into())
    }

    /// Makes a change visible; it waits for a sync to become durable.
    pub(crate) fn change(&mut self, change: Change) {
        for ((dir, name), to) in &change {
            let Some(directory) = self.directories.get_mut(dir) else { continue };
            match to {
                Some(inode) => _ = directory.entries.insert(name.clone(), *inode),
                None => _ = directory.entries.remove(name),
            }
        }
        self.journal.push(change);
    }

    pub(crate) fn create_file(&mut self, name: Name) -> io::Result<InodeId> {
        self.begin(Operation::Create)?;
        let inode = self.new_inode();
        self.files.insert(inode, Arc::default());
        self.change(vec![(name, Some(inode))]);
        Ok(inode)
    }

    pub(crate) fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = ROOT;
        for name in names(path)? {
            let name = (dir, name);
            dir = match self.find(&name) {
                Some(inode) if self.directories.contains_key(&inode) => inode,
                Some(_) => return Err(ErrorKind::NotADirectory.into()),
                None => {
                    self.begin(Operation::Create)?;
                    let inode = self.new_inode();
                    self.directories.insert(inode, Directory::default());
                    self.change(vec![(name, Some(inode))]);
                    inode
                }
            };
        }
        Ok(())
    }

    fn new_inode(&mut self) -> InodeId {
        self.next_inode += 1;
        self.next_inode - 1
    }

    /// Writes what fits: a full disk, like a real one, takes the first bytes before it fails.
    pub(crate) fn write(&mut self, inode: InodeId, data: &[u8], offset: u64) -> io::Result<()> {
        let landed = self.begin(Operation::Write)?;
        self.counters.bytes_written += data.len() as u64;
        let len = self.node(inode)?.bytes.len();
        let end = offset.checked_add(data.len() as u64).ok_or(ErrorKind::InvalidInput)?;
        let room = if end > len { self.free_bytes() } else { u64::MAX };
        let fits = len.saturating_add(room).saturating_sub(offset).min(data.len() as u64) as usize;
        let taken = landed.unwrap_or(data.len()).min(fits);
        self.node_mut(inode)?.write(&data[..taken], offset);
        match landed {
            Some(_) => Err(io::Error::new(ErrorKind::WriteZero, "this short write was ordered")),
            None if taken < data.len() => Err(ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    /// What may still be written; 1 TiB where no capacity is set.
    pub(crate) fn free_bytes(&self) -> u64 {
        const UNBOUNDED: u64 = 1 << 40;
        self.capacity.map_or(UNBOUNDED, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    /// The lengths of all files that have a name or a handle.
    pub(crate) fn used_bytes(&self) -> u64 {
        let named = self.directories.values().flat_map(|directory| directory.entries.values());
        let living: BTreeSet<InodeId> = named.chain(self.open.keys()).copied().collect();
        living.iter().filter_map(|inode| self.files.get(inode)).map(|file| file.bytes.len()).sum()
    }

    /// Closes one handle of `process`; those of an ended process are closed already.
    pub(crate) fn close(&mut self, inode: InodeId, process: u64) {
        if process == self.process
            && let Some(handles) = self.open.get_mut(&inode)
        {
            *handles -= 1;
            if *handles == 0 {
                self.open.remove(&inode);
            }
        }
    }

    pub(crate) fn sync_directory(&mut self, dir: InodeId) {
        let changes = self.journal.take_for(dir);
        self.make_durable(changes.into_iter());
        self.forget_unreachable();
    }

    /// Drops files and directories that nothing leads to: no name, durable name, pending change
    /// or handle.
    pub(crate) fn forget_unreachable(&mut self) {
        let named = self.directories.values().flat_map(|dir| dir.entries.values().chain(dir.durable.values()));
        let pending = self.journal.changes().flatten().filter_map(|(_, to)| to.as_ref());
        let mut living: BTreeSet<InodeId> = named.chain(pending).chain(self.open.keys()).copied().collect();
        living.insert(ROOT);
        self.files.retain(|inode, _| living.contains(inode));
        self.directories.retain(|inode, _| living.contains(inode));
    }
}

/// The names that a path is made of, from the root. Relative paths begin there too.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    path.components()
        .filter(|part| !matches!(part, Component::RootDir | Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => name.to_str().map(str::to_owned).ok_or(ErrorKind::InvalidInput.into()),
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "`..` is not simulated")),
        })
        .collect()
}
