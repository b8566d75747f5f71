//! Filters as SQL writes them, on ids as text, turned into filters on ids as they are stored, so that they can skip files
//! and row groups.

use ridealong_engine::datafusion::arrow::datatypes::SchemaRef;
use ridealong_engine::datafusion::common::ScalarValue;
use ridealong_engine::datafusion::logical_expr::expr::InList;
use ridealong_engine::datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use uuid::Uuid;

/// The same filter on the stored columns; None when it cannot be said there.
pub fn on_stored(filter: &Expr, shown: &SchemaRef, stored: &SchemaRef) -> Option<Expr> {
    let is_id = |name: &str| {
        let kind = |schema: &SchemaRef| schema.field_with_name(name).ok().map(|field| field.data_type().clone());
        kind(shown) != kind(stored)
    };
    if !filter.column_refs().iter().any(|column| is_id(&column.name)) {
        return Some(filter.clone());
    }
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, value) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(_), value) => (left, value),
                (value, Expr::Column(_)) => (right, value),
                _ => return None,
            };
            Some(Expr::BinaryExpr(BinaryExpr::new(column.clone(), Operator::Eq, Box::new(stored_id(value)?))))
        }
        Expr::InList(InList { expr, list, negated: false }) if matches!(**expr, Expr::Column(_)) => {
            let list = list.iter().map(stored_id).collect::<Option<Vec<_>>>()?;
            Some(Expr::InList(InList::new(expr.clone(), list, false)))
        }
        _ => None,
    }
}

/// An id written as lower-case UUID text, as its bytes. Another spelling equals no shown id and is left to the filter
/// above the scan.
fn stored_id(value: &Expr) -> Option<Expr> {
    let Expr::Literal(literal, metadata) = value else { return None };
    let text = literal.try_as_str().flatten()?;
    let id = Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)?;
    Some(Expr::Literal(ScalarValue::Binary(Some(id.as_bytes().to_vec())), metadata.clone()))
}
