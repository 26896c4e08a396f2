//! Live current values: a stream of what changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::Stream;
use tagus_engine::tag::TagId;
use tagus_engine::{Engine, Subscription};
use tagus_proto::v1;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::query::current_value;
use super::{status, tags};
use crate::limits;

/// A tag and how often it has changed.
type Changed = (TagId, u64);

/// What one client follows.
struct Follower {
    engine: Engine,
    /// Names and patterns; those without wildcards were found.
    patterns: Arc<[String]>,
    /// The last tag there was at the beginning.
    known: TagId,
    subscription: Subscription,
    notify: Arc<Notify>,
}

/// Starts a stream: first the current values, then changes.
///
/// # Errors
/// Too many names; a name that no tag has.
pub fn subscribe(
    engine: Engine,
    patterns: Vec<String>,
    stopping: watch::Receiver<bool>,
) -> Result<impl Stream<Item = Result<v1::SubscribeResponse, Status>> + Send, Status> {
    status::check_bound("the request", patterns.len(), limits::SUBSCRIBED_PATTERNS_MAX, "names")?;
    let table = engine.tags();
    let mut chosen = BTreeSet::new();
    for pattern in &patterns {
        status::check_bound("the name", pattern.len(), tagus_engine::limits::TAG_NAME_BYTES_MAX, "bytes")?;
        if !pattern.contains(['*', '?']) {
            tags::find(&table, pattern).map_err(|error| status::of_engine(&error))?;
        }
        chosen.extend(table.glob(pattern).iter().map(|tag| tag.id));
    }
    let known = TagId(u32::try_from(table.len()).unwrap_or(u32::MAX));
    let notify = Arc::new(Notify::new());
    let woken = Arc::clone(&notify);
    let subscription = engine.subscribe(chosen.clone(), known, move || woken.notify_one());
    // Those created in between; which of them are meant is looked at when they are sent.
    let now = u32::try_from(engine.tags().len()).unwrap_or(u32::MAX);
    chosen.extend((known.0 + 1..=now).map(TagId));
    let follower = Follower { engine, patterns: patterns.into(), known, subscription, notify };
    // A client that takes nothing stops its stream here; what changes meanwhile is counted.
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(follower.run(chosen, send, stopping));
    Ok(ReceiverStream::new(receive))
}

type Sender = mpsc::Sender<Result<v1::SubscribeResponse, Status>>;

impl Follower {
    async fn run(self, chosen: BTreeSet<TagId>, send: Sender, mut stopping: watch::Receiver<bool>) {
        let follow = async {
            let first: Vec<Changed> = chosen.into_iter().map(|tag| (tag, 1)).collect();
            for some in first.chunks(limits::CHANGES_PER_MESSAGE) {
                self.send(some.to_vec(), &send).await?;
            }
            loop {
                self.notify.notified().await;
                tokio::time::sleep(limits::CHANGES_GATHERED).await;
                loop {
                    let changed = self.subscription.take(limits::CHANGES_PER_MESSAGE);
                    if changed.is_empty() {
                        break;
                    }
                    self.send(changed, &send).await?;
                }
            }
        };
        let ended: Result<(), Ended> = tokio::select! {
            ended = follow => ended,
            () = send.closed() => Err(Ended::ByClient),
            _ = stopping.wait_for(|stopping| *stopping) => Err(Ended::With(status::stopping())),
        };
        if let Err(Ended::With(status)) = ended {
            let _ = send.send(Err(status)).await;
        }
    }

    /// Sends what these tags are at now.
    async fn send(&self, changed: Vec<Changed>, send: &Sender) -> Result<(), Ended> {
        let (engine, known, patterns) = (self.engine.clone(), self.known, Arc::clone(&self.patterns));
        let changes = status::blocking(move || {
            let table = engine.tags();
            let follows = |tag: &TagId| *tag <= known || patterns.iter().any(|pattern| matches(&table, pattern, *tag));
            let mut changes = Vec::with_capacity(changed.len());
            for (id, count) in changed.into_iter().filter(|(tag, _)| follows(tag)) {
                let Some(tag) = table.get(id) else { continue };
                let value = Some(current_value(tag, engine.current(id)?));
                changes.push(v1::Change { value, skipped: count.saturating_sub(1) });
            }
            Ok(changes)
        });
        let changes = changes.await.map_err(Ended::With)?;
        if changes.is_empty() {
            return Ok(());
        }
        send.send(Ok(v1::SubscribeResponse { changes })).await.map_err(|_| Ended::ByClient)
    }
}

/// Whether a pattern means a tag that is new.
fn matches(table: &tagus_engine::TagTable, pattern: &str, tag: TagId) -> bool {
    pattern.contains(['*', '?'])
        && table.get(tag).is_some_and(|tag| tagus_engine::glob_matches(pattern, &tag.spec.name))
}

/// Why a stream ends.
enum Ended {
    ByClient,
    With(Status),
}
