//! Predicates over one column of words, evaluated on the words themselves.
//!
//! There are far fewer tags than samples, so any predicate over `tag` alone (=, IN, LIKE, a regular
//! expression, upper(tag) = ...) is settled by evaluating it on the list of names.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int8Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use tagus_engine::TagTable;
use tagus_engine::tag::TagId;

/// Names evaluated at once.
const CHUNK: usize = 8192;

/// The one column that `expr` depends on, where there is exactly one and nothing else matters:
/// no subquery, no random function.
pub(crate) fn only_column(expr: &Expr) -> Option<&str> {
    let mut name: Option<&str> = None;
    let mut alone = true;
    // The closure cannot fail; a failure would only make the predicate unknown.
    let walked = expr.apply(|node| {
        match node {
            Expr::Column(column) => {
                alone &= name.is_none_or(|known| known == column.name);
                name = Some(&column.name);
            }
            Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Placeholder(_)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Unnest(_) => alone = false,
            _ => alone &= !node.is_volatile_node(),
        }
        Ok(if alone { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.ok()?;
    name.filter(|_| alone)
}

/// A predicate over one column of words.
pub(crate) struct Predicate {
    schema: SchemaRef,
    expr: Arc<dyn PhysicalExpr>,
}

impl Predicate {
    /// The predicate `expr` over the column `name` of `samples`.
    pub(crate) fn over_words(name: &str, expr: &Expr) -> Result<Predicate> {
        let schema = super::schema();
        let field: &Field = schema.field_with_name(name)?;
        let schema = Arc::new(Schema::new(vec![field.clone()]));
        Predicate::new(schema, &unnormalize_col(expr.clone()))
    }

    fn new(schema: SchemaRef, expr: &Expr) -> Result<Predicate> {
        let columns = DFSchema::try_from(Arc::clone(&schema))?;
        let expr = create_physical_expr(expr, &columns, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        Ok(Predicate { schema, expr })
    }

    /// A filter of a running plan over the column `tag` alone; `None` where it looks at others.
    pub(crate) fn over_tags(filter: &Arc<dyn PhysicalExpr>) -> Option<Predicate> {
        if collect_columns(filter).iter().any(|column| column.name() != "tag") {
            return None;
        }
        let schema = Arc::new(super::schema().project(&[super::column::TAG]).ok()?);
        let expr = reassign_expr_columns(Arc::clone(filter), &schema).ok()?;
        Some(Predicate { schema, expr })
    }

    /// For each of the words, whether the predicate is true.
    pub(crate) fn matches(&self, words: &[&str]) -> Result<Vec<bool>> {
        let mut matches = Vec::with_capacity(words.len());
        for words in words.chunks(CHUNK) {
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![self.column(words)?])?;
            let result = self.expr.evaluate(&batch)?.into_array(words.len())?;
            let result = result
                .as_boolean_opt()
                .ok_or_else(|| DataFusionError::Plan("a filter must be true or false".to_owned()))?;
            matches.extend(result.iter().map(|m| m == Some(true)));
        }
        Ok(matches)
    }

    /// The tags for whose names the predicate is true.
    pub(crate) fn choose(&self, tags: &[(TagId, &str)]) -> Result<Vec<TagId>> {
        let names: Vec<&str> = tags.iter().map(|(_, name)| *name).collect();
        let matches = self.matches(&names)?;
        Ok(tags.iter().zip(matches).filter(|(_, matches)| *matches).map(|((id, _), _)| *id).collect())
    }

    /// The words as the column has them: a dictionary in which each occurs once.
    fn column(&self, words: &[&str]) -> Result<ArrayRef> {
        let values = Arc::new(StringArray::from_iter_values(words));
        match self.schema.field(0).data_type() {
            DataType::Dictionary(key, _) if **key == DataType::Int32 => {
                let keys = (0_i32..).take(words.len()).collect::<Int32Array>();
                Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
            }
            DataType::Dictionary(key, _) if **key == DataType::Int8 => {
                let keys = (0_i8..).take(words.len()).collect::<Int8Array>();
                Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
            }
            _ => Ok(values),
        }
    }
}

/// The tags for which a predicate over `tag` is true, by id.
pub(crate) fn matching_tags(expr: &Expr, tags: &TagTable) -> Result<Vec<TagId>> {
    let predicate = Predicate::over_words("tag", expr)?;
    let candidates: Vec<(TagId, &str)> = match candidates(expr) {
        Some(names) => {
            let mut found: Vec<_> = names.into_iter().filter_map(|name| tags.find_exact(name)).collect();
            found.sort_by_key(|tag| tag.id);
            found.into_iter().map(|tag| (tag.id, tag.spec.name.as_str())).collect()
        }
        None => tags.iter().map(|tag| (tag.id, tag.spec.name.as_str())).collect(),
    };
    predicate.choose(&candidates)
}

/// Names outside of which the predicate is certainly not true, where it lists such names. It spares
/// walking all tags for the commonest filters.
fn candidates(expr: &Expr) -> Option<BTreeSet<&str>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let name = match (&**left, &**right) {
                (Expr::Column(_), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(_)) => value,
                _ => return None,
            };
            name.try_as_str().map(|name| name.into_iter().collect())
        }
        Expr::InList(list) if !list.negated && matches!(&*list.expr, Expr::Column(_)) => {
            let names = list.list.iter().map(|item| match item {
                Expr::Literal(value, _) => value.try_as_str(),
                _ => None,
            });
            names.collect::<Option<Vec<_>>>().map(|names| names.into_iter().flatten().collect())
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (candidates(left), candidates(right)) {
                (Some(a), Some(b)) => Some(a.intersection(&b).copied().collect()),
                (a, b) => a.or(b),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut names = candidates(left)?;
            names.extend(candidates(right)?);
            Some(names)
        }
        _ => None,
    }
}
