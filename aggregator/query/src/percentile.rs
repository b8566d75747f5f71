//! `percentile(p, duration_sketch) → µs` merges the sketches of its group and reads one quantile, within 1 %;
//! `percentile(p, duration_us)` does the same from single values, through the same sketch.

mod grouped;

use std::sync::Arc;

use ridealong_common::sketch::Sketch;
use ridealong_engine::datafusion::arrow::array::{ArrayRef, AsArray};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use ridealong_engine::datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use ridealong_engine::datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use ridealong_engine::datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, TypeSignature, Volatility,
};

use self::grouped::Grouped;

pub(crate) fn percentile() -> AggregateUDF {
    let of = |values| TypeSignature::Exact(vec![DataType::Float64, values]);
    let signature = Signature::one_of(vec![of(DataType::Binary), of(DataType::Int64)], Volatility::Immutable);
    AggregateUDF::new_from_impl(Percentile { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    signature: Signature,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        "percentile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Merged::default()))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped::default()))
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new("p", DataType::Float64, true)),
            Arc::new(Field::new("sketch", DataType::Binary, true)),
        ])
    }
}

#[derive(Debug, Default)]
struct Merged {
    p: Option<f64>,
    sketch: Sketch,
}

impl Accumulator for Merged {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [p, values] = values else { return exec_err!("percentile takes p and a sketch or a duration") };
        let p = p.as_primitive::<Float64Type>();
        if let Some(first) = p.iter().flatten().next() {
            self.p = Some(checked(first)?);
        }
        if let Some(values) = values.as_primitive_opt::<Int64Type>() {
            values.iter().flatten().for_each(|value| self.sketch.add(u64::try_from(value).unwrap_or(0)));
            return Ok(());
        }
        for bytes in values.as_binary::<i32>().iter().flatten() {
            self.sketch.merge(&decoded(bytes)?);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Float64(self.p), ScalarValue::Binary(Some(self.sketch.encode()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.p.and_then(|p| self.sketch.quantile(p))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + 32 * 1_400
    }
}

fn checked(p: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&p) { Ok(p) } else { exec_err!("percentile takes p between 0 and 1, this is {p}") }
}

fn decoded(bytes: &[u8]) -> Result<Sketch> {
    Sketch::decode(bytes).map_err(|error| DataFusionError::Execution(error.to_string()))
}

#[cfg(test)]
mod tests;
