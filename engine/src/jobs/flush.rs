//! Flush: a frozen memtable becomes a segment.
//!
//! 1. Generations reach the manifest in the order in which they froze; its log position never
//!    passes a frame that is in none of its segments.
//! 2. A segment is durable before the manifest names it. One that the manifest does not name after
//!    all is removed only where no trace of that edit can be on the disk.
//! 3. After the latch nothing is written, synced, removed or frozen.
//! 4. `flushing` is held throughout: nobody else changes what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{deletes_file, lists, tags_file};
use crate::commit::{Committer, fold_newest};
use crate::delete::{Delete, Deletes};
use crate::engine::{Published, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::generation::{Generation, joined};
use crate::limits;
use crate::manifest::{Edit, ListFile, ManifestState, SourceState};
use crate::memtable::Flushed;
use crate::planner::{FlushDue, FlushFacts, FlushLimits, flush_due};
use crate::sample::Row;
use crate::scan::ReadView;
use crate::segment::{NewSegment, Segment, SegmentMeta, SegmentWriter};
use crate::tag::TagId;
use crate::tag_table::TagTable;

/// The level of compression at flush: speed counts, merges compress again.
const ZSTD_LEVEL: i32 = 1;

/// The newest samples of some tags.
type Newest = Vec<(TagId, Row)>;

/// The tags as an edit names them.
struct ChangedTags {
    tags: Arc<TagTable>,
    /// Those that the manifest does not have as they are.
    dirty: Vec<TagId>,
}

impl Shared {
    /// Does the next piece of work if one is due. Says whether it did any. Nothing is due after
    /// the latch.
    pub(crate) fn job_step(&self) -> Result<bool> {
        if self.latched().is_some() {
            return Ok(false);
        }
        match flush_due(self.flush_facts(), self.flush_limits()) {
            None => return Ok(false),
            Some(FlushDue::Active) => self.flush()?,
            Some(FlushDue::Frozen) => {
                let _one_at_a_time = self.turns.flushing.lock();
                self.flush_frozen()?;
            }
        }
        Ok(true)
    }

    /// Writes all samples that were visible when it was called to segments.
    pub(crate) fn flush(&self) -> Result<()> {
        let _one_at_a_time = self.turns.flushing.lock();
        self.flush_frozen()?;
        self.freeze();
        self.flush_frozen()?;
        self.note_log_full(false);
        self.queue.nudge();
        Ok(())
    }

    /// Writes what is frozen, oldest first.
    fn flush_frozen(&self) -> Result<()> {
        loop {
            if let Some(error) = self.latched() {
                return Err(error);
            }
            let Some(oldest) = self.published.read().frozen.first().cloned() else { return Ok(()) };
            let flushed = self.flush_generation(&oldest);
            self.note_space(&flushed);
            flushed.inspect_err(|error| self.latch_unless_full(error))?;
            self.queue.nudge();
        }
    }

    /// Ends the active memtable at a frame boundary if any frame was applied to it. Tags that
    /// changed go with what is frozen already, or with an empty memtable; so does a list of deletes
    /// that merges have made old.
    fn freeze(&self) {
        let mut committer = self.committer.lock();
        let position = committer.last_sequence();
        self.freeze_at(&mut committer, position);
    }

    /// The same, at a position of the log up to which all frames are applied.
    pub(crate) fn freeze_at(&self, committer: &mut Committer, position: u64) {
        // Frames are applied under the committer's lock: nothing is added to the memtable now.
        let published = self.published.read().clone();
        let active = &published.active;
        let lists_only = || {
            published.frozen.is_empty() && (!self.dirty_tags.lock().is_empty() || self.lists_other_deletes(&published))
        };
        if active.born.lock().is_none() && !lists_only() {
            return;
        }
        let memtable = &active.memtable;
        let newest = unflushed(memtable.tags()).into_iter();
        let newest = newest.filter_map(|tag| Some((tag, unflushed(memtable.extent(tag))?.last_time)));
        fold_newest(&mut committer.older_newest, newest);
        active.freeze(position, self.tags.read().clone());
        let next = Arc::new(active.next(position));
        self.publish(|now| {
            let frozen = now.frozen.iter().chain([active]).cloned().collect();
            Published { frozen, active: next, ..Published::clone(now) }
        });
    }

    /// Whether `deletes.parquet` does not list what the manifest has.
    fn lists_other_deletes(&self, published: &Published) -> bool {
        let listed = *self.deletes_listed.lock();
        deletes_file::encode(&published.base.deletes).is_ok_and(|bytes| listed != Some(lists::described(&bytes)))
    }

    /// Changes what readers see, from what they see now: flushes and merges go on at once. The
    /// older version, which may be the last to hold much, is dropped after the lock.
    pub(super) fn publish(&self, change: impl FnOnce(&Published) -> Published) {
        let mut published = self.published.write();
        let next = Arc::new(change(&published));
        let older = std::mem::replace(&mut *published, next);
        drop(published);
        drop(older);
    }

    fn flush_generation(&self, generation: &Arc<Generation>) -> Result<()> {
        generation.settle();
        let mut manifest = self.manifest.lock();
        let before = Arc::clone(manifest.state());
        let position = generation.frozen_at();
        assert!(position >= before.log_position, "frames up to {} are flushed before {position}", before.log_position);
        let id = manifest.take_segment_id();
        let segment = self.write_segment(generation, id)?;
        let changes = self.changed_tags(generation);
        let appended = self
            .edit(generation, &before, segment.as_ref(), &changes)
            .and_then(|edit| manifest.append(before.number, edit).cloned());
        let state = appended.inspect_err(|error| {
            // A full disk is found before an edit has its number. After any other error the edit
            // may be there, and a segment that it names must be, too.
            if error.kind() == ErrorKind::Exhausted {
                self.discard(segment.as_ref());
            }
        })?;
        self.forget_dirty(&changes);
        self.counters.flushed_bytes.fetch_add(segment.as_ref().map_or(0, |s| s.bytes), Relaxed);
        self.publish_flushed(generation, segment, state);
        drop(manifest);
        self.release_log(position)
    }

    fn changed_tags(&self, generation: &Generation) -> ChangedTags {
        let tags = generation.tags();
        let dirty = self.dirty_tags.lock().iter().copied().filter(|id| tags.get(*id).is_some()).collect();
        ChangedTags { tags, dirty }
    }

    /// The edit that makes a generation part of the archive; writes `tags.parquet` and
    /// `deletes.parquet` before.
    fn edit(
        &self,
        generation: &Generation,
        before: &ManifestState,
        segment: Option<&SegmentMeta>,
        changes: &ChangedTags,
    ) -> Result<Edit> {
        let ChangedTags { tags, dirty } = changes;
        let tags_file = match dirty.is_empty() {
            true => None,
            false => Some(tags_file::write(&self.env, &self.archive.tags_file(), tags)?),
        };
        let memtable = &generation.memtable;
        let deletes = generation.deletes();
        let deletes_file = self.list_deletes(before, &deletes)?;
        // What could not be read now, such as for want of handles, is read by the next try.
        let found = self.newest_after(generation, before, &deletes);
        let (mut newest, newest_gone) = found.map_err(|error| error.with_kind(ErrorKind::Exhausted))?;
        newest.extend(unflushed(memtable.tags()).into_iter().filter_map(|tag| {
            let row = unflushed(memtable.newest(tag))?;
            before.newest.get(&tag).is_none_or(|before| before.time <= row.time).then_some((tag, row))
        }));
        let sources: Vec<(Arc<str>, SourceState)> = generation
            .sources()
            .into_iter()
            .map(|(name, here)| {
                let joined = joined(before.sources.get(&name), &here);
                (name, joined)
            })
            .collect();
        Ok(Edit {
            log_position: generation.frozen_at(),
            next_segment_id: before.next_segment_id,
            added: segment.into_iter().cloned().collect(),
            removed: Vec::new(),
            tags: dirty.iter().filter_map(|id| tags.get(*id).cloned()).collect(),
            forgotten: longest_idle(&before.sources, &sources),
            sources,
            newest,
            tags_file,
            deletes,
            purged: Vec::new(),
            newest_gone,
            deletes_file,
            reducers: memtable.reducer_states(),
        })
    }

    /// Writes `deletes.parquet` where it is not what it will have to be.
    fn list_deletes(&self, before: &ManifestState, new: &[Arc<Delete>]) -> Result<Option<ListFile>> {
        let all: Vec<Arc<Delete>> = before.deletes.iter().chain(new).cloned().collect();
        let bytes = deletes_file::encode(&all)?;
        let mut listed = self.deletes_listed.lock();
        if *listed == Some(lists::described(&bytes)) {
            return Ok((before.deletes_file != *listed).then_some(()).and(*listed));
        }
        *listed = None;
        *listed = Some(lists::replace(&self.env, &self.archive.deletes_file(), &bytes)?);
        Ok(*listed)
    }

    /// The newest samples of tags whose newest one in segments these deletes take away, and tags
    /// that have none left.
    fn newest_after(
        &self,
        generation: &Generation,
        before: &ManifestState,
        deletes: &[Arc<Delete>],
    ) -> Result<(Newest, Vec<TagId>)> {
        let is_gone =
            |tag: &TagId, delete: &Delete| before.newest.get(tag).is_some_and(|row| delete.hides(*tag, row.time));
        let mut tags: Vec<TagId> = match deletes.is_empty() {
            true => Vec::new(),
            false => before.newest.keys().filter(|tag| deletes.iter().any(|d| is_gone(tag, d))).copied().collect(),
        };
        if tags.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let view = ReadView {
            segments: Arc::clone(&self.published.read().segments),
            memtables: vec![Arc::clone(&generation.memtable)],
            held: None,
            deletes: Deletes::of(before.deletes.iter().chain(deletes).cloned().collect()),
            tags: self.tags.read().clone(),
            manifest: before.number,
        };
        let newest = self.newest_readable(view, &tags)?;
        let found: BTreeSet<TagId> = newest.iter().map(|(tag, _)| *tag).collect();
        tags.retain(|tag| !found.contains(tag));
        Ok((newest, tags))
    }

    /// The newest samples of tags in segments that can be read.
    fn newest_readable(&self, mut view: ReadView, tags: &[TagId]) -> Result<Newest> {
        loop {
            match view.newest_of(tags) {
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    let damaged = self.archive.damages().ids();
                    let sound = |segment: &&Arc<Segment>| !damaged.contains(&segment.meta().id);
                    let sound: Vec<Arc<Segment>> = view.segments.iter().filter(sound).cloned().collect();
                    if sound.len() == view.segments.len() {
                        return Err(error);
                    }
                    view.segments = sound.into();
                }
                newest => return newest,
            }
        }
    }

    fn write_segment(&self, generation: &Generation, id: u64) -> Result<Option<SegmentMeta>> {
        let memtable = &generation.memtable;
        if memtable.row_count() == 0 {
            return Ok(None);
        }
        let (first_sequence, last_sequence) = (memtable.first_sequence(), memtable.last_sequence());
        let name = self.archive.segment_name(last_sequence, id);
        let dir = self.archive.segment_dir();
        // Deletes among its own frames took rows away in memory.
        let deleted_through = generation.frozen_at();
        let plan = NewSegment { id, name, first_sequence, last_sequence, deleted_through, zstd_level: ZSTD_LEVEL };
        let mut writer = SegmentWriter::create(&self.env.disk, &dir, plan)?;
        let tags = self.tags.read().clone();
        for tag in unflushed(memtable.series()) {
            let kind = tags.type_of(tag).expect("frames name only tags that stand before them in the log");
            writer.write(tag, kind, &unflushed(memtable.rows(tag)))?;
        }
        let meta = writer.finish()?;
        // A directory that could not be synced is not synced again, whatever the reason.
        self.env.disk.sync_dir(&dir).map_err(|e| Error::io("syncing", &dir, &e).with_kind(ErrorKind::Io))?;
        Ok(Some(meta))
    }

    /// Gives back the room of a segment that no manifest names. The next try writes it again.
    fn discard(&self, segment: Option<&SegmentMeta>) {
        let Some(segment) = segment else { return };
        let path = self.archive.segment_dir().join(&segment.name);
        if let Err(error) = self.env.disk.remove(&path) {
            self.latch(&Error::io("removing", &path, &error));
        }
    }

    fn publish_flushed(&self, generation: &Arc<Generation>, segment: Option<SegmentMeta>, base: Arc<ManifestState>) {
        let new = segment.map(|meta| self.archive.segment(meta));
        self.publish(|now| {
            let mut segments: Vec<_> = now.segments.iter().chain(&new).cloned().collect();
            segments.sort_by_key(|s| (s.meta().last_sequence, s.meta().id));
            let frozen = now.frozen.iter().filter(|g| !Arc::ptr_eq(g, generation)).cloned().collect();
            Published { segments: segments.into(), frozen, active: Arc::clone(&now.active), base }
        });
        // Only now: who looks for a sample where it was and is told that it has moved finds it in
        // what is published.
        if let Some(segment) = new {
            generation.memtable.hand_over(segment);
        }
    }

    /// Lets the log use files again whose frames are all in segments.
    pub(crate) fn release_log(&self, position: u64) -> Result<()> {
        let mut committer = self.committer.lock();
        let released = committer.log.as_mut().map_or(Ok(()), |log| log.release(position));
        self.log_bytes.store(committer.log_bytes(), Relaxed);
        released
    }

    /// Tags that changed again while they were written stay dirty.
    fn forget_dirty(&self, written: &ChangedTags) {
        let now = self.tags.read();
        let mut set = self.dirty_tags.lock();
        for id in &written.dirty {
            if let (Some(a), Some(b)) = (now.get(*id), written.tags.get(*id))
                && Arc::ptr_eq(a, b)
            {
                set.remove(id);
            }
        }
    }

    fn flush_facts(&self) -> FlushFacts {
        let published = self.published.read().clone();
        let born = *published.active.born.lock();
        FlushFacts {
            active_bytes: published.active.bytes(),
            log_bytes: self.log_bytes.load(Relaxed),
            age: born.map(|born| self.env.clock.monotonic().saturating_sub(born)),
            frozen: published.frozen.len(),
            deletes: published.active.has_deletes(),
            log_full: self.log_full(),
            disk_room: self.disk_room(),
        }
    }

    fn flush_limits(&self) -> FlushLimits {
        FlushLimits {
            memtable_bytes: self.config.memory_budget / 4,
            log_bytes: self.config.log_bytes_max / 3,
            age: self.config.flush_age,
        }
    }
}

/// What a memtable says that is not flushed yet.
fn unflushed<T>(answer: std::result::Result<T, Flushed>) -> T {
    answer.expect("a memtable is flushed once")
}

/// Sources beyond the bound that were idle for longest, by name.
fn longest_idle(before: &BTreeMap<Arc<str>, SourceState>, moved: &[(Arc<str>, SourceState)]) -> Vec<Arc<str>> {
    let fresh = moved.iter().filter(|(name, _)| !before.contains_key(name)).count();
    let excess = (before.len() + fresh).saturating_sub(limits::SOURCES_MAX);
    if excess == 0 {
        return Vec::new();
    }
    let mut idle: Vec<_> = before.iter().filter(|(name, _)| !moved.iter().any(|(m, _)| m == *name)).collect();
    idle.sort_by_key(|(name, source)| (source.received, Arc::clone(name)));
    idle.into_iter().take(excess).map(|(name, _)| Arc::clone(name)).collect()
}
