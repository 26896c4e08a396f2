//! What a running query reads from: handed to plan nodes through the session, never held by them.

use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::prelude::SessionConfig;
use tagus_engine::Engine;
use tagus_engine::TagTable;
use tagus_engine::scan::ReadView;

/// The engine and the one read view that all scans of a query share.
pub(crate) struct Reading {
    pub(crate) engine: Engine,
    pub(crate) view: ReadView,
    /// The tags of the view.
    pub(crate) tags: Arc<TagTable>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl Reading {
    /// What a query that begins now reads from.
    pub(crate) fn begin(engine: &Engine) -> Reading {
        let view = engine.view();
        Reading { tags: Arc::clone(view.tags()), view, engine: engine.clone() }
    }

    /// What the query of this session reads from.
    pub(crate) fn of(config: &SessionConfig) -> Result<Arc<Reading>> {
        config
            .get_extension::<Reading>()
            .ok_or_else(|| DataFusionError::Internal("the session was made without an engine".to_owned()))
    }

    /// What the query of this task reads from.
    pub(crate) fn of_task(task: &TaskContext) -> Result<Arc<Reading>> {
        Reading::of(task.session_config())
    }
}
