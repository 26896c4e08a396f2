//! Where a backup or a restored archive may lie.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::files::parent;
use crate::mark::HARMLESS;

/// Refuses a directory that lies in another one, or around it, by whatever links.
pub(super) fn check_apart(env: &Env, dir: &Path, other: &Path) -> Result<()> {
    let (here, there) = (resolve(env, dir)?, resolve(env, other)?);
    let why = match () {
        () if here == there => "is the same directory as",
        () if here.starts_with(&there) => "lies in",
        () if there.starts_with(&here) => "lies around",
        () => return Ok(()),
    };
    Err(refused(dir, &format!("{why} {}", other.display())))
}

/// The names in a directory; none where it is missing.
pub(super) fn names(env: &Env, dir: &Path) -> Result<Vec<String>> {
    match env.disk.list(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|e| Error::io("listing", dir, &e)),
    }
}

/// Refuses a directory that is not empty, but for folders that an attempt before has left empty.
pub(super) fn check_empty(env: &Env, dir: &Path) -> Result<()> {
    let is_harmless = |name: &str| {
        let left = || env.disk.list(&dir.join(name)).is_ok_and(|names| names.is_empty());
        HARMLESS.contains(&name) || (FOLDERS.contains(&name) && left())
    };
    let names = names(env, dir)?;
    let foreign = names.iter().find(|name| !is_harmless(name));
    foreign.map_or(Ok(()), |name| Err(refused(dir, &format!("is not empty (it holds {name})"))))
}

/// The folders of an archive.
pub(super) const FOLDERS: [&str; 3] = ["manifest", "segments", "wal"];

/// Why a directory cannot be used: what is wrong with it.
pub(super) fn refused(dir: &Path, what: &str) -> Error {
    Error::invalid("using a directory failed", format!("{} {what}", dir.display()), "name another directory")
}

/// A path without links: of what is not there yet, the part that is.
fn resolve(env: &Env, path: &Path) -> Result<PathBuf> {
    let mut there = path.to_owned();
    let mut rest = Vec::new();
    loop {
        match env.disk.canonical(&there) {
            Ok(canonical) => return Ok(rest.iter().rev().fold(canonical, |path, name| path.join(name))),
            Err(e) if e.kind() == ErrorKind::NotFound && parent(&there) != there => {
                let name = there.file_name().ok_or_else(|| refused(path, "has `..` behind a missing directory"))?;
                rest.push(name.to_owned());
                there = parent(&there);
            }
            Err(e) => return Err(Error::io("finding", &there, &e)),
        }
    }
}
