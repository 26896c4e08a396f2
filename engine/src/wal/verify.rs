//! Checks the log of an archive that is not open.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogOptions;
use super::files::{LogFile, Store};
use super::header::{HEADER_BYTES, Header, NoHeader};
use super::recover::rehearse;
use super::survey::{Candidate, Survey};
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
/// After [`super::Log::close`] every byte is checked: each file is a header and zeros. A log that was
/// not closed is read as at a start: torn writes are no damage, and what only repeats segments, or
/// is there to be overwritten, has no meaning any more.
pub fn verify(disk: &Arc<dyn Disk>, dir: &Path, after: u64) -> Result<LogCheck> {
    let mut store = Store::look(disk, dir, LogOptions::default().file_bytes);
    if matches!(disk.list(dir), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(LogCheck { damages: Vec::new(), closed: true });
    }
    let mut check = Check::default();
    for file in store.files()? {
        check.file(&store, &file)?;
    }
    let closed = check.newest.is_none_or(|header| header.closed);
    let Check { mut damages, unless_cut, is_foreign, .. } = check;
    if closed {
        damages.extend(unless_cut);
    }
    if !is_foreign {
        let found = rehearsed(&mut store, after)?;
        let is_new = |found: &LogDamage| damages.iter().all(|damage| damage.path != found.path);
        let new: Vec<LogDamage> = found.into_iter().filter(is_new).collect();
        damages.extend(new);
    }
    Ok(LogCheck { damages, closed })
}

/// What a start would find damaged.
fn rehearsed(store: &mut Store, after: u64) -> Result<Vec<LogDamage>> {
    let survey = Survey::of(store, after)?;
    let why = "neither its header nor what follows is what was written";
    let whole = survey.damaged.into_iter().map(|path| LogDamage { path, offset: 0, why: why.into() });
    let mut damages: Vec<LogDamage> = whole.collect();
    for Candidate { file, damages: found, .. } in rehearse(store, survey.candidates, after)?.0 {
        damages.extend(found.into_iter().map(|(offset, why)| LogDamage { path: file.path.clone(), offset, why }));
    }
    Ok(damages)
}

/// Checks what does not depend on other files.
#[derive(Default)]
struct Check {
    damages: Vec<LogDamage>,
    /// What may also be left by a power cut, in a log that was not closed.
    unless_cut: Vec<LogDamage>,
    newest: Option<Header>,
    /// Whether a file has a format that is not known here.
    is_foreign: bool,
}

impl Check {
    fn file(&mut self, store: &Store, file: &LogFile) -> Result<()> {
        let contents = store.read(file, store.read_bytes_max())?;
        if contents.unreadable {
            self.damages.push(damage(file, 0, "some of its sectors cannot be read".into()));
        }
        let bytes = &contents.bytes;
        match Header::parse(&bytes[..bytes.len().min(BLOCK_BYTES)]) {
            Ok(header) => {
                let end = if header.closed { bytes.len() } else { bytes.len().min(BLOCK_BYTES) };
                self.zeros(file, bytes, HEADER_BYTES..end);
                if header.file_bytes != file.bytes {
                    let why = "the file has not the length it began with";
                    self.damages.push(damage(file, bytes.len(), why.into()));
                }
                let newer = |newest: &Header| (newest.start_after, newest.number) < (header.start_after, header.number);
                if self.newest.as_ref().is_none_or(newer) {
                    self.newest = Some(header);
                }
            }
            Err(NoHeader::Unused) => self.zeros(file, bytes, 0..bytes.len()),
            Err(NoHeader::Version(version)) => {
                self.is_foreign = true;
                let why = format!("it has format version {version}, which is not known here");
                self.damages.push(damage(file, 0, why));
            }
            Err(NoHeader::Damaged(why)) => self.unless_cut.push(damage(file, 0, why)),
        }
        Ok(())
    }

    fn zeros(&mut self, file: &LogFile, bytes: &[u8], range: Range<usize>) {
        let start = range.start;
        let found = bytes.get(range).and_then(|zeros| zeros.iter().position(|byte| *byte != 0));
        let why = "a byte that was written as zero is not zero";
        self.unless_cut.extend(found.map(|index| damage(file, start + index, why.into())));
    }
}

fn damage(file: &LogFile, offset: usize, why: String) -> LogDamage {
    LogDamage { path: file.path.clone(), offset: wide(offset), why }
}
