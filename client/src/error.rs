//! The client's one error type.

use std::fmt;
use std::io;

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
    /// The server does not know the request.
    Unsupported,
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

    /// An answer of the server to `what`. The server words its errors in full; what its answer
    /// lacks, and an answer without a message (a transport's), is put into words here.
    pub fn from_status(what: &str, status: &Status) -> Error {
        let kind = kind_of(status.code());
        // The message of a connection that broke under a call names the layers of the transport.
        if let Some(source) = std::error::Error::source(status) {
            let why = format!("the connection broke ({})", one_line(&root_cause(source)));
            return Error::new(ErrorKind::Unavailable, what, why, advice_on(ErrorKind::Unavailable));
        }
        let message = match status.message() {
            "" => without_message(status.code()).to_owned(),
            message => one_line(message),
        };
        // A message whose parts are divided has its advice.
        let advice = if message.contains("; ") { "" } else { advice_on(kind) };
        let what = if message.contains(" failed: ") { "" } else { what };
        Error::new(kind, what, message, advice)
    }

    /// Why it failed, without the other parts where they are known apart.
    pub fn why(&self) -> &str {
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
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Ok | Code::Internal => ErrorKind::Server,
    }
}

fn without_message(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "the server is not available",
        Code::Unimplemented => "the server does not know this request",
        Code::DeadlineExceeded => "the server did not answer in time",
        Code::Cancelled => "the server cancelled it",
        Code::ResourceExhausted => "the server is out of resources",
        Code::PermissionDenied | Code::Unauthenticated => "the server does not allow it",
        _ => "the server gave no reason",
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
        ErrorKind::Unsupported => "use a server and a client of the same version",
    }
}

/// The innermost source says what happened ("Connection refused"); the layers above repeat
/// "transport error".
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>() {
        Some(error) => io_words(error),
        None => innermost.to_string(),
    }
}

/// An I/O error in words, without the number that the standard library appends.
pub fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => {
            let text = error.to_string();
            match text.rfind(" (os error ") {
                Some(end) => text[..end].to_string(),
                None => text,
            }
        }
    }
}

/// Messages come from outside: line breaks and control characters would break the one line.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().take(4096).map(|c| if c.is_control() { ' ' } else { c }) {
        if character != ' ' || !out.ends_with(' ') {
            out.push(character);
        }
    }
    out
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
        for (status, expected) in [
            (
                Status::unavailable("tcp\nconnect"),
                "listing tags failed: tcp connect; check that the server runs and can be reached",
            ),
            (
                Status::invalid_argument("planning the query failed: no table x;\n use one of samples, tags"),
                "planning the query failed: no table x; use one of samples, tags",
            ),
            (
                Status::internal("reading failed: disk on fire"),
                "reading failed: disk on fire; look into the server's log",
            ),
            (Status::invalid_argument("tag 'x': no type; name one"), "listing tags failed: tag 'x': no type; name one"),
            (
                Status::unimplemented(""),
                "listing tags failed: the server does not know this request; \
                 use a server and a client of the same version",
            ),
        ] {
            assert_eq!(Error::from_status("listing tags", &status).to_string(), expected);
        }
    }

    #[test]
    fn io_errors_lose_their_numbers() {
        assert_eq!(io_words(&io::Error::from_raw_os_error(21)), "Is a directory");
        assert_eq!(io_words(&io::Error::from_raw_os_error(111)), "connection refused");
        let wrapped = io::Error::other(io::Error::from_raw_os_error(104));
        assert_eq!(root_cause(&wrapped), "Connection reset by peer");
    }
}
