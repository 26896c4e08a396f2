//! Every bound of the server, once. Bounds of samples and tags stand in the engine's limits.

use std::time::Duration;

pub use tagus_sql::SQL_BYTES_MAX;

/// Largest Flight message that names something: a command, a ticket, an action.
pub const FLIGHT_COMMAND_BYTES_MAX: usize = 4 << 20;
/// Largest HTTP/2 frame that clients may send; with less they cut batches into more of them.
pub const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Largest configuration file in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Most names of one request for current values.
pub const CURRENT_NAMES_MAX: usize = 100_000;
/// Most tags that one request creates.
pub const CREATE_TAGS_MAX: usize = 100_000;
/// Bytes that a message of a query's result aims at; one wide row may exceed it.
pub const RESULT_MESSAGE_BYTES: usize = 1 << 20;
/// Messages of one query's result that wait for its client.
pub const RESULT_MESSAGES_QUEUED: usize = 4;
/// Bytes of one source's batches that are read and not yet acknowledged.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 32 << 20;
/// Bytes of one source's batches that are handed to the engine in one go.
pub const SUBMIT_BYTES: usize = 4 << 20;
/// Most rejected samples, and most handles, that one acknowledgement lists.
pub const DETAILS_PER_ACK: usize = 1000;
/// Acknowledgements of one source that wait for its client.
pub const ACKS_QUEUED: usize = 16;
/// Bytes that a client may send on one stream before the server takes them.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that a client may send on one connection before the server takes them.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Most streams that one connection may have open.
pub const STREAMS_PER_CONNECTION: u32 = 256;
/// Most HTTP/2 header bytes of one request.
pub const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Damaged segments that `/readyz` names; metrics count all.
pub const DAMAGES_SHOWN: usize = 20;
/// How long a refused writer is asked to wait.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long running queries may go on after the server was asked to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Least memory budget: below it even a small query finds no room.
pub const MEMORY_BUDGET_MIN: u64 = 16 << 20;
/// Most names and patterns of one subscription.
pub const SUBSCRIBED_PATTERNS_MAX: usize = 10_000;
/// Changes of one message to a subscriber.
pub const CHANGES_PER_MESSAGE: usize = 1000;
/// How long changes are gathered before they are sent.
pub const CHANGES_GATHERED: Duration = Duration::from_millis(20);
