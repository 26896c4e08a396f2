//! The client of the Tagus process historian: what a gateway links.
//!
//! A [`Writer`] takes samples one by one, sends them in columnar batches, keeps each batch until
//! the server has made it durable, and comes back by itself when the connection or the server
//! goes away. Nothing is lost and nothing is stored twice while the writer lives.
//!
//! ```no_run
//! use tagus_client::{Endpoint, Status, Writer};
//!
//! # async fn example() -> tagus_client::Result<()> {
//! let endpoint = Endpoint::new("http://127.0.0.1:8815")?;
//! let writer = Writer::builder(endpoint).source("gateway-7").open().await?;
//! let time_ns = 1_767_225_600_000_000_000;
//! writer.write("site1.area1.TIC101.PV", time_ns, 71.3, Status::GOOD).await?;
//! writer.write("site1.area1.P101.RUN", time_ns, true, Status::GOOD).await?;
//! writer.flush().await?; // Both are durable and visible to queries now.
//! println!("{}", writer.close().await?); // rows=2 stored=2 ...
//! # Ok(())
//! # }
//! ```
//!
//! A [`Connection`] gives the other services: tag metadata, SQL, administration.

mod backoff;
mod batch;
mod block;
mod counts;
mod driver;
mod endpoint;
mod error;
mod queue;
mod sequence;
mod value;
mod writer;

pub use counts::Counts;
pub use endpoint::{Connection, Endpoint};
pub use error::{Error, ErrorKind, Result, io_words};
/// The messages of the services.
pub use tagus_proto::v1 as messages;
pub use value::{Status, Value};
pub use writer::{Rejection, Sent, TagKey, TagRef, Unseen, Writer, WriterBuilder};
