use super::*;
use ridealong_engine::datafusion::arrow::array::{BinaryArray, BooleanArray, Float64Array, Int64Array};
use ridealong_engine::datafusion::logical_expr::EmitTo;

use proptest::prelude::*;

/// Rows as the engine hands them over: a group, a duration that may be null, whether a FILTER lets it in.
type Row = (usize, Option<i64>, Option<bool>);

fn columns(rows: &[Row], p: f64) -> (Vec<ArrayRef>, Vec<usize>, BooleanArray) {
    let ps: ArrayRef = Arc::new(Float64Array::from(vec![p; rows.len()]));
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    (vec![ps, values], rows.iter().map(|row| row.0).collect(), rows.iter().map(|row| row.2).collect())
}

/// Of each group by the accumulator of one group.
fn one_by_one(rows: &[Row], p: f64, groups: usize) -> Vec<Option<f64>> {
    let of_group = |group: usize| {
        let rows: Vec<Row> = rows.iter().filter(|row| row.0 == group && row.2 == Some(true)).copied().collect();
        let mut merged = Merged::default();
        merged.update_batch(&columns(&rows, p).0).expect("rows");
        match merged.evaluate().expect("a value") {
            ScalarValue::Float64(value) => value,
            other => panic!("{other} is no float"),
        }
    };
    (0..groups).map(of_group).collect()
}

fn values(array: &ArrayRef) -> Vec<Option<f64>> {
    array.as_primitive::<Float64Type>().iter().collect()
}

proptest! {
    /// In batches, by way of states, and given out in two parts: the same as each group alone.
    #[test]
    fn groups_together_answer_as_each_alone(
        rows in prop::collection::vec((0..5_usize, prop::option::of(-3_i64..100_000), prop::option::of(any::<bool>())), 0..200),
        cut in 0..200_usize,
        first in 0..5_usize,
        p in 0.0..=1.0_f64,
    ) {
        let parts = rows.split_at(cut.min(rows.len()));
        let mut whole = Grouped::default();
        for part in [parts.0, parts.1] {
            let mut partial = Grouped::default();
            let (columns, groups, filter) = columns(part, p);
            partial.update_batch(&columns, &groups, Some(&filter), 5).expect("rows");
            let states = partial.state(EmitTo::All).expect("states");
            whole.merge_batch(&states, &[0, 1, 2, 3, 4], 5).expect("states");
        }
        let mut found = values(&whole.evaluate(EmitTo::First(first)).expect("some"));
        found.extend(values(&whole.evaluate(EmitTo::All).expect("the rest")));
        prop_assert_eq!(found, one_by_one(&rows, p, 5));
        prop_assert_eq!(whole.size(), Grouped::default().size() , "all was given back");
    }
}

#[test]
fn rows_that_are_not_grouped_add_up_to_the_same() {
    let rows: Vec<Row> = (0..100).map(|value| (value as usize % 3, Some(value), Some(value % 5 > 0))).collect();
    let (columns, groups, filter) = columns(&rows, 0.9);
    let states = Grouped::default().convert_to_state(&columns, Some(&filter)).expect("states");
    assert_eq!(states[0].len(), rows.len());
    let mut grouped = Grouped::default();
    grouped.merge_batch(&states, &groups, 3).expect("states");
    assert_eq!(values(&grouped.evaluate(EmitTo::All).expect("values")), one_by_one(&rows, 0.9, 3));
}

#[test]
fn what_is_held_is_counted() {
    let mut grouped = Grouped::default();
    let rows: Vec<Row> = (0..1_000).map(|value| (0, Some(value * value), Some(true))).collect();
    let (columns, groups, _) = columns(&rows, 0.5);
    let empty = grouped.size();
    grouped.update_batch(&columns, &groups, None, 1).expect("rows");
    assert!(grouped.size() > empty + 16 * 500, "hundreds of bins of 16 bytes");
}

#[test]
fn a_part_that_is_none_is_refused() {
    let (columns, groups, _) = columns(&[(0, Some(1), None)], 1.5);
    let error = Grouped::default().update_batch(&columns, &groups, None, 1).expect_err("1.5 is no part");
    assert!(error.to_string().contains("between 0 and 1, this is 1.5"), "{error}");
    let broken: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"no sketch"]));
    Grouped::default().update_batch(&[Arc::clone(&columns[0]), broken], &[0], None, 1).expect_err("no sketch");
}
