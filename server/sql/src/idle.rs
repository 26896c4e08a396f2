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

/// A stream that is dropped when nobody polls it for [`IDLE_MAX`]; polled later, it gives an error.
pub(crate) struct Watched {
    schema: SchemaRef,
    held: Arc<Mutex<Held>>,
    _watch: SpawnedTask<()>,
}

struct Held {
    input: Option<SendableRecordBatchStream>,
    /// Since when the client has not asked; `None` while it waits for the query.
    idle_since: Option<Instant>,
    expired: bool,
}

impl Watched {
    /// Watches `input` from now on. Must be called within a runtime with timers.
    pub(crate) fn new(input: SendableRecordBatchStream) -> Watched {
        let schema = input.schema();
        let held = Held { input: Some(input), idle_since: Some(Instant::now()), expired: false };
        let held = Arc::new(Mutex::new(held));
        let watch = SpawnedTask::spawn(watch(Arc::clone(&held)));
        Watched { schema, held, _watch: watch }
    }
}

/// A panic while polling leaves nothing half done here.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(held: Arc<Mutex<Held>>) {
    loop {
        // A stream that is being polled holds the lock and is not idle.
        let idle_since = match held.try_lock() {
            Ok(held) if held.input.is_none() => return,
            Ok(held) => held.idle_since,
            Err(_) => None,
        };
        let wait = match idle_since {
            Some(since) => IDLE_MAX.saturating_sub(since.elapsed()),
            None => IDLE_MAX,
        };
        if wait.is_zero() {
            let mut held = lock(&held);
            if held.idle_since.is_some_and(|since| since.elapsed() >= IDLE_MAX) {
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
            let seconds = IDLE_MAX.as_secs();
            let message = format!("the query was ended: its client took no rows for {seconds} s; run it again");
            let error = SqlError::new(SqlErrorKind::Resources, message);
            return Poll::Ready(Some(Err(DataFusionError::External(Box::new(error)))));
        }
        held.idle_since = None;
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

    use super::*;

    fn watched(batches: usize) -> (Watched, Arc<()>) {
        let column = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("n", column as _)]).unwrap();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let schema = batch.schema();
        let batches = stream::iter(vec![Ok(batch); batches]).inspect(move |_| assert!(Arc::strong_count(&held) > 0));
        (Watched::new(Box::pin(RecordBatchStreamAdapter::new(schema, batches))), alive)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_polls_is_dropped() {
        let (mut stream, alive) = watched(5);
        for _ in 0..3 {
            tokio::time::sleep(IDLE_MAX - Duration::from_secs(1)).await;
            assert!(stream.next().await.unwrap().is_ok());
        }
        assert_eq!(Arc::strong_count(&alive), 2);
        tokio::time::sleep(IDLE_MAX + Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&alive), 1, "what it held is gone");
        let error = SqlError::from(stream.next().await.unwrap().unwrap_err());
        assert_eq!(error.to_string(), "the query was ended: its client took no rows for 300 s; run it again");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_read_to_its_end_just_ends() {
        let (mut stream, alive) = watched(2);
        assert_eq!((&mut stream).count().await, 2);
        assert_eq!(Arc::strong_count(&alive), 1);
        tokio::time::sleep(IDLE_MAX * 2).await;
        assert!(stream.next().await.is_none());
    }
}
