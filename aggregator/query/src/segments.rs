//! Segments: rules about a row of `users`, compiled into one function that names the first that holds.
//!
//! No rule can make `users` unreadable. One that does not compile is left out; one that fails on some rows (a division
//! by zero, a text that is no number) does not hold for these. Both are warned of, at most once in a while.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ridealong_engine::datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use ridealong_engine::datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use ridealong_engine::datafusion::common::{DFSchema, DataFusionError, Result};
use ridealong_engine::datafusion::execution::SessionState;
use ridealong_engine::datafusion::logical_expr::simplify::SimplifyContext;
use ridealong_engine::datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use ridealong_engine::datafusion::optimizer::simplify_expressions::ExprSimplifier;
use ridealong_engine::datafusion::physical_plan::PhysicalExpr;
use ridealong_engine::datafusion::prelude::ident;
use ridealong_model::segment::{CONDITION_BYTES_MAX, ConditionFault, SEGMENTS_MAX, Segment, SegmentRules};
use ridealong_model::tenant::TenantId;

use crate::derived::ruled_schema;

/// A column that rules get even if they name none.
const ALWAYS: &str = "event_count";
/// Between two warnings about rules.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// The rules of one tenant. They are asked for when a query wants segments.
#[derive(Clone)]
pub(crate) struct Segments {
    pub rules: Arc<dyn SegmentRules>,
    pub tenant: TenantId,
    pub warnings: Arc<Warnings>,
}

impl fmt::Debug for Segments {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "segments of {}", self.tenant)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    fn warn(&self, segment: &str, error: &dyn fmt::Display) {
        let mut last = self.0.lock();
        if last.is_none_or(|last| last.elapsed() >= WARNING_PAUSE) {
            *last = Some(Instant::now());
            tracing::warn!(segment, %error, "the rule of a segment is skipped where it fails");
        }
    }
}

impl Segments {
    /// A user's segment; None when there are no rules.
    pub fn expression(&self, state: &SessionState) -> Result<Option<Expr>> {
        let mut conditions = Vec::new();
        let segments = self.rules.segments(&self.tenant);
        for segment in segments.iter().take(SEGMENTS_MAX) {
            match condition(&segment.condition, state) {
                Ok(condition) => conditions.push((segment, condition)),
                Err(fault) => self.warnings.warn(&segment.name, &fault),
            }
        }
        if conditions.is_empty() {
            return Ok(None);
        }
        let schema = Arc::new(schema_of(conditions.iter().map(|(_, condition)| condition))?);
        let named = DFSchema::try_from(Arc::clone(&schema))?;
        let mut rules = Vec::with_capacity(conditions.len());
        for (segment, condition) in conditions {
            match state.create_physical_expr(condition, &named) {
                Ok(condition) => rules.push(Rule { segment: segment.clone(), condition }),
                Err(error) => self.warnings.warn(&segment.name, &error.strip_backtrace()),
            }
        }
        let kinds = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let columns = schema.fields().iter().map(|field| ident(field.name())).collect();
        let signature = Signature::exact(kinds, Volatility::Stable);
        let function = FirstThatHolds { rules, schema, signature, warnings: Arc::clone(&self.warnings) };
        Ok(Some(ScalarUDF::new_from_impl(function).call(columns)))
    }
}

/// The columns that conditions name, so that no other has to be made; at least one.
fn schema_of<'a>(conditions: impl Iterator<Item = &'a Expr>) -> Result<Schema> {
    let all = ruled_schema();
    let mut named: Vec<usize> = vec![all.index_of(ALWAYS)?];
    for column in conditions.flat_map(Expr::column_refs) {
        named.push(all.index_of(&column.name)?);
    }
    named.sort_unstable();
    named.dedup();
    Ok(all.project(&named)?)
}

/// Whether a condition may be a rule.
pub(crate) fn check(text: &str, state: &SessionState) -> Result<(), ConditionFault> {
    let schema = DFSchema::try_from(ruled_schema()).map_err(unreadable)?;
    state.create_physical_expr(condition(text, state)?, &schema).map(drop).map_err(unreadable)
}

fn condition(text: &str, state: &SessionState) -> Result<Expr, ConditionFault> {
    if text.len() > CONDITION_BYTES_MAX {
        return Err(ConditionFault::TooLong(text.len()));
    }
    let schema = DFSchema::try_from(ruled_schema()).map_err(unreadable)?;
    let expression = state.create_logical_expr(text, &schema).map_err(unreadable)?;
    if let Some(part) = barred(&expression) {
        return Err(ConditionFault::Barred(part));
    }
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config().options()))
        .with_current_time()
        .build();
    let simplifier = ExprSimplifier::new(context);
    let expression = simplifier.coerce(expression, &schema).map_err(unreadable)?;
    let kind = expression.get_type(&schema).map_err(unreadable)?;
    if kind != DataType::Boolean {
        return Err(ConditionFault::NotBoolean(kind.to_string().to_lowercase()));
    }
    simplifier.simplify(expression).map_err(unreadable)
}

fn unreadable(error: DataFusionError) -> ConditionFault {
    ConditionFault::Unreadable(error.strip_backtrace())
}

/// The first part that needs more than one row, another table, or answers differently each time.
fn barred(expression: &Expr) -> Option<String> {
    let mut found = None;
    let walked = expression.apply(|part| {
        let bars = match part {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Placeholder(_) | Expr::ScalarVariable(..) => {
                true
            }
            Expr::ScalarFunction(function) => function.func.signature().volatility == Volatility::Volatile,
            Expr::Alias(_) | Expr::Unnest(_) => true,
            #[expect(deprecated, reason = "it can still be parsed")]
            Expr::Wildcard { .. } => true,
            part => crate::derived::is_subquery(part),
        };
        if !bars {
            return Ok(TreeNodeRecursion::Continue);
        }
        found = Some(match crate::derived::is_subquery(part) {
            true => "a subquery".to_owned(),
            false => part.human_display().to_string(),
        });
        Ok(TreeNodeRecursion::Stop)
    });
    walked.err().map(|error| error.strip_backtrace()).or(found)
}

struct Rule {
    segment: Segment,
    condition: Arc<dyn PhysicalExpr>,
}

/// Takes the columns of a user, gives the name of the first segment whose rule holds.
struct FirstThatHolds {
    rules: Vec<Rule>,
    schema: SchemaRef,
    signature: Signature,
    warnings: Arc<Warnings>,
}

impl FirstThatHolds {
    fn names(&self, rows: &RecordBatch) -> StringArray {
        let mut names: Vec<Option<&str>> = vec![None; rows.num_rows()];
        for rule in &self.rules {
            let holds = self.holds(rule, rows);
            for (name, _) in names.iter_mut().zip(holds).filter(|(name, holds)| *holds && name.is_none()) {
                *name = Some(&rule.segment.name);
            }
        }
        names.into_iter().collect()
    }

    /// For each row; where the condition fails it does not hold. The rows are halved until those stand alone.
    fn holds(&self, rule: &Rule, rows: &RecordBatch) -> Vec<bool> {
        let count = rows.num_rows();
        let evaluated = rule.condition.evaluate(rows).and_then(|value| value.into_array(count));
        match evaluated {
            Ok(values) => values.as_boolean().iter().map(|holds| holds == Some(true)).collect(),
            Err(error) if count <= 1 => {
                self.warnings.warn(&rule.segment.name, &error.strip_backtrace());
                vec![false; count]
            }
            Err(_) => {
                let half = count / 2;
                let mut holds = self.holds(rule, &rows.slice(0, half));
                holds.extend(self.holds(rule, &rows.slice(half, count - half)));
                holds
            }
        }
    }
}

impl ScalarUDFImpl for FirstThatHolds {
    fn name(&self) -> &str {
        "segment_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let columns = arguments.args.iter().map(|column| column.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(ColumnarValue::Array(Arc::new(self.names(&batch)) as ArrayRef))
    }
}

impl fmt::Debug for FirstThatHolds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.rules.iter().map(|rule| &rule.segment)).finish()
    }
}

impl PartialEq for FirstThatHolds {
    fn eq(&self, other: &Self) -> bool {
        self.rules.iter().map(|rule| &rule.segment).eq(other.rules.iter().map(|rule| &rule.segment))
    }
}

impl Eq for FirstThatHolds {}

impl Hash for FirstThatHolds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules.iter().for_each(|rule| rule.segment.hash(state));
    }
}

#[cfg(test)]
mod tests;
