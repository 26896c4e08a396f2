//! Small files and folders that have to be there after a power cut.

use std::io;
use std::path::{Path, PathBuf};

use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};

/// Creates a directory and its parents, and makes their names durable: a name that vanishes in a
/// power cut takes everything below with it.
pub(crate) fn create_durably(env: &Env, dir: &Path) -> io::Result<()> {
    let mut to_sync = Vec::new();
    let mut path = dir.to_owned();
    while env.disk.list(&path).is_err() {
        let above = parent(&path);
        if above == path {
            break;
        }
        to_sync.push(above.clone());
        path = above;
    }
    env.disk.create_dir(dir)?;
    to_sync.iter().try_for_each(|path| env.disk.sync_dir(path))
}

/// The directory that holds this one.
pub(crate) fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Puts a file of these bytes in the place of the older one: after a power cut it is the one or the
/// other. What is in the way of that has the ending `tmp`.
///
/// # Errors
/// `Exhausted` where the disk is full and nothing has changed, else `Io`.
pub(crate) fn replace(env: &Env, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let replace = || -> io::Result<()> {
        match env.disk.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = env.disk.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        env.disk.rename(&temporary, path)
    };
    replace().map_err(|e| {
        let _ = env.disk.remove(&temporary);
        Error::io("writing", path, &e)
    })?;
    let dir = parent(path);
    // A directory that could not be synced is not synced again, whatever the reason.
    env.disk.sync_dir(&dir).map_err(|e| Error::io("syncing", &dir, &e).with_kind(ErrorKind::Io))
}

/// Removes a file that may be gone already.
pub(crate) fn remove(env: &Env, path: &Path) -> Result<()> {
    match env.disk.remove(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", path, &e)),
        _ => Ok(()),
    }
}
