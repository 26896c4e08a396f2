//! Purge: what deletes take away is taken away on disk, too.

use std::sync::Arc;

use super::merge::Ground;
use crate::delete::Deletes;
use crate::engine::{Published, Shared};
use crate::error::Result;
use crate::manifest::Edit;
use crate::segment::Segment;
use crate::tag::TagId;

/// Tags whose directory entries are looked at together.
const TAGS: u32 = 8192;

impl Shared {
    /// Takes the deletes of the manifest out of a segment. One of which no row is left goes without
    /// being read; one that has no such row is only marked.
    pub(super) fn purge(&self, ground: &Ground, id: u64) -> Result<bool> {
        let Some(segment) = ground.segments.iter().find(|s| s.meta().id == id) else { return Ok(false) };
        let deletes = Deletes::of(ground.deletes.clone());
        if deletes.take_all_of(segment.meta()) || has_deleted_rows(segment, &deletes, self.last_tag())? {
            return self.rewrite(ground, std::slice::from_ref(segment), &[i64::MIN..=i64::MAX]);
        }
        let purged = vec![(id, ground.log_position)];
        self.edit_segments(Edit { purged, ..Edit::default() }, |base| {
            self.publish(|now| Published { base, ..Published::clone(now) });
        })?;
        Ok(true)
    }
}

/// Whether a segment has runs that reach into the tags and times of these deletes.
fn has_deleted_rows(segment: &Arc<Segment>, deletes: &Deletes, last_tag: TagId) -> Result<bool> {
    let meta = segment.meta();
    let (tags, times) = ((meta.first_tag, meta.last_tag), (meta.first_time, meta.last_time));
    let deletes = deletes.after(meta.deleted_through, tags, times);
    for (first, last) in deletes.tags() {
        let (mut at, last) = (first.max(meta.first_tag).0, last.min(meta.last_tag).0);
        while at <= last {
            // Between the last tag and the first series of summaries there is nothing.
            if at > last_tag.0 && at <= TagId::LAST.0 {
                at = TagId::LAST.0 + 1;
                continue;
            }
            let end = last.min(at.saturating_add(TAGS - 1));
            for run in segment.runs(TagId(at)..=TagId(end))? {
                if deletes.rest(run.tag, run.first_time, run.last_time) != [(run.first_time, run.last_time)] {
                    return Ok(true);
                }
            }
            at = end + 1;
        }
    }
    Ok(false)
}
