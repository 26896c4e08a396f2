//! Errors and crashes that a test orders.

use std::io;

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Opening a file with `CreateNew`, or creating a lock file or a directory.
    Create,
    /// One `read_exact_at` or `read_ranges`.
    Read,
    /// One `write_all_at`.
    Write,
    /// `sync_data`. Where it fails, what was to be synced is given up, as Linux does: no later
    /// sync makes it durable unless it is written again.
    SyncData,
    /// `sync_dir`. Where it fails, the entries stay pending.
    SyncDir,
    /// `link`.
    Link,
    /// `rename`.
    Rename,
    /// `remove`.
    Remove,
}

/// Which operations a fault counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    One(Operation),
    AnySync,
}

impl Trigger {
    fn counts(self, operation: Operation) -> bool {
        match self {
            Trigger::One(one) => one == operation,
            Trigger::AnySync => matches!(operation, Operation::SyncData | Operation::SyncDir),
        }
    }
}

/// What happens instead of the operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Fail(io::ErrorKind),
    /// The first bytes of a write land before it fails.
    Cut(usize),
    Crash,
}

/// Faults that wait for their turn.
#[derive(Clone, Default)]
pub(crate) struct Faults(Vec<Fault>);

#[derive(Clone)]
struct Fault {
    trigger: Trigger,
    /// How many operations it still lets pass.
    passes: u64,
    effect: Effect,
}

impl Faults {
    /// Orders `effect` for the `nth` operation from now; 1 is the next.
    pub(crate) fn order(&mut self, trigger: Trigger, nth: u64, effect: Effect) {
        assert!(nth > 0, "operations are counted from 1");
        self.0.push(Fault { trigger, passes: nth - 1, effect });
    }

    /// Counts one operation and takes the fault whose turn it is.
    pub(crate) fn strike(&mut self, operation: Operation) -> Option<Effect> {
        let mut struck = None;
        for (index, fault) in self.0.iter_mut().enumerate().filter(|(_, fault)| fault.trigger.counts(operation)) {
            match fault.passes.checked_sub(1) {
                Some(left) => fault.passes = left,
                None => struck = struck.or(Some(index)),
            }
        }
        struck.map(|index| self.0.remove(index).effect)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
