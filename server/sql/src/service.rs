//! What all sessions share: the engine, the memory for queries and the functions.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use tagus_engine::Engine;

use crate::catalog::{self, CATALOG, SCHEMA};
use crate::check::SQL_NESTING_MAX;
use crate::counting::CountWithoutReading;
use crate::error::{SqlError, SqlErrorKind};
use crate::functions;
use crate::growing::Growing;
use crate::offsets::Offsets;
use crate::opaque;
use crate::over_time;
use crate::retrieval;
use crate::session::Session;
use crate::sorts::{LimitsApart, SortsOfSamples};

/// What queries may use.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// Bytes of memory for all queries together; beyond it they spill, or fail.
    pub memory_limit: usize,
    /// How many parts of a query run side by side.
    pub target_partitions: usize,
    /// Where queries spill. The folder is made if absent; what an earlier process left is removed.
    pub spill_dir: PathBuf,
    /// Bytes of spill files for all queries together; beyond it they fail.
    pub spill_bytes_max: u64,
}

/// Answers SQL from one engine. Cheap to clone.
#[derive(Clone)]
pub struct SqlService {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    /// The state that each query starts from.
    pub(crate) state: SessionState,
    /// Bounds what functions return.
    pub(crate) growing: Growing,
}

impl SqlService {
    /// A service over `engine`.
    ///
    /// # Errors
    /// The spill folder cannot be made.
    pub fn new(engine: Engine, options: SqlOptions) -> Result<SqlService, SqlError> {
        let runtime = runtime(&options)?;
        let mut state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config(&options))
            .with_runtime_env(runtime)
            .with_catalog_list(catalog::catalogs()?)
            .with_optimizer_rule(Arc::new(CountWithoutReading))
            .with_physical_optimizer_rules(physical_rules())
            .build();
        for function in functions::all().into_iter().chain([opaque::function()]) {
            state.register_udf(Arc::new(function))?;
        }
        for function in over_time::all() {
            state.register_udaf(Arc::new(function))?;
        }
        for (name, function) in retrieval::functions() {
            state.register_udtf(name, function);
        }
        let growing = Growing::new(&mut state, options.memory_limit, options.target_partitions)?;
        Ok(SqlService { shared: Arc::new(Shared { engine, state, growing }) })
    }

    /// A session that sees all tags. Sessions do not share anything that one of them could change.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.shared), None)
    }

    /// A session that sees only the tags whose names match one of `globs` (`*` and `?`, any case):
    /// for it there are no others.
    pub fn session_of(&self, globs: &[String]) -> Session {
        Session::new(Arc::clone(&self.shared), Some(globs.into()))
    }

    /// The tables of catalog `tagus`, schema `public`, by name, with their columns as clients get
    /// them.
    pub fn tables(&self) -> Vec<(&'static str, SchemaRef)> {
        catalog::tables()
    }

    /// Bytes of memory that queries hold now.
    pub fn memory_used(&self) -> usize {
        self.shared.state.runtime_env().memory_pool.reserved()
    }
}

/// DataFusion's rules and ours: after sorts know how many rows they keep, and before filters that
/// are filled while a plan runs are tied to its nodes.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = Vec::new();
    for rule in PhysicalOptimizer::new().rules {
        match rule.name() {
            "EnsureRequirements" => rules.extend([Arc::new(Offsets::Ended) as _, rule, Arc::new(Offsets::Open) as _]),
            "PushdownSort" => rules.extend([rule, Arc::new(LimitsApart) as _, Arc::new(SortsOfSamples) as _]),
            _ => rules.push(rule),
        }
    }
    rules
}

fn config(options: &SqlOptions) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.target_partitions.max(1))
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        // It is registered as an ordinary schema, which describes the tables as clients get them.
        .with_information_schema(false);
    let settings = config.options_mut();
    // A scan has as many partitions as its rows are worth; spreading them further would cost their
    // order and save nothing.
    settings.optimizer.enable_round_robin_repartition = false;
    settings.execution.time_zone = Some(crate::output::ZONE.to_owned());
    settings.execution.sort_spill_reservation_bytes = merge_bytes(options);
    settings.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    settings.sql_parser.map_string_types_to_utf8view = false;
    if let Ok(limit) = SQL_NESTING_MAX.to_string().parse() {
        settings.sql_parser.recursion_limit = limit;
    }
    config
}

/// What each part of a sort keeps back for merging what it spilled. DataFusion's 10 MB a part would
/// be more than a small budget has, and such sorts would fail instead of spilling.
fn merge_bytes(options: &SqlOptions) -> usize {
    let parts = options.target_partitions.max(1).saturating_mul(8);
    (options.memory_limit / parts).clamp(64 << 10, 10 << 20)
}

fn runtime(options: &SqlOptions) -> Result<Arc<RuntimeEnv>, SqlError> {
    prepare_spill_dir(options).map_err(|error| {
        SqlError::new(
            SqlErrorKind::Internal,
            format!("preparing the spill folder {} failed: {error}; check its rights", options.spill_dir.display()),
        )
    })?;
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![options.spill_dir.clone()]))
        .with_max_temp_directory_size(options.spill_bytes_max);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(options.memory_limit)))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    Ok(runtime)
}

/// Makes the folder and removes what a process that was killed left in it.
fn prepare_spill_dir(options: &SqlOptions) -> std::io::Result<()> {
    std::fs::create_dir_all(&options.spill_dir)?;
    for entry in std::fs::read_dir(&options.spill_dir)? {
        let entry = entry?;
        let is_left_over = entry.file_name().to_string_lossy().starts_with("datafusion-");
        if is_left_over && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
