//! What to do next: pure decisions over facts that others gather.

mod merge;

pub use merge::{FILE_BYTES, MergePlan, next_merge};

/// What a decision to flush needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushFacts {
    /// Bytes of the active memtable.
    pub active_bytes: usize,
    /// Bytes of the unflushed log.
    pub log_bytes: u64,
    /// Nanoseconds since the first frame of the active memtable; none where it is empty.
    pub age: Option<u64>,
    /// Memtables that are frozen and not in segments yet.
    pub frozen: usize,
    /// Whether the log found no room for a file more: a flush gives back those it has.
    pub log_full: bool,
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

/// Whether the memtables are to be flushed now.
pub fn should_flush(facts: FlushFacts, limits: FlushLimits) -> bool {
    facts.frozen > 0
        || facts.log_full
        || facts.age.is_some_and(|age| {
            age >= limits.age || facts.active_bytes >= limits.memtable_bytes || facts.log_bytes >= limits.log_bytes
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_due_by_size_by_log_or_by_age() {
        let limits = FlushLimits { memtable_bytes: 100, log_bytes: 1000, age: 60 };
        let idle = FlushFacts { active_bytes: 0, log_bytes: 2000, age: None, frozen: 0, log_full: false };
        assert!(!should_flush(idle, limits));
        let young = FlushFacts { active_bytes: 99, log_bytes: 999, age: Some(59), frozen: 0, log_full: false };
        assert!(!should_flush(young, limits));
        assert!(should_flush(FlushFacts { active_bytes: 100, ..young }, limits));
        assert!(should_flush(FlushFacts { log_bytes: 1000, ..young }, limits));
        assert!(should_flush(FlushFacts { age: Some(60), ..young }, limits));
        assert!(should_flush(FlushFacts { frozen: 1, ..idle }, limits));
        assert!(should_flush(FlushFacts { log_full: true, ..idle }, limits));
    }
}
