//! Segment files that no manifest names: what a stop has left of unfinished work, or the last
//! that is left of an archive whose manifest is missing. The one is removed, the other never.

use std::collections::HashSet;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::archive::Archive;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::ManifestState;
use crate::wal::{Log, LogOptions};

/// What was done with them.
#[derive(Default)]
pub(crate) struct Cleared {
    pub removed: usize,
    /// Where those lie that were kept for people.
    pub quarantined: Vec<PathBuf>,
}

/// A segment file that no manifest names.
struct Stray {
    name: String,
    /// The last log sequence, as its name has it.
    last_sequence: u64,
}

/// Clears up before the log is replayed. Where the log has lost frames, strays are moved to the
/// quarantine: they may hold what it lost.
///
/// # Errors
/// `Damaged` where manifest files must be missing: nothing was changed.
pub(crate) fn clear(env: &Env, archive: &Archive, state: &ManifestState, options: LogOptions) -> Result<Cleared> {
    let strays = find(env, archive, state)?;
    if strays.is_empty() && state.number > 0 {
        return Ok(Cleared::default());
    }
    let lost = Log::losses(env, &archive.log_dir(), options, state.log_position)?;
    if let Some(why) = missing_edits(state, &strays, &lost) {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!("opening data directory {} failed", archive.dir.display()),
            why,
            "restore manifest/ from a backup; nothing was changed",
        ));
    }
    let mut cleared = Cleared::default();
    for stray in &strays {
        if lost.is_empty() {
            remove(env, archive, stray)?;
            cleared.removed += 1;
        } else {
            cleared.quarantined.push(quarantine(env, archive, stray)?);
        }
    }
    Ok(cleared)
}

/// Why manifest files must be missing, if so. A flush that was cut short leaves a segment beside
/// the frames in it; the log gives up frames only once the manifest names their segment.
fn missing_edits(state: &ManifestState, strays: &[Stray], lost: &[RangeInclusive<u64>]) -> Option<String> {
    let newest = strays.iter().max_by_key(|stray| stray.last_sequence);
    if state.number == 0 {
        return match (newest, lost.first()) {
            (Some(stray), _) => Some(format!("no manifest is there, but segment {}", stray.name)),
            (None, Some(gap)) => Some(format!("no manifest is there, and the log no longer has frame {}", gap.start())),
            (None, None) => None,
        };
    }
    let newest = newest?;
    let gap = lost.iter().find(|gap| *gap.start() <= newest.last_sequence)?;
    Some(format!(
        "segment {} holds frames up to {}, the newest manifest ({}) ends at {}, and the log no longer has {} to {}",
        newest.name,
        newest.last_sequence,
        state.number,
        state.log_position,
        gap.start(),
        gap.end()
    ))
}

fn find(env: &Env, archive: &Archive, state: &ManifestState) -> Result<Vec<Stray>> {
    let live: HashSet<&str> = state.segments.iter().map(|segment| segment.name.as_str()).collect();
    let dir = archive.segment_dir();
    let names = env.disk.list(&dir).map_err(|e| Error::io("listing", &dir, &e))?;
    let strays = names.into_iter().filter(|name| !live.contains(name.as_str()));
    Ok(strays
        .filter_map(|name| {
            let last_sequence = last_sequence_of(&name)?;
            Some(Stray { name, last_sequence })
        })
        .collect())
}

/// Whether a file is named as a segment.
pub(crate) fn is_segment_name(name: &str) -> bool {
    last_sequence_of(name).is_some()
}

/// The last log sequence in `EEEE-SSSSSSSSSSSSSSSS-IIIIIIII.parquet`, all digits; none for files
/// of other names, which are nobody's business.
fn last_sequence_of(name: &str) -> Option<u64> {
    let parts: Vec<&str> = name.strip_suffix(".parquet")?.split('-').collect();
    let ours = parts.len() == 3
        && parts
            .iter()
            .zip([4, 16, 8])
            .all(|(part, digits)| part.len() >= digits && part.bytes().all(|b| b.is_ascii_digit()));
    parts.get(1)?.parse().ok().filter(|_| ours)
}

fn remove(env: &Env, archive: &Archive, stray: &Stray) -> Result<()> {
    let path = archive.segment_dir().join(&stray.name);
    env.disk.remove(&path).map_err(|e| Error::io("removing", &path, &e))
}

/// Moves a stray; nothing in the quarantine is ever replaced.
fn quarantine(env: &Env, archive: &Archive, stray: &Stray) -> Result<PathBuf> {
    let (from, folder) = (archive.segment_dir().join(&stray.name), archive.quarantine_dir());
    env.disk.create_dir(&folder).map_err(|e| Error::io("creating", &folder, &e))?;
    env.disk.sync_dir(&archive.dir).map_err(|e| Error::io("syncing", &archive.dir, &e))?;
    for copy in 1u32.. {
        let to = folder.join(format!("{}.{copy}", stray.name));
        match env.disk.link(&from, &to) {
            Ok(()) => {
                env.disk.sync_dir(&folder).map_err(|e| Error::io("syncing", &folder, &e))?;
                remove(env, archive, stray)?;
                return Ok(to);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("moving", &from, &e)),
        }
    }
    Err(Error::new(ErrorKind::Exhausted, "moving a segment failed", "no name is free", "empty quarantine/"))
}
