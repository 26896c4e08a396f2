//! The tables that have one row a tag: `tags` and `current_values`.

mod exec;
mod rows;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraint, Constraints};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};
use tagus_engine::scan::TagSelection;

pub(crate) use exec::{ListingExec, ListingPlan};

use crate::context::Reading;
use crate::output::time_type;
use crate::samples;

/// Which of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Listing {
    /// What is declared of each tag.
    Tags,
    /// Each tag's current value, where it has one.
    CurrentValues,
}

impl Listing {
    /// The columns as plans see them.
    pub(crate) fn schema(self) -> SchemaRef {
        match self {
            Listing::Tags => tags_schema(),
            Listing::CurrentValues => samples::schema(),
        }
    }

    /// The table's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Listing::Tags => "tags",
            Listing::CurrentValues => "current_values",
        }
    }
}

fn tags_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let tag = samples::schema().field(samples::column::TAG).clone();
        Arc::new(Schema::new(vec![
            tag,
            Field::new("type", DataType::Utf8, false),
            Field::new("unit", DataType::Utf8, true),
            Field::new("description", DataType::Utf8, true),
            Field::new("interpolation", DataType::Utf8, false),
            Field::new("low", DataType::Float64, true),
            Field::new("high", DataType::Float64, true),
            Field::new("states", DataType::Utf8, true),
            Field::new("future", DataType::Boolean, false),
            Field::new("created", time_type(), false),
            Field::new("reduction", DataType::Utf8, true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// One of the two tables. It holds nothing: what a query reads from comes with its session.
#[derive(Debug)]
pub(crate) struct ListingTable {
    listing: Listing,
    constraints: Constraints,
}

impl ListingTable {
    pub(crate) fn new(listing: Listing) -> ListingTable {
        // One row a tag: columns of `tags` may be selected beside GROUP BY tag.
        let constraints = Constraints::new_unverified(vec![Constraint::PrimaryKey(vec![samples::column::TAG])]);
        ListingTable { listing, constraints }
    }
}

#[async_trait]
impl TableProvider for ListingTable {
    fn schema(&self) -> SchemaRef {
        self.listing.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match samples::only_column(filter) {
                Some("tag") => TableProviderFilterPushDown::Exact,
                _ => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let reading = Reading::of(state.config())?;
        let filter = filters.iter().cloned().reduce(Expr::and);
        let tags = match reading.select(filter.as_ref())? {
            TagSelection::All | TagSelection::Everything => None,
            TagSelection::Ids(ids) => Some(ids),
        };
        let plan = ListingPlan {
            listing: self.listing,
            rows: tags.as_ref().map_or(reading.tags.len(), Vec::len),
            tags,
            projection: projection.cloned().unwrap_or_else(|| (0..self.schema().fields().len()).collect()),
            limit,
        };
        Ok(Arc::new(ListingExec::new(plan)?))
    }
}
