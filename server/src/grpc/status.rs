//! Which gRPC status an error becomes. The message is the error's own line.

use tagus_engine::{Error, ErrorKind};
use tagus_sql::{SqlError, SqlErrorKind};
use tonic::{Code, Status};

use crate::limits;

/// The status of an engine's error.
pub fn of_engine(error: &Error) -> Status {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::InvalidInput => Status::invalid_argument(message),
        ErrorKind::NotFound => Status::not_found(message),
        ErrorKind::Conflict => Status::already_exists(message),
        ErrorKind::Exhausted => tagus_proto::exhausted(message, limits::RETRY_DELAY),
        // A restart mends it: writers keep what they have and come back.
        ErrorKind::ReadOnly | ErrorKind::Unusable => Status::unavailable(message),
        ErrorKind::Damaged => Status::data_loss(message),
        ErrorKind::Io => Status::internal(message),
    }
}

/// The status of a query's error.
pub fn of_sql(error: &SqlError) -> Status {
    let message = error.to_string();
    match error.kind() {
        SqlErrorKind::Invalid => Status::invalid_argument(message),
        SqlErrorKind::NotFound => Status::not_found(message),
        SqlErrorKind::Resources => tagus_proto::exhausted(message, limits::RETRY_DELAY),
        SqlErrorKind::Damaged => Status::data_loss(message),
        SqlErrorKind::Internal => Status::internal(message),
    }
}

/// The status of a task that did not run to its end: a bug, or the server is stopping.
pub fn of_join(error: &tokio::task::JoinError) -> Status {
    if error.is_panic() {
        tracing::error!("a request panicked");
        return Status::internal("the request failed within the server; please report it");
    }
    stopping()
}

/// The server takes no more requests.
pub fn stopping() -> Status {
    Status::unavailable("the request failed: the server is stopping; try again once it has started")
}

/// Runs what blocks (disk, locks) away from the threads that serve connections.
///
/// # Errors
/// The engine's error as a status.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> tagus_engine::Result<T> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| of_engine(&error)),
        Err(error) => Err(of_join(&error)),
    }
}

/// Refuses a request that is longer than a bound.
pub fn check_bound(what: &str, has: usize, most: usize, unit: &str) -> Result<(), Status> {
    if has <= most {
        return Ok(());
    }
    Err(Status::new(
        Code::InvalidArgument,
        format!("the request failed: {what} has {has} {unit}, at most {most} are allowed; send less at once"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code_and_one_line() {
        let codes = [
            (ErrorKind::InvalidInput, Code::InvalidArgument),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::Conflict, Code::AlreadyExists),
            (ErrorKind::Exhausted, Code::ResourceExhausted),
            (ErrorKind::ReadOnly, Code::Unavailable),
            (ErrorKind::Damaged, Code::DataLoss),
            (ErrorKind::Unusable, Code::Unavailable),
            (ErrorKind::Io, Code::Internal),
        ];
        for (kind, code) in codes {
            let status = of_engine(&Error::new(kind, "it failed", "why", "do this"));
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), "it failed: why; do this");
            assert_eq!(tagus_proto::retry_delay(&status).is_some(), kind == ErrorKind::Exhausted);
        }
    }
}
