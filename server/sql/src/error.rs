//! What a query that fails tells its user: one line, and what kind of failure it is.

use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use tagus_engine::ErrorKind;

use crate::names;

/// Longest message in characters; what is longer is cut.
const MESSAGE_CHARS_MAX: usize = 2000;

/// What the caller can do about a failed query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SqlErrorKind {
    /// The SQL is wrong or refused; a changed text may pass.
    Invalid,
    /// A table, column or function of that name does not exist.
    NotFound,
    /// Memory or disk was short; a smaller query may pass, or the same one later.
    Resources,
    /// Bytes on disk that the query needs are not what was written; others may pass.
    Damaged,
    /// The server failed: the disk does not answer, or this is a bug.
    Internal,
}

/// Why a query failed: one line, `WHAT failed: WHY; DO THIS`.
#[derive(Clone, Debug)]
pub struct SqlError {
    kind: SqlErrorKind,
    message: String,
}

impl SqlError {
    pub(crate) fn new(kind: SqlErrorKind, message: impl AsRef<str>) -> SqlError {
        SqlError { kind, message: one_line(message.as_ref()) }
    }

    pub(crate) fn invalid(message: impl AsRef<str>) -> SqlError {
        SqlError::new(SqlErrorKind::Invalid, message)
    }

    /// What the caller can do.
    pub fn kind(&self) -> SqlErrorKind {
        self.kind
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<tagus_engine::Error> for SqlError {
    fn from(error: tagus_engine::Error) -> SqlError {
        let kind = match error.kind() {
            ErrorKind::InvalidInput => SqlErrorKind::Invalid,
            ErrorKind::NotFound => SqlErrorKind::NotFound,
            ErrorKind::Exhausted => SqlErrorKind::Resources,
            ErrorKind::Damaged => SqlErrorKind::Damaged,
            ErrorKind::Conflict | ErrorKind::ReadOnly | ErrorKind::Unusable | ErrorKind::Io => SqlErrorKind::Internal,
        };
        SqlError::new(kind, error.to_string())
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        from_datafusion(&error)
    }
}

impl From<ArrowError> for SqlError {
    fn from(error: ArrowError) -> SqlError {
        from_arrow(&error)
    }
}

/// Hands an engine error through a plan, to be recognised by [`SqlError::from`] at the other end.
pub(crate) fn external(error: tagus_engine::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn from_datafusion(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(inner),
        DataFusionError::Shared(inner) => from_datafusion(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => from_datafusion(first),
            None => SqlError::new(SqlErrorKind::Internal, "the query failed: no reason was given"),
        },
        DataFusionError::ArrowError(inner, _) => from_arrow(inner),
        DataFusionError::External(inner) => from_external(inner.as_ref()),
        DataFusionError::SQL(inner, _) => {
            SqlError::invalid(format!("the SQL cannot be read: {}", plain(&inner.to_string())))
        }
        DataFusionError::SchemaError(inner, _) => from_schema(inner),
        DataFusionError::ResourcesExhausted(why) => exhausted(why),
        DataFusionError::Plan(why) | DataFusionError::Configuration(why) => planned(why),
        DataFusionError::NotImplemented(why) => {
            SqlError::invalid(format!("the query is refused: {}; write it in another way", plain(why)))
        }
        DataFusionError::Execution(why) => SqlError::invalid(format!("the query failed: {}", plain(why))),
        DataFusionError::IoError(inner) => from_io(inner),
        other => internal(&other.strip_backtrace()),
    }
}

fn from_arrow(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::ExternalError(inner) => from_external(inner.as_ref()),
        ArrowError::IoError(_, inner) => from_io(inner),
        ArrowError::MemoryError(why) => exhausted(why),
        ArrowError::CDataInterface(why) => internal(why),
        // Everything else is what a value would not do: overflow, division by zero, a bad cast.
        other => SqlError::invalid(format!("the query failed: {}", plain(&other.to_string()))),
    }
}

fn from_external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> SqlError {
    if let Some(inner) = error.downcast_ref::<SqlError>() {
        return inner.clone();
    }
    if let Some(inner) = error.downcast_ref::<tagus_engine::Error>() {
        return inner.clone().into();
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return from_datafusion(inner);
    }
    internal(&error.to_string())
}

fn from_io(error: &std::io::Error) -> SqlError {
    // What a spill writer refuses comes wrapped once more.
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<DataFusionError>()) {
        return from_datafusion(inner);
    }
    // DataFusion's own bound has no kind, only words.
    let why = error.to_string();
    if why.contains("allowable limit") {
        return exhausted(&why);
    }
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => SqlError::new(
            SqlErrorKind::Resources,
            format!(
                "the query failed: its spill files do not fit on the disk ({error}); narrow it, or free some space"
            ),
        ),
        _ => SqlError::new(
            SqlErrorKind::Internal,
            format!("the query failed: {error}; check the disk that holds the spill files"),
        ),
    }
}

fn from_schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let nearest = names::nearest(field.name(), valid_fields.iter().map(|f| f.name()));
            let advice = match (nearest, valid_fields.is_empty()) {
                (Some(name), _) => format!("; did you mean '{name}'?"),
                (None, true) => String::new(),
                (None, false) => format!("; there are {}", names::list(valid_fields.iter().map(|f| f.name()))),
            };
            SqlError::new(SqlErrorKind::NotFound, format!("column '{}' does not exist{advice}", field.name()))
        }
        SchemaError::AmbiguousReference { field } => SqlError::invalid(format!(
            "column '{}' is ambiguous: several tables of the query have it; write it with the table's name",
            field.name()
        )),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::invalid(format!("column '{name}' appears twice; give one of them another name with AS"))
        }
    }
}

/// Unknown functions and options come as planning errors with a suggestion on a second line.
fn planned(why: &str) -> SqlError {
    let kind = if why.starts_with("Invalid function") { SqlErrorKind::NotFound } else { SqlErrorKind::Invalid };
    SqlError::new(kind, format!("the query is refused: {}", plain(why)))
}

fn exhausted(why: &str) -> SqlError {
    let why = plain(why.split("Please try").next().unwrap_or(why));
    let message = if why.contains("disk space") {
        format!("the query needs more spill files than it may write: {why}; narrow its tags or time range")
    } else {
        format!(
            "the query needs more memory than is left for queries: {why}; narrow its tags or time range, or raise memory_budget"
        )
    };
    SqlError::new(SqlErrorKind::Resources, message)
}

fn internal(why: &str) -> SqlError {
    SqlError::new(
        SqlErrorKind::Internal,
        format!("the query failed within the server: {}; please report it", plain(why)),
    )
}

/// A library's message without its prefixes and its plea to report bugs to others.
fn plain(message: &str) -> String {
    let mut text = message.trim();
    if let Some(end) = text.find("\nThis issue was likely caused by a bug") {
        text = &text[..end];
    }
    for prefix in
        ["Error during planning: ", "sql parser error: ", "Execution error: ", "Internal error: ", "Arrow error: "]
    {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    text.trim().trim_end_matches(['.', ';']).to_owned()
}

/// The text on one line, with line breaks as `; ` and nothing that a terminal would obey.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MESSAGE_CHARS_MAX));
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(if line.ends_with(['.', ';', ':', '!', '?']) { " " } else { "; " });
        }
        line.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    if let Some((cut, _)) = line.char_indices().nth(MESSAGE_CHARS_MAX) {
        line.truncate(cut);
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_and_bounded() {
        let error = SqlError::invalid("a\n\n b\tc\u{1b}[31m");
        assert_eq!(error.to_string(), "a; b c [31m");
        let long = SqlError::invalid("ä".repeat(5000)).to_string();
        assert_eq!(long.chars().count(), MESSAGE_CHARS_MAX + 3);
    }

    #[test]
    fn the_innermost_error_decides() {
        let engine = tagus_engine::Error::new(ErrorKind::Exhausted, "the read failed", "memory is short", "try later");
        let wrapped = DataFusionError::Context("while scanning".into(), Box::new(external(engine)));
        let through_arrow = DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(wrapped))), None);
        let error = SqlError::from(through_arrow);
        assert_eq!(error.kind(), SqlErrorKind::Resources);
        assert_eq!(error.to_string(), "the read failed: memory is short; try later");
    }
}
