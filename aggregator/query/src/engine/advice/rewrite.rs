//! Other ways to ask the same: a statement is changed as text is, by its tree.

use std::ops::ControlFlow;

use ridealong_engine::datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Statement,
    Value, visit_expressions, visit_expressions_mut, visit_relations, visit_relations_mut,
};
use ridealong_engine::datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use ridealong_engine::datafusion::sql::sqlparser::parser::Parser;

/// A statement that may be faster, and how to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Alternative {
    pub text: String,
    pub sql: String,
}

const REQUESTS: &str = "requests";
const SUMMARIES: &str = "request_summaries";
/// Columns that summaries share with requests.
const SHARED: [&str; 5] = ["timestamp", "service", "route", "method", "status"];

/// The ways that are known for a statement.
pub(in crate::engine) fn alternatives(sql: &str) -> Vec<Alternative> {
    let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else { return Vec::new() };
    let [statement @ Statement::Query(_)] = &statements[..] else { return Vec::new() };
    [from_summaries(statement), with_bare_time(statement), with_bare_id(statement)].into_iter().flatten().collect()
}

/// Counts and latencies by route, from what agents add up rather than from single requests.
fn from_summaries(statement: &Statement) -> Option<Alternative> {
    let mut relations = Vec::new();
    let _: ControlFlow<()> = visit_relations(statement, |name| {
        relations.push(name.to_string());
        ControlFlow::Continue(())
    });
    if relations != [REQUESTS] {
        return None;
    }
    let mut statement = statement.clone();
    let mut found = 0;
    // Calls are replaced as they are left, so their arguments no longer stand there when columns are looked at.
    let _: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        if let Some(other) = of_summaries(expression) {
            *expression = other;
            found += 1;
        }
        ControlFlow::Continue(())
    });
    let mut is_known = found > 0;
    let _: ControlFlow<()> = visit_expressions(&statement, |expression| {
        if let Expr::Identifier(name) = expression {
            is_known &= SHARED.contains(&name.value.as_str()) || name.value.starts_with(MADE);
        }
        is_known &= !matches!(expression, Expr::CompoundIdentifier(_) | Expr::Wildcard(_));
        ControlFlow::Continue(())
    });
    let _: ControlFlow<()> = visit_relations_mut(&mut statement, |name| {
        *name = ObjectName::from(vec![Ident::new(SUMMARIES)]);
        ControlFlow::Continue(())
    });
    let sql = statement.to_string().replace(MADE, "");
    let text = format!("ask {SUMMARIES}, which is exact at any sampling rate, by intervals of 10 s: {sql}");
    is_known.then_some(Alternative { text, sql })
}

/// Before the names of columns that a replacement has brought in.
const MADE: &str = "summaries__";

/// What an aggregate over requests is over summaries.
fn of_summaries(expression: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expression else { return None };
    if function.over.is_some() || function.filter.is_some() {
        return None;
    }
    let arguments = arguments(function)?;
    let texts: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let other = match (function.name.to_string().to_lowercase().as_str(), &texts[..]) {
        ("count", ["*" | "1"]) => format!("sum({MADE}count)"),
        ("sum", ["duration_us"]) => format!("sum({MADE}duration_sum_us)"),
        ("max", ["duration_us"]) => format!("max({MADE}duration_max_us)"),
        ("avg", ["duration_us"]) => format!("sum({MADE}duration_sum_us) / CAST(sum({MADE}count) AS DOUBLE PRECISION)"),
        ("percentile", [p, "duration_us"]) => format!("percentile({p}, {MADE}duration_sketch)"),
        _ => return None,
    };
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(&other).ok()?;
    parser.parse_expr().ok().map(|parsed| Expr::Nested(Box::new(parsed)))
}

/// The plain arguments of a call.
fn arguments(function: &Function) -> Option<Vec<&FunctionArgExpr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(expression) => Some(expression),
        _ => None,
    });
    arguments.collect()
}

/// `CAST(timestamp AS date) = '2024-05-01'` and `date_trunc('day', timestamp) = …` as a range.
fn with_bare_time(statement: &Statement) -> Option<Alternative> {
    let sql = changed(statement, |expression| {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expression else { return None };
        let unit = unit_of(left)?;
        let start = literal(right)?;
        let range =
            format!("(timestamp >= TIMESTAMP '{start}' AND timestamp < TIMESTAMP '{start}' + INTERVAL '1 {unit}')");
        parsed(&range)
    })?;
    Some(Alternative { text: format!("compare timestamp itself, so that files can be left out: {sql}"), sql })
}

/// The length of time that an expression cuts `timestamp` to.
fn unit_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Cast { expr, data_type, .. } if is_column(expr, "timestamp") && data_type.to_string() == "DATE" => {
            Some("day".into())
        }
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("date_trunc") => {
            let arguments = arguments(function)?;
            let [FunctionArgExpr::Expr(unit), FunctionArgExpr::Expr(time)] = arguments[..] else { return None };
            let unit = literal(unit)?.to_lowercase();
            let is_known = ["second", "minute", "hour", "day", "week", "month", "year"].contains(&unit.as_str());
            (is_known && is_column(time, "timestamp")).then_some(unit)
        }
        _ => None,
    }
}

/// `lower(event_id) = '…'` and `CAST(event_id AS text) = '…'` without the call.
fn with_bare_id(statement: &Statement) -> Option<Alternative> {
    let sql = changed(statement, |expression| {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expression else { return None };
        let is_id = match left.as_ref() {
            Expr::Cast { expr, .. } => is_column(expr, "event_id"),
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("lower") => {
                matches!(arguments(function)?[..], [FunctionArgExpr::Expr(id)] if is_column(id, "event_id"))
            }
            _ => false,
        };
        let id = literal(right).filter(|_| is_id)?;
        parsed(&format!("event_id = '{}'", id.replace('\'', "''")))
    })?;
    Some(Alternative { text: format!("compare event_id itself, it is lower-case text: {sql}"), sql })
}

/// The statement with expressions replaced; None when none was.
fn changed(statement: &Statement, replace: impl Fn(&Expr) -> Option<Expr>) -> Option<String> {
    let mut statement = statement.clone();
    let mut found = false;
    let _: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        if let Some(other) = replace(expression) {
            *expression = other;
            found = true;
        }
        ControlFlow::Continue(())
    });
    found.then(|| statement.to_string())
}

fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

fn is_column(expression: &Expr, name: &str) -> bool {
    matches!(expression, Expr::Identifier(column) if column.value == name)
}

/// A text in quotes, also with its type before it.
fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Cast { expr, .. } => literal(expr),
        _ => None,
    }
}
