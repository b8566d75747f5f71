//! What the filters on sessions say about the visits that are needed.
//!
//! A filter that a row only passes when a text column has one of some values: the value came from some visit, so a
//! session that passes has a visit with such a value. Said of an id that all visits of a session share, it holds for
//! each of them.

use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::common::tree_node::TreeNode;
use ridealong_engine::datafusion::logical_expr::expr::InList;
use ridealong_engine::datafusion::logical_expr::utils::split_conjunction;
use ridealong_engine::datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, in_subquery,
};
use ridealong_engine::datafusion::prelude::{ident, lit};
use uuid::Uuid;

const SESSION_ID: &str = "session_id";
const USER_ID: &str = "user_id";
/// Columns of sessions that show a value of one of their visits under the same name.
const SHOWN: [&str; 6] = [USER_ID, "anonymous_id", "source", "country", "device_type", "platform"];

/// Columns with the values that they may have.
#[derive(Debug, Default)]
pub(super) struct Restrictions(Vec<(String, Vec<String>)>);

impl Restrictions {
    pub fn of(filters: &[Expr]) -> Self {
        Self(filters.iter().flat_map(|filter| split_conjunction(filter)).filter_map(one_of).collect())
    }

    /// The visits of named sessions; `again` is the same table once more.
    pub fn named(&self, visits: LogicalPlanBuilder, again: LogicalPlanBuilder) -> Result<LogicalPlan> {
        let mut visits = visits.filter(ident(SESSION_ID).is_not_null())?;
        for values in self.values(SESSION_ID) {
            visits = visits.filter(among(SESSION_ID, values))?;
        }
        for (column, values) in self.0.iter().filter(|(column, _)| SHOWN.contains(&column.as_str())) {
            let having = again.clone().filter(ident(SESSION_ID).is_not_null().and(among(column, values)))?;
            let having = having.project([ident(SESSION_ID)])?.build()?;
            visits = visits.filter(in_subquery(ident(SESSION_ID), having.into()))?;
        }
        visits.build()
    }

    /// The visits of sessions without a name of their own.
    pub fn unnamed(&self, visits: LogicalPlanBuilder) -> Result<LogicalPlan> {
        let known = ident(USER_ID).is_not_null().or(ident("anonymous_id").is_not_null());
        let mut visits = visits.filter(ident(SESSION_ID).is_null().and(known))?;
        for values in self.values(USER_ID) {
            visits = visits.filter(among(USER_ID, values))?;
        }
        // Their ids are made by us: another text is none of them.
        let made = |id: &String| Uuid::try_parse(id).is_ok_and(|id| id.get_version_num() == 5);
        if self.values(SESSION_ID).any(|values| !values.iter().any(made)) {
            visits = visits.filter(lit(false))?;
        }
        visits.build()
    }

    fn values(&self, column: &'static str) -> impl Iterator<Item = &[String]> {
        self.0.iter().filter(move |(name, _)| name == column).map(|(_, values)| values.as_slice())
    }
}

fn among(column: &str, values: &[String]) -> Expr {
    ident(column).in_list(values.iter().map(|value| lit(value.as_str())).collect(), false)
}

/// The column and the values that a filter lets through; None when it says something else.
fn one_of(filter: &Expr) -> Option<(String, Vec<String>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), value) | (value, Expr::Column(column)) => {
                Some((column.name.clone(), vec![text(value)?]))
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((column, mut values), (other, more)) = (one_of(left)?, one_of(right)?);
            values.extend(more);
            (column == other).then_some((column, values))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = expr.as_ref() else { return None };
            Some((column.name.clone(), list.iter().map(text).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn text(value: &Expr) -> Option<String> {
    let Expr::Literal(literal, _) = value else { return None };
    literal.try_as_str().flatten().map(str::to_owned)
}

/// Whether a filter holds a statement of its own: that stays with the statement it is part of.
pub(super) fn has_subquery(filter: &Expr) -> bool {
    filter.exists(|part| Ok(is_subquery(part))).unwrap_or(true)
}

pub(crate) fn is_subquery(part: &Expr) -> bool {
    matches!(
        part,
        Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
    )
}
