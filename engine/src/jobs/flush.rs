//! Flush: a frozen memtable becomes a segment.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::tags_file;
use crate::commit::fold_newest;
use crate::engine::{Published, Shared};
use crate::error::{ErrorKind, Result};
use crate::generation::{Generation, joined};
use crate::limits;
use crate::manifest::{Edit, SourceState};
use crate::planner::{FlushFacts, FlushLimits, should_flush};
use crate::segment::{NewSegment, SegmentMeta, SegmentWriter};
use crate::tag::TagId;

/// The level of compression at flush: speed counts, merges compress again.
const ZSTD_LEVEL: i32 = 1;

impl Shared {
    /// Does the next piece of work if one is due. Says whether it did any.
    pub(crate) fn job_step(&self) -> Result<bool> {
        let due = should_flush(self.flush_facts(), self.flush_limits());
        if due {
            self.flush()?;
        }
        Ok(due)
    }

    /// Writes all samples that were visible when it was called to segments.
    pub(crate) fn flush(&self) -> Result<()> {
        let _one_at_a_time = self.flushing.lock();
        self.freeze();
        loop {
            let published = self.published.read().clone();
            let Some(oldest) = published.frozen.first().cloned() else { break };
            let flushed = self.flush_generation(&oldest);
            self.note_space(&flushed);
            flushed?;
        }
        self.note_log_full(false);
        self.queue.nudge();
        Ok(())
    }

    /// Ends the active memtable at a frame boundary. Samples or changed tags must be there.
    fn freeze(&self) {
        let mut committer = self.committer.lock();
        let mut published = self.published.write();
        let active = Arc::clone(&published.active);
        let position = committer.last_sequence();
        if active.memtable.first_sequence() == 0 && self.dirty_tags.lock().is_empty() {
            return;
        }
        let memtable = &active.memtable;
        let newest = memtable.tags().into_iter().filter_map(|tag| Some((tag, memtable.extent(tag)?.last_time)));
        fold_newest(&mut committer.older_newest, newest);
        active.freeze(position);
        let mut frozen = published.frozen.clone();
        frozen.push(active);
        *published = Arc::new(Published { frozen, active: Arc::default(), ..(**published).clone() });
    }

    fn flush_generation(&self, generation: &Arc<Generation>) -> Result<()> {
        generation.settle();
        let mut manifest = self.manifest.lock();
        let state = manifest.state();
        let (number, id) = (state.number, state.next_segment_id);
        let position = generation.frozen_at();
        let segment = self.write_segment(generation, id)?;
        let dirty: Vec<TagId> = self.dirty_tags.lock().iter().copied().collect();
        let tags = self.tags.read().clone();
        let tags_file = match dirty.is_empty() {
            true => None,
            false => Some(tags_file::write(&self.env, &self.archive.tags_file(), &tags)?),
        };
        let memtable = &generation.memtable;
        let newest = memtable.tags().into_iter().filter_map(|tag| {
            let row = memtable.newest(tag)?;
            state.newest.get(&tag).is_none_or(|before| before.time <= row.time).then_some((tag, row))
        });
        let sources: Vec<(Arc<str>, SourceState)> = generation
            .sources()
            .into_iter()
            .map(|(name, here)| {
                let joined = joined(state.sources.get(&name), &here);
                (name, joined)
            })
            .collect();
        let edit = Edit {
            log_position: position,
            next_segment_id: id + 1,
            added: segment.iter().cloned().collect(),
            removed: Vec::new(),
            tags: dirty.iter().filter_map(|id| tags.get(*id).cloned()).collect(),
            forgotten: longest_idle(&state.sources, &sources),
            sources,
            newest: newest.collect(),
            tags_file,
        };
        manifest.append(number, edit).inspect_err(|e| self.latch_unless_full(e))?;
        self.forget_dirty(&tags, &dirty);
        self.publish_flushed(generation, segment, manifest.state());
        drop(manifest);
        let mut committer = self.committer.lock();
        let released = committer.log.as_mut().map_or(Ok(()), |log| log.release(position));
        self.log_bytes.store(committer.log_bytes(), Relaxed);
        released.inspect_err(|e| self.latch_unless_full(e))
    }

    fn write_segment(&self, generation: &Generation, id: u64) -> Result<Option<SegmentMeta>> {
        let memtable = &generation.memtable;
        if memtable.row_count() == 0 {
            return Ok(None);
        }
        let (first_sequence, last_sequence) = (memtable.first_sequence(), memtable.last_sequence());
        let name = format!("{:04}-{last_sequence:016}-{id:08}.parquet", self.archive.epoch);
        let dir = self.archive.segment_dir();
        let write = || -> Result<SegmentMeta> {
            let plan = NewSegment { id, name: name.clone(), first_sequence, last_sequence, zstd_level: ZSTD_LEVEL };
            let mut writer = SegmentWriter::create(&self.env.disk, &dir, plan)?;
            let tags = self.tags.read().clone();
            for tag in memtable.tags() {
                let kind = tags
                    .get(tag)
                    .map(|t| t.spec.tag_type)
                    .expect("frames name only tags that stand before them in the log");
                writer.write(tag, kind, &memtable.rows(tag, i64::MIN, i64::MAX))?;
            }
            let meta = writer.finish()?;
            self.env.disk.sync_dir(&dir).map_err(|e| crate::Error::io("syncing", &dir, &e))?;
            Ok(meta)
        };
        write().map(Some).inspect_err(|error| {
            // No manifest names the file; what is left of it is in nobody's way but the disk's.
            let _ = self.env.disk.remove(&dir.join(&name));
            if error.kind() == ErrorKind::Io {
                self.latch(error);
            }
        })
    }

    fn publish_flushed(
        &self,
        generation: &Arc<Generation>,
        segment: Option<SegmentMeta>,
        state: &crate::manifest::ManifestState,
    ) {
        let mut published = self.published.write();
        let mut segments = published.segments.to_vec();
        segments.extend(segment.map(|meta| self.archive.segment(meta)));
        segments.sort_by_key(|s| (s.meta().last_sequence, s.meta().id));
        let frozen = published.frozen.iter().filter(|g| !Arc::ptr_eq(g, generation)).cloned().collect();
        *published = Arc::new(Published {
            segments: segments.into(),
            frozen,
            active: Arc::clone(&published.active),
            base: Arc::new(state.clone()),
        });
    }

    /// Tags that changed again while they were written stay dirty.
    fn forget_dirty(&self, written: &crate::tag_table::TagTable, dirty: &[TagId]) {
        let now = self.tags.read();
        let mut set = self.dirty_tags.lock();
        for id in dirty {
            if let (Some(a), Some(b)) = (now.get(*id), written.get(*id))
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
            log_full: self.log_full(),
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

/// Sources beyond the bound that were idle for longest, by name.
fn longest_idle(
    before: &std::collections::BTreeMap<Arc<str>, SourceState>,
    moved: &[(Arc<str>, SourceState)],
) -> Vec<Arc<str>> {
    let fresh = moved.iter().filter(|(name, _)| !before.contains_key(name)).count();
    let excess = (before.len() + fresh).saturating_sub(limits::SOURCES_MAX);
    if excess == 0 {
        return Vec::new();
    }
    let mut idle: Vec<_> = before.iter().filter(|(name, _)| !moved.iter().any(|(m, _)| m == *name)).collect();
    idle.sort_by_key(|(name, source)| (source.received, Arc::clone(name)));
    idle.into_iter().take(excess).map(|(name, _)| Arc::clone(name)).collect()
}
