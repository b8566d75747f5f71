//! One mutation, and what it makes of rows: of those that a plan yields, or of a batch in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch, Scalar};
use ridealong_engine::datafusion::arrow::compute::kernels::zip::zip;
use ridealong_engine::datafusion::arrow::compute::{filter_record_batch, not, prep_null_mask_filter};
use ridealong_engine::datafusion::catalog::Session;
use ridealong_engine::datafusion::common::{Result, ScalarValue, ToDFSchema};
use ridealong_engine::datafusion::logical_expr::{Expr, when};
use ridealong_engine::datafusion::physical_expr::PhysicalExpr;
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_engine::datafusion::physical_plan::filter::FilterExec;
use ridealong_engine::datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use ridealong_engine::datafusion::prelude::{ident, lit};

/// A change of some rows of one table.
#[derive(Debug)]
pub struct Mutation {
    /// Mutations of all tables are counted from 1.
    pub number: u64,
    /// Which rows, in terms of the stored columns. Where it is null, the row stays as it is.
    pub filter: Expr,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Delete,
    /// Columns by name, with their new values.
    Set(Vec<(String, ScalarValue)>),
}

impl Mutation {
    /// Columns without which it cannot be applied.
    pub(crate) fn columns_read(&self) -> BTreeSet<String> {
        self.filter.column_refs().into_iter().map(|column| column.name.clone()).collect()
    }

    pub(crate) fn sets(&self, column: &str) -> bool {
        match &self.action {
            Action::Delete => false,
            Action::Set(values) => values.iter().any(|(name, _)| name == column),
        }
    }
}

/// A plan that yields what the mutations make, one after the other, of the rows of another. It has all columns that
/// their filters need.
pub(crate) fn applied(
    plan: Arc<dyn ExecutionPlan>,
    mutations: &[Arc<Mutation>],
    state: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut plan = plan;
    let mut rest = mutations;
    while let [first, ..] = rest {
        let deletions = rest.iter().take_while(|mutation| matches!(mutation.action, Action::Delete)).count();
        if deletions > 0 {
            // Deletions that follow each other are one.
            let filters = rest[..deletions].iter().map(|mutation| mutation.filter.clone());
            plan = without(plan, any(filters), state)?;
            rest = &rest[deletions..];
        } else {
            plan = corrected(plan, first, state)?;
            rest = &rest[1..];
        }
    }
    Ok(plan)
}

/// That one of the filters holds, as a tree of little depth.
fn any(filters: impl Iterator<Item = Expr>) -> Expr {
    let mut level: Vec<Expr> = filters.map(Expr::is_true).collect();
    while level.len() > 1 {
        let pairs = level.chunks(2).map(|pair| match pair {
            [one, other] => one.clone().or(other.clone()),
            alone => alone[0].clone(),
        });
        level = pairs.collect();
    }
    level.pop().unwrap_or_else(|| lit(false))
}

fn without(plan: Arc<dyn ExecutionPlan>, matches: Expr, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let kept = state.create_physical_expr(matches.is_not_true(), &plan.schema().to_dfschema()?)?;
    Ok(Arc::new(FilterExec::try_new(kept, plan)?))
}

fn corrected(plan: Arc<dyn ExecutionPlan>, mutation: &Mutation, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let Action::Set(values) = &mutation.action else { return Ok(plan) };
    let schema = plan.schema();
    let input = schema.clone().to_dfschema()?;
    let columns = schema.fields().iter().map(|field| {
        let column = ident(field.name());
        let value = values.iter().find(|(name, _)| name == field.name());
        let expression = match value {
            Some((_, value)) => {
                let value = lit(value.cast_to(field.data_type())?);
                when(mutation.filter.clone().is_true(), value).otherwise(column)?
            }
            None => column,
        };
        Ok(ProjectionExpr::new(state.create_physical_expr(expression, &input)?, field.name().clone()))
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, plan)?))
}

/// The same rows with these columns alone.
pub(crate) fn projected(plan: Arc<dyn ExecutionPlan>, names: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let columns = names.iter().map(|name| {
        let column = ridealong_engine::datafusion::physical_expr::expressions::col(name, &schema)?;
        Ok(ProjectionExpr::new(column, name.clone()))
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, plan)?))
}

/// A mutation made ready for batches of one shape.
pub(crate) struct Ready {
    matches: Arc<dyn PhysicalExpr>,
    action: Action,
}

impl Ready {
    pub fn new(mutation: &Mutation, like: &RecordBatch, state: &dyn Session) -> Result<Self> {
        let matches = state.create_physical_expr(mutation.filter.clone(), &like.schema().to_dfschema()?)?;
        Ok(Self { matches, action: mutation.action.clone() })
    }

    /// Which rows it changes; null nowhere.
    pub fn matching(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let matching = self.matches.evaluate(rows)?.into_array(rows.num_rows())?;
        let matching = matching.as_boolean();
        Ok(if matching.null_count() == 0 { matching.clone() } else { prep_null_mask_filter(matching) })
    }

    /// The rows as they are after it.
    pub fn apply(&self, rows: &RecordBatch, matching: &BooleanArray) -> Result<RecordBatch> {
        let values = match &self.action {
            Action::Delete => return Ok(filter_record_batch(rows, &not(matching)?)?),
            Action::Set(values) => values,
        };
        let mut columns = rows.columns().to_vec();
        for (name, value) in values {
            let at = rows.schema().index_of(name)?;
            let value = value.cast_to(columns[at].data_type())?.to_array()?;
            columns[at] = zip(matching, &Scalar::new(value), &columns[at])?;
        }
        Ok(RecordBatch::try_new(rows.schema(), columns)?)
    }
}
