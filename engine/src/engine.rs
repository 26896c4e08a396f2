//! The engine: what its parts are, and what the outside may ask of it.
//!
//! 1. What is published is replaced as a whole, by recovery and by whoever holds `flushing`.
//! 2. Locks are taken in this order: `tag_changes`, `flushing`, `manifest`, `committer`, then
//!    `tags`, `dirty_tags`, `published` and the inner ones of their parts, briefly.
//! 3. The latch is never opened again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use crate::archive::Archive;
use crate::changes::{Changes, Subscription};
use crate::commit::{Committed, Committer};
use crate::config::Config;
use crate::delete::{Delete, Deletes};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Frame;
use crate::generation::Generation;
use crate::ingest::Sources;
use crate::jobs::Turns;
use crate::limits;
use crate::manifest::{ListFile, Manifest, ManifestState, SourceState};
use crate::memtable::Flushed;
use crate::planner::{self, DiskRoom};
use crate::queue::{Done, Queue, Queued, closed};
use crate::runtime::Runtime;
use crate::sample::Row;
use crate::scan::ReadView;
use crate::segment::{DamagedSegment, Segment, SegmentMeta};
use crate::tag::TagId;
use crate::tag_table::TagTable;
use crate::wal::Log;

/// An open archive. Clones are handles to the same one; every call may block.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    runtime: Arc<Mutex<Option<Runtime>>>,
}

/// What all threads share.
pub(crate) struct Shared {
    pub env: Env,
    pub config: Config,
    pub archive: Archive,
    pub tags: RwLock<Arc<TagTable>>,
    /// Held while tags are created or changed.
    pub tag_changes: Mutex<()>,
    /// Tags that the manifest does not have as they are.
    pub dirty_tags: Mutex<BTreeSet<TagId>>,
    /// What `deletes.parquet` is, as far as it is intact.
    pub deletes_listed: Mutex<Option<ListFile>>,
    pub sources: Sources,
    pub queue: Queue,
    pub committer: Mutex<Committer>,
    pub manifest: Mutex<Manifest>,
    pub published: RwLock<Arc<Published>>,
    pub turns: Turns,
    pub log_bytes: AtomicU64,
    pub counters: Counters,
    /// Who hears of new current values.
    pub changes: Changes,
    health: RwLock<Health>,
}

/// What readers see.
#[derive(Clone)]
pub(crate) struct Published {
    /// Live segments, ascending in last sequence.
    pub segments: Arc<[Arc<Segment>]>,
    /// Memtables that are being flushed, oldest first.
    pub frozen: Vec<Arc<Generation>>,
    /// The memtable that frames are applied to.
    pub active: Arc<Generation>,
    /// The manifest state that names the segments.
    pub base: Arc<ManifestState>,
}

/// What is known of a tag's newest sample without looking into segments.
enum Newest {
    /// There is none.
    None,
    Row(Row),
    /// The one that was the newest, at this time, is deleted; the one before it was not looked for.
    Deleted(i64),
}

#[derive(Default)]
struct Health {
    /// Why nothing is written any more.
    latched: Option<Error>,
    /// Why the last flush had to be put off.
    full: Option<Error>,
    /// Whether the log has found no room since the last flush.
    log_full: bool,
}

/// What was written since the start.
#[derive(Default)]
pub(crate) struct Counters {
    /// Samples, those that were refused among them.
    rows: AtomicU64,
    /// Bytes of segments that flushes wrote.
    pub flushed_bytes: AtomicU64,
    /// Bytes of segments that merges wrote.
    pub merged_bytes: AtomicU64,
    /// Merges that put their result in place.
    pub merges: AtomicU64,
    /// Acknowledged frames that could not be read at the start.
    pub frames_lost: AtomicU64,
}

/// How an engine is doing, for metrics.
#[derive(Clone, Debug)]
pub struct EngineStatus {
    /// Tags.
    pub tags: usize,
    /// Samples in memtables.
    pub memtable_rows: usize,
    /// Bytes of memtables, and of notes about late samples that are not counted yet.
    pub memtable_bytes: usize,
    /// Bytes of the footers of segments that are kept in memory.
    pub footer_bytes: usize,
    /// Bytes of the unflushed log.
    pub log_bytes: u64,
    /// Live segments.
    pub segments: usize,
    /// Rows of live segments; replaced ones count until they are merged.
    pub segment_rows: u64,
    /// Bytes of live segments.
    pub segment_bytes: u64,
    /// Deletes that merges have not applied to all segments yet.
    pub deletes: usize,
    /// Samples accepted since the start, whatever they replaced or repeated.
    pub rows_written: u64,
    /// Bytes of segments that flushes have written since the start.
    pub flushed_bytes: u64,
    /// Bytes of segments that merges have written since the start.
    pub merged_bytes: u64,
    /// Merges since the start.
    pub merges: u64,
    /// Acknowledged frames of the log that could not be read at the start.
    pub frames_lost: u64,
    /// Segments of which something could not be read when it was last tried, ascending by id.
    pub damaged: Vec<DamagedSegment>,
    /// Why nothing is written any more, if so.
    pub latched: Option<String>,
    /// Why writing waits for disk space, if so.
    pub disk_full: Option<String>,
}

/// What was found and mended at start.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Frames replayed from the log.
    pub frames: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Frames that were acknowledged and cannot be read, or not in full since they name tags whose
    /// creation is lost, by first and last sequence.
    pub lost: Vec<(u64, u64)>,
    /// Copies of damaged log files, and segments that were being written when frames were lost.
    pub quarantined: Vec<PathBuf>,
    /// Files of unfinished work that were removed.
    pub removed: usize,
}

impl Engine {
    /// Opens an archive, initialising a missing or empty directory, and replays its log. What was
    /// begun before the last stop is cleared up, and the log goes on in another file; no thread
    /// runs until [`Engine::start`].
    ///
    /// # Errors
    /// `Unusable` where the directory is in use, foreign or newer; `Damaged` where its bytes are
    /// not what was written or files are missing: nothing was changed; `InvalidInput` for settings
    /// that cannot be.
    pub fn open(env: Env, dir: &Path, config: Config) -> Result<(Engine, RecoveryReport)> {
        let (shared, report) = crate::recovery::open(env, dir, config)?;
        shared.compare_clocks();
        let lost = report.lost.iter().map(|(first, last)| last - first + 1).sum();
        shared.counters.frames_lost.store(lost, Relaxed);
        Ok((Engine { shared: Arc::new(shared), runtime: Arc::default() }, report))
    }

    /// Starts the threads that commit and flush. Without them, [`Engine::commit_step`] and
    /// [`Engine::job_step`] do their work a step at a time.
    pub fn start(&self) {
        self.shared.queue.set_served(true);
        self.runtime.lock().get_or_insert_with(|| Runtime::start(&self.shared));
    }

    /// Commits one group of waiting frames; says whether any waited.
    pub fn commit_step(&self) -> bool {
        self.shared.commit_step()
    }

    /// Does the next due piece of work; says whether there was any.
    pub fn job_step(&self) -> Result<bool> {
        self.shared.job_step()
    }

    /// All tags.
    pub fn tags(&self) -> Arc<TagTable> {
        self.shared.tags.read().clone()
    }

    /// Everything acknowledged so far, to be read.
    pub fn view(&self) -> ReadView {
        self.shared.published.read().view(&self.shared.tags.read())
    }

    /// The tag's sample with the newest time that is not after now + `max_future` (not after now
    /// for `future` tags), whatever its status.
    pub fn current(&self, tag: TagId) -> Result<Option<Row>> {
        let shared = &self.shared;
        let Some(tag) = shared.tags.read().get(tag).cloned() else { return Ok(None) };
        let now = shared.env.clock.now();
        let latest = if tag.spec.future { now } else { now.saturating_add(shared.config.max_future) };
        match shared.newest(tag.id) {
            Newest::Row(row) if row.time <= latest => Ok(Some(row)),
            Newest::None => Ok(None),
            Newest::Row(_) | Newest::Deleted(_) => self.view().newest_at(tag.id, latest),
        }
    }

    /// Notes from now on which of these tags, and of those created after `known`, have changed. `wake` is
    /// called when there are notes, from a thread that must not wait.
    pub fn subscribe(
        &self,
        tags: BTreeSet<TagId>,
        known: TagId,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Subscription {
        self.shared.changes.subscribe(tags, known, wake)
    }

    /// Writes everything that was acknowledged before the call to segments.
    pub fn flush(&self) -> Result<()> {
        self.shared.flush()
    }

    /// Does the next merge of segments that is worth it; says whether there was any.
    pub fn merge_step(&self) -> Result<bool> {
        self.shared.merge_step(None)
    }

    /// Flushes, then merges until every window of time has one run of what was written before, and no
    /// segment has a row that was deleted before.
    /// Segments that cannot be read, and those that may not be merged without them, stay as they are.
    ///
    /// # Errors
    /// `Damaged` where there are such segments; all others are merged then.
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        // What is written meanwhile is merged in its turn: this ends on a busy plant, too.
        let through = self.shared.published.read().base.log_position;
        let damages = self.shared.archive.damages();
        loop {
            let known = damages.ids();
            match self.shared.merge_step(Some(through)) {
                Ok(true) => {}
                Ok(false) if self.shared.turns.stopping.load(Relaxed) => return Err(crate::queue::closed()),
                Ok(false) => break,
                // The next plan does without what this one has found.
                Err(error) if error.kind() == ErrorKind::Damaged && !damages.ids().is_subset(&known) => {}
                Err(error) => return Err(error),
            }
        }
        unmerged(&damages.list()).map_or(Ok(()), Err)
    }

    /// The live segments.
    pub fn segments(&self) -> Vec<SegmentMeta> {
        self.shared.published.read().base.segments.clone()
    }

    /// Where a segment lies.
    pub fn segment_path(&self, segment: &SegmentMeta) -> PathBuf {
        self.shared.archive.segment_dir().join(&segment.name)
    }

    /// How the engine is doing.
    pub fn status(&self) -> EngineStatus {
        let shared = &self.shared;
        let published = shared.published.read().clone();
        let health = shared.health.read();
        EngineStatus {
            tags: shared.tags.read().len(),
            memtable_rows: published.generations().map(|g| g.memtable.row_count()).sum(),
            memtable_bytes: published.generations().map(|g| g.bytes()).sum(),
            footer_bytes: shared.archive.footer_bytes(),
            log_bytes: shared.log_bytes.load(Relaxed),
            segments: published.base.segments.len(),
            segment_rows: published.base.segments.iter().map(|s| s.rows).sum(),
            segment_bytes: published.base.segments.iter().map(|s| s.bytes).sum(),
            deletes: published.waiting_deletes(),
            rows_written: shared.counters.rows.load(Relaxed),
            flushed_bytes: shared.counters.flushed_bytes.load(Relaxed),
            merged_bytes: shared.counters.merged_bytes.load(Relaxed),
            merges: shared.counters.merges.load(Relaxed),
            frames_lost: shared.counters.frames_lost.load(Relaxed),
            damaged: shared.archive.damages().list(),
            latched: health.latched.as_ref().map(ToString::to_string),
            disk_full: health.full.as_ref().map(ToString::to_string),
        }
    }

    /// Stops the threads, commits what waits, flushes it, and marks the log as complete.
    pub fn close(&self) -> Result<()> {
        self.shared.turns.stopping.store(true, Relaxed);
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.stop(&self.shared);
        }
        self.shared.queue.set_served(false);
        while self.shared.commit_step() {}
        if let Some(error) = self.shared.latched() {
            return Err(error);
        }
        self.shared.flush()?;
        let log = self.shared.committer.lock().log.take();
        log.map_or(Ok(()), Log::close)
    }
}

impl Published {
    /// All that is not in segments, oldest first.
    fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.frozen.iter().chain([&self.active])
    }

    /// Everything, to be read.
    pub fn view(&self, tags: &Arc<TagTable>) -> ReadView {
        let mut view = self.view_before_active(tags);
        view.memtables.push(Arc::clone(&self.active.memtable));
        view.held = Some(Arc::clone(&self.active.memtable));
        view
    }

    /// Everything but the active memtable.
    pub fn view_before_active(&self, tags: &Arc<TagTable>) -> ReadView {
        ReadView {
            segments: Arc::clone(&self.segments),
            memtables: self.frozen.iter().map(|g| Arc::clone(&g.memtable)).collect(),
            held: None,
            deletes: self.deletes(),
            tags: Arc::clone(tags),
            manifest: self.base.number,
        }
    }

    /// A tag's newest sample: later writes of the same time win.
    fn newest(&self, tag: TagId) -> Result<Newest, Flushed> {
        let flushed = self.base.newest.get(&tag).cloned().map_or(Newest::None, Newest::Row);
        // First what may be decided on meanwhile: it is then found again, and not missed.
        let held = self.active.memtable.newest_held(tag);
        let settled = self.generations().try_fold(flushed, |before, generation| {
            Ok(before.without(tag, &generation.deletes()).with(generation.memtable.newest(tag)?))
        })?;
        Ok(settled.with(held))
    }

    /// Deletes that segments may still need.
    pub fn waiting_deletes(&self) -> usize {
        self.base.deletes.len() + self.generations().map(|generation| generation.deletes().len()).sum::<usize>()
    }

    /// The deletes that count for readers.
    fn deletes(&self) -> Deletes {
        let newer = self.generations().flat_map(|generation| generation.deletes());
        Deletes::of(self.base.deletes.iter().cloned().chain(newer).collect())
    }

    /// Where a source is, as far as its frames are applied.
    pub fn source(&self, name: &str) -> Option<SourceState> {
        let before = self.base.sources.get(name).cloned();
        self.generations().fold(before, |before, generation| generation.source_after(name, before))
    }
}

impl Newest {
    /// After these deletes.
    fn without(self, tag: TagId, deletes: &[Arc<Delete>]) -> Newest {
        match self {
            Newest::Row(row) if deletes.iter().any(|delete| delete.hides(tag, row.time)) => Newest::Deleted(row.time),
            other => other,
        }
    }

    /// After a later sample, which may be older in time.
    fn with(self, later: Option<Row>) -> Newest {
        match (self, later) {
            (before, None) => before,
            (Newest::Row(row), Some(later)) if row.time > later.time => Newest::Row(row),
            (Newest::Deleted(time), Some(later)) if time > later.time => Newest::Deleted(time),
            (_, Some(later)) => Newest::Row(later),
        }
    }
}

impl Shared {
    /// An engine's parts as recovery found them.
    pub fn new(
        env: Env,
        config: Config,
        archive: Archive,
        manifest: Manifest,
        committer: Committer,
        published: Published,
        dirty_tags: BTreeSet<TagId>,
    ) -> Shared {
        let queue = Queue::new(config.queue_bytes_max());
        Shared {
            env,
            config,
            archive,
            tags: RwLock::new(Arc::new(published.base.tags.clone())),
            tag_changes: Mutex::new(()),
            dirty_tags: Mutex::new(dirty_tags),
            deletes_listed: Mutex::default(),
            sources: Sources::default(),
            queue,
            log_bytes: AtomicU64::new(committer.log_bytes()),
            committer: Mutex::new(committer),
            manifest: Mutex::new(manifest),
            published: RwLock::new(Arc::new(published)),
            turns: Turns::default(),
            counters: Counters::default(),
            changes: Changes::default(),
            health: RwLock::default(),
        }
    }

    /// Why nothing is written any more.
    pub fn latched(&self) -> Option<Error> {
        self.health.read().latched.clone()
    }

    /// After a failed write or sync nothing more is written: what is on disk is not known.
    pub fn latch(&self, error: &Error) {
        let mut health = self.health.write();
        if health.latched.is_none() {
            tracing::error!("writing ends: {error}");
            health.latched = Some(Error::new(
                ErrorKind::ReadOnly,
                "writing failed",
                format!("an earlier write failed ({error})"),
                "reads go on; mend the disk and restart the server",
            ));
        }
    }

    /// Records in an idle log that all of it is durable.
    pub fn mark_idle(&self) {
        if self.latched().is_none()
            && let Some(Err(error)) = self.committer.lock().log.as_mut().map(Log::mark_idle)
        {
            self.latch_unless_full(&error);
        }
    }

    /// Latches but for a full disk, which may be tried again.
    pub fn latch_unless_full(&self, error: &Error) {
        if error.kind() != ErrorKind::Exhausted {
            self.latch(error);
        }
    }

    /// Remembers whether the last flush found room.
    pub fn note_space(&self, flushed: &Result<()>) {
        let full = flushed.as_ref().err().filter(|e| e.kind() == ErrorKind::Exhausted).cloned();
        if let Some(error) = &full {
            tracing::warn!("a flush is put off: {error}");
        }
        self.health.write().full = full;
    }

    /// Remembers that the log found no room: a flush is due, and writers wait for it.
    pub fn note_log_full(&self, full: bool) {
        self.health.write().log_full = full;
    }

    /// Whether the log has found no room since the last flush.
    pub fn log_full(&self) -> bool {
        self.health.read().log_full
    }

    /// Queues a frame and waits until it is durable and applied.
    pub fn commit(&self, payload: Vec<u8>, frame: Frame) -> Result<Committed> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        // The receiver is there: it waits below.
        let done = Done::new(None, move |result| drop(send.send(result)));
        let gives_room = matches!(frame, Frame::Delete(_));
        let admit = || if gives_room { self.admit_delete() } else { self.admit() };
        self.queue.push(Queued { payload, frame, done }, admit)?;
        self.drain_unthreaded();
        receive.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// A tag's newest sample.
    fn newest(&self, tag: TagId) -> Newest {
        loop {
            let published = self.published.read().clone();
            // What was flushed since then is in what is published now.
            if let Ok(newest) = published.newest(tag) {
                return newest;
            }
        }
    }

    /// The time of a tag's newest sample, where it is not deleted.
    pub fn newest_time(&self, tag: TagId) -> Option<i64> {
        match self.newest(tag) {
            Newest::Row(row) => Some(row.time),
            Newest::None | Newest::Deleted(_) => None,
        }
    }

    /// Commits what waits where no thread does.
    pub fn drain_unthreaded(&self) {
        if !self.queue.is_served() {
            while self.commit_step() {}
        }
    }

    /// Whether a frame may be queued now: `Ok(false)` lets its writer wait.
    pub fn admit(&self) -> Result<bool> {
        if let Some(error) = self.latched() {
            return Err(error);
        }
        let published = self.published.read().clone();
        let memory: usize = published.generations().map(|g| g.bytes()).sum();
        // What waits in the queue, and the rest of two files, still has to find room in the log.
        let log_bytes_max =
            self.config.log_bytes_max.saturating_sub(limits::QUEUE_BYTES_MAX as u64 + 2 * limits::LOG_FILE_BYTES);
        let log_bytes = self.log_bytes.load(Relaxed);
        let room = planner::disk_room(self.disk_room(), log_bytes);
        if room == DiskRoom::None {
            return Err(no_room("the disk has no room for what a flush would write"));
        }
        let health = self.health.read();
        let fits = memory < self.config.memory_budget / 16 * 5
            && log_bytes <= log_bytes_max
            && !health.log_full
            && room == DiskRoom::Enough;
        match &health.full {
            Some(error) if !fits => Err(error.clone()),
            // Without threads nobody would flush while this writer waits.
            None if !fits && !self.queue.is_served() => Err(no_room("a flush is due")),
            _ => Ok(fits),
        }
    }

    /// Whether a delete may be queued now: also where the disk is short, for it gives room.
    fn admit_delete(&self) -> Result<bool> {
        match self.latched() {
            Some(error) => Err(error),
            None if self.log_full() => Err(no_room("the log has no room for the delete")),
            None => Ok(true),
        }
    }

    /// Bytes of disk that segments may take.
    pub fn disk_room(&self) -> u64 {
        // A disk that does not say has room until a write fails.
        let free = self.env.disk.free_bytes(&self.archive.dir).unwrap_or(u64::MAX);
        free.saturating_sub(limits::DISK_RESERVE_BYTES)
    }
}

/// The error for segments that were left out of a compaction; none where there are none.
fn unmerged(damaged: &[DamagedSegment]) -> Option<Error> {
    const NAMED: usize = 5;
    let named = |s: &DamagedSegment| format!("{} at byte {} ({})", s.path.display(), s.offset, s.why);
    let mut why: Vec<String> = damaged.iter().take(NAMED).map(named).collect();
    if damaged.len() > NAMED {
        why.push(format!("{} more", damaged.len() - NAMED));
    }
    (!damaged.is_empty()).then(|| {
        Error::new(
            ErrorKind::Damaged,
            "merging all segments failed",
            format!("these are damaged: {}", why.join(", ")),
            "restore their files from a backup; the others are merged",
        )
    })
}

fn no_room(why: &str) -> Error {
    Error::new(ErrorKind::Exhausted, "writing failed", why, "free some space; writing resumes by itself")
}

impl Counters {
    /// Counts what a new frame holds. One that is replayed was counted when it was new.
    pub fn add(&self, frame: &Frame) {
        if let Frame::Samples(frame) = frame {
            let rows: usize = frame.blocks.iter().map(|block| block.rows.len()).sum();
            self.rows.fetch_add(rows as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
