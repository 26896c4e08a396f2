//! What to do next: pure decisions over facts that others gather.

mod merge;
mod purge;
mod retention;

pub use merge::{MergePlan, next_merge};
pub use purge::next_purge;
pub use retention::{Expiry, expiries};

/// What a decision to flush needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushFacts {
    /// Bytes of the active memtable.
    pub active_bytes: usize,
    /// Bytes of the unflushed log.
    pub log_bytes: u64,
    /// Nanoseconds since the first frame after the last freeze; none where there was none.
    pub age: Option<u64>,
    /// Memtables that are frozen and not in segments yet.
    pub frozen: usize,
    /// Whether a delete is among those frames.
    pub deletes: bool,
    /// Whether the log found no room for a file more: a flush gives back those it has.
    pub log_full: bool,
    /// Bytes of disk that segments may take.
    pub disk_room: u64,
}

/// When to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushLimits {
    /// Bytes of one memtable.
    pub memtable_bytes: usize,
    /// Bytes of unflushed log.
    pub log_bytes: u64,
    /// Age in nanoseconds.
    pub age: u64,
}

/// Age at which a delete is flushed, in nanoseconds: it can be taken off the disk then, and outside
/// readers are told of it.
const DELETE_AGE: u64 = 3_600_000_000_000;

/// What is to be flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDue {
    /// What is frozen already. It comes first: while the disk is full and each try fails, nothing
    /// more is frozen, and so no try leaves another small segment to be written.
    Frozen,
    /// The active memtable, with the changed tags.
    Active,
}

/// What a writer is to do as far as the disk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskRoom {
    /// Go on.
    Enough,
    /// Wait for a flush, which frees log.
    AfterFlush,
    /// Give up: no flush helps.
    None,
}

/// Whether the disk has room for more log. A segment takes at most about as many bytes as the log it
/// comes from: while that fits on the disk, everything that was acknowledged can be flushed.
pub fn disk_room(room: u64, log_bytes: u64) -> DiskRoom {
    match log_bytes {
        _ if log_bytes < room => DiskRoom::Enough,
        0 => DiskRoom::None,
        _ => DiskRoom::AfterFlush,
    }
}

/// What is to be flushed now, if anything. Changes of tags fill the log, too, without a byte of
/// memtable.
pub fn flush_due(facts: FlushFacts, limits: FlushLimits) -> Option<FlushDue> {
    if facts.frozen > 0 {
        return Some(FlushDue::Frozen);
    }
    let due = facts.log_full
        || (facts.log_bytes > 0 && facts.log_bytes >= facts.disk_room / 2)
        || facts.log_bytes >= limits.log_bytes
        || facts.active_bytes >= limits.memtable_bytes
        || facts.age.is_some_and(|age| age >= limits.age || (facts.deletes && age >= DELETE_AGE));
    due.then_some(FlushDue::Active)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_due_by_size_by_log_or_by_age() {
        let limits = FlushLimits { memtable_bytes: 100, log_bytes: 1000, age: 60 };
        let idle = FlushFacts {
            active_bytes: 0,
            log_bytes: 999,
            age: None,
            frozen: 0,
            deletes: false,
            log_full: false,
            disk_room: 10_000,
        };
        assert_eq!(flush_due(idle, limits), None);
        assert_eq!(flush_due(FlushFacts { age: Some(59), active_bytes: 99, ..idle }, limits), None);
        for due in [
            FlushFacts { active_bytes: 100, ..idle },
            FlushFacts { log_bytes: 1000, ..idle },
            FlushFacts { age: Some(60), ..idle },
            FlushFacts { log_full: true, ..idle },
            FlushFacts { disk_room: 1998, ..idle },
        ] {
            assert_eq!(flush_due(due, limits), Some(FlushDue::Active), "{due:?}");
            assert_eq!(flush_due(FlushFacts { frozen: 1, ..due }, limits), Some(FlushDue::Frozen), "{due:?}");
        }
        assert_eq!(flush_due(FlushFacts { frozen: 1, ..idle }, limits), Some(FlushDue::Frozen));
        assert_eq!(flush_due(FlushFacts { log_bytes: 0, disk_room: 0, ..idle }, limits), None);
        let day = FlushLimits { age: 24 * DELETE_AGE, ..limits };
        let hour = FlushFacts { age: Some(DELETE_AGE), ..idle };
        assert_eq!(flush_due(hour, day), None);
        assert_eq!(flush_due(FlushFacts { deletes: true, ..hour }, day), Some(FlushDue::Active));
    }

    #[test]
    fn the_log_may_grow_while_a_flush_of_it_fits() {
        assert_eq!(disk_room(100, 99), DiskRoom::Enough);
        assert_eq!(disk_room(100, 100), DiskRoom::AfterFlush);
        assert_eq!(disk_room(0, 0), DiskRoom::None);
    }
}
