//! Which rows count: tests of one column each, all of which must hold. A null passes none but `exists` with false.

use std::cmp::Ordering;
use std::collections::HashSet;

use foldhash::fast::RandomState;
use ridealong_common::table::{Column, ColumnKind};
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use ridealong_engine::datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use ridealong_model::metrics::{AskedFilter, FILTER_VALUES_MAX};
use serde_json::Value as Json;

use super::nearest;
use crate::cells::dictionary::Value;
use crate::cells::kernel::{FoldError, id_text, texts};

/// A test of one column.
#[derive(Clone, Debug)]
pub struct Filter {
    pub column: &'static Column,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    In(HashSet<Literal, RandomState>),
    NotIn(HashSet<Literal, RandomState>),
    Ordered(Literal, fn(Ordering) -> bool),
    Contains(String),
    StartsWith(String),
    Exists(bool),
}

/// A value as a filter compares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Literal {
    Boolean(bool),
    /// Integers and times.
    Integer(i64),
    /// The bits of a number with a fraction; zero has one form.
    Float(u64),
    Text(String),
}

/// A value of a row.
#[derive(Clone, Copy, Debug)]
enum Seen<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

pub const OPERATORS: [&str; 11] =
    ["=", "!=", "in", "not_in", "<", "<=", ">", ">=", "contains", "starts_with", "exists"];

impl Filter {
    /// Reads one; the error says what is wrong with it.
    pub fn read(asked: &AskedFilter, column: &'static Column) -> Result<Self, String> {
        let kind = column.kind;
        if kind == ColumnKind::Sketch {
            return Err(format!("{} is a sketch and cannot be filtered by", column.name));
        }
        let value = asked.value.as_ref();
        let missing = || format!("op {} needs a value", asked.op);
        let one = || value.ok_or_else(missing).and_then(|value| literal(value, column));
        let ordered = |holds: fn(Ordering) -> bool| match kind {
            ColumnKind::Boolean => Err(format!("{} is true or false; use = or !=", column.name)),
            _ => Ok(Test::Ordered(one()?, holds)),
        };
        let text = || match (kind, one()?) {
            (ColumnKind::Text | ColumnKind::Id, Literal::Text(text)) => Ok(text),
            _ => Err(format!("op {} is for texts, and {} is none", asked.op, column.name)),
        };
        let test = match asked.op.as_str() {
            "=" => Test::In([one()?].into_iter().collect()),
            "!=" => Test::NotIn([one()?].into_iter().collect()),
            "in" => Test::In(several(value, column)?),
            "not_in" => Test::NotIn(several(value, column)?),
            "<" => ordered(Ordering::is_lt)?,
            "<=" => ordered(Ordering::is_le)?,
            ">" => ordered(Ordering::is_gt)?,
            ">=" => ordered(Ordering::is_ge)?,
            "contains" => Test::Contains(text()?),
            "starts_with" => Test::StartsWith(text()?),
            "exists" => match value {
                None | Some(Json::Bool(true)) => Test::Exists(true),
                Some(Json::Bool(false)) => Test::Exists(false),
                Some(other) => return Err(format!("op exists takes true, false or no value, this is {other}")),
            },
            unknown => {
                let operators = OPERATORS.join(" ");
                return Err(format!("op {unknown:?} is none of {operators}{}", nearest(unknown, &OPERATORS)));
            }
        };
        Ok(Self { column, test })
    }

    /// Whether a dimension's value passes.
    pub fn passes(&self, value: &Value) -> bool {
        self.holds(match value {
            Value::Null => Seen::Null,
            Value::Boolean(value) => Seen::Boolean(*value),
            Value::Integer(value) => Seen::Integer(*value),
            Value::Text(text) => Seen::Text(text),
        })
    }

    /// Keeps those rows of a column that pass.
    pub fn retain(&self, column: &ArrayRef, rows: &mut Vec<u32>) -> Result<(), FoldError> {
        let seen = |row: usize, value: &dyn Fn(usize) -> bool| match column.is_valid(row) {
            true => value(row),
            false => self.holds(Seen::Null),
        };
        let mut keep = |value: &dyn Fn(usize) -> bool| rows.retain(|row| seen(*row as usize, value));
        match self.column.kind {
            ColumnKind::Integer => {
                let integers = column.as_primitive_opt::<Int64Type>().ok_or(FoldError::Column(self.column.name))?;
                keep(&|row| self.holds(Seen::Integer(integers.value(row))));
            }
            ColumnKind::Time => {
                let times = column.as_primitive_opt::<TimestampMicrosecondType>();
                let times = times.ok_or(FoldError::Column(self.column.name))?;
                keep(&|row| self.holds(Seen::Integer(times.value(row))));
            }
            ColumnKind::Float => {
                let floats = column.as_primitive_opt::<Float64Type>().ok_or(FoldError::Column(self.column.name))?;
                keep(&|row| self.holds(Seen::Float(floats.value(row))));
            }
            ColumnKind::Boolean => {
                let booleans = column.as_boolean_opt().ok_or(FoldError::Column(self.column.name))?;
                keep(&|row| self.holds(Seen::Boolean(booleans.value(row))));
            }
            ColumnKind::Id => {
                let ids: &BinaryArray = column.as_binary_opt().ok_or(FoldError::Column(self.column.name))?;
                keep(&|row| self.holds(Seen::Text(&id_text(ids.value(row)))));
            }
            ColumnKind::Text | ColumnKind::Sketch => {
                let texts = texts(column)?;
                keep(&|row| self.holds(Seen::Text(texts.value(row))));
            }
        }
        Ok(())
    }

    fn holds(&self, seen: Seen<'_>) -> bool {
        match (&self.test, seen) {
            (Test::Exists(exists), seen) => *exists != matches!(seen, Seen::Null),
            (_, Seen::Null) => false,
            (Test::In(values), seen) => values.iter().any(|value| value.compare(seen).is_eq()),
            (Test::NotIn(values), seen) => !values.iter().any(|value| value.compare(seen).is_eq()),
            (Test::Ordered(value, holds), seen) => holds(value.compare(seen).reverse()),
            (Test::Contains(part), Seen::Text(text)) => text.contains(part.as_str()),
            (Test::StartsWith(part), Seen::Text(text)) => text.starts_with(part.as_str()),
            (Test::Contains(_) | Test::StartsWith(_), _) => false,
        }
    }
}

impl Literal {
    /// Kinds that cannot be compared are never equal; a question is refused before that.
    fn compare(&self, seen: Seen<'_>) -> Ordering {
        match (self, seen) {
            (Self::Boolean(ours), Seen::Boolean(value)) => ours.cmp(&value),
            (Self::Integer(ours), Seen::Integer(value)) => ours.cmp(&value),
            (Self::Integer(ours), Seen::Float(value)) => (*ours as f64).total_cmp(&(value + 0.0)),
            (Self::Float(ours), Seen::Float(value)) => f64::from_bits(*ours).total_cmp(&(value + 0.0)),
            (Self::Float(ours), Seen::Integer(value)) => f64::from_bits(*ours).total_cmp(&(value as f64)),
            (Self::Text(ours), Seen::Text(value)) => ours.as_str().cmp(value),
            _ => Ordering::Less,
        }
    }
}

fn literal(value: &Json, column: &Column) -> Result<Literal, String> {
    let wrong = |wanted: &str| Err(format!("{} is compared with {wanted}, this is {value}", column.name));
    match (column.kind, value) {
        (_, Json::Null) => Err("a value must not be null; op exists with false finds what is null".to_owned()),
        (ColumnKind::Boolean, Json::Bool(value)) => Ok(Literal::Boolean(*value)),
        (ColumnKind::Boolean, _) => wrong("true or false"),
        (ColumnKind::Integer | ColumnKind::Float, Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(Literal::Integer(integer)),
            (None, Some(float)) => Ok(Literal::Float((float + 0.0).to_bits())),
            (None, None) => wrong("a 64-bit number"),
        },
        (ColumnKind::Integer | ColumnKind::Float, _) => wrong("a number"),
        (ColumnKind::Time, Json::String(text)) => match Timestamp::parse(text) {
            Some(time) => Ok(Literal::Integer(time.micros())),
            None => wrong("a time as 2026-11-20T08:15:30Z"),
        },
        (ColumnKind::Time, _) => wrong("a time as 2026-11-20T08:15:30Z"),
        (ColumnKind::Id, Json::String(text)) => Ok(Literal::Text(text.to_ascii_lowercase())),
        (_, Json::String(text)) => Ok(Literal::Text(text.clone())),
        _ => wrong("a text"),
    }
}

fn several(value: Option<&Json>, column: &Column) -> Result<HashSet<Literal, RandomState>, String> {
    let Some(Json::Array(values)) = value else {
        return Err("ops in and not_in take a list of values, for example [\"a\", \"b\"]".to_owned());
    };
    if values.len() > FILTER_VALUES_MAX {
        return Err(format!("a list may have {FILTER_VALUES_MAX} values, this has {}", values.len()));
    }
    values.iter().map(|value| literal(value, column)).collect()
}
