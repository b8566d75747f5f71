//! From rows to cells: one pass over the columns that a group needs.
//!
//! A sampled request stands for `sample_weight` requests. Counts and bytes are multiplied by it; latencies are counted in
//! parts of [`unit`], so that they too are sums of integers and merge to the same in any order.

use std::sync::Arc;

use ridealong_common::distinct;
use ridealong_common::sketch::{Sketch, SketchError, code_of};
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use ridealong_engine::datafusion::arrow::compute::cast;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use ridealong_engine::datafusion::arrow::error::ArrowError;
use thiserror::Error;
use uuid::Uuid;

use super::dictionary::{Codes, Dictionary, Value};
use super::family::{Group, traffic};
use super::grid::Grid;
use super::states::States;
use crate::question::filter::Filter;

/// What one request counts in the bins of [`Group::Latency`].
pub const fn unit(table: Table) -> u64 {
    match table {
        Table::Requests => 1 << 16,
        _ => 1,
    }
}

#[derive(Debug, Error)]
pub enum FoldError {
    #[error("rows have no column {0}")]
    Column(&'static str),
    #[error("a column is not of the kind it should be")]
    Kind(#[from] ArrowError),
    #[error("a summary holds no sketch")]
    Sketch(#[from] SketchError),
}

/// From its first moment up to but not including its last, µs.
pub type Window = (i64, i64);

/// The rows of a batch in a window for which all filters hold.
pub fn picked(rows: &RecordBatch, window: Window, filters: &[Filter]) -> Result<Vec<u32>, FoldError> {
    let times = column(rows, "timestamp")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or(FoldError::Column("timestamp"))?;
    let in_window = |at: &u32| {
        let at = *at as usize;
        times.is_valid(at) && (window.0..window.1).contains(&times.value(at))
    };
    let mut kept: Vec<u32> = (0..rows.num_rows() as u32).filter(in_window).collect();
    for filter in filters {
        let column = column(rows, filter.column.name)?;
        filter.retain(column, &mut kept)?;
    }
    Ok(kept)
}

/// Adds some rows of a batch to a grid.
pub fn fold(
    grid: &mut Grid,
    table: Table,
    dimensions: &[&'static str],
    batch: &RecordBatch,
    rows: &[u32],
) -> Result<(), FoldError> {
    let cells = cells(grid, dimensions, batch, rows)?;
    let rows = cells.into_iter().zip(rows.iter().map(|row| *row as usize));
    match (&mut grid.states, table) {
        (States::Distinct(sets), _) => {
            let name = grid.group.columns(table)[0];
            let texts = texts(column(batch, name)?)?;
            for (cell, row) in rows.filter(|(_, row)| texts.is_valid(*row)) {
                sets[cell].add_hash(distinct::hash(texts.value(row).as_bytes()));
            }
        }
        (States::Latency(bins), Table::RequestSummaries) => {
            let sketches = column(batch, "duration_sketch")?;
            let sketches: &BinaryArray = sketches.as_binary_opt().ok_or(FoldError::Column("duration_sketch"))?;
            let longest = integers(batch, "duration_max_us")?;
            for (cell, row) in rows.filter(|(_, row)| sketches.is_valid(*row)) {
                let sketch = Sketch::decode(sketches.value(row))?;
                sketch.bins().for_each(|(code, count)| bins[cell].add(code, count));
                bins[cell].max = bins[cell].max.max(unsigned(longest.value(row)));
            }
        }
        (States::Latency(bins), _) => {
            let (weights, durations) = (floats(batch, "sample_weight")?, integers(batch, "duration_us")?);
            for (cell, row) in rows {
                let duration = unsigned(durations.value(row));
                bins[cell].add(code_of(duration), (weight(&weights, row) * unit(table) as f64).round() as u64);
                bins[cell].max = bins[cell].max.max(duration);
            }
        }
        (States::Settled(_), _) => unreachable!("a grid's cells may change"),
        (States::Numbers(kinds, values), table) => {
            let of = Numbers::of(grid.group, table, batch)?;
            let width = kinds.len();
            rows.for_each(|(cell, row)| of.add(&mut values[cell * width..(cell + 1) * width], row));
        }
    }
    Ok(())
}

/// The cell of each row.
fn cells(
    grid: &mut Grid,
    dimensions: &[&'static str],
    batch: &RecordBatch,
    rows: &[u32],
) -> Result<Vec<usize>, FoldError> {
    let mut codes = vec![Codes::default(); rows.len()];
    for (at, name) in dimensions.iter().enumerate() {
        let column = column(batch, name)?;
        encode(grid.tuples.dictionary(at), column, rows, |row, code| codes[row][at] = code)?;
    }
    let times = column(batch, "timestamp")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or(FoldError::Column("timestamp"))?;
    let mut cells = Vec::with_capacity(rows.len());
    let mut last: Option<(Codes, u32)> = None;
    for (row, codes) in rows.iter().zip(codes) {
        let tuple = match last {
            Some((same, tuple)) if same == codes => tuple,
            _ => grid.tuples.tuple(codes),
        };
        last = Some((codes, tuple));
        let bucket = grid.buckets.of_time(times.value(*row as usize));
        cells.push(grid.cell(bucket, tuple));
    }
    Ok(cells)
}

/// Gives each row's value its code.
fn encode(
    dictionary: &mut Dictionary,
    column: &ArrayRef,
    rows: &[u32],
    mut set: impl FnMut(usize, u32),
) -> Result<(), FoldError> {
    let mut null = None;
    let mut null_code = |dictionary: &mut Dictionary| *null.get_or_insert_with(|| dictionary.code_of(&Value::Null));
    let valid = |row: u32| column.is_valid(row as usize);
    match column.data_type() {
        DataType::Int64 => {
            let integers = column.as_primitive::<Int64Type>();
            for (at, row) in rows.iter().enumerate() {
                let integer =
                    |dictionary: &mut Dictionary| dictionary.code_of(&Value::Integer(integers.value(*row as usize)));
                set(at, if valid(*row) { integer(dictionary) } else { null_code(dictionary) });
            }
        }
        DataType::Boolean => {
            let booleans = column.as_boolean();
            for (at, row) in rows.iter().enumerate() {
                let boolean =
                    |dictionary: &mut Dictionary| dictionary.code_of(&Value::Boolean(booleans.value(*row as usize)));
                set(at, if valid(*row) { boolean(dictionary) } else { null_code(dictionary) });
            }
        }
        DataType::Binary => {
            let ids: &BinaryArray = column.as_binary();
            for (at, row) in rows.iter().enumerate() {
                let id = |dictionary: &mut Dictionary| dictionary.code_of_text(&id_text(ids.value(*row as usize)));
                set(at, if valid(*row) { id(dictionary) } else { null_code(dictionary) });
            }
        }
        _ => {
            let texts = texts(column)?;
            // The same value often comes again and again.
            let mut last: Option<(&str, u32)> = None;
            for (at, row) in rows.iter().enumerate() {
                if !valid(*row) {
                    set(at, null_code(dictionary));
                    continue;
                }
                let text = texts.value(*row as usize);
                let code = match last {
                    Some((same, code)) if same == text => code,
                    _ => dictionary.code_of_text(text),
                };
                last = Some((text, code));
                set(at, code);
            }
        }
    }
    Ok(())
}

/// The columns that numbers are made of.
enum Numbers {
    Events,
    Summaries([Int64Array; 5]),
    Requests(Requests),
    Hosts { cpu: Float64Array, parts: [(Int64Array, Int64Array); 2] },
}

struct Requests {
    weights: Float64Array,
    errors: StringArray,
    statuses: Int64Array,
    request_bytes: Int64Array,
    response_bytes: Int64Array,
    durations: Int64Array,
}

impl Numbers {
    fn of(group: Group, table: Table, batch: &RecordBatch) -> Result<Self, FoldError> {
        let integers = |name| integers(batch, name);
        Ok(match (group, table) {
            (Group::Traffic, Table::RequestSummaries) => Self::Summaries([
                integers("count")?,
                integers("error_count")?,
                integers("request_bytes")?,
                integers("response_bytes")?,
                integers("duration_max_us")?,
            ]),
            (Group::Traffic, _) => Self::Requests(Requests {
                weights: floats(batch, "sample_weight")?,
                errors: texts(column(batch, "error")?)?,
                statuses: integers("status")?,
                request_bytes: integers("request_bytes")?,
                response_bytes: integers("response_bytes")?,
                durations: integers("duration_us")?,
            }),
            (Group::Hosts, _) => Self::Hosts {
                cpu: floats(batch, "cpu_utilization")?,
                parts: [
                    (integers("memory_used_bytes")?, integers("memory_total_bytes")?),
                    (integers("disk_used_bytes")?, integers("disk_total_bytes")?),
                ],
            },
            _ => Self::Events,
        })
    }

    fn add(&self, cell: &mut [f64], row: usize) {
        match self {
            Self::Events => cell[0] += 1.0,
            Self::Summaries(columns) => {
                let [sums @ .., longest] = columns;
                for (number, column) in cell.iter_mut().zip(sums) {
                    *number += known(column, row);
                }
                cell[traffic::MAX_US] = cell[traffic::MAX_US].max(known(longest, row));
            }
            Self::Requests(of) => {
                let weight = weight(&of.weights, row);
                let is_error = of.errors.is_valid(row) || (of.statuses.is_valid(row) && of.statuses.value(row) >= 500);
                cell[traffic::COUNT] += weight;
                cell[traffic::ERRORS] += if is_error { weight } else { 0.0 };
                cell[traffic::REQUEST_BYTES] += weight * known(&of.request_bytes, row);
                cell[traffic::RESPONSE_BYTES] += weight * known(&of.response_bytes, row);
                cell[traffic::MAX_US] = cell[traffic::MAX_US].max(known(&of.durations, row));
            }
            Self::Hosts { cpu, parts } => {
                if cpu.is_valid(row) && cpu.value(row).is_finite() {
                    cell[0] += 1.0;
                    cell[1] += cpu.value(row);
                }
                for (at, (used, total)) in parts.iter().enumerate() {
                    if known(total, row) > 0.0 {
                        cell[2 + 2 * at] += 1.0;
                        cell[3 + 2 * at] += known(used, row) / known(total, row);
                    }
                }
            }
        }
    }
}

/// A row without a weight, or with one that cannot be, stands for itself.
fn weight(weights: &Float64Array, row: usize) -> f64 {
    let weight = if weights.is_valid(row) { weights.value(row) } else { 1.0 };
    if weight.is_finite() && weight > 0.0 { weight } else { 1.0 }
}

fn known(column: &Int64Array, row: usize) -> f64 {
    if column.is_valid(row) { column.value(row) as f64 } else { 0.0 }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, FoldError> {
    batch.column_by_name(name).ok_or(FoldError::Column(name))
}

fn integers(batch: &RecordBatch, name: &'static str) -> Result<Int64Array, FoldError> {
    column(batch, name)?.as_primitive_opt::<Int64Type>().cloned().ok_or(FoldError::Column(name))
}

fn floats(batch: &RecordBatch, name: &'static str) -> Result<Float64Array, FoldError> {
    column(batch, name)?.as_primitive_opt::<Float64Type>().cloned().ok_or(FoldError::Column(name))
}

/// However a reader has laid them out.
pub fn texts(column: &ArrayRef) -> Result<StringArray, FoldError> {
    match column.as_string_opt::<i32>() {
        Some(texts) => Ok(texts.clone()),
        None => Ok(cast(column, &DataType::Utf8).map(|cast: Arc<dyn Array>| cast.as_string::<i32>().clone())?),
    }
}

/// An id as it is shown outside.
pub fn id_text(bytes: &[u8]) -> String {
    Uuid::from_slice(bytes).map(|id| id.hyphenated().to_string()).unwrap_or_default()
}
