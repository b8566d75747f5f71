//! Statements whose plans would be too large, or whose steps would take time and memory that nothing can bound.
//!
//! A `WITH` that names another twice doubles its plan, so twenty of them make a million steps out of a page of text. That is
//! found in the statement, before there is a plan; what needs the types of columns is found in the plan.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ridealong_engine::datafusion::common::ScalarValue;
use ridealong_engine::datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use ridealong_engine::datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, WindowFunctionDefinition};
use ridealong_engine::datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, ObjectName, Query, Visit, Visitor, visit_expressions,
};
use ridealong_model::query::QueryError;

/// Tables read by a statement, one named by a `WITH` as often as it is used.
const TABLES_MAX: usize = 200;
/// Columns in a CUBE: each doubles the groupings.
const CUBE_COLUMNS_MAX: usize = 6;
/// Steps of a plan.
const STEPS_MAX: usize = 5_000;
/// A pattern of LIKE: each row may cost its length times the pattern's.
const PATTERN_BYTES_MAX: usize = 4_096;
/// Aggregates whose state is small, so that one can be asked for at every row of a window.
const WINDOWED: [&str; 27] = [
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "var",
    "var_samp",
    "var_pop",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "corr",
    "covar",
    "covar_samp",
    "covar_pop",
    "first_value",
    "last_value",
    "nth_value",
    "percentile",
    "approx_percentile_cont",
    "approx_distinct",
];

/// Before planning.
pub(crate) fn check_statement(query: &Query) -> Result<(), QueryError> {
    let mut counting = Counting::default();
    // Counting does not break off.
    let _ = query.visit(&mut counting);
    if counting.all > TABLES_MAX {
        let text = format!("it reads more than {TABLES_MAX} tables, counting each use of what WITH names; use fewer");
        return Err(QueryError::Invalid(text));
    }
    let mut widest = 0;
    let _: ControlFlow<()> = visit_expressions(query, |expression| {
        if let AstExpr::Cube(columns) = expression {
            widest = widest.max(columns.len());
        }
        ControlFlow::Continue(())
    });
    if widest > CUBE_COLUMNS_MAX { Err(wide_cube(widest)) } else { Ok(()) }
}

fn wide_cube(columns: usize) -> QueryError {
    let text = format!("a CUBE of {columns} columns makes too many groupings, at most {CUBE_COLUMNS_MAX} are taken");
    QueryError::Invalid(text)
}

/// Counts the tables that a statement reads: what a `WITH` names as often as it is used, with all that it reads.
#[derive(Default)]
struct Counting {
    /// Of the queries being visited, the innermost last.
    counts: Vec<usize>,
    /// What each name stands for; of names given twice the larger.
    named: BTreeMap<String, usize>,
    /// Queries that have a name, by where they are.
    naming: BTreeMap<usize, String>,
    all: usize,
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query) as usize
}

impl Visitor for Counting {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.naming.insert(place(&table.query), table.alias.name.value.to_lowercase());
        }
        self.counts.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let count = self.counts.pop().unwrap_or(0);
        if let Some(name) = self.naming.remove(&place(query)) {
            let named = self.named.entry(name).or_default();
            *named = count.max(*named);
        }
        self.all = self.all.max(count);
        if let Some(outer) = self.counts.last_mut() {
            *outer = outer.saturating_add(count);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let name = name.to_string().trim_matches('"').to_lowercase();
        let count = self.named.get(&name).copied().unwrap_or(0).saturating_add(1);
        if let Some(inner) = self.counts.last_mut() {
            *inner = inner.saturating_add(count);
        }
        ControlFlow::Continue(())
    }
}

/// Before optimising.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut steps = 0;
    let mut fault = None;
    let walked = plan.apply_with_subqueries(|step| {
        steps += 1;
        if steps > STEPS_MAX {
            fault = Some(format!("its plan has more than {STEPS_MAX} steps"));
            return Ok(TreeNodeRecursion::Stop);
        }
        step.apply_expressions(|expression| {
            expression.apply(|part| {
                fault = fault.take().or_else(|| refused(part));
                Ok(if fault.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    });
    let fault = fault.or_else(|| walked.err().map(|error| error.strip_backtrace()));
    fault.map_or(Ok(()), |text| Err(QueryError::Invalid(text)))
}

fn refused(part: &Expr) -> Option<String> {
    match part {
        Expr::WindowFunction(function) => match &function.fun {
            WindowFunctionDefinition::AggregateUDF(aggregate) if !WINDOWED.contains(&aggregate.name()) => {
                let name = aggregate.name();
                Some(format!("{name} is not taken with OVER: it keeps every value of every row; group by instead"))
            }
            _ => None,
        },
        Expr::GroupingSet(GroupingSet::Cube(columns)) if columns.len() > CUBE_COLUMNS_MAX => {
            Some(wide_cube(columns.len()).to_string())
        }
        Expr::Like(like) | Expr::SimilarTo(like) => match &*like.pattern {
            Expr::Literal(
                ScalarValue::Utf8(Some(pattern))
                | ScalarValue::Utf8View(Some(pattern))
                | ScalarValue::LargeUtf8(Some(pattern)),
                _,
            ) if pattern.len() > PATTERN_BYTES_MAX => {
                Some(format!("a pattern has {} bytes, at most {PATTERN_BYTES_MAX} are taken", pattern.len()))
            }
            _ => None,
        },
        _ => None,
    }
}
