//! The engine's one error type.

use std::fmt;
use std::io;
use std::path::Path;

/// What the caller can do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The request is wrong; a changed one may pass.
    InvalidInput,
    /// What was named is not there.
    NotFound,
    /// It is there already, or somebody else holds it.
    Conflict,
    /// Memory or disk is short now; the same request may pass later.
    Exhausted,
    /// An earlier write or sync failed; reads go on, writes need a restart.
    ReadOnly,
    /// Bytes on disk are not what was written.
    Damaged,
    /// The data directory cannot be opened by this process.
    Unusable,
    /// The disk answered an error.
    Io,
}

/// An error: what failed and why, and what to do about it.
///
/// `Display` prints one line, `WHAT failed: WHY; DO THIS`.
#[derive(Clone, Debug)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: ErrorKind,
    what: String,
    why: String,
    advice: String,
    /// Where in a file, for damaged bytes.
    offset: Option<u64>,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with all its parts; each is a phrase without a full stop.
    pub fn new(kind: ErrorKind, what: impl Into<String>, why: impl Into<String>, advice: impl Into<String>) -> Error {
        Error(Box::new(Parts { kind, what: what.into(), why: why.into(), advice: advice.into(), offset: None }))
    }

    /// A request that has to be changed.
    pub fn invalid(what: impl Into<String>, why: impl Into<String>, advice: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, what, why, advice)
    }

    /// Bytes at `offset` of `path` that are not what was written.
    pub fn damaged(path: &Path, offset: u64, why: impl fmt::Display) -> Error {
        let mut error = Error::new(
            ErrorKind::Damaged,
            format!("reading {} at byte {offset} failed", path.display()),
            why.to_string(),
            // The manifest moves on, and FORMAT differs: those of a backup do not fit an archive.
            match path.ends_with("FORMAT") || path.parent().is_some_and(|folder| folder.ends_with("manifest")) {
                true => "restore the archive from a backup with `tagus restore`",
                false => "run `tagus verify` and restore the file from a backup",
            },
        );
        error.0.offset = Some(offset);
        error
    }

    /// An error of the disk while doing `what` to `path`.
    pub fn io(what: &str, path: &Path, source: &io::Error) -> Error {
        let (kind, advice) = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::Exhausted, "free some space; writing resumes by itself")
            }
            _ => (ErrorKind::Io, "check the disk and the rights of the data directory"),
        };
        Error::new(kind, format!("{what} {} failed", path.display()), io_words(source), advice)
    }

    /// An error of the disk while making the file `path`. Where the process has no handle left for it,
    /// nothing has happened, and the same may pass later.
    pub fn creating(path: &Path, source: &io::Error) -> Error {
        use rustix::io::Errno;
        let error = Error::io("creating", path, source);
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE) => error.with_kind(ErrorKind::Exhausted),
            _ => error,
        }
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Why it failed, without the other parts.
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// Where in the file the damage is, for damaged bytes.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What failed and why, without advice.
    pub fn finding(&self) -> String {
        format!("{}: {}", self.0.what, self.0.why)
    }

    /// The same error of another kind.
    pub fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }
}

/// An error of the system in its words, without the number that the standard library appends.
pub(crate) fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.rfind(" (os error ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { what, why, advice, .. } = &*self.0;
        write!(f, "{what}: {why}")?;
        if advice.is_empty() { Ok(()) } else { write!(f, "; {advice}") }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_words_and_no_number() {
        let error = Error::io("reading", Path::new("/a"), &io::Error::from_raw_os_error(5));
        assert_eq!(error.why(), "Input/output error");
        let full = Error::io("writing", Path::new("/a"), &io::ErrorKind::StorageFull.into());
        assert_eq!((full.kind(), full.why()), (ErrorKind::Exhausted, "no storage space"));
    }

    #[test]
    fn damage_says_where_it_is() {
        let error = Error::damaged(Path::new("/a"), 7, "why");
        assert_eq!((error.offset(), error.clone().with_kind(ErrorKind::Io).offset()), (Some(7), Some(7)));
        assert_eq!(error.finding(), "reading /a at byte 7 failed: why");
        assert_eq!(Error::invalid("a", "b", "c").offset(), None);
    }
}
