//! Segments of which something cannot be read, as reading them has shown.
//!
//! A damage is the segment's alone: what else can be read of its file goes on being read, and so
//! do all other files. It is remembered so that the log tells it once and not at each read, that
//! metrics show it, and that merges plan around it. It is forgotten once the very bytes read well
//! again: a sector may recover, and a person may copy the file back while the engine runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::Error;
use crate::env::Clock;

/// A segment that cannot be read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSegment {
    /// Its id.
    pub id: u64,
    /// Where its file lies, or should.
    pub path: PathBuf,
    /// Where the damage begins that was found first, in bytes from the start of the file.
    pub offset: u64,
    /// What is wrong there.
    pub why: String,
    /// When it was found, in nanoseconds since 1970 UTC.
    pub since: i64,
}

/// What of a segment cannot be had, and so what must be had again before it counts as whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The file cannot be opened.
    File,
    /// Its tail.
    Tail,
    /// Bytes before the tail.
    Bytes,
    /// What bytes say whose checksum is right. This does not mend itself.
    Meaning,
}

/// The damaged segments of an engine, one damage of each.
pub(crate) struct Damages {
    clock: Arc<dyn Clock>,
    /// By segment id.
    found: Mutex<BTreeMap<u64, Found>>,
    /// How many there are, so that a read of a sound segment takes no lock.
    count: AtomicUsize,
}

struct Found {
    segment: DamagedSegment,
    part: Part,
    /// Whether somebody has said what it does to the counts of late samples.
    mentioned: bool,
}

impl Damages {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Damages {
        Damages { clock, found: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// All of them, ascending by id.
    pub fn list(&self) -> Vec<DamagedSegment> {
        self.found.lock().values().map(|found| found.segment.clone()).collect()
    }

    /// Ids of all.
    pub fn ids(&self) -> BTreeSet<u64> {
        self.found.lock().keys().copied().collect()
    }

    /// Remembers the first damage of a segment, and tells it to the log.
    pub(super) fn note(&self, id: u64, path: PathBuf, part: Part, error: &Error) {
        let mut found = self.found.lock();
        if found.contains_key(&id) {
            return;
        }
        let (offset, why) = (error.offset().unwrap_or(0), error.why().to_owned());
        let segment = DamagedSegment { id, path, offset, why, since: self.clock.now() };
        found.insert(id, Found { segment, part, mentioned: false });
        self.count.store(found.len(), Relaxed);
        tracing::error!("a segment is damaged, queries that need the damaged part fail: {error}");
    }

    /// Forgets the damage of a segment where `part` of it was read, and that byte of it.
    pub(super) fn read_well(&self, id: u64, part: Part, holds: impl Fn(u64) -> bool) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut found = self.found.lock();
        let mended = |found: &Found| found.part == part && holds(found.segment.offset);
        if found.get(&id).is_some_and(mended)
            && let Some(Found { segment, .. }) = found.remove(&id)
        {
            tracing::info!("{} reads well again at byte {}", segment.path.display(), segment.offset);
        }
        self.count.store(found.len(), Relaxed);
    }

    /// Whether a segment is damaged and this was not asked of it before.
    pub(super) fn mention(&self, id: u64) -> bool {
        let mut found = self.found.lock();
        found.get_mut(&id).is_some_and(|found| !std::mem::replace(&mut found.mentioned, true))
    }

    /// Forgets a segment that is gone.
    pub(super) fn forget(&self, id: u64) {
        let mut found = self.found.lock();
        found.remove(&id);
        self.count.store(found.len(), Relaxed);
    }
}
