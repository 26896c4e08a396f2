//! The connection to the server, and the patience of commands.

use std::future::Future;
use std::time::Duration;

use tagus_client::{Connection, Endpoint, Error};

use super::args::ConnectArgs;
use super::error::{Failure, Result};

/// Without progress for this long a command gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

// What the client refuses, the engine would refuse.
const _: () = assert!(tagus_proto::TAG_NAME_BYTES_MAX == tagus_engine::limits::TAG_NAME_BYTES_MAX);
const _: () = assert!(tagus_proto::TEXT_BYTES_MAX == tagus_engine::limits::TEXT_BYTES_MAX);
const _: () = assert!(tagus_proto::SOURCE_NAME_BYTES_MAX == tagus_engine::limits::SOURCE_NAME_BYTES_MAX);
const _: () = assert!(tagus_proto::TAGS_MAX == tagus_engine::limits::TAGS_MAX);
const _: () = assert!(tagus_proto::BATCH_ROWS_MAX == tagus_engine::limits::BATCH_ROWS_MAX);

/// Connects to the server.
pub async fn open(args: &ConnectArgs) -> Result<Connection> {
    let endpoint = endpoint(args)?;
    endpoint.connect().await.map_err(|error| {
        let advice = "start the server with `tagus serve` or give --url";
        Failure::new(format_args!("connecting to {}", endpoint.url()), error.why(), advice)
    })
}

/// The server's address, with `http://` in front where it has no scheme, as
/// `--url historian:8815` is meant.
pub fn endpoint(args: &ConnectArgs) -> Result<Endpoint> {
    let url = args.url.trim();
    let url = if url.contains("://") { url.to_string() } else { format!("http://{url}") };
    Endpoint::new(&url).map_err(|error| Failure::Usage(error.to_string()))
}

/// Asks again where asking fails, as it does while a server starts anew, for as long as [`PATIENCE`].
pub async fn patiently<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(500);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(_) if tokio::time::Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

/// Waits for one answer of the server for as long as [`PATIENCE`]; `what` says what is done.
pub async fn answer<T>(what: &str, call: impl Future<Output = std::result::Result<T, tonic::Status>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, work(what, call)).await {
        Ok(answer) => answer,
        Err(_) => {
            let why = format!("no progress for {} s", PATIENCE.as_secs());
            Err(Failure::new(what, why, "check the server and try again"))
        }
    }
}

/// Waits for work that may take the server long: a query, a flush. While it works it answers the
/// connection's pings, which is progress; a server that answers none ends the wait.
pub async fn work<T>(what: &str, call: impl Future<Output = std::result::Result<T, tonic::Status>>) -> Result<T> {
    call.await.map_err(|status| Failure::from(Error::from_status(what, &status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fails(url: &str) -> Failure {
        match open(&ConnectArgs { url: url.to_string() }).await {
            Ok(_) => panic!("{url} connects"),
            Err(failure) => failure,
        }
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let expected = format!(
            "connecting to {url} failed: connection refused; start the server with `tagus serve` or give --url"
        );
        assert_eq!(fails(&url).await, Failure::Failed(expected.clone()));
        assert_eq!(fails(url.trim_start_matches("http://")).await, Failure::Failed(expected));
    }

    #[tokio::test]
    async fn urls_are_checked() {
        for url in ["https://plant:8815", "ftp://x", "http://", "http://a b"] {
            let failure = fails(url).await;
            assert!(matches!(&failure, Failure::Usage(text) if text.contains("write it like")), "{url}: {failure:?}");
        }
    }
}
