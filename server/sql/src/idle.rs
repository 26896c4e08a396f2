//! Ends queries whose rows nobody takes: they would hold memory, and segments that are long merged.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;
use tokio::time::Instant;

use crate::error::{SqlError, SqlErrorKind};

/// How long a query waits for its client.
pub const IDLE_MAX: Duration = Duration::from_secs(300);

/// How long the watch looks away from a stream that is being polled.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// A stream that is dropped when nobody polls it for long; polled later, it gives an error.
pub(crate) struct Watched {
    schema: SchemaRef,
    held: Arc<Mutex<Held>>,
    _watch: SpawnedTask<()>,
}

struct Held {
    input: Option<SendableRecordBatchStream>,
    /// Since when the client has not asked; `None` while it waits for the query.
    idle_since: Option<Instant>,
    /// How long it may not ask.
    patience: Duration,
    expired: bool,
}

impl Watched {
    /// Watches `input` from now on for a client that may ask for nothing for `patience`. Must be called
    /// within a runtime with timers.
    pub(crate) fn new(input: SendableRecordBatchStream, patience: Duration) -> Watched {
        let schema = input.schema();
        let held = Held { input: Some(input), idle_since: Some(Instant::now()), patience, expired: false };
        let held = Arc::new(Mutex::new(held));
        let watch = SpawnedTask::spawn(watch(Arc::clone(&held)));
        Watched { schema, held, _watch: watch }
    }
}

/// A panic while polling leaves nothing half done here.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the stream whenever it can have been idle for long enough.
async fn watch(held: Arc<Mutex<Held>>) {
    loop {
        let wait = match held.try_lock() {
            Ok(held) if held.input.is_none() => return,
            Ok(held) => held.patience.saturating_sub(held.idle_since.map_or(Duration::ZERO, |since| since.elapsed())),
            // Who holds the lock is polling it.
            Err(_) => BUSY_PAUSE,
        };
        if wait.is_zero() {
            let mut held = lock(&held);
            if held.idle_since.is_some_and(|since| since.elapsed() >= held.patience) {
                held.expired = true;
                let input = held.input.take();
                drop(held);
                drop(input);
                return;
            }
        } else {
            tokio::time::sleep(wait).await;
        }
    }
}

impl Stream for Watched {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let mut held = lock(&self.held);
        if std::mem::take(&mut held.expired) {
            let message = format!("the query was ended: its client took no rows for {:?}; run it again", held.patience);
            let error = SqlError::new(SqlErrorKind::Resources, message);
            return Poll::Ready(Some(Err(DataFusionError::External(Box::new(error)))));
        }
        held.idle_since = None;
        let held = &mut *held;
        let Some(input) = &mut held.input else { return Poll::Ready(None) };
        let polled = input.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(_)) => held.idle_since = Some(Instant::now()),
            Poll::Ready(None) => held.input = None,
            Poll::Pending => {}
        }
        polled
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::{StreamExt, stream};
    use tokio::sync::oneshot;

    use super::*;

    /// Says when it is dropped.
    struct Alive(Option<oneshot::Sender<()>>);

    impl Drop for Alive {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }

    fn watched(batches: usize, patience: Duration) -> (Watched, oneshot::Receiver<()>) {
        let column = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("n", column as _)]).unwrap();
        let (sender, dropped) = oneshot::channel();
        let alive = Alive(Some(sender));
        let schema = batch.schema();
        let batches =
            stream::iter((0..batches).map(move |_| Ok(batch.clone()))).inspect(move |_| assert!(alive.0.is_some()));
        (Watched::new(Box::pin(RecordBatchStreamAdapter::new(schema, batches)), patience), dropped)
    }

    #[tokio::test]
    async fn a_stream_that_nobody_polls_is_dropped() {
        let (mut stream, dropped) = watched(5, Duration::from_millis(5));
        dropped.await.unwrap();
        let error = SqlError::from(stream.next().await.unwrap().unwrap_err());
        assert_eq!(error.to_string(), "the query was ended: its client took no rows for 5ms; run it again");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_that_is_read_to_its_end_just_ends() {
        let (mut stream, dropped) = watched(2, IDLE_MAX);
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        assert_eq!(rows, 2);
        dropped.await.unwrap();
        assert!(stream.next().await.is_none());
    }
}
