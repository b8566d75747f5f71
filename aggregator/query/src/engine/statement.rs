//! A statement as it was asked, and what its answer depends on.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use ridealong_engine::datafusion::logical_expr::{Expr, LogicalPlan, Operator, Volatility};
use ridealong_lake::Snapshot;
use ridealong_model::query::{Param, QueryRequest};
use ridealong_model::segment::Segment;
use ridealong_model::tenant::TenantId;

use crate::segments::Segments;

/// Equal statements over the same rows have the same answer, if [`Reads`] says so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    pub tenant: TenantId,
    pub sql: Arc<str>,
    pub params: Vec<Param>,
    pub rows_max: usize,
}

impl Statement {
    pub fn of(tenant: &TenantId, request: &QueryRequest) -> Self {
        let (sql, params) = (Arc::from(request.sql.as_str()), request.params.clone());
        Self { tenant: tenant.clone(), sql, params, rows_max: request.rows_max }
    }

    pub fn bytes(&self) -> usize {
        let params = self.params.iter().map(|param| match param {
            Param::Text(text) => text.len(),
            _ => 0,
        });
        size_of::<Self>() + self.sql.len() + params.sum::<usize>() + self.params.len() * size_of::<Param>()
    }
}

/// A parameter that is no number equals nothing, not even itself; such a statement is never found again.
impl Eq for Statement {}

impl Hash for Statement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.tenant, &self.sql, self.rows_max, self.params.len()).hash(state);
        for param in &self.params {
            match param {
                Param::Null => 0.hash(state),
                Param::Boolean(value) => value.hash(state),
                Param::Integer(number) => number.hash(state),
                Param::Float(number) => number.to_bits().hash(state),
                Param::Text(text) => text.hash(state),
            }
        }
    }
}

/// What a statement reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub tables: BTreeSet<Table>,
    /// Rules of segments.
    rules: bool,
    /// Its answer may differ though its tables do not: it asks for the time, for chance, for how the system is doing.
    varies: bool,
    /// It compares `timestamp` itself with something.
    pub bounds_time: bool,
}

/// The rows that an answer was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    revisions: Vec<(Table, Option<u64>)>,
    rules: Option<Arc<[Segment]>>,
}

const TIMESTAMP: &str = "timestamp";

/// Words that make a rule depend on the time.
const TIMELY: [&str; 3] = ["now", "current", "today"];

impl Reads {
    /// Of a plan before it is optimised: then functions still stand in it.
    pub fn of(plan: &LogicalPlan) -> Self {
        let mut reads = Self::default();
        let walked = plan.apply_with_subqueries(|step| {
            match step {
                LogicalPlan::TableScan(scan) => reads.table(scan.table_name.schema(), scan.table_name.table()),
                LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => reads.varies = true,
                _ => {}
            }
            step.apply_expressions(|expression| {
                expression.apply(|part| {
                    reads.varies |= varies(part);
                    reads.bounds_time |= bounds_time(part);
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        });
        reads.varies |= walked.is_err();
        reads
    }

    fn table(&mut self, schema: Option<&str>, name: &str) {
        let table = match name {
            _ if schema.is_some_and(|schema| schema != "public") => None,
            "users" => {
                self.rules = true;
                Some(Table::Visits)
            }
            "sessions" => Some(Table::Visits),
            name => Table::from_name(name).filter(|table| *table != Table::Visits),
        };
        match table {
            Some(table) => {
                self.tables.insert(table);
            }
            None => self.varies = true,
        }
    }

    /// Of what rows the answer would be made now; None when that does not say what it is.
    pub fn basis(&self, snapshot: &Snapshot, segments: &Segments) -> Option<Basis> {
        if self.varies {
            return None;
        }
        let rules = self.rules.then(|| segments.rules.segments(&segments.tenant));
        let timely = |rule: &Segment| {
            let condition = rule.condition.to_lowercase();
            TIMELY.iter().any(|word| condition.contains(word))
        };
        if rules.iter().flat_map(|rules| rules.iter()).any(timely) {
            return None;
        }
        Some(Basis { revisions: self.tables.iter().map(|table| (*table, snapshot.revision(*table))).collect(), rules })
    }

    /// Files of the tables that it names.
    pub fn files(&self, snapshot: &Snapshot) -> u64 {
        let tables = self.tables.iter().filter_map(|table| snapshot.table(*table));
        tables.map(|table| table.cold.files.len() as u64).sum()
    }
}

fn bounds_time(part: &Expr) -> bool {
    let is_time = |expression: &Expr| matches!(expression, Expr::Column(column) if column.name == TIMESTAMP);
    match part {
        Expr::BinaryExpr(binary) => {
            let compares =
                matches!(binary.op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
            compares && (is_time(&binary.left) || is_time(&binary.right))
        }
        Expr::Between(between) => is_time(&between.expr),
        _ => false,
    }
}

fn varies(part: &Expr) -> bool {
    let volatility = match part {
        Expr::ScalarFunction(function) => function.func.signature().volatility,
        Expr::AggregateFunction(function) => function.func.signature().volatility,
        Expr::ScalarVariable(..) => return true,
        _ => return false,
    };
    volatility != Volatility::Immutable
}
