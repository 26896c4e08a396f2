//! How commands end: one line on stderr and an exit status.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub use tagus_client::io_words;

/// The result of a command or a part of it.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command does not end with status 0.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// It failed: one line `WHAT failed: WHY; DO THIS`, exit status 1.
    Failed(String),
    /// It was asked wrongly: the same line, exit status 2.
    Usage(String),
    /// Whoever read stdout has gone, as `head` does: nothing is said, exit status 0.
    ReaderGone,
}

impl Failure {
    /// `WHAT failed: WHY; ADVICE` with exit status 1. Each part is a phrase without a full stop.
    pub fn new(what: impl Display, why: impl Display, advice: impl Display) -> Failure {
        Failure::Failed(line(&format!("{what} failed: {why}; {advice}")))
    }

    /// The same for a command that was asked wrongly: exit status 2.
    pub fn usage(what: impl Display, why: impl Display, advice: impl Display) -> Failure {
        Failure::Usage(line(&format!("{what} failed: {why}; {advice}")))
    }

    /// An error while reading or writing a file.
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> Failure {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "check the rights of the file and its folder",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space and try again",
            _ => "check the file and the disk",
        };
        Failure::new(format_args!("{doing} {}", path.display()), io_words(error), advice)
    }

    /// An error while writing to stdout.
    pub fn stdout(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::new("writing to stdout", io_words(error), "check where the output goes"),
        }
    }

    /// Prints the line, if there is one, and gives the exit status.
    pub fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Failure::Failed(text) => (text, 1),
            Failure::Usage(text) => (text, 2),
            Failure::ReaderGone => return ExitCode::SUCCESS,
        };
        // A closed stderr leaves nobody to tell; the exit status still says it.
        let _ = writeln!(io::stderr(), "error: {text}");
        ExitCode::from(code)
    }
}

/// One line of any text: control characters, line ends among them, become single spaces.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if character != ' ' || !out.ends_with(' ') {
            out.push(character);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The client words its errors in full.
impl From<tagus_client::Error> for Failure {
    fn from(error: tagus_client::Error) -> Failure {
        Failure::Failed(line(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Failed(text) | Failure::Usage(text) => text,
            Failure::ReaderGone => panic!("it has a text"),
        }
    }

    #[test]
    fn messages_are_one_line_with_three_parts() {
        assert_eq!(text(Failure::new("a", "b\nc\r\n  d", "e")), "a failed: b c d; e");
    }

    #[test]
    fn a_gone_reader_is_no_failure() {
        assert_eq!(Failure::stdout(&io::ErrorKind::BrokenPipe.into()), Failure::ReaderGone);
        let full = text(Failure::stdout(&io::ErrorKind::StorageFull.into()));
        assert!(full.starts_with("writing to stdout failed: "), "{full}");
    }
}
