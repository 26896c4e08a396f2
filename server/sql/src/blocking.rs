//! Streams of batches that are made by blocking work, such as reading the disk.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

/// What a step of work brought: batches, and the work itself unless it is at its end.
pub(crate) type Step<W> = (Vec<RecordBatch>, Option<Box<W>>);

/// Work that is done step by step.
pub(crate) trait Work: Sized + Send + 'static {
    /// Does a step. Blocks.
    fn step(self: Box<Self>) -> Result<Step<Self>>;
}

/// The batches of some work. Nothing is done before the stream is polled; the next step is done while
/// the batches of one are taken.
pub(crate) fn batches<W: Work>(schema: SchemaRef, work: W) -> SendableRecordBatchStream {
    let steps = stream::try_unfold(Next::Start(Box::new(work)), |next| async move { next.take().await });
    let batches = steps.map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten();
    make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())))
}

/// The work whose batches come next.
enum Next<W> {
    Start(Box<W>),
    Running(SpawnedTask<Result<Step<W>>>),
    End,
}

impl<W: Work> Next<W> {
    async fn take(self) -> Result<Option<(Vec<RecordBatch>, Next<W>)>> {
        let task = match self {
            Next::Start(work) => spawn(work),
            Next::Running(task) => task,
            Next::End => return Ok(None),
        };
        let (batches, work) = task.join().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
        Ok(Some((batches, work.map_or(Next::End, |work| Next::Running(spawn(work))))))
    }
}

fn spawn<W: Work>(work: Box<W>) -> SpawnedTask<Result<Step<W>>> {
    SpawnedTask::spawn_blocking(move || work.step())
}
