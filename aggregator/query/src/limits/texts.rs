//! Functions that can make much out of little, or take long over it, in pieces and with a limit.
//!
//! `replace(replace('aaaaaaaaaa', 'a', 'aaaaaaaaaa'), …)` multiplies by ten at each step, and is worked out while the
//! statement is planned. So what a call may make is estimated first: rows are taken a piece at a time, the permit is
//! looked at between pieces, and what is too large for any good purpose is an error.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::{Array, ArrayRef, AsArray};
use ridealong_engine::datafusion::arrow::compute::concat;
use ridealong_engine::datafusion::arrow::compute::kernels::concat_elements::concat_elements_utf8;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, FieldRef};
use ridealong_engine::datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use ridealong_engine::datafusion::execution::{FunctionRegistry, SessionState};
use ridealong_engine::datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use ridealong_engine::datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use ridealong_engine::datafusion::sql::sqlparser::ast::BinaryOperator;

use super::guarded::{array_bytes, list_elements};
use super::permit::Permit;

/// What one piece may make, and may cost.
const PIECE: u64 = 16 << 20;
/// One value.
const VALUE_BYTES_MAX: u64 = 64 << 20;
/// All that one call makes.
const MADE_BYTES_MAX: usize = 256 << 20;
/// What compiling a pattern costs, when each row has its own.
const PATTERN_COST: u64 = 64 << 10;
/// Steps of a comparison that take as long as a byte made.
const STEPS_A_BYTE: u64 = 16;

/// How a call's cost follows from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Puts its arguments together.
    Joins,
    /// Puts one text in the place of another.
    Replaces,
    /// The same, by a pattern.
    ReplacesPattern,
    /// Looks for a pattern.
    Searches,
    /// Compares two texts, each byte with each.
    Compares,
    /// Puts a text between the elements of a list.
    Separates,
}

const BOUNDED: [(&str, Kind); 16] = [
    ("concat", Kind::Joins),
    ("concat_ws", Kind::Joins),
    ("array_concat", Kind::Joins),
    ("array_cat", Kind::Joins),
    ("list_concat", Kind::Joins),
    ("list_cat", Kind::Joins),
    ("replace", Kind::Replaces),
    ("regexp_replace", Kind::ReplacesPattern),
    ("regexp_like", Kind::Searches),
    ("regexp_match", Kind::Searches),
    ("regexp_count", Kind::Searches),
    ("regexp_instr", Kind::Searches),
    ("levenshtein", Kind::Compares),
    ("array_to_string", Kind::Separates),
    ("list_to_string", Kind::Separates),
    ("array_join", Kind::Separates),
];

/// Puts limits on functions of a session.
pub(crate) fn bounded(state: &mut SessionState, permit: &Arc<Permit>) -> Result<()> {
    for (name, kind) in BOUNDED {
        let Ok(inner) = state.udf(name) else { continue };
        // Its aliases are registered with it, and found again here.
        if inner.name() == name {
            state.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded::new(inner, kind, permit))))?;
        }
    }
    let joined = ScalarUDF::new_from_impl(Joined { signature: Signature::user_defined(Volatility::Immutable) });
    let joined = Bounded::new(Arc::new(joined), Kind::Joins, permit);
    state.register_expr_planner(Arc::new(JoinedPlanner(Arc::new(ScalarUDF::new_from_impl(joined)))))
}

#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    kind: Kind,
    permit: Arc<Permit>,
}

impl Bounded {
    fn new(inner: Arc<ScalarUDF>, kind: Kind, permit: &Arc<Permit>) -> Self {
        Self { inner, kind, permit: Arc::clone(permit) }
    }

    fn in_pieces(&self, arguments: &ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all = 0..arguments.number_rows;
        let mut waiting = Vec::from([all]);
        let (mut made, mut bytes) = (Vec::new(), 0);
        while let Some(rows) = waiting.pop() {
            self.permit.check()?;
            let piece = sliced(&arguments.args, &rows);
            let cost = self.kind.cost(&piece, rows.len());
            if cost > PIECE && rows.len() > 1 {
                let middle = rows.start + rows.len() / 2;
                waiting.extend([middle..rows.end, rows.start..middle]);
                continue;
            }
            self.check_value(cost)?;
            let arguments = ScalarFunctionArgs { args: piece, number_rows: rows.len(), ..arguments.clone() };
            let part = self.inner.invoke_with_args(arguments)?.into_array(rows.len())?;
            bytes += array_bytes(&part);
            if bytes > MADE_BYTES_MAX {
                return Err(self.too_large(bytes as u64));
            }
            made.push(part);
        }
        let parts: Vec<&dyn Array> = made.iter().map(|part| part.as_ref()).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }

    fn check_value(&self, cost: u64) -> Result<()> {
        let most = if self.kind == Kind::ReplacesPattern { 16 * VALUE_BYTES_MAX } else { VALUE_BYTES_MAX };
        if cost > most { Err(self.too_large(cost)) } else { Ok(()) }
    }

    fn too_large(&self, bytes: u64) -> DataFusionError {
        let (name, mib) = (self.inner.name(), bytes >> 20);
        DataFusionError::ResourcesExhausted(format!("{name} would take {mib} MiB or as long as making them"))
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.schema_name(arguments)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        self.inner.return_type(kinds)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(kinds)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let cost = self.kind.cost(&arguments.args, arguments.number_rows);
        if cost <= PIECE {
            return self.inner.invoke_with_args(arguments);
        }
        let is_constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        if is_constant || arguments.number_rows <= 1 {
            let once = self.kind.cost(&arguments.args, 1);
            self.check_value(once)?;
            return self.inner.invoke_with_args(arguments);
        }
        self.in_pieces(&arguments)
    }
}

fn sliced(arguments: &[ColumnarValue], rows: &Range<usize>) -> Vec<ColumnarValue> {
    let slice = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(rows.start, rows.len())),
        scalar => scalar.clone(),
    };
    arguments.iter().map(slice).collect()
}

impl Kind {
    /// At most so many bytes are made, or steps taken that last as long.
    fn cost(self, arguments: &[ColumnarValue], rows: usize) -> u64 {
        let rows = rows as u64;
        let all = |at: usize| arguments.get(at).map_or(0, |value| bytes(value, rows));
        let longest = |at: usize| arguments.get(at).map_or(0, longest);
        match self {
            Kind::Joins => arguments.iter().map(|value| bytes(value, rows)).sum(),
            Kind::Replaces => {
                let from = arguments.get(1).map_or(1, shortest).max(1);
                let places = all(0).saturating_add(rows) / from;
                all(0).saturating_add(places.saturating_mul(longest(2)))
            }
            // Between two letters, and each time all that was found.
            Kind::ReplacesPattern => {
                let once = longest(2) / 2 * all(0) + all(0);
                once.saturating_add(all(0).saturating_add(rows).saturating_mul(longest(2)))
            }
            Kind::Searches => match arguments.get(1) {
                Some(ColumnarValue::Array(_)) => all(0).saturating_add(rows * PATTERN_COST),
                _ => all(0),
            },
            Kind::Compares => all(0).saturating_mul(longest(1)) / STEPS_A_BYTE,
            Kind::Separates => {
                let elements = arguments.first().map_or(0, |value| elements(value, rows));
                all(0).saturating_add(elements.saturating_mul(longest(1) + longest(2)))
            }
        }
    }
}

/// Of all rows together.
fn bytes(value: &ColumnarValue, rows: u64) -> u64 {
    match value {
        ColumnarValue::Scalar(scalar) => scalar_bytes(scalar).saturating_mul(rows),
        ColumnarValue::Array(array) => text_bytes(array),
    }
}

fn text_bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as u64
        }
        DataType::LargeUtf8 => {
            let offsets = array.as_string::<i64>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as u64
        }
        DataType::Utf8View => array.as_string_view().iter().flatten().map(|text| text.len() as u64).sum(),
        _ => array_bytes(array) as u64,
    }
}

fn scalar_bytes(scalar: &ScalarValue) -> u64 {
    scalar.try_as_str().flatten().map_or_else(|| scalar.size() as u64, |text| text.len() as u64)
}

fn lengths(array: &ArrayRef) -> Box<dyn Iterator<Item = u64> + '_> {
    match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>().iter().flatten().map(|text| text.len() as u64)),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>().iter().flatten().map(|text| text.len() as u64)),
        DataType::Utf8View => Box::new(array.as_string_view().iter().flatten().map(|text| text.len() as u64)),
        _ => Box::new(std::iter::once(array_bytes(array) as u64)),
    }
}

fn longest(value: &ColumnarValue) -> u64 {
    match value {
        ColumnarValue::Scalar(scalar) => scalar_bytes(scalar),
        ColumnarValue::Array(array) => lengths(array).max().unwrap_or(0),
    }
}

fn shortest(value: &ColumnarValue) -> u64 {
    match value {
        ColumnarValue::Scalar(scalar) => scalar_bytes(scalar),
        ColumnarValue::Array(array) => lengths(array).min().unwrap_or(0),
    }
}

/// Of lists.
fn elements(value: &ColumnarValue, rows: u64) -> u64 {
    match value {
        ColumnarValue::Array(list) => list_elements(list) as u64,
        ColumnarValue::Scalar(scalar) => {
            scalar.to_array().map_or(1, |list| list_elements(&list) as u64).saturating_mul(rows)
        }
    }
}

/// What `||` does with texts: null when either is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "joined"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8; kinds.len()])
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { arguments.number_rows };
        let texts = ColumnarValue::values_to_arrays(&arguments.args)?;
        let texts = texts.iter().map(|text| text.as_string_opt::<i32>());
        let [Some(left), Some(right)] = texts.collect::<Vec<_>>()[..] else {
            return Err(DataFusionError::Internal("|| was planned for something else than two texts".into()));
        };
        let joined = concat_elements_utf8(left, right)?;
        if is_constant && rows == 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}

/// Makes `||` of texts a bounded function.
#[derive(Debug)]
struct JoinedPlanner(Arc<ScalarUDF>);

impl ExprPlanner for JoinedPlanner {
    fn plan_binary_op(&self, expression: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expression.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expression));
        }
        let kinds = [expression.left.get_type(schema), expression.right.get_type(schema)];
        let is_text =
            |kind: &Result<DataType>| matches!(kind, Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
        let joins = |kind: &Result<DataType>| kind.as_ref().is_ok_and(|kind| !kind.is_nested() && !kind.is_binary());
        if !kinds.iter().any(is_text) || !kinds.iter().all(joins) {
            return Ok(PlannerResult::Original(expression));
        }
        let (left, right) = (expression.left, expression.right);
        let operation = BinaryExpr::new(Box::new(left.clone()), Operator::StringConcat, Box::new(right.clone()));
        let name = Expr::BinaryExpr(operation).schema_name().to_string();
        Ok(PlannerResult::Planned(self.0.call(vec![left, right]).alias(name)))
    }
}
