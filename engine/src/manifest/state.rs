//! What the manifest says, and how an edit changes it. No I/O.
//!
//! 1. Neither the log position nor the next segment id ever goes back; an id is added once.
//! 2. A segment that is added holds frames that no segment held before, or those of segments that
//!    the same edit removes; and none above the log position. So live segments that overlap have
//!    disjoint ranges of sequences, and the higher wins.
//! 3. No number is so large that counting on from it would overflow, and what is said of a segment
//!    can be true of one.
//! 4. A delete stays for as long as a segment may have rows that it takes away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delete::Delete;
use crate::ingest::Counts;
use crate::limits::SEQUENCE_MAX;
use crate::reduction::ReducerState;
use crate::sample::Row;
use crate::segment::SegmentMeta;
use crate::tag::{Tag, TagId};
use crate::tag_table::TagTable;

/// The archive as of one manifest number.
#[derive(Clone, Default)]
pub struct ManifestState {
    /// The number of the last edit.
    pub number: u64,
    /// Frames of the log up to here are in segments.
    pub log_position: u64,
    /// The id of the next segment.
    pub next_segment_id: u64,
    /// Live segments, ascending in their last sequence, then in id.
    pub segments: Vec<SegmentMeta>,
    /// All tags.
    pub tags: TagTable,
    /// Where each source is, as of the log position.
    pub sources: BTreeMap<Arc<str>, SourceState>,
    /// The newest sample of each tag that is in a segment.
    pub newest: BTreeMap<TagId, Row>,
    /// CRC32C and length of `tags.parquet`.
    pub tags_file: Option<ListFile>,
    /// Deletes that segments still need, ascending in their sequences.
    pub deletes: Vec<Arc<Delete>>,
    /// CRC32C and length of `deletes.parquet`.
    pub deletes_file: Option<ListFile>,
    /// Where the reduction of tags is, as of the log position: samples that are not decided on are here
    /// alone.
    pub reducers: BTreeMap<TagId, Arc<ReducerState>>,
}

/// A file that tells other readers of the tags, or of the deletes; it can be written again from
/// those.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListFile {
    /// Its length.
    pub bytes: u64,
    /// The CRC32C of all of it.
    pub crc: u32,
}

/// Where a source is in its sequence.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceState {
    /// Who it is bound to.
    pub identity: Arc<str>,
    /// The epoch.
    pub epoch: u64,
    /// The last batch of the epoch.
    pub sequence: u64,
    /// What became of the epoch's samples.
    pub counts: Counts,
    /// The server's clock at that batch, nanoseconds since 1970 UTC.
    pub received: i64,
    /// The epochs before this one that were ended last, the latest at the end.
    pub ended: Vec<u64>,
}

/// One change of the archive.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Edit {
    /// The new log position.
    pub log_position: u64,
    /// The id of the next segment.
    pub next_segment_id: u64,
    /// Segments that are now live.
    pub added: Vec<SegmentMeta>,
    /// Ids of segments that are live no more.
    pub removed: Vec<u64>,
    /// Tags that are new or changed.
    pub tags: Vec<Arc<Tag>>,
    /// Sources that moved, with all that is known of them.
    pub sources: Vec<(Arc<str>, SourceState)>,
    /// Sources that are forgotten.
    pub forgotten: Vec<Arc<str>>,
    /// Newest samples that changed.
    pub newest: Vec<(TagId, Row)>,
    /// The new tags file.
    pub tags_file: Option<ListFile>,
    /// Deletes up to the new log position.
    pub deletes: Vec<Arc<Delete>>,
    /// Ids of segments from which deletes up to a log sequence have nothing to take away.
    pub purged: Vec<(u64, u64)>,
    /// Tags that have no sample in segments any more.
    pub newest_gone: Vec<TagId>,
    /// The new deletes file.
    pub deletes_file: Option<ListFile>,
    /// Where the reduction of tags is that moved; none where it remembers nothing.
    pub reducers: Vec<(TagId, Option<Arc<ReducerState>>)>,
}

impl ManifestState {
    /// The state after `edit`; the error says what in it cannot be.
    pub fn apply(&mut self, edit: Edit) -> Result<(), String> {
        if edit.log_position < self.log_position || edit.next_segment_id < self.next_segment_id {
            return Err(format!("edit {} goes back in the log or in segment ids", self.number + 1));
        }
        if edit.log_position.max(edit.next_segment_id) > SEQUENCE_MAX {
            return Err(format!("edit {} counts frames or segments up to more than there can be", self.number + 1));
        }
        let mut first_allowed = self.log_position + 1;
        for id in &edit.removed {
            let at = self.segments.iter().position(|s| s.id == *id);
            let removed = self.segments.remove(at.ok_or_else(|| format!("segment {id} is removed but not live"))?);
            first_allowed = first_allowed.min(removed.first_sequence);
        }
        for added in &edit.added {
            added.check().map_err(|why| format!("segment {}: {why}", added.id))?;
            let (first, last) = (added.first_sequence, added.last_sequence);
            if first < first_allowed || first > last || last > edit.log_position {
                let (id, until) = (added.id, edit.log_position);
                return Err(format!(
                    "segment {id} holds frames {first} to {last}, the edit may add {first_allowed} to {until}"
                ));
            }
            // Flushes and merges take ids at the same time: an edit may add a lower one than the last did.
            if added.id >= edit.next_segment_id || self.segments.iter().any(|s| s.id == added.id) {
                return Err(format!("segment id {} is not new, or not used up by its edit", added.id));
            }
        }
        for tag in edit.tags {
            if tag.id.0 == 0 || tag.id.0 as usize > self.tags.len() + 1 {
                return Err(format!("tag {} follows tag {}", tag.id.0, self.tags.len()));
            }
            self.tags.put(tag);
        }
        for (tag, state) in edit.reducers {
            let is_on = |tag: &Arc<Tag>| tag.spec.reduction.is_some_and(|reduction| reduction.is_on());
            if state.is_some() && !self.tags.get(tag).is_some_and(is_on) {
                return Err(format!("tag {} is reduced and has no reduction", tag.0));
            }
            match state {
                Some(state) => self.reducers.insert(tag, state),
                None => self.reducers.remove(&tag),
            };
        }
        self.segments.extend(edit.added);
        self.segments.sort_by_key(|s| (s.last_sequence, s.id));
        self.sources.extend(edit.sources);
        for name in &edit.forgotten {
            self.sources.remove(name);
        }
        for tag in &edit.newest_gone {
            self.newest.remove(tag);
        }
        self.newest.extend(edit.newest);
        self.tags_file = edit.tags_file.or(self.tags_file);
        self.deletes_file = edit.deletes_file.or(self.deletes_file);
        for (id, through) in edit.purged {
            let segment = self.segments.iter_mut().find(|s| s.id == id);
            let segment = segment.ok_or_else(|| format!("segment {id} is purged but not live"))?;
            segment.deleted_through = segment.deleted_through.max(through);
        }
        for delete in edit.deletes {
            self.add_delete(delete, edit.log_position)?;
        }
        self.deletes.retain(|delete| self.segments.iter().any(|segment| delete.concerns(segment)));
        self.log_position = edit.log_position;
        self.next_segment_id = edit.next_segment_id;
        self.number += 1;
        Ok(())
    }

    /// Adds a delete in place of those that it makes needless.
    fn add_delete(&mut self, delete: Arc<Delete>, log_position: u64) -> Result<(), String> {
        let after = self.deletes.last().map_or(0, |last| last.sequence);
        if delete.sequence <= after || delete.sequence > log_position {
            let sequence = delete.sequence;
            return Err(format!("delete {sequence} is not after {after}, or after the log position {log_position}"));
        }
        let continued = self.deletes.iter().filter(|older| delete.continues(older)).map(|older| older.from).min();
        let delete = match continued {
            Some(from) if from < delete.from => Arc::new(Delete { from, ..Delete::clone(&delete) }),
            _ => delete,
        };
        self.deletes.retain(|older| !delete.continues(older) && !delete.replaces(older));
        self.deletes.push(delete);
        Ok(())
    }

    /// The edit that makes this state out of an empty one.
    pub fn as_edit(&self) -> Edit {
        Edit {
            log_position: self.log_position,
            next_segment_id: self.next_segment_id,
            added: self.segments.clone(),
            removed: Vec::new(),
            tags: self.tags.iter().cloned().collect(),
            sources: self.sources.iter().map(|(n, s)| (n.clone(), s.clone())).collect(),
            forgotten: Vec::new(),
            newest: self.newest.iter().map(|(t, r)| (*t, r.clone())).collect(),
            tags_file: self.tags_file,
            deletes: self.deletes.clone(),
            purged: Vec::new(),
            newest_gone: Vec::new(),
            deletes_file: self.deletes_file,
            reducers: self.reducers.iter().map(|(tag, state)| (*tag, Some(Arc::clone(state)))).collect(),
        }
    }
}
