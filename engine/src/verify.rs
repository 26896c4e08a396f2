//! Checks an archive that is not open: every checksum, and what the files say of each other.
//!
//! Nothing is changed but the lock being taken. After a clean stop every byte of every file is
//! checked; in an archive that was not closed, all that is known to have been synced and still
//! counts. Files of which nothing is known are named.

mod others;

use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::backup::list_is_there;
use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{self, ManifestState};
use crate::wal;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Damages; each names its file and offset.
    pub damages: Vec<Error>,
    /// Files that were not checked.
    pub unchecked: Vec<Unchecked>,
    /// Live segments checked.
    pub segments: usize,
    /// Bytes of these.
    pub segment_bytes: u64,
    /// Rows of these.
    pub rows: u64,
    /// Manifest files checked.
    pub manifest_files: usize,
}

/// A file that nothing says the content of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The file, or a folder with all in it.
    pub path: PathBuf,
    /// Why.
    pub why: &'static str,
}

/// Checks the archive in `dir`. `progress` is told the share of segment bytes that is done.
///
/// # Errors
/// `Unusable` where the directory is in use, is no archive, or was written by a newer version;
/// `Io` where it cannot be listed. Damages are no errors, but found.
pub fn verify(env: &Env, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let archive = match Archive::look(env, dir) {
        Ok(archive) => archive,
        // Without its number the rest cannot be told from another archive's.
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report.damages.push(error);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let (state, files) = manifest::verify(env, &archive.manifest_dir(), archive.id, &mut report.damages)?;
    report.manifest_files = files;
    let through = state.as_ref().map_or(0, |state| state.log_position);
    if let Some(state) = &state {
        segments(&archive, state, &mut report, progress);
    }
    let log = wal::verify(&env.disk, &archive.log_dir(), through)?;
    if let Some(state) = &state {
        lists(env, &archive, state, log.closed, &mut report);
    }
    report.damages.extend(log.damages.iter().map(|damage| Error::damaged(&damage.path, damage.offset, &damage.why)));
    if archive.mark.backup && others::has_log(env, &archive)? {
        let why = "it is that of a backup, and the directory has a log: it is an archive";
        report.damages.push(Error::damaged(&archive.dir.join(crate::mark::MARK), 0, why));
    }
    others::look(env, &archive, state.as_deref(), &mut report)?;
    // A stop in the middle of the first start leaves none, and nothing else either. Of a backup it
    // leaves none that is complete.
    if files == 0 && (archive.mark.backup || others::holds_data(env, &archive)?) {
        report.damages.push(Error::damaged(&archive.manifest_dir(), 0, "the manifest has no files"));
    }
    Ok(report)
}

fn segments(archive: &Archive, state: &ManifestState, report: &mut VerifyReport, progress: &mut dyn FnMut(u64, u64)) {
    let all: u64 = state.segments.iter().map(|meta| meta.bytes).sum();
    for meta in &state.segments {
        progress(report.segment_bytes, all);
        report.damages.extend(archive.segment(meta.clone()).verify());
        report.segments += 1;
        report.segment_bytes += meta.bytes;
        report.rows += meta.rows;
    }
    progress(all, all);
}

/// Files that can be written again from the manifest. They are written before it names them: where
/// the archive was not closed, a stop may have come in between.
fn lists(env: &Env, archive: &Archive, state: &ManifestState, closed: bool, report: &mut VerifyReport) {
    let files = [(archive.tags_file(), state.tags_file), (archive.deletes_file(), state.deletes_file)];
    for (path, expected) in files {
        let Some(expected) = expected else {
            // A flush that did not come to its end has left it.
            if env.disk.open(&path, OpenMode::Read).is_ok() {
                report.unchecked.push(Unchecked { path, why: "no manifest names it; the next flush writes it anew" });
            }
            continue;
        };
        if list_is_there(env, &path, expected) {
            continue;
        }
        let why = "it is not what the manifest says; the next start writes it anew";
        if closed {
            report.damages.push(Error::damaged(&path, 0, why));
        } else {
            report.unchecked.push(Unchecked { path, why });
        }
    }
}
