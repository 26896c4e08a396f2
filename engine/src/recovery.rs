//! Recovery: an archive as it lies on disk becomes an engine.
//!
//! The manifest says what is in segments; the log's frames after that are applied again, by the
//! same code as when they were new. Nothing else is state.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::archive::Archive;
use crate::commit::{Committer, fold_newest};
use crate::config::Config;
use crate::engine::{Published, RecoveryReport, Shared};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::format::{Frame, decode_frame};
use crate::generation::Generation;
use crate::jobs::tags_file;
use crate::limits;
use crate::manifest::{Edit, Manifest};
use crate::tag::TagId;
use crate::wal::{Log, LogOptions};

pub(crate) fn open(env: Env, dir: &Path, config: Config) -> Result<(Shared, RecoveryReport)> {
    let archive = Archive::open(&env, dir, config.footer_bytes_max())?;
    let mut manifest = Manifest::open(&env, &archive.manifest_dir(), archive.id)?;
    if manifest.state().number == 0 {
        let first = Edit { next_segment_id: 1, ..Edit::default() };
        manifest.append(0, first)?;
    }
    let state = Arc::new(manifest.state().clone());
    let removed = remove_garbage(&env, &archive, &state.segments.iter().map(|s| s.name.as_str()).collect())?;
    let segments = state.segments.iter().map(|meta| archive.segment(meta.clone())).collect();
    let mut older_newest = Vec::new();
    fold_newest(&mut older_newest, state.newest.iter().map(|(tag, row)| (*tag, row.time)));
    let dirty = match state.tags_file {
        Some(file) if tags_file::is_intact(&env, &archive.tags_file(), file) => BTreeSet::new(),
        _ => state.tags.iter().map(|tag| tag.id).collect::<BTreeSet<TagId>>(),
    };

    let mut frames = BTreeMap::new();
    let options = LogOptions { file_bytes: limits::LOG_FILE_BYTES, bytes_max: config.log_bytes_max };
    let log_dir = archive.log_dir();
    let (log, replay) = Log::recover(&env, &log_dir, options, state.log_position, &mut |sequence, payload| {
        let frame =
            decode_frame(payload).map_err(|e| Error::damaged(&log_dir, sequence, format!("frame {sequence}: {e}")))?;
        frames.insert(sequence, frame);
        Ok(())
    })?;
    let published = Published { segments, frozen: Vec::new(), active: Arc::new(Generation::default()), base: state };
    let shared =
        Shared::new(env, config, archive, manifest, Committer { log: Some(log), older_newest }, published, dirty);
    replay_frames(&shared, frames)?;
    let report = RecoveryReport {
        frames: replay.frames,
        bytes: replay.bytes,
        lost: replay.lost.iter().map(|r| (*r.start(), *r.end())).collect(),
        quarantined: replay.quarantined,
        removed,
    };
    Ok((shared, report))
}

/// Applies frames that are durable already, in the order of the log.
fn replay_frames(shared: &Shared, frames: BTreeMap<u64, Frame>) -> Result<()> {
    let mut committer = shared.committer.lock();
    for (sequence, frame) in frames {
        check(shared, sequence, &frame)?;
        shared.apply(&mut committer, sequence, frame);
    }
    Ok(())
}

/// A frame that came through its checksum may still follow a lost one on which it rests.
fn check(shared: &Shared, sequence: u64, frame: &Frame) -> Result<()> {
    let tags = shared.tags.read();
    let known = tags.len();
    let missing = match frame {
        Frame::Tags(new) => (known + 1..).zip(new).find(|(next, tag)| tag.id.0 as usize > *next).map(|(_, tag)| tag.id),
        Frame::Samples(frame) => frame.blocks.iter().find_map(|block| {
            (0..block.rows.len()).map(|i| block.tag(i)).find(|tag| tag.0 == 0 || tag.0 as usize > known)
        }),
    };
    match missing {
        None => Ok(()),
        Some(tag) => Err(Error::damaged(
            &shared.archive.log_dir(),
            0,
            format!("frame {sequence} names tag {}, whose creation is lost", tag.0),
        )),
    }
}

/// Removes segment files that no manifest names. Files of other names are nobody's business.
fn remove_garbage(env: &Env, archive: &Archive, live: &HashSet<&str>) -> Result<usize> {
    let dir = archive.segment_dir();
    let names = env.disk.list(&dir).map_err(|e| Error::io("listing", &dir, &e))?;
    let mut removed = 0;
    for name in names.iter().filter(|name| is_segment_name(name) && !live.contains(name.as_str())) {
        let path = dir.join(name);
        env.disk.remove(&path).map_err(|e| Error::io("removing", &path, &e))?;
        removed += 1;
    }
    Ok(removed)
}

/// `EEEE-SSSSSSSSSSSSSSSS-IIIIIIII.parquet`, all digits.
fn is_segment_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".parquet") else { return false };
    let parts: Vec<&str> = stem.split('-').collect();
    parts.len() == 3
        && parts
            .iter()
            .zip([4, 16, 8])
            .all(|(part, digits)| part.len() >= digits && part.bytes().all(|b| b.is_ascii_digit()))
}
