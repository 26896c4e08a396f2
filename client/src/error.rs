//! The client's one error type.

use std::fmt;

use tonic::{Code, Status};

/// What the caller can do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The request is wrong; a changed one may pass.
    InvalidInput,
    /// What was named is not there.
    NotFound,
    /// It is there already, or a newer writer took the source over.
    Conflict,
    /// The server does not let this client do it.
    Denied,
    /// A buffer is full; the same request may pass later.
    Exhausted,
    /// The server cannot be reached, or made no progress in the time given.
    Unavailable,
    /// The server lost samples that it had acknowledged.
    DataLoss,
    /// The server failed, or answers in a way that this client does not understand.
    Server,
}

/// An error: what failed and why, and what to do about it.
///
/// `Display` prints one line, `WHAT failed: WHY; DO THIS`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: ErrorKind,
    what: String,
    why: String,
    advice: &'static str,
}

/// The client's result.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { what, why, advice, .. } = self;
        // A message of the server is complete by itself.
        if !what.is_empty() {
            write!(f, "{what} failed: ")?;
        }
        f.write_str(why)?;
        if advice.is_empty() { Ok(()) } else { write!(f, "; {advice}") }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>, why: impl Into<String>, advice: &'static str) -> Error {
        Error(Box::new(Parts { kind, what: what.into(), why: why.into(), advice }))
    }

    /// An answer of the server to `what`. The server words its errors in full; an answer without
    /// a message (a transport's) is put into words here.
    pub fn from_status(what: &str, status: &Status) -> Error {
        let kind = kind_of(status.code());
        let message = one_line(status.message());
        if message.contains(" failed: ") {
            return Error::new(kind, "", message, "");
        }
        let why = match std::error::Error::source(status) {
            Some(source) => one_line(&root_cause(source)),
            None if message.is_empty() => status.code().description().to_owned(),
            None => message,
        };
        Error::new(kind, what, why, advice_on(kind))
    }

    /// Why it failed, without the other parts where they are known apart.
    pub(crate) fn why(&self) -> &str {
        &self.0.why
    }

    /// Whether the server worded it, with its own advice.
    pub(crate) fn is_worded(&self) -> bool {
        self.0.what.is_empty()
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorKind::InvalidInput,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists | Code::Aborted => ErrorKind::Conflict,
        Code::Unauthenticated | Code::PermissionDenied => ErrorKind::Denied,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => ErrorKind::Unavailable,
        Code::DataLoss => ErrorKind::DataLoss,
        Code::Ok | Code::Internal | Code::Unimplemented => ErrorKind::Server,
    }
}

fn advice_on(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "change the request",
        ErrorKind::NotFound => "check the name",
        ErrorKind::Conflict => "check who else writes",
        ErrorKind::Denied => "check the token and its rights",
        ErrorKind::Exhausted => "try again later",
        ErrorKind::Unavailable => "check that the server runs and can be reached",
        ErrorKind::DataLoss | ErrorKind::Server => "look into the server's log",
    }
}

/// The innermost source says what happened ("Connection refused"); the layers above repeat
/// "transport error".
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Messages come from outside: line breaks and control characters would break the one line.
fn one_line(text: &str) -> String {
    text.chars().take(4096).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_message_passes_unchanged_and_a_bare_one_is_completed() {
        let full = Status::aborted("writing as \"gw\" failed: a newer epoch took over; stop one of the writers");
        let error = Error::from_status("writing", &full);
        assert_eq!(error.to_string(), full.message());
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let error = Error::from_status("writing", &Status::unavailable("tcp\nconnect"));
        assert_eq!(error.to_string(), "writing failed: tcp connect; check that the server runs and can be reached");
    }
}
