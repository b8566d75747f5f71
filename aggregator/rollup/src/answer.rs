//! From cells to an answer's rows: those of all groups that have the same bucket and dimensions become one.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ridealong_common::time::Timestamp;
use ridealong_model::metrics::ROWS_MAX;

use crate::cells::dictionary::{Codes, Tuples, Value};
use crate::cells::family::Group;
use crate::cells::grid::Grid;
use crate::cells::states::States;
use crate::question::Question;
use crate::question::metric::Number;

/// What one group of one part has.
pub struct Answering {
    pub part: usize,
    pub grid: Grid,
}

pub struct Rows {
    pub json: Vec<u8>,
    pub count: usize,
    pub partial: bool,
}

/// Cells of each grid, by place of the grid.
type Joined = HashMap<(i64, u32), Vec<Option<usize>>, RandomState>;

/// The rows as JSON, by time and then by dimensions.
pub fn rows(question: &Question, grids: &[Answering]) -> Rows {
    let mut tuples = Tuples::of(question.dimensions.len());
    let mut joined = join(&mut tuples, grids);
    if question.dimensions.is_empty() && !question.has_buckets {
        // As in SQL: one row, whatever there is.
        let only = tuples.tuple(Codes::default());
        joined.entry((0, only)).or_insert_with(|| vec![None; grids.len()]);
    }
    let ranks = ranks(&tuples);
    let mut order: Vec<(i64, u32)> = joined.keys().copied().collect();
    order.sort_unstable_by_key(|(bucket, tuple)| (*bucket, ranks[*tuple as usize]));
    let count = order.len().min(ROWS_MAX);
    let mut json = Vec::with_capacity(64 + count * 64);
    json.push(b'[');
    for (at, key) in order.iter().take(count).enumerate() {
        if at > 0 {
            json.push(b',');
        }
        row(&mut json, question, grids, &tuples, *key, &joined[key]);
    }
    json.push(b']');
    Rows { json, count, partial: order.len() > count }
}

/// Whether every count of different values is exact; none when there is none.
pub fn is_exact(grids: &[Answering]) -> Option<bool> {
    let distinct = grids.iter().filter(|each| matches!(each.grid.group, Group::Users | Group::Sessions));
    let exact = distinct.map(|each| match &each.grid.states {
        States::Distinct(sets) => sets.iter().all(|set| set.is_exact()),
        _ => true,
    });
    exact.reduce(|one, other| one && other)
}

fn join(tuples: &mut Tuples, grids: &[Answering]) -> Joined {
    let mut joined = Joined::default();
    for (place, Answering { grid, .. }) in grids.iter().enumerate() {
        let dimensions = grid.tuples.dictionaries().len();
        let shared: Vec<u32> = (0..grid.tuples.len() as u32)
            .map(|tuple| {
                let mut codes = Codes::default();
                for (at, code) in codes.iter_mut().enumerate().take(dimensions) {
                    *code = tuples.dictionary(at).code_of(grid.tuples.value(tuple, at));
                }
                tuples.tuple(codes)
            })
            .collect();
        for (cell, (bucket, tuple)) in grid.keys().enumerate() {
            let cells = joined.entry((bucket, shared[tuple as usize])).or_insert_with(|| vec![None; grids.len()]);
            cells[place] = Some(cell);
        }
    }
    joined
}

/// Where each tuple stands among all, by its values.
fn ranks(tuples: &Tuples) -> Vec<u32> {
    let dimensions = tuples.dictionaries().len();
    let values = |tuple: u32| -> Vec<&Value> { (0..dimensions).map(|at| tuples.value(tuple, at)).collect() };
    let mut order: Vec<u32> = (0..tuples.len() as u32).collect();
    order.sort_by_cached_key(|tuple| values(*tuple));
    let mut ranks = vec![0; order.len()];
    order.iter().enumerate().for_each(|(rank, tuple)| ranks[*tuple as usize] = rank as u32);
    ranks
}

fn row(
    json: &mut Vec<u8>,
    question: &Question,
    grids: &[Answering],
    tuples: &Tuples,
    (bucket, tuple): (i64, u32),
    cells: &[Option<usize>],
) {
    let mut comma = b'{';
    let mut key = |json: &mut Vec<u8>, name: &str| {
        json.push(comma);
        comma = b',';
        text(json, name);
        json.push(b':');
    };
    for (at, name) in question.dimensions.iter().enumerate() {
        key(json, name);
        match tuples.value(tuple, at) {
            Value::Null => json.extend_from_slice(b"null"),
            Value::Boolean(value) => json.extend_from_slice(value.to_string().as_bytes()),
            Value::Integer(value) => json.extend_from_slice(value.to_string().as_bytes()),
            Value::Text(value) => text(json, value),
        }
    }
    if question.has_buckets {
        key(json, "timestamp");
        text(json, &Timestamp(question.buckets.start(bucket)).to_string());
    }
    for metric in &question.metrics {
        key(json, metric.name());
        let part = question.part_of(*metric);
        let grid = grids.iter().position(|each| each.part == part && each.grid.group == metric.group());
        let cell = grid.and_then(|grid| Some((&grids[grid].grid.states, cells[grid]?)));
        let seconds = question.seconds(&question.parts[part], bucket);
        match metric.read(question.parts[part].table, cell, seconds) {
            Number::Null => json.extend_from_slice(b"null"),
            Number::Integer(value) => json.extend_from_slice(value.to_string().as_bytes()),
            // Never infinite: sums of what is finite over counts that are not 0.
            Number::Float(value) => json.extend(serde_json::to_vec(&value).unwrap_or_else(|_| b"null".to_vec())),
        }
    }
    json.push(b'}');
}

fn text(json: &mut Vec<u8>, text: &str) {
    // A text can always be written.
    json.extend(serde_json::to_vec(text).unwrap_or_else(|_| b"null".to_vec()));
}
