//! Files beside those that count: named, and checked where their names say what is in them.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::{Unchecked, VerifyReport};
use crate::archive::Archive;
use crate::env::{Env, OpenMode};
use crate::error::{Error, Result};
use crate::format::crc32c;
use crate::limits;
use crate::manifest::ManifestState;

/// What an archive's folder has. All else in it is somebody else's.
const PARTS: [&str; 8] =
    ["FORMAT", "LOCK", "deletes.parquet", "manifest", "quarantine", "segments", "tags.parquet", "wal"];

/// Looks for files that nothing else has checked.
///
/// # Errors
/// A folder cannot be listed.
pub(super) fn look(
    env: &Env,
    archive: &Archive,
    state: Option<&ManifestState>,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut add = |folder: &Path, is_known: &dyn Fn(&str) -> bool, why: &'static str| -> Result<()> {
        let unknown = names(env, folder)?.into_iter().filter(|name| !is_known(name));
        report.unchecked.extend(unknown.map(|name| Unchecked { path: folder.join(name), why }));
        Ok(())
    };
    add(&archive.dir, &|name| PARTS.contains(&name), "it is no part of the archive")?;
    add(&archive.manifest_dir(), &|name| is_numbered(name, ".manifest"), "it is no part of the manifest")?;
    add(&archive.log_dir(), &|name| is_numbered(name, ".log"), "it is no part of the log")?;
    match state {
        Some(state) => {
            let live: HashSet<&str> = state.segments.iter().map(|segment| segment.name.as_str()).collect();
            add(&archive.segment_dir(), &|name| live.contains(name), "no manifest names it")?;
        }
        None => add(&archive.segment_dir(), &|_| false, "the manifest, which says what is in it, cannot be read")?,
    }
    for name in names(env, &archive.quarantine_dir())? {
        quarantined(env, &archive.quarantine_dir().join(&name), crc_of(&name), report);
    }
    Ok(())
}

/// Whether there are files of segments or of the log.
///
/// # Errors
/// A folder cannot be listed.
pub(super) fn holds_data(env: &Env, archive: &Archive) -> Result<bool> {
    Ok(!names(env, &archive.segment_dir())?.is_empty() || has_log(env, archive)?)
}

/// Whether there are files of the log.
///
/// # Errors
/// The folder cannot be listed.
pub(super) fn has_log(env: &Env, archive: &Archive) -> Result<bool> {
    Ok(!names(env, &archive.log_dir())?.is_empty())
}

/// The names in a folder; none where there is no folder.
fn names(env: &Env, folder: &Path) -> Result<Vec<String>> {
    match env.disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|error| Error::io("listing", folder, &error)),
    }
}

/// Whether a name is one that the log and the manifest give: digits alone, and this ending.
fn is_numbered(name: &str, ending: &str) -> bool {
    let digits = name.strip_suffix(ending).unwrap_or_default();
    digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The checksum in the name of a quarantined log file, `NAME.log.CRC32C.N`.
fn crc_of(name: &str) -> Option<u32> {
    let (name, copy) = name.rsplit_once('.')?;
    let (log, crc) = name.rsplit_once('.')?;
    let ours = log.ends_with(".log") && crc.len() == 8 && copy.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(crc, 16).ok().filter(|_| ours)
}

/// Checks what was put aside for people, as far as it can be.
fn quarantined(env: &Env, path: &Path, crc: Option<u32>, report: &mut VerifyReport) {
    let Some(crc) = crc else {
        let why = "it was put aside, and nothing says what it held";
        return report.unchecked.push(Unchecked { path: path.to_owned(), why });
    };
    let read = || -> io::Result<bool> {
        let file = env.disk.open(path, OpenMode::Read)?;
        let length = file.len()?;
        if length > limits::LOG_FILE_BYTES {
            return Ok(false);
        }
        Ok(crc32c(&file.read_ranges(std::slice::from_ref(&(0..length)))?[0]) == crc)
    };
    match read() {
        Ok(true) => {}
        Ok(false) => report.damages.push(Error::damaged(path, 0, "it is not what was put aside, its name says so")),
        Err(error) => report.damages.push(Error::damaged(path, 0, crate::error::io_words(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_copies_of_log_files_have_checksums_in_their_names() {
        assert_eq!(crc_of("00000001.log.0123abcd.1"), Some(0x0123_abcd));
        for name in
            ["00000001.log", "00000001.log.0123abcd", "0001-1-1.parquet.1", "a.log.123.1", "a.log.0123abcd.x", ""]
        {
            assert_eq!(crc_of(name), None, "{name}");
        }
    }
}
