//! Checks the log of an archive that is not open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogOptions;
use super::files::{LogFile, Store};
use super::header::{HEADER_BYTES, Header, NoHeader};
use super::scan::{Scan, Step};
use crate::Result;
use crate::env::Disk;
use crate::format::wide;
use crate::limits::BLOCK_BYTES;

/// One damage in a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDamage {
    /// The file.
    pub path: PathBuf,
    /// Where, in bytes from its beginning.
    pub offset: u64,
    /// What is wrong there.
    pub why: String,
}

/// What a check of the log has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheck {
    /// What is damaged.
    pub damages: Vec<LogDamage>,
    /// Whether the log was closed in order, or never begun.
    pub closed: bool,
}

/// Checks the log files in the folder `dir`, of which nothing is changed; `after` is the last
/// sequence that segments hold. A folder that is not there has no damage.
///
/// After [`super::Log::close`] every byte is checked: each file is a header and zeros. In a log
/// that was not closed, what follows the last frame cannot be told from a group that was being
/// written; there the frames are checked that are known to have been synced.
pub fn verify(disk: &Arc<dyn Disk>, dir: &Path, after: u64) -> Result<LogCheck> {
    let mut store = Store::look(disk, dir, LogOptions::default().file_bytes);
    if matches!(disk.list(dir), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(LogCheck { damages: Vec::new(), closed: true });
    }
    let mut damages = Vec::new();
    let mut open = Vec::new();
    for file in store.files()? {
        if let Some(header) = check_whole(&store, &file, &mut damages)? {
            open.push((header, file));
        }
    }
    open.sort_by_key(|(header, _)| (header.start_after, header.number));
    let mut accepted = after;
    for (index, (header, file)) in open.iter().enumerate() {
        if header.data_through > accepted {
            let why = format!("frames {} to {} before this file are missing", accepted + 1, header.data_through);
            damages.push(damage(file, 0, why));
        }
        accepted = accepted.max(header.start_after);
        let next = open.get(index + 1).map(|(next, _)| next.start_after);
        accepted = accepted.max(check_frames(&store, file, header, next, after, &mut damages)?);
    }
    let closed = open.last().is_none_or(|(header, _)| header.closed);
    Ok(LogCheck { damages, closed })
}

/// Checks what does not depend on other files; returns the header of a file that has one.
fn check_whole(store: &Store, file: &LogFile, damages: &mut Vec<LogDamage>) -> Result<Option<Header>> {
    let contents = store.read(file, store.read_bytes_max())?;
    if contents.unreadable {
        damages.push(damage(file, 0, "some of its sectors cannot be read".into()));
    }
    let block = &contents.bytes[..contents.bytes.len().min(BLOCK_BYTES)];
    let (header, zeros_from) = match Header::parse(block) {
        Ok(header) if header.closed => (Some(header), HEADER_BYTES..contents.bytes.len()),
        Ok(header) => (Some(header), HEADER_BYTES..BLOCK_BYTES.min(contents.bytes.len())),
        Err(NoHeader::Unused) => (None, 0..contents.bytes.len()),
        Err(NoHeader::Version(version)) => {
            damages.push(damage(file, 0, format!("it has format version {version}, which is not known here")));
            return Ok(None);
        }
        Err(NoHeader::Damaged(why)) => {
            damages.push(damage(file, 0, why));
            return Ok(None);
        }
    };
    let start = zeros_from.start;
    if let Some(index) = contents.bytes[zeros_from].iter().position(|byte| *byte != 0) {
        damages.push(damage(file, start + index, "a byte that was written as zero is not zero".into()));
    }
    if header.is_some_and(|header| header.file_bytes != file.bytes) {
        damages.push(damage(file, contents.bytes.len(), "the file has not the length it began with".into()));
    }
    Ok(header)
}

/// Checks the frames of one file; returns the last sequence that counts.
fn check_frames(
    store: &Store,
    file: &LogFile,
    header: &Header,
    next: Option<u64>,
    after: u64,
    damages: &mut Vec<LogDamage>,
) -> Result<u64> {
    let contents = store.read(file, store.read_bytes_max())?;
    let mut scan = Scan::new(&contents.bytes, header, next);
    loop {
        let at = scan.end();
        match scan.next() {
            None => return Ok(scan.data_through()),
            Some(Step::Lost(lost)) if *lost.end() > after => {
                let why = format!("frames {} to {} were synced and cannot be read", lost.start(), lost.end());
                damages.push(damage(file, at, why));
            }
            Some(_) => {}
        }
    }
}

fn damage(file: &LogFile, offset: usize, why: String) -> LogDamage {
    LogDamage { path: file.path.clone(), offset: wide(offset), why }
}
