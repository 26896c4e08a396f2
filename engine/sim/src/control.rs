//! What a test does to a disk.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::digest::Digest;
use crate::disk::SimDisk;
use crate::fate::Fate;
use crate::fault::{Effect, Operation, Trigger};
use crate::inode::InodeId;
use crate::state::{Counters, ROOT, State};

impl SimDisk {
    /// An empty disk: only `/` exists.
    pub fn new() -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(State::new())) }
    }

    /// Another disk in the same state: the same bytes, durable or not, the same ordered faults, on
    /// or off. No process runs on it, so nothing is open and nothing locked. Bytes are shared until
    /// they are written: forking is cheap.
    pub fn fork(&self) -> SimDisk {
        let mut state = self.state.lock().clone();
        state.end_process();
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// What the disk was asked to do so far.
    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// Calls of `sync_data` and `sync_dir` so far. A run that makes n of them can be crashed at
    /// each of 1 to n.
    pub fn syncs(&self) -> u64 {
        self.counters().syncs
    }

    /// Lets the power go at the `k`-th sync from now, of a file or a directory; 1 is the next.
    /// That sync and all later calls fail until [`SimDisk::restart`].
    pub fn crash_at_sync(&self, k: u64) {
        self.state.lock().faults.order(Trigger::AnySync, k, Effect::Crash);
    }

    /// Lets the power go instead of the `k`-th `operation` from now; 1 is the next.
    pub fn crash_at(&self, operation: Operation, k: u64) {
        self.state.lock().faults.order(Trigger::One(operation), k, Effect::Crash);
    }

    /// Lets the power go now.
    pub fn crash(&self) {
        self.state.lock().power_off();
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Lets the power go if it has not, and starts the machine again with what `fate` leaves of
    /// all that was not synced; it is durable then. Ordered faults that did not come are dropped;
    /// capacity, read-only mode and unreadable bytes stay.
    pub fn restart(&self, fate: Fate) {
        let mut state = self.state.lock();
        state.power_off();
        state.settle(fate);
        state.faults.clear();
        state.off = false;
    }

    /// Ends the process as `kill -9` does: what it wrote stays visible and is no more durable than
    /// before; its handles are dead and its locks released.
    pub fn kill_process(&self) {
        self.state.lock().end_process();
    }

    /// Lets the `nth` such operation from now fail with `kind`; 1 is the next. It changes nothing,
    /// except that a failed `sync_data` gives up what it was to sync.
    pub fn fail(&self, operation: Operation, nth: u64, kind: io::ErrorKind) {
        self.state.lock().faults.order(Trigger::One(operation), nth, Effect::Fail(kind));
    }

    /// Lets the `nth` write from now fail with `WriteZero` after its first `landed` bytes.
    pub fn cut_write(&self, nth: u64, landed: usize) {
        self.state.lock().faults.order(Trigger::One(Operation::Write), nth, Effect::Cut(landed));
    }

    /// Sets how many bytes all files may have together; what grows a file beyond fails with
    /// `StorageFull` after the bytes that fit. `None`, as at first, is no bound.
    pub fn set_capacity(&self, bytes: impl Into<Option<u64>>) {
        self.state.lock().capacity = bytes.into();
    }

    /// The lengths of all files that have a name or are open.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// Refuses every change with `ReadOnlyFilesystem`, or takes them again.
    pub fn set_read_only(&self, read_only: bool) {
        self.state.lock().read_only = read_only;
    }

    /// Inverts `bit` (0 to 7) of the byte at `offset`, as the medium may.
    pub fn flip(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.file(path)?;
        if state.node_mut(inode)?.flip(offset, bit) { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Lets reads that touch `bytes` of a file fail with EIO, under whatever name.
    pub fn make_unreadable(&self, path: &Path, bytes: Range<u64>) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.file(path)?;
        state.node_mut(inode)?.unreadable.insert(bytes);
        Ok(())
    }

    /// Takes back all [`SimDisk::make_unreadable`] of a file.
    pub fn make_readable(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.file(path)?;
        state.node_mut(inode)?.unreadable.clear();
        Ok(())
    }

    /// The paths of all files, sorted; also while the power is gone.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.state.lock();
        let mut paths = BTreeSet::new();
        collect_files(&state, ROOT, Path::new("/"), &mut paths);
        paths.into_iter().collect()
    }

    /// How many ordered faults have not come yet.
    pub fn faults_left(&self) -> usize {
        self.state.lock().faults.len()
    }

    /// Takes back all ordered faults that have not come yet.
    pub fn call_off_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Names, lengths and bytes of all files, folded; also while the power is gone. Disks in the
    /// same state have the same digest.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        for path in self.files() {
            let state = self.state.lock();
            let Some(node) = state.file(&path).ok().and_then(|inode| state.node(inode).ok()) else { continue };
            digest.add(path.to_string_lossy().as_bytes());
            digest.add(&node.bytes.len().to_le_bytes());
            for (index, page) in node.bytes.pages() {
                digest.add(&index.to_le_bytes());
                digest.add(page);
            }
        }
        digest.value()
    }

    /// All bytes of a file, past counters and faults; also while the power is gone.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let inode = state.file(path)?;
        Ok(state.node(inode)?.bytes.to_vec())
    }
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

fn collect_files(state: &State, dir: InodeId, path: &Path, into: &mut BTreeSet<PathBuf>) {
    for (name, inode) in state.directories.get(&dir).iter().flat_map(|directory| &directory.entries) {
        if state.files.contains_key(inode) {
            into.insert(path.join(name));
        } else {
            collect_files(state, *inode, &path.join(name), into);
        }
    }
}
