//! An engine with samples, a service over it, and the same samples as a list.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::displayable;
use futures::TryStreamExt;
use tagus_engine::env::Env;
use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::status::Status;
use tagus_engine::tag::{TagSpec, TagType};
use tagus_engine::{Config, Engine};
use tempfile::TempDir;

use crate::check::{Checked, check};
use crate::codec::PlanCodec;
use crate::session::Planned;
use crate::{QueryResult, Session, SqlError, SqlOptions, SqlService};

/// 2026-01-01T00:00:00Z.
pub(super) const T0: i64 = 1_767_225_600_000_000_000;
/// One second.
pub(super) const SECOND: i64 = 1_000_000_000;

pub(super) struct Fixture {
    pub(super) engine: Engine,
    pub(super) service: SqlService,
    dir: TempDir,
}

/// A row of `samples` as SQL gives it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sample {
    pub(super) tag: String,
    pub(super) time: i64,
    pub(super) value: Option<f64>,
    pub(super) text: Option<String>,
    pub(super) status: u32,
}

impl Sample {
    pub(super) fn quality(&self) -> &'static str {
        Status(self.status).quality().word()
    }
}

pub(super) fn options(dir: &TempDir) -> SqlOptions {
    SqlOptions {
        memory_limit: 64 << 20,
        target_partitions: 3,
        spill_dir: dir.path().join("spill"),
        spill_bytes_max: 1 << 30,
    }
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        Fixture::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut SqlOptions)) -> Fixture {
        let dir = TempDir::new().unwrap();
        let (engine, _) = Engine::open(Env::os(), &dir.path().join("data"), Config::default()).unwrap();
        engine.start();
        let mut options = options(&dir);
        change(&mut options);
        let service = SqlService::new(engine.clone(), options).unwrap();
        Fixture { engine, service, dir }
    }

    pub(super) fn tag(&self, name: &str, tag_type: TagType) {
        self.declare(TagSpec::new(name, tag_type));
    }

    pub(super) fn declare(&self, spec: TagSpec) {
        self.engine.create_tags(vec![spec]).unwrap();
    }

    /// Writes samples of one tag, each with its status; one word means Good.
    pub(super) fn write(&self, tag: &str, times: &[i64], values: Values, statuses: &[u32]) {
        let block = Block {
            shape: Shape::Series { tag: TagRef::Name(tag.to_owned()), times: times.to_vec() },
            values,
            statuses: statuses.to_vec(),
        };
        let source = self.engine.open_source("", "", 0).unwrap();
        let (done, committed) = std::sync::mpsc::channel();
        let batch = Batch { blocks: vec![block] };
        let submitted = source.submit(1, batch, Box::new(move |result| done.send(result).unwrap())).unwrap();
        let rejections = submitted.expect("the first batch of a new writer").rejections;
        assert!(rejections.is_empty(), "{rejections:?}");
        committed.recv().unwrap().unwrap();
    }

    /// `count` doubles of one tag, a second apart from [`T0`] on: 0.0, 1.0, 2.0, ...
    pub(super) fn ramp(&self, tag: &str, count: i64) {
        let times: Vec<i64> = (0..count).map(|i| T0 + i * SECOND).collect();
        for (chunk, start) in times.chunks(100_000).zip((0_i64..).step_by(100_000)) {
            let values = (start..).take(chunk.len()).map(|v| v as f64).collect();
            self.write(tag, chunk, Values::Doubles(values), &[]);
        }
    }

    pub(super) fn session(&self) -> Session {
        self.service.session()
    }

    /// Plans a statement.
    pub(super) async fn plan(&self, sql: &str) -> Result<Planned, SqlError> {
        match check(sql)? {
            Checked::Rows(statement) => self.session().plan(statement, None).await,
            Checked::Nothing => panic!("{sql} gives no rows"),
        }
    }

    /// The plan as EXPLAIN shows it.
    pub(super) async fn plan_text(&self, sql: &str) -> String {
        displayable(self.plan(sql).await.unwrap().physical.as_ref()).indent(false).to_string()
    }

    /// Runs a statement twice, as planned and from a copy of the plan that went through bytes,
    /// and checks that both give the same rows in the announced schema.
    pub(super) async fn rows(&self, sql: &str) -> Vec<RecordBatch> {
        let planned = self.plan(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let announced = self.session().schema_of(sql).await.unwrap();
        assert_eq!(announced, planned.schema, "{sql}");
        let copied = Planned {
            schema: Arc::clone(&planned.schema),
            physical: through_bytes(&planned.physical, &planned.task).unwrap_or_else(|error| panic!("{sql}: {error}")),
            task: Arc::clone(&planned.task),
        };
        let rows =
            collect(planned.run(crate::IDLE_MAX).unwrap()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let again = collect(copied.run(crate::IDLE_MAX).unwrap()).await.unwrap();
        let (mut a, mut b) = (lines(&rows), lines(&again));
        if !sql.contains("ORDER BY") {
            a.sort();
            b.sort();
        }
        assert_eq!(a, b, "{sql} from bytes");
        rows
    }

    /// Runs a statement whose plan has nodes that DataFusion does not send.
    pub(super) async fn rows_here(&self, sql: &str) -> Vec<RecordBatch> {
        collect(self.session().query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))).await.unwrap()
    }

    /// The rows as text, a line each, columns separated by ` | `.
    pub(super) async fn table(&self, sql: &str) -> Vec<String> {
        lines(&self.rows(sql).await).iter().map(|line| line.trim().to_owned()).collect()
    }

    pub(super) async fn error(&self, sql: &str) -> SqlError {
        let error = match self.session().query(sql).await {
            Ok(result) => {
                let shown = |rows: Vec<RecordBatch>| lines(&rows).join("; ").chars().take(200).collect::<String>();
                collect(result).await.map(shown).expect_err(sql)
            }
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(!text.contains('\n') && !text.is_empty(), "{text}");
        error
    }

    /// `SELECT * FROM samples` as a list.
    pub(super) async fn samples(&self, sql: &str) -> Vec<Sample> {
        self.rows(sql).await.iter().flat_map(samples).collect()
    }

    pub(super) fn spill_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("spill")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.engine.close().unwrap();
    }
}

pub(super) async fn collect(result: QueryResult) -> Result<Vec<RecordBatch>, SqlError> {
    let schema = Arc::clone(&result.schema);
    assert_eq!(result.stream.schema(), schema);
    let batches: Vec<RecordBatch> = result.stream.try_collect().await?;
    for batch in &batches {
        assert_eq!(batch.schema(), schema, "the announced schema is what is sent");
    }
    for field in schema.fields() {
        let leaks = matches!(
            field.data_type(),
            DataType::Dictionary(..) | DataType::Utf8View | DataType::LargeUtf8 | DataType::RunEndEncoded(..)
        );
        assert!(!leaks, "{field}");
    }
    Ok(batches)
}

fn samples(batch: &RecordBatch) -> Vec<Sample> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let (tags, texts) = (column("tag").as_string::<i32>(), column("text").as_string::<i32>());
    let times = column("time").as_primitive::<TimestampNanosecondType>();
    let values = column("value").as_primitive::<Float64Type>();
    let statuses = column("status").as_primitive::<Int64Type>();
    let qualities = column("quality").as_string::<i32>();
    (0..batch.num_rows())
        .map(|i| {
            let sample = Sample {
                tag: tags.value(i).to_owned(),
                time: times.value(i),
                value: values.is_valid(i).then(|| values.value(i)),
                text: texts.is_valid(i).then(|| texts.value(i).to_owned()),
                status: u32::try_from(statuses.value(i)).unwrap(),
            };
            assert_eq!(sample.quality(), qualities.value(i));
            sample
        })
        .collect()
}

/// The rows as text, a line each.
pub(super) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" | ")).collect()
}

/// The plan, sent through bytes.
fn through_bytes(plan: &Arc<dyn ExecutionPlan>, task: &TaskContext) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &PlanCodec)?;
    physical_plan_from_bytes_with_extension_codec(&bytes, task, &PlanCodec)
}
