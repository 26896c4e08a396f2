//! Which segment to take deleted rows out of next: a pure decision.
//!
//! Deletes count for readers at once; what they take away is taken off the disk by the merges that
//! come anyway, and apart from these
//!
//! 1. for what an operator has deleted, once it has rested: several deletes then cost one rewrite;
//! 2. for retention, once it has passed the end of a segment, or half of the times of one whose tags
//!    it all covers: each rewrite at the edge then halves what is left to be rewritten.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::delete::{Cause, Delete};
use crate::segment::SegmentMeta;

/// How long a delete rests before segments are rewritten for its sake alone, in nanoseconds.
const REST: i64 = 3_600_000_000_000;

/// The id of the next segment to purge; with `all`, of any that may have deleted rows. Of those that
/// cannot be read, whose ids are `unusable`, only one that goes as a whole. `now` is in nanoseconds
/// since 1970 UTC.
pub fn next_purge(
    segments: &[SegmentMeta],
    unusable: &BTreeSet<u64>,
    deletes: &[Arc<Delete>],
    now: i64,
    all: bool,
) -> Option<u64> {
    let is_due = |segment: &&SegmentMeta| {
        let is_possible = |delete: &Delete| !unusable.contains(&segment.id) || delete.takes_all_of(segment);
        let is_due = |delete: &Delete| delete.concerns(segment) && (all || is_worth(delete, segment, now));
        deletes.iter().any(|delete| is_due(delete) && is_possible(delete))
    };
    segments.iter().find(is_due).map(|segment| segment.id)
}

fn is_worth(delete: &Delete, segment: &SegmentMeta, now: i64) -> bool {
    match delete.cause {
        // A clock that was set back does not keep a delete for ever.
        Cause::Request => now.abs_diff(delete.received) > REST.unsigned_abs(),
        Cause::Retention => {
            let middle = segment.first_time.midpoint(segment.last_time);
            delete.to >= segment.last_time
                || (delete.to >= middle && delete.tags.covers(segment.first_tag, segment.last_tag))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delete::TagRanges;
    use crate::tag::TagId;

    const HOUR: i64 = 3_600_000_000_000;

    fn segment(id: u64, first_time: i64, last_time: i64) -> SegmentMeta {
        SegmentMeta {
            id,
            name: String::new(),
            bytes: 1,
            tail_offset: 0,
            tail_crc: 0,
            rows: 1,
            first_sequence: id,
            last_sequence: id,
            deleted_through: id,
            first_tag: TagId(1),
            last_tag: TagId(9),
            tags: 2,
            first_time,
            last_time,
        }
    }

    fn delete(cause: Cause, tags: &[u32], from: i64, to: i64) -> Vec<Arc<Delete>> {
        let tags = TagRanges::of(&tags.iter().map(|tag| TagId(*tag)).collect::<Vec<_>>());
        vec![Arc::new(Delete { sequence: 5, received: 0, cause, tags, from, to })]
    }

    #[test]
    fn what_was_asked_for_rests_an_hour() {
        let segments = [segment(1, 0, 10), segment(2, 20, 30), segment(6, 20, 30)];
        let deletes = delete(Cause::Request, &[3], 20, 25);
        assert_eq!(next_purge(&segments, &BTreeSet::new(), &deletes, HOUR, false), None);
        assert_eq!(next_purge(&segments, &BTreeSet::new(), &deletes, HOUR, true), Some(2));
        assert_eq!(next_purge(&segments, &BTreeSet::new(), &deletes, HOUR + 1, false), Some(2));
        assert_eq!(
            next_purge(&segments, &BTreeSet::new(), &deletes, -HOUR - 1, false),
            Some(2),
            "the clock was set back"
        );
        let purged = SegmentMeta { deleted_through: 5, ..segment(2, 20, 30) };
        assert_eq!(next_purge(&[purged], &BTreeSet::new(), &deletes, 2 * HOUR, true), None);
        assert_eq!(
            next_purge(&segments, &BTreeSet::new(), &delete(Cause::Request, &[10], 20, 25), 2 * HOUR, true),
            None
        );
    }

    #[test]
    fn retention_waits_until_it_is_worth_a_rewrite() {
        let segments = [segment(1, 0, 100)];
        let all: Vec<u32> = (1..=9).collect();
        let next = |deletes: &[Arc<Delete>]| next_purge(&segments, &BTreeSet::new(), deletes, 0, false);
        assert_eq!(next(&delete(Cause::Retention, &all, -50, 49)), None);
        assert_eq!(next(&delete(Cause::Retention, &all, -50, 50)), Some(1));
        assert_eq!(next(&delete(Cause::Retention, &[3, 4], -50, 99)), None);
        assert_eq!(next(&delete(Cause::Retention, &[3, 4], -50, 100)), Some(1));
    }

    #[test]
    fn what_cannot_be_read_goes_only_as_a_whole() {
        let segments = [segment(1, 0, 10)];
        let unusable = BTreeSet::from([1]);
        let next = |tags: &[u32], to| next_purge(&segments, &unusable, &delete(Cause::Request, tags, 0, to), 0, true);
        let all: Vec<u32> = (1..=9).collect();
        assert_eq!(next(&all, 10), Some(1));
        assert_eq!(next(&all, 9), None);
        assert_eq!(next(&[1, 9], 10), None);
    }
}
