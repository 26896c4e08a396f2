//! Checks an archive that is not open: every checksum, and what the files say of each other.
//!
//! Nothing is changed but the lock being taken. After a clean stop every byte of every file is
//! checked; in an archive that was not closed, all that is known to have been synced.

use std::path::Path;

use crate::archive::Archive;
use crate::backup::list_is_there;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{self, ManifestState};
use crate::wal;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Damages; each names its file and offset.
    pub damages: Vec<Error>,
    /// Live segments checked.
    pub segments: usize,
    /// Bytes of these.
    pub segment_bytes: u64,
    /// Rows of these.
    pub rows: u64,
    /// Manifest files checked.
    pub manifest_files: usize,
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
    if let Some(state) = state {
        segments(&archive, &state, &mut report, progress);
        lists(env, &archive, &state, &mut report.damages);
    }
    let log = wal::verify(&env.disk, &archive.log_dir(), through)?;
    report.damages.extend(log.iter().map(|damage| Error::damaged(&damage.path, damage.offset, &damage.why)));
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

fn lists(env: &Env, archive: &Archive, state: &ManifestState, damages: &mut Vec<Error>) {
    let files = [(archive.tags_file(), state.tags_file), (archive.deletes_file(), state.deletes_file)];
    for (path, expected) in files {
        if let Some(expected) = expected
            && !list_is_there(env, &path, expected)
        {
            let why = "it is not what the manifest says; the next start writes it anew";
            damages.push(Error::damaged(&path, 0, why));
        }
    }
}
