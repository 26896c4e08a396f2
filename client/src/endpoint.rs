//! Where the server is, and how to reach it.

use std::time::Duration;

use tagus_proto::v1::admin_client::AdminClient;
use tagus_proto::v1::ingest_client::IngestClient;
use tagus_proto::v1::query_client::QueryClient;
use tagus_proto::v1::tags_client::TagsClient;
use tagus_proto::{INGEST_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, v1};
use tonic::Streaming;
use tonic::transport::{Channel, Uri};

use crate::error::{Error, ErrorKind, Result, root_cause};

/// Time that a TCP connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that answers no ping for this long after [`PING_INTERVAL`] is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// HTTP/2 flow control: enough for a result batch on its way.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The address of a server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    transport: tonic::transport::Endpoint,
}

impl Endpoint {
    /// The server at `url`, like `http://127.0.0.1:8815`. Nothing is connected yet.
    ///
    /// # Errors
    /// `InvalidInput` where `url` is no `http` URL with a host.
    pub fn new(url: &str) -> Result<Endpoint> {
        let refuse = |why: String| {
            let what = format!("reading the URL {url:?}");
            Error::new(ErrorKind::InvalidInput, what, why, "write it like http://127.0.0.1:8815")
        };
        let uri: Uri = url.trim().parse().map_err(|e| refuse(format!("{e}")))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(_)) => {}
            (Some("http"), None) => return Err(refuse("it names no host".to_owned())),
            (Some(other), _) => return Err(refuse(format!("the scheme {other} is not supported"))),
            (None, _) => return Err(refuse("it names no scheme".to_owned())),
        }
        let transport = tonic::transport::Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Ok(Endpoint { url: url.trim().to_owned(), transport })
    }

    /// The URL as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connects once.
    ///
    /// # Errors
    /// `Unavailable` where nobody answers there within 5 s.
    pub async fn connect(&self) -> Result<Connection> {
        let channel = self.transport.connect().await.map_err(|e| self.unreachable(&e))?;
        Ok(Connection { channel })
    }

    fn unreachable(&self, error: &tonic::transport::Error) -> Error {
        let what = format!("connecting to {}", self.url);
        let advice = "check that the server runs there and that the address is right";
        Error::new(ErrorKind::Unavailable, what, root_cause(error), advice)
    }
}

/// A connection to a server. Cheap to clone; clones share it. It comes back by itself after a
/// break, but calls under way fail.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
}

impl Connection {
    /// Tag metadata: create, update, list, get.
    pub fn tags(&self) -> TagsClient<Channel> {
        let client = TagsClient::new(self.channel.clone());
        client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// SQL and current values.
    pub fn query(&self) -> QueryClient<Channel> {
        let client = QueryClient::new(self.channel.clone());
        client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What an operator asks of a running server.
    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The bare ingest stream; a [`Writer`](crate::Writer) does what a gateway needs on top.
    pub fn ingest(&self) -> IngestClient<Channel> {
        let client = IngestClient::new(self.channel.clone());
        client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(INGEST_MESSAGE_BYTES_MAX)
    }

    /// Runs one SQL statement: a stream of Arrow IPC messages, the schema first.
    ///
    /// # Errors
    /// What the server answers, as it words it.
    pub async fn sql(&self, sql: &str) -> Result<Streaming<v1::SqlResponse>> {
        let request = v1::SqlRequest { sql: sql.to_owned() };
        let response = self.query().sql(request).await;
        response.map(tonic::Response::into_inner).map_err(|status| Error::from_status("running the SQL", &status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_connected() {
        assert_eq!(Endpoint::new(" http://[::1]:8815 ").unwrap().url(), "http://[::1]:8815");
        for (url, why) in [
            ("127.0.0.1:8815", "reading the URL"),
            ("localhost", "no scheme"),
            ("https://plant:8815", "scheme https"),
            ("/path", "no scheme"),
            ("", "empty"),
        ] {
            let error = Endpoint::new(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(error.to_string().contains("write it like http://"), "{url}: {error}");
        }
    }
}
