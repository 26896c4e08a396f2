//! Deletes: samples of some tags and times that are there no more.
//!
//! 1. A delete takes away what frames before it wrote, and nothing that later ones write: it hides
//!    rows of memtables and segments that end before it in the log.
//! 2. A segment says up to which delete its rows are gone for good; a delete that no segment needs
//!    any more is forgotten.

use std::sync::Arc;

use crate::segment::SegmentMeta;
use crate::tag::TagId;

/// Who asked for a delete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An operator.
    Request,
    /// The retention of the tags. Its end moves on with time.
    Retention,
}

/// Tags as ranges of ids, both ends included; they ascend and do not touch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TagRanges(Vec<(TagId, TagId)>);

/// Samples of these tags from `from` to `to`, both included, that were written before `sequence`.
#[derive(Clone, PartialEq, Debug)]
pub struct Delete {
    /// The log sequence of its frame.
    pub sequence: u64,
    /// The server's clock when it was asked for, nanoseconds since 1970 UTC.
    pub received: i64,
    /// Who asked for it.
    pub cause: Cause,
    /// Whose samples.
    pub tags: TagRanges,
    /// The first time, nanoseconds since 1970 UTC.
    pub from: i64,
    /// The last time, included.
    pub to: i64,
}

/// The deletes that count for a reader, ascending in their sequences.
#[derive(Clone, Default, Debug)]
pub struct Deletes(Arc<[Arc<Delete>]>);

impl TagRanges {
    /// These tags, in any order.
    pub fn of(ids: &[TagId]) -> TagRanges {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let mut ranges = TagRanges::default();
        ids.iter().for_each(|id| ranges.push(*id, *id));
        ranges
    }

    /// Adds the tags from `first` to `last`, none of which is below the last one.
    pub(crate) fn push(&mut self, first: TagId, last: TagId) {
        match self.0.last_mut() {
            Some((begin, end)) if first.0 <= end.0.saturating_add(1) => {
                (*begin, *end) = (first.min(*begin), last.max(*end));
            }
            _ => self.0.push((first, last)),
        }
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[(TagId, TagId)] {
        &self.0
    }

    /// Every tag, ascending.
    pub fn ids(&self) -> impl Iterator<Item = TagId> {
        self.0.iter().flat_map(|(first, last)| (first.0..=last.0).map(TagId))
    }

    /// Whether a tag is among them.
    pub fn contains(&self, tag: TagId) -> bool {
        self.touches(tag, tag)
    }

    /// Whether any tag from `first` to `last` is among them.
    pub fn touches(&self, first: TagId, last: TagId) -> bool {
        let at = self.0.partition_point(|range| range.1 < first);
        self.0.get(at).is_some_and(|range| range.0 <= last)
    }

    /// Whether all tags from `first` to `last` are among them.
    pub fn covers(&self, first: TagId, last: TagId) -> bool {
        let at = self.0.partition_point(|range| range.1 < first);
        self.0.get(at).is_some_and(|range| range.0 <= first && range.1 >= last)
    }

    fn covers_all(&self, others: &TagRanges) -> bool {
        others.0.iter().all(|(first, last)| self.covers(*first, *last))
    }
}

impl Delete {
    /// Whether a segment may have rows that it takes away and that are not gone for good.
    pub fn concerns(&self, segment: &SegmentMeta) -> bool {
        self.sequence > segment.deleted_through
            && self.from <= segment.last_time
            && self.to >= segment.first_time
            && self.tags.touches(segment.first_tag, segment.last_tag)
    }

    /// Whether it takes away every row of a segment, whatever its tags between the first and the last.
    pub fn takes_all_of(&self, segment: &SegmentMeta) -> bool {
        self.sequence > segment.deleted_through
            && self.from <= segment.first_time
            && self.to >= segment.last_time
            && self.tags.covers(segment.first_tag, segment.last_tag)
    }

    /// Whether it takes away all that an older one does.
    pub(crate) fn replaces(&self, older: &Delete) -> bool {
        self.sequence > older.sequence
            && self.from <= older.from
            && self.to >= older.to
            && self.tags.covers_all(&older.tags)
    }

    /// Whether it takes up where an older one of the same retention ended. What lies between came
    /// too late and is past its retention, too.
    pub(crate) fn continues(&self, older: &Delete) -> bool {
        self.sequence > older.sequence
            && (self.cause, older.cause) == (Cause::Retention, Cause::Retention)
            && self.to >= older.to
            && self.tags == older.tags
    }

    /// Whether it takes away the row of a tag and time, where that was written before.
    pub(crate) fn hides(&self, tag: TagId, time: i64) -> bool {
        (self.from..=self.to).contains(&time) && self.tags.contains(tag)
    }
}

impl Deletes {
    /// These, in any order.
    pub(crate) fn of(mut all: Vec<Arc<Delete>>) -> Deletes {
        all.sort_by_key(|delete| delete.sequence);
        Deletes(all.into())
    }

    /// Those after a log sequence that touch these tags and times.
    pub(crate) fn after(&self, sequence: u64, tags: (TagId, TagId), times: (i64, i64)) -> Deletes {
        let start = self.0.partition_point(|delete| delete.sequence <= sequence);
        if start == self.0.len() {
            return Deletes::default();
        }
        let touches = |d: &&Arc<Delete>| d.from <= times.1 && d.to >= times.0 && d.tags.touches(tags.0, tags.1);
        Deletes(self.0[start..].iter().filter(touches).cloned().collect())
    }

    /// Whether one of them takes away every row of a segment.
    pub(crate) fn take_all_of(&self, segment: &SegmentMeta) -> bool {
        self.0.iter().rev().take_while(|d| d.sequence > segment.deleted_through).any(|d| d.takes_all_of(segment))
    }

    /// The tags of each, as ranges.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (TagId, TagId)> {
        self.0.iter().flat_map(|delete| delete.tags.ranges().iter().copied())
    }

    /// Whether one after `sequence` hides the row of a tag and time.
    pub(crate) fn hide(&self, sequence: u64, tag: TagId, time: i64) -> bool {
        self.0.iter().rev().take_while(|delete| delete.sequence > sequence).any(|delete| delete.hides(tag, time))
    }

    /// What these leave of a tag's times from `from` to `to`: ranges with both ends included,
    /// ascending.
    pub(crate) fn rest(&self, tag: TagId, from: i64, to: i64) -> Vec<(i64, i64)> {
        let mut rest = vec![(from, to)];
        for delete in self.0.iter().filter(|delete| delete.tags.contains(tag)) {
            rest = rest.into_iter().flat_map(|range| without(range, delete.from, delete.to)).flatten().collect();
        }
        rest
    }
}

/// A range without the times of another one: what is left before and after it.
fn without((from, to): (i64, i64), first: i64, last: i64) -> [Option<(i64, i64)>; 2] {
    if first > to || last < from {
        return [Some((from, to)), None];
    }
    // Neither difference leaves the range of times: each is within `from..=to`.
    let before = (first > from).then(|| (from, first - 1));
    let after = (last < to).then(|| (last + 1, to));
    [before, after]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ids: &[u32]) -> TagRanges {
        TagRanges::of(&ids.iter().map(|id| TagId(*id)).collect::<Vec<_>>())
    }

    fn delete(sequence: u64, ids: &[u32], from: i64, to: i64) -> Arc<Delete> {
        Arc::new(Delete { sequence, received: 0, cause: Cause::Request, tags: ranges(ids), from, to })
    }

    #[test]
    fn tags_become_ranges() {
        let tags = ranges(&[7, 3, 4, 4, 5, 9]);
        assert_eq!(tags.ranges(), [(TagId(3), TagId(5)), (TagId(7), TagId(7)), (TagId(9), TagId(9))]);
        assert_eq!(tags.ids().map(|id| id.0).collect::<Vec<_>>(), [3, 4, 5, 7, 9]);
        for (tag, there) in [(2, false), (3, true), (5, true), (6, false), (7, true), (8, false), (10, false)] {
            assert_eq!(tags.contains(TagId(tag)), there, "tag {tag}");
        }
        assert!(tags.covers(TagId(3), TagId(5)) && !tags.covers(TagId(3), TagId(7)));
        assert!(tags.touches(TagId(5), TagId(6)) && !tags.touches(TagId(10), TagId(20)));
        assert!(tags.covers_all(&ranges(&[4, 9])) && !tags.covers_all(&ranges(&[4, 8])));
    }

    #[test]
    fn what_is_left_of_a_range() {
        let all = Deletes::of(vec![delete(5, &[1], 10, 20), delete(2, &[1, 2], 15, 30), delete(9, &[1], 0, 3)]);
        assert_eq!(all.rest(TagId(1), 0, 40), [(4, 9), (31, 40)]);
        assert_eq!(all.rest(TagId(2), i64::MIN, i64::MAX), [(i64::MIN, 14), (31, i64::MAX)]);
        assert_eq!(all.rest(TagId(3), 0, 40), [(0, 40)]);
        let everything = Deletes::of(vec![delete(5, &[1], i64::MIN, i64::MAX)]);
        assert_eq!(everything.rest(TagId(1), i64::MIN, i64::MAX), []);
    }

    #[test]
    fn only_later_deletes_hide() {
        let all = Deletes::of(vec![delete(2, &[1], 0, 9), delete(5, &[1], 5, 20)]);
        assert!(all.hide(1, TagId(1), 0) && !all.hide(2, TagId(1), 0) && all.hide(4, TagId(1), 20));
        assert!(!all.hide(5, TagId(1), 20) && !all.hide(1, TagId(2), 0) && !all.hide(1, TagId(1), 21));
        let after = all.after(2, (TagId(1), TagId(3)), (0, 100));
        assert_eq!(after.0.len(), 1);
        assert!(all.after(2, (TagId(2), TagId(3)), (0, 100)).0.is_empty());
        assert!(all.after(2, (TagId(1), TagId(3)), (21, 100)).0.is_empty());
    }
}
