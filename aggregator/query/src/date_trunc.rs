//! `date_trunc`, for columns of times as they are stored: rows that follow each other mostly lie in the same second, minute,
//! hour or day, so most need a comparison and no division. Everything else is the engine's own function.

use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::functions::datetime;
use ridealong_engine::datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use ridealong_engine::datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(crate) fn date_trunc() -> ScalarUDF {
    ScalarUDF::new_from_impl(DateTrunc { engines: datetime::date_trunc() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    engines: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.engines.name()
    }

    fn aliases(&self) -> &[String] {
        self.engines.aliases()
    }

    fn signature(&self) -> &Signature {
        self.engines.signature()
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        self.engines.return_type(kinds)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.engines.return_field_from_args(arguments)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.engines.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engines.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [ColumnarValue::Scalar(part), ColumnarValue::Array(times)] = &arguments.args[..]
            && let Some(length) = part.try_as_str().flatten().and_then(length_us)
            && times.data_type() == &TIME
        {
            return Ok(ColumnarValue::Array(truncated(times, length)));
        }
        self.engines.invoke_with_args(arguments)
    }
}

/// Of what always lasts as long, and longer than a microsecond.
fn length_us(part: &str) -> Option<i64> {
    Some(match part.to_ascii_lowercase().as_str() {
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => 3_600_000_000,
        "day" => 86_400_000_000,
        _ => return None,
    })
}

fn truncated(times: &ArrayRef, length_us: i64) -> ArrayRef {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let (mut start, mut end) = (0, 0);
    let mut starts = Vec::with_capacity(times.len());
    for time in times.values() {
        if *time < start || *time >= end {
            // Only within a day of the ends of time it wraps, as the engine's does.
            start = time.wrapping_sub(time.rem_euclid(length_us));
            end = start.saturating_add(length_us);
        }
        starts.push(start);
    }
    Arc::new(TimestampMicrosecondArray::new(starts.into(), times.nulls().cloned()))
}

#[cfg(test)]
mod tests;
