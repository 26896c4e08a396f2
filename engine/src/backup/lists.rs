//! The files that tell other readers what stands in the manifest, in a backup.
//!
//! They are written before the manifest that names them, as in an archive. Unlike there, nobody opens
//! a backup to write them again after a power cut in between: until the manifest is written, a copy
//! with the ending `before` is what the one before it names.

use std::path::{Path, PathBuf};

use crate::env::{Env, OpenMode};
use crate::error::Result;
use crate::files;
use crate::format::crc32c;
use crate::jobs::lists::{described, is_intact};
use crate::jobs::{deletes_file, tags_file};
use crate::manifest::{ListFile, ManifestState};

/// Writes both lists of a state; `before` has those that the manifest names now. Returns the state
/// that names them.
pub(super) fn write(env: &Env, dir: &Path, state: &ManifestState, before: Named) -> Result<ManifestState> {
    let mut state = state.clone();
    let tags = tags_file::bytes(&state.tags)?;
    state.tags_file = Some(put(env, &dir.join("tags.parquet"), &tags, before.tags)?);
    let deletes = deletes_file::encode(&state.deletes)?;
    state.deletes_file = Some(put(env, &dir.join("deletes.parquet"), &deletes, before.deletes)?);
    Ok(state)
}

/// The lists that a manifest names.
#[derive(Clone, Copy, Default)]
pub(super) struct Named {
    tags: Option<ListFile>,
    deletes: Option<ListFile>,
}

impl Named {
    pub fn by(state: &ManifestState) -> Named {
        Named { tags: state.tags_file, deletes: state.deletes_file }
    }
}

/// Removes what was kept for a manifest that is no more.
pub(super) fn forget_before(env: &Env, dir: &Path) -> Result<()> {
    ["tags.parquet", "deletes.parquet"].iter().try_for_each(|name| files::remove(env, &kept(&dir.join(name))))
}

/// Whether a list is what the manifest says, or was kept so beside a newer one.
pub(crate) fn is_there(env: &Env, path: &Path, expected: ListFile) -> bool {
    is_intact(env, path, expected) || is_intact(env, &kept(path), expected)
}

fn kept(path: &Path) -> PathBuf {
    path.with_extension("before")
}

fn put(env: &Env, path: &Path, bytes: &[u8], before: Option<ListFile>) -> Result<ListFile> {
    let new = described(bytes);
    if is_intact(env, path, new) {
        return Ok(new);
    }
    if let Some(older) = before.and_then(|expected| read(env, path, expected)) {
        files::replace(env, &kept(path), &older)?;
    }
    files::replace(env, path, bytes)?;
    Ok(new)
}

/// The bytes of a list, if it is what the manifest says.
fn read(env: &Env, path: &Path, expected: ListFile) -> Option<Vec<u8>> {
    let file = env.disk.open(path, OpenMode::Read).ok()?;
    let whole = file.len().ok().filter(|length| *length == expected.bytes)?;
    let bytes = file.read_ranges(std::slice::from_ref(&(0..whole))).ok()?.into_iter().next()?;
    (crc32c(&bytes) == expected.crc).then(|| bytes.to_vec())
}
