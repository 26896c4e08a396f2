//! A plant simulator that writes through the real client: what `tagus demo` shows.

mod area;
mod catalogue;
mod equipment;
mod feed;
mod plant;
mod product;
mod reactor;

use std::collections::HashSet;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tagus_client::{Connection, Counts, Endpoint, Error, Result, TagKey, Writer};
use tagus_proto::v1;

pub use plant::{Plant, Sample};

const SECOND_NS: i64 = 1_000_000_000;
/// Seconds that are made up for after a pause of the machine, at most.
const CATCH_UP_SECONDS: i64 = 3600;
/// Tags that are created by one request.
const TAGS_A_REQUEST: usize = 1000;
/// Time without progress after which the plant ends with an error.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Time that the last samples may take when the plant stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The plant to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The same seed gives the same plant.
    pub seed: u64,
    /// How many tags; an area has about fifty.
    pub tags: usize,
    /// How much of the past is written first, so that there is something to see; never over
    /// samples that are there.
    pub history: Duration,
}

/// Declares the plant's tags on the server, writes the past, then each second as it comes, until
/// `stop` is ready.
///
/// # Errors
/// What the server refuses, or no progress for 60 s.
pub async fn run(endpoint: Endpoint, options: Options, stop: impl Future<Output = ()>) -> Result<Counts> {
    let mut plant = Plant::new(options.seed, options.tags);
    let connection = endpoint.connect().await?;
    declare(&connection, plant.tags()).await?;
    let tags = plant.tags();
    let start = start_second(&connection, &tags, options.history).await?;
    let writer = Writer::builder(endpoint).source("demo").give_up(GIVE_UP).open().await?;
    let keys: Vec<TagKey> = tags.iter().map(|tag| writer.tag(&tag.name)).collect::<Result<_>>()?;
    tokio::select! {
        result = live(&mut plant, &writer, &keys, start) => result?,
        () = stop => {}
    }
    let counts = writer.counts();
    match tokio::time::timeout(CLOSE_TIMEOUT, writer.close()).await {
        Ok(closed) => closed,
        Err(_) => Ok(counts),
    }
}

/// Writes second after second; returns only with an error.
async fn live(plant: &mut Plant, writer: &Writer, keys: &[TagKey], start: i64) -> Result<()> {
    let mut second = start;
    loop {
        let now = now_ns().div_euclid(SECOND_NS);
        while second <= now {
            for Sample { tag, time_ns, reading } in plant.step(second * SECOND_NS) {
                writer.write(keys[tag], time_ns, reading.value, reading.status).await?;
            }
            second += 1;
            // Samples are taken without waiting while there is room; others want to run too.
            tokio::task::yield_now().await;
        }
        let wait = (second * SECOND_NS - now_ns()).max(0);
        tokio::time::sleep(Duration::from_nanos(wait.unsigned_abs())).await;
        // A machine that slept for long leaves a gap.
        let now = now_ns().div_euclid(SECOND_NS);
        if now - second > CATCH_UP_SECONDS {
            second = now;
        }
    }
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// The first second to write: `history` ago, or behind the newest sample of the first area.
async fn start_second(connection: &Connection, tags: &[v1::Tag], history: Duration) -> Result<i64> {
    let now = now_ns().div_euclid(SECOND_NS);
    let ago = now.saturating_sub(i64::try_from(history.as_secs()).unwrap_or(i64::MAX)).max(0);
    let names: Vec<String> = tags.iter().take(64).map(|tag| tag.name.clone()).collect();
    let response = connection.query().current(v1::CurrentRequest { names }).await;
    let values = response.map_err(|status| Error::from_status("reading current values", &status))?.into_inner().values;
    let newest = values.iter().filter_map(|value| value.time).max();
    Ok(newest.map_or(ago, |newest| ago.max(newest.div_euclid(SECOND_NS) + 1)))
}

/// Creates the tags that are not there yet.
async fn declare(connection: &Connection, tags: Vec<v1::Tag>) -> Result<()> {
    let mut client = connection.tags();
    let failed = |status: tonic::Status| Error::from_status("declaring the plant's tags", &status);
    let request = v1::ListTagsRequest { glob: "site*".to_owned() };
    let mut listed = client.list(request).await.map_err(failed)?.into_inner();
    let mut known = HashSet::new();
    while let Some(tag) = listed.message().await.map_err(failed)? {
        known.insert(tag.name.to_lowercase());
    }
    let missing: Vec<v1::Tag> = tags.into_iter().filter(|tag| !known.contains(&tag.name.to_lowercase())).collect();
    for tags in missing.chunks(TAGS_A_REQUEST) {
        let request = v1::CreateTagsRequest { tags: tags.to_vec() };
        client.create(request).await.map_err(failed)?;
    }
    Ok(())
}
