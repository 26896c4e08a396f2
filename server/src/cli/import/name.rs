//! The name under which an import writes. A server remembers each name it has met, so that a few
//! are used again: they lie in files of this user, and a running import holds the lock of one.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Imports of one user that run at the same time under names that are kept.
const KEPT_MAX: usize = 64;
const PREFIX: &str = "import-";
const HEX_DIGITS: usize = 16;

/// A name of a source that nobody else uses while this lives.
pub struct SourceName {
    name: String,
    /// Holds the lock.
    _file: Option<File>,
}

impl SourceName {
    /// A kept name that is free; a new one where none can be kept.
    pub fn take() -> SourceName {
        let kept = folder().and_then(|folder| take_in(&folder).ok().flatten());
        kept.unwrap_or_else(|| SourceName { name: random(), _file: None })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// Where users' programs keep what outlives them.
fn folder() -> Option<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("tagus"))
}

fn take_in(folder: &Path) -> std::io::Result<Option<SourceName>> {
    std::fs::create_dir_all(folder)?;
    for number in 0..KEPT_MAX {
        let path = folder.join(format!("source-{number}"));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.try_lock().is_err() {
            continue;
        }
        let mut kept = Vec::new();
        (&file).take(64).read_to_end(&mut kept)?;
        let name = match String::from_utf8(kept) {
            Ok(name) if is_name(&name) => name,
            _ => {
                let name = random();
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(name.as_bytes())?;
                name
            }
        };
        return Ok(Some(SourceName { name, _file: Some(file) }));
    }
    Ok(None)
}

/// No other name may stand in the file: a gateway's would end that gateway's writing.
fn is_name(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == HEX_DIGITS);
    digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn random() -> String {
    format!("{PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_again_and_never_by_two() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let take = || take_in(&folder).unwrap().unwrap();
        let (first, second) = (take(), take());
        let names = [first.as_str().to_owned(), second.as_str().to_owned()];
        assert!(is_name(&names[0]) && is_name(&names[1]) && names[0] != names[1]);
        drop(first);
        assert_eq!(take().as_str(), names[0]);
        drop(second);
        std::fs::write(folder.join("source-0"), "gateway-7").unwrap();
        let mended = take().as_str().to_owned();
        assert!(is_name(&mended) && mended != names[0]);
        assert_eq!(take().as_str(), mended);
    }
}
