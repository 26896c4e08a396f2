//! Merge: several segments become fewer, cut at windows of time.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::delete::{Delete, Deletes};
use crate::engine::{Published, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Edit, ManifestState};
use crate::planner::{next_merge, next_purge};
use crate::sample::Rows;
use crate::scan::{ReadView, ScanRequest, TagSelection};
use crate::segment::{NewSegment, ReadMetrics, Segment, SegmentMeta, SegmentWriter};
use crate::tag::TagId;

/// The level of compression of merged segments: they are read more often than written.
const ZSTD_LEVEL: i32 = 3;

/// What a merge works on. It lasts for minutes and must hold no memtable: those are freed as they
/// are flushed.
pub(super) struct Ground {
    pub segments: Arc<[Arc<Segment>]>,
    /// What the manifest says of them.
    metas: Vec<SegmentMeta>,
    pub deletes: Vec<Arc<Delete>>,
    /// How far the log was in segments then.
    pub log_position: u64,
}

impl Shared {
    /// Does the next merge if one is worth it; or, of the segments that end in the log at `through` or
    /// before, if it leaves fewer runs. Says whether it did any. Ends early, with nothing changed, when
    /// the engine is closed.
    ///
    /// # Errors
    /// `Exhausted` where the disk has no room for the result, `Damaged` where an input cannot be read;
    /// the next merge is planned without it. In both cases nothing has changed.
    pub(crate) fn merge_step(&self, through: Option<u64>) -> Result<bool> {
        let _one_at_a_time = self.turns.merging.lock();
        if let Some(error) = self.latched() {
            return Err(error);
        }
        let (ground, now) = (self.ground(), self.env.clock.now());
        let all = through.is_some();
        // Work that needs a damaged segment would fail again and again.
        let mut unusable = self.archive.damages().ids();
        let newer = |meta: &&SegmentMeta| through.is_some_and(|through| meta.last_sequence > through);
        unusable.extend(ground.metas.iter().filter(newer).map(|meta| meta.id));
        let mut purgeable = ground.metas.clone();
        let mut put_off = None;
        loop {
            let (worked_on, done) = if let Some(id) = next_purge(&purgeable, &unusable, &ground.deletes, now, all) {
                (vec![id], self.purge(&ground, id))
            } else if let Some(plan) = next_merge(&ground.metas, &unusable, self.config.segment_bytes, now, all) {
                let is_input = |segment: &&Arc<Segment>| plan.inputs.contains(&segment.meta().id);
                let inputs: Vec<Arc<Segment>> = ground.segments.iter().filter(is_input).cloned().collect();
                let done = self.rewrite(&ground, &inputs, &plan.windows);
                (plan.inputs, done)
            } else {
                return put_off.map_or(Ok(false), Err);
            };
            match done {
                // Where the disk is short of room for one, there may be room for another.
                Err(error) if error.kind() == ErrorKind::Exhausted => {
                    put_off = put_off.or(Some(error));
                    purgeable.retain(|meta| !worked_on.contains(&meta.id));
                    unusable.extend(worked_on);
                }
                done => return done,
            }
        }
    }

    fn ground(&self) -> Ground {
        let published = self.published.read();
        let base = &published.base;
        Ground {
            segments: Arc::clone(&published.segments),
            metas: base.segments.clone(),
            deletes: base.deletes.clone(),
            log_position: base.log_position,
        }
    }

    /// Puts segments of these windows in the place of `inputs`, without the rows that the deletes of
    /// `ground` take away. Says whether all of it was done.
    pub(super) fn rewrite(
        &self,
        ground: &Ground,
        inputs: &[Arc<Segment>],
        windows: &[RangeInclusive<i64>],
    ) -> Result<bool> {
        self.check_room(ground, inputs)?;
        let mut written = Vec::new();
        let done = self.write_merged(ground, inputs, windows, &mut written);
        if !matches!(done, Ok(true)) {
            self.discard_all(&written);
            return done;
        }
        self.replace(inputs, &written).inspect_err(|error| {
            // A full disk is found before an edit has its number. After any other error the edit
            // may be there, and the segments that it names must be, too.
            if error.kind() == ErrorKind::Exhausted {
                self.discard_all(&written);
            }
        })?;
        Ok(true)
    }

    /// Gives back the room of segments that no manifest names. What stays goes at the next start.
    fn discard_all(&self, written: &[SegmentMeta]) {
        for output in written {
            let _ = self.env.disk.remove(&self.archive.segment_dir().join(&output.name));
        }
    }

    /// A merge needs as much room as what is left of its inputs, beside what flushes need.
    fn check_room(&self, ground: &Ground, inputs: &[Arc<Segment>]) -> Result<()> {
        let deletes = Deletes::of(ground.deletes.clone());
        let needed: u64 = inputs.iter().map(|s| s.meta()).filter(|m| !deletes.take_all_of(m)).map(|m| m.bytes).sum();
        if needed == 0 {
            return Ok(());
        }
        let dir = self.archive.segment_dir();
        let free = self.env.disk.free_bytes(&dir).map_err(|e| Error::io("measuring", &dir, &e))?;
        if needed.saturating_add(self.log_bytes.load(Relaxed)) <= free {
            return Ok(());
        }
        let why = format!("it needs {needed} bytes and {free} are free");
        Err(Error::new(ErrorKind::Exhausted, "merging segments is put off", why, "free some space"))
    }

    /// Writes the rows of `inputs`, newest write first, a run for each window. Says whether all of
    /// it was done.
    fn write_merged(
        &self,
        ground: &Ground,
        inputs: &[Arc<Segment>],
        windows: &[RangeInclusive<i64>],
        written: &mut Vec<SegmentMeta>,
    ) -> Result<bool> {
        let tags = self.tags.read().clone();
        // Deletes that the manifest does not have yet stay for the frames that replay may bring again.
        let deletes = Deletes::of(ground.deletes.clone());
        let view = ReadView { segments: inputs.into(), memtables: Vec::new(), held: None, deletes, tags, manifest: 0 };
        let touches = |window: &&RangeInclusive<i64>| {
            inputs.iter().any(|s| s.meta().first_time <= *window.end() && s.meta().last_time >= *window.start())
        };
        for window in windows.iter().filter(touches) {
            if self.turns.stopping.load(Relaxed) {
                return Ok(false);
            }
            let request =
                ScanRequest { from: *window.start(), to: *window.end(), ..ScanRequest::of(TagSelection::Everything) };
            let spec = view.plan(&request, 1)?;
            let mut run =
                RunWriter { shared: self, inputs, deleted_through: ground.log_position, open: None, last_tag: None };
            for batch in view.open(&spec, 0, Arc::new(ReadMetrics::default()))? {
                if self.turns.stopping.load(Relaxed) {
                    return Ok(false);
                }
                let batch = batch?;
                for (tag, range) in batch.runs {
                    let mut rows = Rows::default();
                    rows.extend_from(&batch.rows, range);
                    run.write(&view, tag, &rows, written)?;
                }
            }
            run.finish(written)?;
        }
        let dir = self.archive.segment_dir();
        let synced = self.env.disk.sync_dir(&dir).map_err(|e| Error::io("syncing", &dir, &e));
        synced.inspect_err(|error| self.latch(error))?;
        Ok(true)
    }

    /// Names the new segments in place of the inputs.
    fn replace(&self, inputs: &[Arc<Segment>], written: &[SegmentMeta]) -> Result<()> {
        let removed = inputs.iter().map(|s| s.meta().id).collect();
        self.edit_segments(Edit { added: written.to_vec(), removed, ..Edit::default() }, |base| {
            self.publish_merged(inputs, written, base);
        })?;
        self.counters.merges.fetch_add(1, Relaxed);
        self.counters.merged_bytes.fetch_add(written.iter().map(|s| s.bytes).sum(), Relaxed);
        // Each file goes with the last view that reads it.
        inputs.iter().for_each(|segment| segment.retire());
        Ok(())
    }

    /// Appends an edit that changes segments alone, and publishes what it makes.
    pub(super) fn edit_segments(&self, edit: Edit, publish: impl FnOnce(Arc<ManifestState>)) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let before = manifest.state();
        let (number, log_position) = (before.number, before.log_position);
        let edit = Edit { log_position, next_segment_id: before.next_segment_id, ..edit };
        publish(manifest.append(number, edit).cloned().inspect_err(|e| self.latch_unless_full(e))?);
        Ok(())
    }

    fn publish_merged(&self, inputs: &[Arc<Segment>], written: &[SegmentMeta], base: Arc<ManifestState>) {
        let new: Vec<Arc<Segment>> = written.iter().map(|meta| self.archive.segment(meta.clone())).collect();
        self.publish(|now| {
            let stays = |s: &&Arc<Segment>| inputs.iter().all(|input| !Arc::ptr_eq(s, input));
            let mut segments: Vec<Arc<Segment>> = now.segments.iter().filter(stays).cloned().chain(new).collect();
            segments.sort_by_key(|s| (s.meta().last_sequence, s.meta().id));
            Published { segments: segments.into(), base, ..Published::clone(now) }
        });
    }
}

/// Writes one run: as many segments as its bytes ask for, cut between tags.
struct RunWriter<'a> {
    shared: &'a Shared,
    inputs: &'a [Arc<Segment>],
    deleted_through: u64,
    open: Option<SegmentWriter>,
    last_tag: Option<TagId>,
}

impl RunWriter<'_> {
    fn write(&mut self, view: &ReadView, tag: TagId, rows: &Rows, written: &mut Vec<SegmentMeta>) -> Result<()> {
        if self.last_tag != Some(tag)
            && self.open.as_ref().is_some_and(|open| open.bytes() >= self.shared.config.segment_bytes)
        {
            self.finish(written)?;
        }
        self.last_tag = Some(tag);
        if self.open.is_none() {
            self.open = Some(self.create()?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let kind = view.tags().type_of(tag).expect("segments hold rows of known tags only");
        open.write(tag, kind, rows).inspect_err(|error| self.shared.latch_unless_full(error))
    }

    fn create(&self) -> Result<SegmentWriter> {
        let id = self.shared.manifest.lock().take_segment_id();
        let of = |sequence: fn(&SegmentMeta) -> u64| self.inputs.iter().map(move |s| sequence(s.meta()));
        let first_sequence = of(|m| m.first_sequence).min().unwrap_or(0);
        let last_sequence = of(|m| m.last_sequence).max().unwrap_or(0);
        let name = self.shared.archive.merged_name(self.inputs, last_sequence, id);
        let deleted_through = self.deleted_through;
        let plan = NewSegment { id, name, first_sequence, last_sequence, deleted_through, zstd_level: ZSTD_LEVEL };
        SegmentWriter::create(&self.shared.env.disk, &self.shared.archive.segment_dir(), plan)
            .inspect_err(|error| self.shared.latch_unless_full(error))
    }

    fn finish(&mut self, written: &mut Vec<SegmentMeta>) -> Result<()> {
        if let Some(open) = self.open.take() {
            written.push(open.finish().inspect_err(|error| self.shared.latch_unless_full(error))?);
        }
        Ok(())
    }
}
