//! A condition over the columns of one table, as SQL, made ready to be evaluated on rows as they are stored.
//!
//! It says the same of a row whenever it is evaluated: no subqueries, no aggregates, nothing that depends on the time of
//! day or on chance. Ids are written as text and can be compared with `=` and `IN`.

use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Schema};
use ridealong_engine::datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use ridealong_engine::datafusion::common::{DataFusionError, Result, ToDFSchema};
use ridealong_engine::datafusion::logical_expr::simplify::SimplifyContext;
use ridealong_engine::datafusion::logical_expr::{Expr, Volatility};
use ridealong_engine::datafusion::optimizer::simplify_expressions::ExprSimplifier;
use ridealong_engine::datafusion::prelude::SessionContext;
use thiserror::Error;

use crate::schema::{file_schema, public_schema};
use crate::stored_filter::on_stored;

/// Longest condition.
const BYTES_MAX: usize = 4_096;

#[derive(Debug, Error)]
pub enum ConditionError {
    #[error("the condition has {0} bytes, at most {BYTES_MAX} are read")]
    TooLong(usize),
    #[error("the condition cannot be read: {0}")]
    Unreadable(String),
    #[error("the condition is no true or false, it is {0}")]
    NotBoolean(DataType),
    #[error("{0} is not allowed in a condition: it must say the same of a row whenever it is asked")]
    NotConstant(String),
    #[error("{0} is an id: compare it with a UUID in lower case by = or IN")]
    Id(String),
}

/// Reads a condition over a table's columns.
pub(crate) fn read(sql: &str, table: Table, session: &SessionContext) -> Result<Expr, ConditionError> {
    if sql.len() > BYTES_MAX {
        return Err(ConditionError::TooLong(sql.len()));
    }
    let unreadable = |error: DataFusionError| ConditionError::Unreadable(error.strip_backtrace());
    let shown = public_schema(table);
    let over_shown = Arc::new(shown.as_ref().clone().to_dfschema().map_err(unreadable)?);
    let condition = session.parse_sql_expr(sql, &over_shown).map_err(unreadable)?;
    check_constant(&condition)?;
    let condition = on_stored_ids(condition, table)?;
    let stored = Arc::new(file_schema(table).as_ref().clone().to_dfschema().map_err(unreadable)?);
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(&stored)).build());
    let condition = simplifier.coerce(condition, &stored).map_err(unreadable)?;
    let kind = ridealong_engine::datafusion::logical_expr::ExprSchemable::get_type(&condition, &*stored);
    match kind.map_err(unreadable)? {
        DataType::Boolean => Ok(condition),
        other => Err(ConditionError::NotBoolean(other)),
    }
}

fn check_constant(condition: &Expr) -> Result<(), ConditionError> {
    let mut found = None;
    let looked = condition.apply(|part| {
        let volatile = match part {
            Expr::ScalarFunction(function) => function.func.signature().volatility != Volatility::Immutable,
            Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::Placeholder(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::ScalarVariable(..) => true,
            _ => false,
        };
        if volatile {
            found = Some(part.to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (found, looked) {
        (Some(part), _) => Err(ConditionError::NotConstant(part)),
        (None, Err(error)) => Err(ConditionError::Unreadable(error.strip_backtrace())),
        (None, Ok(_)) => Ok(()),
    }
}

/// Comparisons of ids as text become comparisons of the bytes that are stored.
fn on_stored_ids(condition: Expr, table: Table) -> Result<Expr, ConditionError> {
    let (shown, stored) = (public_schema(table), file_schema(table));
    let is_id = |name: &str| kind(&shown, name) != kind(&stored, name);
    let mut unsaid = None;
    let transformed = condition.transform_down(|part| {
        let Some(id) = part.column_refs().into_iter().find(|column| is_id(&column.name)) else {
            return Ok(Transformed::new(part, false, TreeNodeRecursion::Jump));
        };
        match &part {
            Expr::BinaryExpr(_) | Expr::InList(_) => match on_stored(&part, &shown, &stored) {
                Some(comparison) => Ok(Transformed::new(comparison, true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(part)),
            },
            Expr::Column(_) => {
                unsaid = Some(id.name.clone());
                Ok(Transformed::new(part, false, TreeNodeRecursion::Stop))
            }
            _ => Ok(Transformed::no(part)),
        }
    });
    match (unsaid, transformed) {
        (Some(name), _) => Err(ConditionError::Id(name)),
        (None, Err(error)) => Err(ConditionError::Unreadable(error.strip_backtrace())),
        (None, Ok(transformed)) => Ok(transformed.data),
    }
}

fn kind(schema: &Schema, name: &str) -> Option<DataType> {
    schema.field_with_name(name).ok().map(|field| field.data_type().clone())
}
