//! What is asked of a scan, and the plan of it as plain values that can be sent elsewhere.

use serde::{Deserialize, Serialize};

use crate::segment::Columns;
use crate::status::Quality;
use crate::tag::TagId;

/// Which tags a scan covers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TagSelection {
    /// Every tag.
    All,
    /// Every tag, and all series of summaries.
    Everything,
    /// These, in any order; a tag named twice counts once.
    Ids(Vec<TagId>),
}

/// A set of qualities.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QualitySet(u8);

/// The order of one tag's rows; tags always ascend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// What is asked of a scan.
///
/// The scan answers exactly the rows of these tags, times and qualities, so that callers need
/// not check them again.
#[derive(Clone, PartialEq, Debug)]
pub struct ScanRequest {
    /// Which tags.
    pub tags: TagSelection,
    /// The first time, in nanoseconds since 1970 UTC.
    pub from: i64,
    /// The last time, included; before `from` nothing matches.
    pub to: i64,
    /// Which qualities.
    pub qualities: QualitySet,
    /// Which columns are to be filled; with none, only tags and row counts are answered. Where
    /// any is asked, times are filled too.
    pub columns: Columns,
    /// The order within a tag.
    pub order: Order,
    /// Each partition ends after this many rows.
    pub limit: Option<u64>,
    /// At most this many rows of each tag, the first ones in `order`.
    pub limit_per_tag: Option<u64>,
}

/// A planned scan: a plain value that holds no handle, to be opened on a read view.
///
/// Partitions in order, and rows in order within each, give the whole in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ScanSpec {
    /// The manifest that the segment ids of the cells belong to.
    pub manifest: u64,
    /// The highest log sequence that the planning view held; an executing view that ends before
    /// it would miss samples.
    pub through: u64,
    /// Which tags.
    pub tags: TagSelection,
    /// Which qualities.
    pub qualities: QualitySet,
    /// Which columns are filled.
    pub columns: Columns,
    /// The order within a tag.
    pub order: Order,
    /// Rows of each partition at most.
    pub limit: Option<u64>,
    /// Rows of each tag at most.
    pub limit_per_tag: Option<u64>,
    /// The cells of each partition, in scan order. Cells do not overlap.
    pub cells: Vec<Vec<ScanCell>>,
}

/// A range of tags over a range of times, with every version of each row in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScanCell {
    /// The first tag.
    pub first_tag: TagId,
    /// The last tag, included.
    pub last_tag: TagId,
    /// The first time.
    pub from: i64,
    /// The last time, included.
    pub to: i64,
    /// Ids of the segments that can hold rows of this cell, beside the memtables.
    pub segments: Vec<u64>,
}

impl ScanSpec {
    /// The number of partitions, at least 1.
    pub fn partitions(&self) -> usize {
        self.cells.len()
    }
}

impl ScanRequest {
    /// All columns of all rows of some tags, oldest first; a base to change.
    pub fn of(tags: TagSelection) -> ScanRequest {
        ScanRequest {
            tags,
            from: i64::MIN,
            to: i64::MAX,
            qualities: QualitySet::ALL,
            columns: Columns::ALL,
            order: Order::Ascending,
            limit: None,
            limit_per_tag: None,
        }
    }
}

impl TagSelection {
    /// No tag or series is above this.
    pub(super) fn last(&self) -> TagId {
        if *self == TagSelection::All { TagId::LAST } else { TagId(u32::MAX) }
    }

    /// The same tags, ascending and each once.
    pub(super) fn sorted(&self) -> TagSelection {
        match self {
            TagSelection::All => TagSelection::All,
            TagSelection::Everything => TagSelection::Everything,
            TagSelection::Ids(ids) => {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                TagSelection::Ids(ids)
            }
        }
    }
}

impl QualitySet {
    /// All three qualities.
    pub const ALL: QualitySet = QualitySet(0b111);
    /// No quality: nothing matches.
    pub const NONE: QualitySet = QualitySet(0);

    /// The same set with one more.
    #[must_use]
    pub const fn with(self, quality: Quality) -> QualitySet {
        QualitySet(self.0 | 1 << quality as u8)
    }

    /// Whether a quality is in the set.
    pub const fn contains(self, quality: Quality) -> bool {
        self.0 & 1 << quality as u8 != 0
    }

    /// Whether the set holds all three.
    pub fn is_all(self) -> bool {
        Quality::ALL.iter().all(|q| self.contains(*q))
    }

    /// Whether every row of a run matches whose worst quality is `worst`.
    pub fn holds_all_to(self, worst: Quality) -> bool {
        Quality::ALL.iter().filter(|q| **q <= worst).all(|q| self.contains(*q))
    }

    /// Whether any row of a run can match whose worst quality is `worst`.
    pub fn holds_any_to(self, worst: Quality) -> bool {
        Quality::ALL.iter().any(|q| *q <= worst && self.contains(*q))
    }
}

impl FromIterator<Quality> for QualitySet {
    fn from_iter<I: IntoIterator<Item = Quality>>(qualities: I) -> QualitySet {
        qualities.into_iter().fold(QualitySet::NONE, QualitySet::with)
    }
}
