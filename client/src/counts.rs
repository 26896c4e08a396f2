//! What became of samples.

use std::fmt;

use tagus_proto::v1;

/// What became of samples: `rows = stored + replaced + duplicate + reduced + rejected`.
///
/// `Display` prints the accounting line, `rows=R stored=S replaced=P duplicate=D reduced=E
/// coerced=C rejected=X`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All samples.
    pub rows: u64,
    /// New (tag, time) pairs.
    pub stored: u64,
    /// The pair existed with another value or status.
    pub replaced: u64,
    /// Equal to what was there.
    pub duplicate: u64,
    /// Left out on purpose, as the tag's settings say.
    pub reduced: u64,
    /// Changed to fit the tag's type; a subset of stored, replaced and reduced.
    pub coerced: u64,
    /// Refused.
    pub rejected: u64,
}

impl From<v1::Counts> for Counts {
    fn from(counts: v1::Counts) -> Counts {
        let v1::Counts { rows, stored, replaced, duplicate, reduced, coerced, rejected } = counts;
        Counts { rows, stored, replaced, duplicate, reduced, coerced, rejected }
    }
}

impl std::ops::Add for Counts {
    type Output = Counts;

    /// Saturates: the numbers come from a server.
    fn add(self, other: Counts) -> Counts {
        Counts {
            rows: self.rows.saturating_add(other.rows),
            stored: self.stored.saturating_add(other.stored),
            replaced: self.replaced.saturating_add(other.replaced),
            duplicate: self.duplicate.saturating_add(other.duplicate),
            reduced: self.reduced.saturating_add(other.reduced),
            coerced: self.coerced.saturating_add(other.coerced),
            rejected: self.rejected.saturating_add(other.rejected),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { rows, stored, replaced, duplicate, reduced, coerced, rejected } = self;
        write!(f, "rows={rows} stored={stored} replaced={replaced} duplicate={duplicate} ")?;
        write!(f, "reduced={reduced} coerced={coerced} rejected={rejected}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounting_line_names_every_count() {
        let wire = v1::Counts { rows: 21, stored: 1, replaced: 2, duplicate: 3, reduced: 4, coerced: 5, rejected: 11 };
        let line = "rows=21 stored=1 replaced=2 duplicate=3 reduced=4 coerced=5 rejected=11";
        assert_eq!(Counts::from(wire).to_string(), line);
        let most = Counts { rows: u64::MAX, ..Counts::default() };
        assert_eq!((most + Counts::from(wire)).rows, u64::MAX);
    }
}
