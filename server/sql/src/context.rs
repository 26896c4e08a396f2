//! What a running query reads from: handed to plan nodes through the session, never held by them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionConfig;
use tagus_engine::scan::{ReadView, TagSelection};
use tagus_engine::tag::TagId;
use tagus_engine::{Engine, TagTable, unknown_tag};

use crate::error::external;
use crate::samples::matching_tags;

/// The engine and the one read view that all scans of a query share.
pub(crate) struct Reading {
    pub(crate) engine: Engine,
    pub(crate) view: ReadView,
    /// The tags of the view.
    pub(crate) tags: Arc<TagTable>,
    /// The tags that the session may see, where it may not see all.
    visible: Option<BTreeSet<TagId>>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl Reading {
    /// What a query that begins now reads from. With `globs`, it sees the tags whose names match
    /// one of them.
    pub(crate) fn begin(engine: &Engine, globs: Option<&[String]>) -> Reading {
        let view = engine.view();
        let tags = Arc::clone(view.tags());
        let visible = globs.map(|globs| globs.iter().flat_map(|glob| tags.glob(glob)).map(|tag| tag.id).collect());
        Reading { engine: engine.clone(), view, tags, visible }
    }

    /// The tags for which a predicate over `tag` is true, and which the session may see.
    pub(crate) fn select(&self, predicate: Option<&Expr>) -> Result<TagSelection> {
        let visible = |id: &TagId| self.visible.as_ref().is_none_or(|visible| visible.contains(id));
        Ok(match (predicate, &self.visible) {
            (Some(predicate), _) => {
                TagSelection::Ids(matching_tags(predicate, &self.tags)?.into_iter().filter(visible).collect())
            }
            (None, Some(visible)) => TagSelection::Ids(visible.iter().copied().collect()),
            (None, None) => TagSelection::All,
        })
    }

    /// The tags of these names and patterns that the session may see, ascending and each once.
    pub(crate) fn named(&self, patterns: &[String]) -> Result<Vec<TagId>> {
        let mut tags = Vec::new();
        for pattern in patterns {
            let found = self.tags.glob(pattern);
            let visible = |id: &TagId| self.visible.as_ref().is_none_or(|visible| visible.contains(id));
            let before = tags.len();
            tags.extend(found.iter().map(|tag| tag.id).filter(visible));
            if tags.len() == before && !pattern.contains(['*', '?']) {
                return Err(external(self.unknown(pattern)));
            }
        }
        tags.sort_unstable();
        tags.dedup();
        Ok(tags)
    }

    /// That there is no such tag; the names it suggests are those that the session may see.
    fn unknown(&self, name: &str) -> tagus_engine::Error {
        match &self.visible {
            None => unknown_tag(name, &self.tags),
            Some(_) => unknown_tag(name, &TagTable::default()),
        }
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
