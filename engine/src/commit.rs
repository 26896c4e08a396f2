//! The commit: frames become durable together, then visible in the order of the log.
//!
//! 1. A frame is applied only after the sync of its group returned, and answered after that.
//! 2. Frames are applied in ascending order of their sequences, each once, at start as in service.
//! 3. The committer is held while frames are applied: who holds it sees whole frames.
//! 4. Every frame that was queued is answered, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::delete::Delete;
use crate::engine::Shared;
use crate::error::{Error, ErrorKind};
use crate::format::{Frame, FrameBlock, SampleFrame};
use crate::generation::{Generation, Late, Notes, Pending};
use crate::ingest::Counts;
use crate::memtable::{Found, MemtableWriter};
use crate::queue::{Queued, closed};
use crate::reduction::{Field, Settings};
use crate::tag::{Tag, TagId};
use crate::wal::Log;

/// What only the commit thread changes.
pub(crate) struct Committer {
    /// None once the engine is closed.
    pub log: Option<Log>,
    /// By tag id: the time of the newest sample outside the active memtable.
    pub older_newest: Vec<i64>,
    /// The sequence of the last frame applied.
    pub applied: u64,
}

impl Committer {
    /// Bytes of the unflushed log.
    pub fn log_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::bytes)
    }

    /// The sequence of the last frame, idle ones included; the last applied where no log is open.
    pub fn last_sequence(&self) -> u64 {
        self.log.as_ref().map_or(self.applied, Log::last_sequence)
    }
}

/// A batch that is durable and visible.
pub struct Committed {
    known: Counts,
    pending: Option<Arc<Pending>>,
}

impl Committed {
    /// Whether the counts are known without reading segments.
    pub fn is_settled(&self) -> bool {
        self.pending.is_none()
    }

    /// The exact counts of this batch. May read segments: not for asynchronous threads unless
    /// [`Committed::is_settled`].
    pub fn counts(self) -> Counts {
        let mut counts = self.known;
        if let Some(pending) = self.pending {
            counts += pending.settle();
        }
        counts
    }
}

impl Shared {
    /// Writes one group of waiting frames, makes it durable and applies it. Says whether any
    /// frame waited.
    pub(crate) fn commit_step(&self) -> bool {
        let mut committer = self.committer.lock();
        let group = self.queue.take_group();
        if group.is_empty() {
            return false;
        }
        let (group, refused): (Vec<Queued>, Vec<Queued>) = group.into_iter().partition(|q| q.done.may_commit());
        let behind = || {
            Error::new(
                ErrorKind::Exhausted,
                "writing the batch failed",
                "one before it was refused",
                "open the source again and resend",
            )
        };
        refuse(refused, &behind());
        if group.is_empty() {
            return true;
        }
        let payloads: Vec<&[u8]> = group.iter().map(|q| q.payload.as_slice()).collect();
        let appended = match (self.latched(), &mut committer.log) {
            (Some(error), _) => Err(error),
            (None, Some(log)) => log.append(&payloads),
            (None, None) => Err(closed()),
        };
        self.log_bytes.store(committer.log_bytes(), Relaxed);
        match appended {
            Ok(first) => self.apply_group(&mut committer, first, group),
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                self.note_log_full(true);
                refuse(group, &error);
            }
            Err(error) => {
                self.latch(&error);
                // Those whose frames met the failure hear what all later writers hear: to keep
                // what they have until a restart.
                refuse(group, &self.latched().unwrap_or(error));
            }
        }
        true
    }

    fn apply_group(&self, committer: &mut Committer, first: u64, group: Vec<Queued>) {
        for (sequence, queued) in (first..).zip(group) {
            self.counters.add(&queued.frame);
            let committed = self.apply(committer, sequence, queued.frame);
            queued.done.answer(Ok(committed));
        }
    }

    /// Makes a durable frame visible. The same for a new frame and for one replayed at start.
    pub(crate) fn apply(&self, committer: &mut Committer, sequence: u64, frame: Frame) -> Committed {
        assert!(sequence > committer.applied, "frame {sequence} comes after frame {}", committer.applied);
        committer.applied = sequence;
        self.published.read().active.born.lock().get_or_insert_with(|| self.env.clock.monotonic());
        match frame {
            Frame::Tags(tags) => {
                self.set_reductions(sequence, &tags);
                self.put_tags(tags);
                Committed { known: Counts::default(), pending: None }
            }
            Frame::Samples(frame) => self.apply_samples(committer, sequence, &frame),
            Frame::Delete(delete) => {
                self.apply_delete(committer, Delete { sequence, ..delete });
                Committed { known: Counts::default(), pending: None }
            }
        }
    }

    /// Hides what a delete takes away outside the active memtable, then takes it away there: a
    /// reader in between sees it hidden in both.
    ///
    /// A reader from before it does not know of the delete: were rows taken out of a memtable that it
    /// reads, older versions of them would come to light. That memtable is left as it is, and frozen.
    fn apply_delete(&self, committer: &mut Committer, mut delete: Delete) {
        let reduced = self.reduced_tags(&delete);
        // What was left out goes with what was not.
        if !reduced.is_empty() && delete.tags.covers(TagId(1), self.last_tag()) {
            // One range for all there is, so that segments go as a whole.
            delete.tags.push(TagId(1), TagId::LAST_SERIES);
        }
        for tag in &reduced {
            let first = Field::Count.of(*tag);
            delete.tags.push(first, TagId(first.0 + TagId::FIELDS - 1));
        }
        let delete = Arc::new(delete);
        // While it is held no view is made.
        let published = self.published.write();
        let active = Arc::clone(&published.active);
        let is_read = Arc::strong_count(&active.memtable) > 1 && active.memtable.has_any_of(&delete);
        if !is_read {
            active.add_delete(Arc::clone(&delete));
            drop(published);
            active.memtable.delete(&delete, &reduced);
            self.changes.deleted(&delete, self.last_tag());
            return;
        }
        drop(published);
        self.freeze_at(committer, delete.sequence - 1);
        let active = Arc::clone(&self.published.read().active);
        active.born.lock().get_or_insert_with(|| self.env.clock.monotonic());
        active.add_delete(Arc::clone(&delete));
        active.memtable.delete(&delete, &reduced);
        self.changes.deleted(&delete, self.last_tag());
    }

    /// The tags of a delete of which samples may have been left out.
    fn reduced_tags(&self, delete: &Delete) -> Vec<TagId> {
        let table = self.tags.read().clone();
        let last = self.last_tag();
        let known = delete.tags.ranges().iter().flat_map(|(from, to)| (from.0..=to.0.min(last.0)).map(TagId));
        known.filter(|tag| table.get(*tag).is_some_and(|tag| tag.spec.reduction.is_some())).collect()
    }

    /// Reduces tags from now on as they declare.
    fn set_reductions(&self, sequence: u64, tags: &[Arc<Tag>]) {
        let active = Arc::clone(&self.published.read().active);
        for tag in tags {
            active.memtable.set_reduction(sequence, tag.id, reduction_of(tag));
        }
    }

    /// The last tag there is.
    pub(crate) fn last_tag(&self) -> TagId {
        TagId(u32::try_from(self.tags.read().len()).unwrap_or(u32::MAX))
    }

    /// Makes tags visible; the next flush tells the manifest.
    pub(crate) fn put_tags(&self, tags: Vec<Arc<Tag>>) {
        let mut table = self.tags.write();
        let mut dirty = self.dirty_tags.lock();
        for tag in tags {
            dirty.insert(tag.id);
            Arc::make_mut(&mut table).put(tag);
        }
    }

    fn apply_samples(&self, committer: &Committer, sequence: u64, frame: &SampleFrame) -> Committed {
        let published = self.published.read().clone();
        let generation = &published.active;
        let mut late = Vec::new();
        let newest = if self.changes.any() {
            newest_before(generation, &committer.older_newest, frame)
        } else {
            BTreeMap::new()
        };
        let known = store(generation, &committer.older_newest, sequence, frame, &mut late);
        if let Some(mark) = &frame.source {
            generation.enter(mark, frame.received, known);
        }
        self.changes.written(frame, &newest);
        let pending = (!late.is_empty()).then(|| {
            let notes = Notes { view: published.view_before_active(&self.tags.read()), late };
            generation.defer(sequence, frame.source.as_ref(), notes)
        });
        Committed { known, pending }
    }
}

/// What the filters of a tag work with, and whether its values are doubles; none where it has none.
pub(crate) fn reduction_of(tag: &Tag) -> Option<(Settings, bool)> {
    let settings = tag.spec.reduction.and_then(|reduction| reduction.settings(&tag.spec))?;
    Some((settings, tag.spec.tag_type.is_float()))
}

/// The newest times of a frame's tags before it, where they have one.
fn newest_before(generation: &Generation, older_newest: &[i64], frame: &SampleFrame) -> BTreeMap<TagId, i64> {
    let mut newest = BTreeMap::new();
    for block in &frame.blocks {
        for i in 0..block.rows.times.len() {
            newest.entry(block.tag(i)).or_insert(i64::MIN);
        }
    }
    for (tag, time) in &mut newest {
        let held = generation.memtable.newest_held(*tag).map(|row| row.time);
        let here = generation.memtable.extent(*tag).ok().flatten().map(|extent| extent.last_time).max(held);
        *time = here.max(older_newest.get(tag.0 as usize).copied()).unwrap_or(i64::MIN);
    }
    newest
}

/// Puts the samples of a frame into the memtable, counts those that can be told from it alone
/// and collects the others. Those of tags with reduction come last, in order of time: a batch has values
/// of one kind together, and not as they were measured.
fn store(
    generation: &Generation,
    older_newest: &[i64],
    sequence: u64,
    frame: &SampleFrame,
    late: &mut Vec<Late>,
) -> Counts {
    let mut counts = Counts { rejected: frame.rejected, ..Counts::default() };
    let mut memtable = generation.memtable.write(sequence);
    let mut reduced: Vec<(TagId, i64, &FrameBlock, usize)> = Vec::new();
    let mut store = |memtable: &mut MemtableWriter<'_>, tag: TagId, block: &FrameBlock, i: usize| {
        let time = block.rows.times[i];
        let coerced = block.coerced.get(i).is_some_and(|c| *c);
        match memtable.put(tag, &block.rows, i) {
            Found::Nothing if older_newest.get(tag.0 as usize).is_none_or(|newest| *newest < time) => {
                counts.stored += 1;
            }
            Found::Nothing => return late.push(Late { tag, time, cell: block.rows.cell(i), coerced }),
            Found::Other => counts.replaced += 1,
            Found::Reduced => counts.reduced += 1,
            Found::Equal => return counts.duplicate += 1,
        }
        counts.coerced += u64::from(coerced);
    };
    for block in &frame.blocks {
        for (i, time) in block.rows.times.iter().enumerate() {
            match block.tag(i) {
                tag if memtable.reduces(tag) => reduced.push((tag, *time, block, i)),
                tag => store(&mut memtable, tag, block, i),
            }
        }
    }
    // Of the same time the later one still wins.
    reduced.sort_by_key(|(tag, time, ..)| (*tag, *time));
    reduced.into_iter().for_each(|(tag, _, block, i)| store(&mut memtable, tag, block, i));
    counts
}

/// Notes the newest time of every tag of a memtable that is active no more.
pub(crate) fn fold_newest(older_newest: &mut Vec<i64>, times: impl Iterator<Item = (TagId, i64)>) {
    for (tag, time) in times {
        let index = tag.0 as usize;
        if index >= older_newest.len() {
            older_newest.resize(index + 1, i64::MIN);
        }
        older_newest[index] = older_newest[index].max(time);
    }
}

fn refuse(group: Vec<Queued>, error: &Error) {
    for queued in group {
        queued.done.answer(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests;
