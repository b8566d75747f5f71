//! All groups of a grouping at once: without it, the engine would cut each batch of rows up by group.

use std::sync::Arc;

use ridealong_common::sketch::Sketch;
use ridealong_engine::datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array};
use ridealong_engine::datafusion::arrow::datatypes::{Float64Type, Int64Type};
use ridealong_engine::datafusion::common::{Result, exec_err};
use ridealong_engine::datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::{checked, decoded};

#[derive(Debug, Default)]
pub(super) struct Grouped {
    groups: Vec<Group>,
    /// Of the sketches' bins.
    heap_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Group {
    p: Option<f64>,
    sketch: Sketch,
}

impl Grouped {
    /// Calls `add` with the sketch of each row's group and the row's place.
    fn each(
        &mut self,
        rows: impl Iterator<Item = (usize, usize)>,
        p: &Float64Array,
        mut add: impl FnMut(&mut Sketch, usize) -> Result<()>,
    ) -> Result<()> {
        for (row, group) in rows {
            let group = &mut self.groups[group];
            if p.is_valid(row) && group.p != Some(p.value(row)) {
                group.p = Some(checked(p.value(row))?);
            }
            let before = group.sketch.heap_bytes();
            add(&mut group.sketch, row)?;
            self.heap_bytes += group.sketch.heap_bytes().saturating_sub(before);
        }
        Ok(())
    }

    fn emitted(&mut self, emit_to: EmitTo) -> Vec<Group> {
        let emitted = emit_to.take_needed(&mut self.groups);
        let freed: usize = emitted.iter().map(|group| group.sketch.heap_bytes()).sum();
        self.heap_bytes = self.heap_bytes.saturating_sub(freed);
        emitted
    }
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        groups_total: usize,
    ) -> Result<()> {
        let [p, values] = values else { return exec_err!("percentile takes p and a sketch or a duration") };
        self.groups.resize(groups_total, Group::default());
        let p = p.as_primitive::<Float64Type>();
        let counts = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let rows = groups.iter().copied().enumerate().filter(|(row, _)| counts(*row));
        if let Some(values) = values.as_primitive_opt::<Int64Type>() {
            return self.each(rows, p, |sketch, row| {
                if values.is_valid(row) {
                    sketch.add(u64::try_from(values.value(row)).unwrap_or(0));
                }
                Ok(())
            });
        }
        let sketches = values.as_binary::<i32>();
        self.each(rows, p, |sketch, row| {
            if sketches.is_valid(row) {
                sketch.merge(&decoded(sketches.value(row))?);
            }
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], groups_total: usize) -> Result<()> {
        self.update_batch(states, groups, None, groups_total)
    }

    /// Each row as a group of its own, where grouping does not pay.
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut alone = Self::default();
        alone.update_batch(values, &groups, filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self.emitted(emit_to).into_iter().map(|group| group.p.and_then(|p| group.sketch.quantile(p)));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let emitted = self.emitted(emit_to);
        let p: Float64Array = emitted.iter().map(|group| group.p).collect();
        let sketches: BinaryArray = emitted.iter().map(|group| Some(group.sketch.encode())).collect();
        Ok(vec![Arc::new(p), Arc::new(sketches)])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.capacity() * size_of::<Group>() + self.heap_bytes
    }
}
