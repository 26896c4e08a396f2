//! Runs queries.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{DescribeTable, LogicalPlan};
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;

use crate::check::{self, Checked};
use crate::context::Reading;
use crate::error::{SqlError, SqlErrorKind};
use crate::growing;
use crate::idle::{IDLE_MAX, Watched};
use crate::names;
use crate::opaque;
use crate::output::{PlainStream, plain_schema};
use crate::parameters;
use crate::service::Shared;

/// A client's session. It holds no state that a statement could change.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    /// Patterns of the tags that it sees; `None` for all.
    globs: Option<Arc<[String]>>,
}

/// What a statement takes and gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// Its parameters `$1`, `$2`, ...; one whose type does not follow from its place is `Utf8`.
    pub parameters: SchemaRef,
}

/// The rows of a query.
pub struct QueryResult {
    /// The columns: the schema of each batch of the stream. Strings are `Utf8`, times
    /// `Timestamp(ns, "UTC")`.
    pub schema: SchemaRef,
    /// The rows. Dropping the stream ends the query, and so does not polling it for
    /// [`IDLE_MAX`](crate::IDLE_MAX).
    pub stream: SendableRecordBatchStream,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, globs: Option<Arc<[String]>>) -> Session {
        Session { shared, globs }
    }

    /// Starts one statement without parameters. It sees every sample acknowledged before this call.
    ///
    /// # Errors
    /// The SQL is refused, or planning it failed. Failures while it runs come in the stream, to be
    /// read by [`SqlError::from`].
    pub async fn query(&self, sql: &str) -> Result<QueryResult, SqlError> {
        self.query_with(sql, None).await
    }

    /// Starts one statement with the one row of `values` for its parameters, in their order. Values
    /// are cast to the types that [`Session::describe`] announces.
    ///
    /// # Errors
    /// As for [`Session::query`]; also where values are missing, too many, or of a wrong type.
    pub async fn query_with(&self, sql: &str, values: Option<&RecordBatch>) -> Result<QueryResult, SqlError> {
        match check::check(sql)? {
            Checked::Rows(statement) => self.plan(statement, values).await?.run(IDLE_MAX),
            Checked::Nothing => Ok(QueryResult::nothing()),
        }
    }

    /// The parameters of a statement and the schema of its rows, without running it.
    ///
    /// # Errors
    /// The SQL is refused, or what it names does not exist.
    pub async fn describe(&self, sql: &str) -> Result<Description, SqlError> {
        let Checked::Rows(statement) = check::check(sql)? else {
            let nothing: SchemaRef = Arc::new(Schema::empty());
            return Ok(Description { schema: Arc::clone(&nothing), parameters: nothing });
        };
        let mut state = self.shared.state.clone();
        // Arguments such as now() have to be constant.
        state.mark_start_execution();
        let plan = self.logical(&state, statement).await?;
        let parameters = parameters::of_plan(&plan)?;
        let plan = parameters::typed(plan, &parameters)?;
        Ok(Description { schema: plain_schema(plan.schema().as_arrow()), parameters })
    }

    /// The schema of a statement's rows, without running it.
    ///
    /// # Errors
    /// As for [`Session::describe`].
    pub async fn schema_of(&self, sql: &str) -> Result<SchemaRef, SqlError> {
        Ok(self.describe(sql).await?.schema)
    }

    /// Plans a checked statement on a read view of its own.
    pub(crate) async fn plan(&self, statement: Statement, values: Option<&RecordBatch>) -> Result<Planned, SqlError> {
        let mut state = self.shared.state.clone();
        state.mark_start_execution();
        state.config_mut().set_extension(Arc::new(Reading::begin(&self.shared.engine, self.globs.as_deref())));
        let logical = self.logical(&state, statement).await?;
        let parameters = parameters::of_plan(&logical)?;
        let logical = parameters::with_values(logical, &parameters, values)?;
        let schema = plain_schema(logical.schema().as_arrow());
        self.shared.growing.bind(&mut state, growing::count_calls(&logical)?)?;
        let optimized = state.optimize(&logical)?;
        self.shared.growing.check_constants(&optimized)?;
        let optimized = opaque::hide(optimized)?;
        let physical = state.query_planner().create_physical_plan(&optimized, &state).await?;
        Ok(Planned { schema, physical, task: state.task_ctx() })
    }

    async fn logical(&self, state: &SessionState, statement: Statement) -> Result<LogicalPlan, SqlError> {
        check_tables(state, &statement).await?;
        let plan = state.statement_to_plan(statement).await?;
        check::check_plan(&plan)?;
        growing::count_calls(&plan)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        Ok(plan.transform_down(describe_plainly)?.data)
    }
}

/// A statement ready to run.
pub(crate) struct Planned {
    pub(crate) schema: SchemaRef,
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) task: Arc<TaskContext>,
}

impl Planned {
    /// Starts it, for a client that may take no rows for `patience`.
    pub(crate) fn run(self, patience: Duration) -> Result<QueryResult, SqlError> {
        let stream = execute_stream(self.physical, self.task)?;
        let plain = Box::pin(PlainStream::new(Arc::clone(&self.schema), stream));
        Ok(QueryResult { schema: self.schema, stream: Box::pin(Watched::new(plain, patience)) })
    }
}

impl QueryResult {
    /// The result of a statement that gives none.
    fn nothing() -> QueryResult {
        let schema: SchemaRef = Arc::new(Schema::empty());
        QueryResult { stream: Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema))), schema }
    }
}

/// Refuses unknown tables with the nearest name.
async fn check_tables(state: &SessionState, statement: &Statement) -> Result<(), SqlError> {
    for reference in state.resolve_table_references(statement)? {
        let name = reference.table();
        if state.table_functions().contains_key(name) {
            continue;
        }
        let schema = state.schema_for_ref(reference.clone())?;
        if schema.table_exist(name) {
            continue;
        }
        let mut known = schema.table_names();
        known.sort_unstable();
        let known = || known.iter().map(String::as_str);
        let advice = match names::nearest(name, known()) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => format!("there are {}", names::list(known())),
        };
        return Err(SqlError::new(SqlErrorKind::NotFound, format!("table '{name}' does not exist; {advice}")));
    }
    Ok(())
}

/// DESCRIBE shows the types that clients get.
fn describe_plainly(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    Ok(match plan {
        LogicalPlan::DescribeTable(DescribeTable { schema, output_schema }) => {
            let schema = plain_schema(&schema);
            Transformed::yes(LogicalPlan::DescribeTable(DescribeTable { schema, output_schema }))
        }
        other => Transformed::no(other),
    })
}
