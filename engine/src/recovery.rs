//! Recovery: an archive as it lies on disk becomes an engine.
//!
//! The manifest says what is in segments; the log's frames after that are applied again, by the
//! same code as when they were new. Nothing else is state.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::archive::Archive;
use crate::commit::{Committer, fold_newest, reduction_of};
use crate::config::Config;
use crate::engine::{Published, RecoveryReport, Shared};
use crate::env::Env;
use crate::error::Result;
use crate::generation::Generation;
use crate::jobs::lists;
use crate::limits;
use crate::manifest::{Edit, Manifest, ManifestState};
use crate::memtable::Memtable;
use crate::reduction::Reducer;
use crate::replay::Replayer;
use crate::strays;
use crate::tag::{Tag, TagId};
use crate::wal::{Log, LogOptions};

pub(crate) fn open(env: Env, dir: &Path, config: Config) -> Result<(Shared, RecoveryReport)> {
    config.check()?;
    let options = LogOptions { file_bytes: limits::LOG_FILE_BYTES, bytes_max: config.log_bytes_max };
    let archive = Archive::open(&env, dir, config.footer_bytes_max())?;
    let mut manifest = Manifest::open(&env, &archive.manifest_dir(), archive.id)?;
    let cleared = strays::clear(&env, &archive, manifest.state(), options)?;
    archive.renew_mark(&env)?;
    if manifest.state().number == 0 {
        let first = Edit { next_segment_id: 1, ..Edit::default() };
        manifest.append(0, first)?;
    }
    let log_dir = archive.log_dir();
    let position = manifest.state().log_position;
    let shared = share(env, config, archive, manifest);
    let mut replayer = Replayer::new(&shared);
    let (log, replay) = Log::recover(&shared.env, &log_dir, options, position, &mut |sequence, payload| {
        replayer.take(sequence, payload)
    })?;
    let lost = replayer.finish(&replay.lost);
    shared.committer.lock().log = Some(log);
    let position = shared.manifest.lock().state().log_position;
    shared.release_log(position)?;
    let report = RecoveryReport {
        frames: replay.frames,
        bytes: replay.bytes,
        lost,
        quarantined: replay.quarantined.into_iter().chain(cleared.quarantined).collect(),
        removed: cleared.removed,
    };
    Ok((shared, report))
}

/// The engine as the manifest has it, before any frame of the log and without one.
fn share(env: Env, config: Config, archive: Archive, manifest: Manifest) -> Shared {
    let base = Arc::clone(manifest.state());
    let segments = base.segments.iter().map(|meta| archive.segment(meta.clone())).collect();
    let mut older_newest = Vec::new();
    fold_newest(&mut older_newest, base.newest.iter().map(|(tag, row)| (*tag, row.time)));
    let dirty = match base.tags_file {
        Some(file) if lists::is_intact(&env, &archive.tags_file(), file) => BTreeSet::new(),
        _ => base.tags.iter().map(|tag| tag.id).collect::<BTreeSet<TagId>>(),
    };
    let listed = base.deletes_file.filter(|file| lists::is_intact(&env, &archive.deletes_file(), *file));
    let committer = Committer { log: None, older_newest, applied: base.log_position };
    let active = Arc::new(Generation::of(Memtable::with_reducers(base.log_position, reducers(&base))));
    let published = Published { segments, frozen: Vec::new(), active, base };
    let shared = Shared::new(env, config, archive, manifest, committer, published, dirty);
    *shared.deletes_listed.lock() = listed;
    shared
}

/// The reducers of tags as they were when what the manifest names was in segments.
fn reducers(base: &ManifestState) -> Vec<(TagId, Reducer)> {
    let reducer = |tag: &Arc<Tag>| {
        let (settings, is_float) = reduction_of(tag)?;
        Some((
            tag.id,
            match base.reducers.get(&tag.id) {
                Some(state) => Reducer::resume(settings, is_float, state),
                None => Reducer::new(settings, is_float),
            },
        ))
    };
    base.tags.iter().filter_map(reducer).collect()
}
