//! The mark of a directory: the file `FORMAT`, which says which archive lies there, and whether it
//! is the archive or a backup of it.
//!
//! An archive keeps its id for ever. Each restore begins a *line* of its own: from there on the
//! restored archive and the one that was backed up go different ways, and a backup of the one must
//! not be taken for a backup of the other.

use std::io;
use std::path::Path;

use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::format::crc32c;

/// The version of the archive's layout that this engine writes.
pub const FORMAT_VERSION: u32 = 3;
/// The first version, without epoch; it is read, and written anew when the archive is opened.
const FORMAT_VERSION_MIN: u32 = 1;

/// The name of the file.
pub(crate) const MARK: &str = "FORMAT";
/// What may lie in a directory that counts as empty.
pub(crate) const HARMLESS: [&str; 3] = ["LOCK", "FORMAT.tmp", "lost+found"];

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// The archive's own number, which its manifest files carry.
    pub id: u64,
    /// Counts the restores, from 1.
    pub epoch: u64,
    /// The line of history: the id, and a random number after a restore.
    pub line: u64,
    /// Where the line began, if it began with a restore.
    pub branch: Option<Branch>,
    /// Whether this is a backup.
    pub backup: bool,
}

/// Where a line left another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Branch {
    /// The other line.
    pub line: u64,
    /// The manifest number of the backup that was restored.
    pub number: u64,
}

/// Why a file is no mark that this engine knows.
#[derive(PartialEq, Eq, Debug)]
enum NoMark {
    Newer(u32),
    Damaged,
}

impl Mark {
    /// The mark of a new archive.
    pub fn new(id: u64) -> Mark {
        Mark { id, epoch: 1, line: id, branch: None, backup: false }
    }

    /// The mark of this archive's backups.
    pub fn of_backup(self) -> Mark {
        Mark { backup: true, ..self }
    }

    /// The mark of an archive restored from this backup, whose manifest has that number.
    pub fn restored(self, number: u64, line: u64) -> Mark {
        let branch = Some(Branch { line: self.line, number });
        Mark { epoch: self.epoch + 1, line, branch, backup: false, ..self }
    }

    /// Why a backup of this archive, whose manifest is at `number`, may not take the place of the
    /// backup `there`, at the number `at`; 0 where that was never completed. It may if this archive
    /// once was in that very state. The reason is what is to be said of the directory.
    pub fn check_follows(&self, number: u64, there: &Mark, at: u64) -> std::result::Result<(), String> {
        if there.id != self.id {
            return Err("holds a backup of another archive".into());
        }
        let branch = self.branch.filter(|branch| branch.line == there.line);
        match branch {
            _ if there.line == self.line && at <= number => Ok(()),
            _ if there.line == self.line => {
                Err(format!("holds a later state of this archive (manifest {at}, the archive is at {number})"))
            }
            Some(branch) if at <= branch.number => Ok(()),
            Some(_) => {
                Err("holds a backup of the original that is later than the one this archive was restored from".into())
            }
            None => {
                Err("holds a backup of another line of this archive, which parted from this one by a restore".into())
            }
        }
    }

    fn text(&self, version: u32) -> String {
        let Mark { id, epoch, line, branch, backup } = self;
        let mut body = format!("tagus archive\nversion {version}\nid {id:016x}\nepoch {epoch}\n");
        if let Some(branch) = branch {
            body += &format!("line {line:016x} from {:016x} {}\n", branch.line, branch.number);
        }
        if *backup {
            body += "backup\n";
        }
        sealed(body)
    }

    /// The mark, and the version that wrote it.
    fn parse(bytes: &[u8]) -> std::result::Result<(Mark, u32), NoMark> {
        let text = std::str::from_utf8(bytes).map_err(|_| NoMark::Damaged)?;
        let body = text.rfind("crc32c ").map(|end| &text[..end]).ok_or(NoMark::Damaged)?;
        if sealed(body.to_owned()) != text {
            return Err(NoMark::Damaged);
        }
        let mut lines = body.lines();
        if lines.next() != Some("tagus archive") {
            return Err(NoMark::Damaged);
        }
        let version = lines.next().and_then(|l| l.strip_prefix("version ")).and_then(|v| v.parse().ok());
        let version = version.ok_or(NoMark::Damaged)?;
        if version > FORMAT_VERSION {
            return Err(NoMark::Newer(version));
        }
        let id = lines.next().and_then(|l| l.strip_prefix("id ")).and_then(number);
        let mut mark = Mark::new(id.ok_or(NoMark::Damaged)?);
        if version == FORMAT_VERSION_MIN && lines.next().is_none() {
            return Ok((mark, version));
        }
        let epoch = lines.next().and_then(|l| l.strip_prefix("epoch ")).and_then(|e| e.parse().ok());
        mark.epoch = epoch.ok_or(NoMark::Damaged)?;
        for line in lines {
            mark.add(line).ok_or(NoMark::Damaged)?;
        }
        // Each mark is written in one way only.
        if mark.text(version) == text { Ok((mark, version)) } else { Err(NoMark::Damaged) }
    }

    fn add(&mut self, text: &str) -> Option<()> {
        if text == "backup" {
            self.backup = true;
            return Some(());
        }
        let (line, from) = text.strip_prefix("line ")?.split_once(" from ")?;
        let (other, at) = from.split_once(' ')?;
        self.line = number(line)?;
        self.branch = Some(Branch { line: number(other)?, number: at.parse().ok()? });
        Some(())
    }
}

/// Text with the line that its checksum makes.
fn sealed(body: String) -> String {
    let crc = crc32c(body.as_bytes());
    body + &format!("crc32c {crc:08x}\n")
}

fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// Reads the mark of a directory, and the version that wrote it.
///
/// # Errors
/// `Unusable` where a newer version wrote it, `Damaged` where it is not what was written.
pub(crate) fn read(env: &Env, dir: &Path) -> Result<(Mark, u32)> {
    let path = dir.join(MARK);
    let read = || -> io::Result<Vec<u8>> {
        let file = env.disk.open(&path, OpenMode::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?.min(4096)).unwrap_or(4096)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| Error::io("reading", &path, &e))?;
    Mark::parse(&bytes).map_err(|mark| match mark {
        NoMark::Newer(version) => Error::new(
            ErrorKind::Unusable,
            format!("opening data directory {} failed", dir.display()),
            format!("it was written by a newer Tagus (layout version {version}, this one knows {FORMAT_VERSION})"),
            "start it with that version",
        ),
        NoMark::Damaged => Error::damaged(&path, 0, "the file is not what was written"),
    })
}

/// Marks a directory, in the place of an older mark.
pub(crate) fn write(env: &Env, dir: &Path, mark: &Mark) -> Result<()> {
    files::replace(env, &dir.join(MARK), mark.text(FORMAT_VERSION).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u64 = 0xd701_f5c8_2406_2d47;

    #[test]
    fn marks_come_back() {
        let first = Mark::new(ID);
        let second = first.of_backup().restored(42, 7);
        for mark in [first, first.of_backup(), second, second.of_backup(), second.of_backup().restored(50, 8)] {
            assert_eq!(Mark::parse(mark.text(FORMAT_VERSION).as_bytes()), Ok((mark, FORMAT_VERSION)));
        }
        assert_eq!((second.id, second.epoch, second.line), (ID, 2, 7));
        let text = "tagus archive\nversion 3\nid d701f5c824062d47\nepoch 2\n\
                    line 0000000000000007 from d701f5c824062d47 42\nbackup\ncrc32c ";
        assert!(second.of_backup().text(FORMAT_VERSION).starts_with(text));
    }

    #[test]
    fn version_1_is_read() {
        let text = b"tagus archive\nversion 1\nid d701f5c824062d47\ncrc32c a4ee6115\n";
        assert_eq!(Mark::parse(text), Ok((Mark::new(ID), 1)));
    }

    #[test]
    fn version_2_is_read() {
        let mark = Mark::new(ID).of_backup().restored(42, 7);
        assert_eq!(Mark::parse(mark.text(2).as_bytes()), Ok((mark, 2)));
    }

    #[test]
    fn other_texts_are_refused() {
        let sound = Mark::new(ID).restored(42, 7).of_backup().text(FORMAT_VERSION);
        for i in 0..sound.len() {
            for bit in 0..8 {
                let mut bytes = sound.clone().into_bytes();
                bytes[i] ^= 1 << bit;
                assert_eq!(Mark::parse(&bytes), Err(NoMark::Damaged), "byte {i}");
            }
        }
        let id = "id d701f5c824062d47\n";
        for body in [
            format!("tagus archive\nversion 1\n{id}epoch 1\n"),
            format!("tagus archive\nversion 3\n{id}"),
            format!("tagus archive\nversion 3\n{id}epoch 1\nbackup\nbackup\n"),
            format!("tagus archive\nversion 3\n{id}epoch 01\n"),
            format!("tagus archive\nversion 3\n{id}epoch 1\nother\n"),
        ] {
            assert_eq!(Mark::parse(sealed(body.clone()).as_bytes()), Err(NoMark::Damaged), "{body}");
        }
        let newer = sealed("tagus archive\nversion 4\nanything\n".into());
        assert_eq!(Mark::parse(newer.as_bytes()), Err(NoMark::Newer(4)));
    }

    #[test]
    fn a_backup_is_followed_by_states_that_came_after_it() {
        let first = Mark::new(ID);
        let restored = first.of_backup().restored(42, 7);
        let sibling = first.of_backup().restored(42, 8);
        let again = restored.of_backup().restored(60, 9);
        for (mark, number, there, at, follows) in [
            (first, 50, first, 50, true),
            (first, 50, first, 0, true),
            (first, 50, first, 51, false),
            (restored, 43, first, 42, true),
            (restored, 43, first, 43, false),
            (restored, 43, restored, 43, true),
            (first, 50, restored, 43, false),
            (sibling, 50, restored, 43, false),
            (again, 61, restored, 60, true),
            (again, 61, first, 42, false),
            (Mark::new(1), 50, first, 0, false),
        ] {
            let found = mark.check_follows(number, &there.of_backup(), at);
            assert_eq!(found.is_ok(), follows, "{mark:?} at {number} after {there:?} at {at}: {found:?}");
        }
    }
}
