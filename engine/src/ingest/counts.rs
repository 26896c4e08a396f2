//! What became of samples that came.

use std::ops::AddAssign;

/// Counts of samples by what became of them; everywhere the same words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// New (tag, time) pairs.
    pub stored: u64,
    /// The pair existed with another value, text or status.
    pub replaced: u64,
    /// Value bits, text and status were there already.
    pub duplicate: u64,
    /// Left out on purpose, durable in summaries.
    pub reduced: u64,
    /// Changed on the way in; a subset of stored, replaced and reduced.
    pub coerced: u64,
    /// Refused.
    pub rejected: u64,
}

impl Counts {
    /// All samples that came.
    pub fn rows(&self) -> u64 {
        self.stored + self.replaced + self.duplicate + self.reduced + self.rejected
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.stored += other.stored;
        self.replaced += other.replaced;
        self.duplicate += other.duplicate;
        self.reduced += other.reduced;
        self.coerced += other.coerced;
        self.rejected += other.rejected;
    }
}
