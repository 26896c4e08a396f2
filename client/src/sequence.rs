//! Sequence numbers, unacknowledged batches and counts of one source: what has to be sent again,
//! and what the server's answers mean. No I/O.
//!
//! Invariants:
//! 1. Batches get consecutive numbers from 1 in each epoch; `pending` holds `acked + 1` onwards.
//! 2. A batch leaves `pending` only when the server says that it is durable.
//! 3. After a new epoch begins, what was pending is numbered from 1 in the same order.

use std::collections::VecDeque;

use crate::block::Block;
use crate::counts::Counts;

/// A batch that may have to be sent again.
pub(crate) struct Pending {
    pub blocks: Vec<Block>,
    /// How many samples the writer took before this batch.
    pub first: u64,
    pub rows: u64,
}

/// Where one source stands.
pub(crate) struct Sequence {
    epoch: u64,
    /// Whether every stream begins at 1 (a writer without a source name).
    restarts: bool,
    acked: u64,
    pending: VecDeque<Pending>,
    /// Counts of the epochs before.
    settled: Counts,
    /// Counts of this epoch, as last acknowledged.
    current: Counts,
}

/// What an opening means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Go on behind the last durable batch; so many samples more are durable than known.
    Continue { durable_rows: u64 },
    /// The server does not know this epoch any more: open again with the new one.
    Renewed,
    /// The server is behind what it acknowledged.
    Lost { acknowledged: u64, durable: u64 },
    /// The server is ahead of what was ever sent.
    Foreign { sent: u64, durable: u64 },
}

impl Sequence {
    pub fn new(epoch: u64, restarts: bool) -> Sequence {
        let (settled, current) = (Counts::default(), Counts::default());
        Sequence { epoch, restarts, acked: 0, pending: VecDeque::new(), settled, current }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Batches in flight.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The highest number given.
    pub fn last(&self) -> u64 {
        self.acked + self.pending.len() as u64
    }

    pub fn counts(&self) -> Counts {
        self.settled + self.current
    }

    /// Takes a batch in; the next number is its.
    pub fn append(&mut self, batch: Pending) {
        self.pending.push_back(batch);
    }

    /// The batch of a number that is in flight.
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut Pending> {
        let at = sequence.checked_sub(self.acked + 1)?;
        self.pending.get_mut(usize::try_from(at).ok()?)
    }

    /// All numbers in flight, in order.
    pub fn unacknowledged(&self) -> std::ops::RangeInclusive<u64> {
        self.acked + 1..=self.last()
    }

    /// The server opened the epoch; `next_epoch` is taken where a new one is needed.
    pub fn open(&mut self, last: u64, counts: Counts, next_epoch: u64) -> Opening {
        if self.restarts {
            self.renew(self.epoch);
            if last > 0 {
                return Opening::Foreign { sent: 0, durable: last };
            }
        }
        if last > self.last() {
            return Opening::Foreign { sent: self.last(), durable: last };
        }
        if last >= self.acked {
            return Opening::Continue { durable_rows: self.acknowledge(last, counts).unwrap_or(0) };
        }
        if last == 0 {
            self.renew(next_epoch);
            return Opening::Renewed;
        }
        Opening::Lost { acknowledged: self.acked, durable: last }
    }

    /// What an opening that answers `last` and `counts` says beyond what was acknowledged, where
    /// samples were refused: how many, and the batches they are in.
    pub fn refused_unseen(&self, last: u64, counts: &Counts) -> Option<(u64, impl Iterator<Item = &Pending>)> {
        let refused = counts.rejected.checked_sub(self.current.rejected).filter(|refused| *refused > 0)?;
        let batches = usize::try_from(last.checked_sub(self.acked)?).ok()?;
        (batches <= self.pending.len() && !self.restarts).then(|| (refused, self.pending.iter().take(batches)))
    }

    /// All batches up to `sequence` are durable: how many samples more that is. `None` where such
    /// a batch was never sent. An older number changes nothing.
    pub fn acknowledge(&mut self, sequence: u64, counts: Counts) -> Option<u64> {
        if sequence > self.last() {
            return None;
        }
        if sequence < self.acked {
            return Some(0);
        }
        let batches = usize::try_from(sequence - self.acked).ok()?;
        let rows = self.pending.drain(..batches).map(|batch| batch.rows).sum();
        self.acked = sequence;
        self.current = counts;
        Some(rows)
    }

    fn renew(&mut self, epoch: u64) {
        self.settled = self.counts();
        self.current = Counts::default();
        self.epoch = epoch;
        self.acked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(rows: u64) -> Counts {
        Counts { rows, stored: rows, ..Counts::default() }
    }

    fn with_batches(batches: u64) -> Sequence {
        let mut sequence = Sequence::new(7, false);
        for first in 0..batches {
            sequence.append(Pending { blocks: Vec::new(), first: first * 10, rows: 10 });
        }
        sequence
    }

    #[test]
    fn an_acknowledgement_covers_all_before_it() {
        let mut sequence = with_batches(5);
        assert_eq!(sequence.acknowledge(3, stored(30)), Some(30));
        assert_eq!(sequence.acknowledge(2, stored(20)), Some(0));
        assert_eq!(sequence.counts(), stored(30));
        assert_eq!(sequence.unacknowledged(), 4..=5);
        assert_eq!(sequence.get_mut(4).map(|batch| batch.first), Some(30));
        assert!(sequence.get_mut(3).is_none() && sequence.get_mut(6).is_none());
        assert_eq!(sequence.acknowledge(6, stored(60)), None);
    }

    #[test]
    fn opening_again_sends_only_what_is_not_durable() {
        let mut sequence = with_batches(5);
        assert_eq!(sequence.acknowledge(2, stored(20)), Some(20));
        assert_eq!(sequence.open(4, stored(40), 8), Opening::Continue { durable_rows: 20 });
        assert_eq!((sequence.epoch(), sequence.unacknowledged()), (7, 5..=5));
        assert_eq!(sequence.counts(), stored(40));
    }

    #[test]
    fn refusals_that_nobody_heard_of_are_known_by_their_batches() {
        let mut sequence = with_batches(5);
        assert_eq!(sequence.acknowledge(1, Counts { rejected: 2, ..stored(8) }), Some(10));
        let firsts = |last, rejected| {
            let counts = Counts { rejected, ..stored(8) };
            let unseen = sequence.refused_unseen(last, &counts);
            unseen.map(|(refused, batches)| (refused, batches.map(|batch| batch.first).collect::<Vec<_>>()))
        };
        assert_eq!(firsts(3, 7), Some((5, vec![10, 20])));
        assert_eq!((firsts(3, 2), firsts(6, 7), firsts(0, 7)), (None, None, None));
    }

    #[test]
    fn an_epoch_that_the_server_forgot_begins_anew() {
        let mut sequence = with_batches(5);
        assert_eq!(sequence.acknowledge(2, stored(20)), Some(20));
        assert_eq!(sequence.open(0, Counts::default(), 8), Opening::Renewed);
        assert_eq!((sequence.epoch(), sequence.unacknowledged()), (8, 1..=3));
        assert_eq!(sequence.get_mut(1).map(|batch| batch.first), Some(20));
        assert_eq!(sequence.open(0, Counts::default(), 9), Opening::Continue { durable_rows: 0 });
        assert_eq!(sequence.acknowledge(3, stored(30)), Some(30));
        assert_eq!(sequence.counts(), stored(50));
    }

    #[test]
    fn a_server_behind_or_ahead_is_noticed() {
        let mut sequence = with_batches(5);
        assert_eq!(sequence.open(6, stored(60), 8), Opening::Foreign { sent: 5, durable: 6 });
        assert_eq!(sequence.acknowledge(4, stored(40)), Some(40));
        assert_eq!(sequence.open(3, stored(30), 8), Opening::Lost { acknowledged: 4, durable: 3 });
    }

    #[test]
    fn without_a_source_every_stream_begins_at_one() {
        let mut sequence = Sequence::new(7, true);
        for first in 0..3 {
            sequence.append(Pending { blocks: Vec::new(), first, rows: 1 });
        }
        assert_eq!(sequence.acknowledge(1, stored(1)), Some(1));
        assert_eq!(sequence.open(0, Counts::default(), 8), Opening::Continue { durable_rows: 0 });
        assert_eq!(sequence.unacknowledged(), 1..=2);
        assert_eq!(sequence.acknowledge(2, stored(2)), Some(2));
        assert_eq!(sequence.counts(), stored(3));
        sequence.append(Pending { blocks: Vec::new(), first: 3, rows: 1 });
        assert_eq!(sequence.open(1, stored(1), 8), Opening::Foreign { sent: 0, durable: 1 });
    }
}
