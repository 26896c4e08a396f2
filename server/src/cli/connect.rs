//! The connection to the server, and the patience of commands.

use std::future::Future;
use std::time::Duration;

use tagus_proto::MESSAGE_BYTES_MAX;
use tagus_proto::v1::admin_client::AdminClient;
use tagus_proto::v1::query_client::QueryClient;
use tagus_proto::v1::tags_client::TagsClient;
use tonic::transport::{Channel, Endpoint};

use super::args::ConnectArgs;
use super::error::{Failure, Result, io_words};

/// Without progress for this long a command gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A name that does not resolve or a host that does not answer is given this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that answers no ping for the timeout after the interval is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// HTTP/2 flow control: enough for a result batch on its way, for each query and for all.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// An open connection. Clones share it.
#[derive(Clone)]
pub struct Connection {
    channel: Channel,
}

impl Connection {
    /// Connects to the server.
    pub async fn open(args: &ConnectArgs) -> Result<Connection> {
        let url = full_url(&args.url);
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| bad_url(&url, "it is no URL"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            _ => return Err(bad_url(&url, "only http:// is supported")),
        }
        let connecting = tokio::time::timeout(PATIENCE, endpoint.connect());
        match connecting.await {
            Ok(Ok(channel)) => Ok(Connection { channel }),
            Ok(Err(error)) => Err(unreachable(&url, cause(&error))),
            Err(_) => Err(unreachable(&url, gave_up())),
        }
    }

    /// SQL.
    pub fn query(&self) -> QueryClient<Channel> {
        let client = QueryClient::new(self.channel.clone());
        client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Tag metadata.
    pub fn tags(&self) -> TagsClient<Channel> {
        let client = TagsClient::new(self.channel.clone());
        client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What operators ask.
    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// The URL with `http://` in front where it has no scheme, as `--url historian:8815` is meant.
pub fn full_url(url: &str) -> String {
    let url = url.trim();
    if url.contains("://") { url.to_string() } else { format!("http://{url}") }
}

/// Waits for one answer of the server for as long as [`PATIENCE`]; `what` says what is done.
pub async fn answer<T>(what: &str, call: impl Future<Output = std::result::Result<T, tonic::Status>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(Failure::status(what, &broken(status))),
        Err(_) => Err(Failure::new(what, gave_up(), "check the server and try again")),
    }
}

/// Waits for work that may take the server long: a query, a flush. While it works it answers pings,
/// which is progress; a server that answers none within [`PING_INTERVAL`] and [`PING_TIMEOUT`] ends
/// the wait.
pub async fn work<T>(what: &str, call: impl Future<Output = std::result::Result<T, tonic::Status>>) -> Result<T> {
    call.await.map_err(|status| Failure::status(what, &broken(status)))
}

/// A connection that broke under a call shows up as a status whose message names the layers of
/// the transport; its root is what a user can act on.
fn broken(status: tonic::Status) -> tonic::Status {
    use std::error::Error;
    match status.source() {
        Some(source) => tonic::Status::unavailable(format!("the connection broke ({})", cause(source))),
        None => status,
    }
}

fn gave_up() -> String {
    format!("no progress for {} s", PATIENCE.as_secs())
}

fn bad_url(url: &str, why: &str) -> Failure {
    Failure::usage(format_args!("reading the URL {url}"), why, "write it like http://127.0.0.1:8815")
}

fn unreachable(url: &str, why: String) -> Failure {
    Failure::new(format_args!("connecting to {url}"), why, "start the server with `tagus serve` or give --url")
}

/// The innermost source says what happened; the layers above repeat "transport error".
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<std::io::Error>() {
        Some(error) => io_words(error),
        None => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fails(url: &str) -> Failure {
        match Connection::open(&ConnectArgs { url: url.to_string() }).await {
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
