//! A block: rows of one table, column by column, as they lie in the spool, travel over the wire and lie in the log.
//!
//! Encoded with bincode (variable-length integers, little-endian, no trailing bytes):
//!
//! ```text
//! rows     u32            how many rows
//! columns  [Column]       each at most once, in any order
//! Column   id u16, values Values
//! Values   enum           Text(one)  Integer(one)                  the same value in every row
//!                         Integers  Deltas  OptionalIntegers       one a row; Deltas holds differences, the first from 0
//!                         Floats  OptionalFloats
//!                         Dictionary { texts, index }              index 0 is null, n is texts[n - 1]
//!                         Ids { high, low }                        the two halves of 16 bytes, as differences
//!                         Blobs                                    bytes
//! ```
//!
//! A column that is absent is null in every row. A column that the reader does not know is skipped. The variants' order
//! is the format: add at the end only. [`Block::check`] is the gate: what passes it can be read without a panic.

mod amend;
mod build;
mod encoder;
mod read;

use std::fmt;

use bincode::Options;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{BLOCK_BYTES_MAX, BLOCK_COLUMNS_MAX, BLOCK_ROWS_MAX};
use crate::sketch::Sketch;
use crate::table::{ColumnKind, RECEIVED_AT, Table};

pub use build::ColumnSink;
pub use encoder::Encoder;
pub use read::{Cell, CheckedBlock};

/// Rows of one table. As decoded: nothing about it is checked yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub(crate) rows: u32,
    pub(crate) columns: Vec<EncodedColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncodedColumn {
    pub id: u16,
    pub values: Values,
}

/// The values of one column. The order of the variants is written to disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    Text(String),
    Integer(i64),
    Integers(Vec<i64>),
    Deltas(Vec<i64>),
    OptionalIntegers(Vec<Option<i64>>),
    Floats(Vec<f64>),
    OptionalFloats(Vec<Option<f64>>),
    Dictionary { texts: Vec<String>, index: Vec<u32> },
    Ids { high: Vec<i64>, low: Vec<i64> },
    Blobs(Vec<Vec<u8>>),
}

#[derive(Debug, Error, PartialEq)]
pub enum BlockError {
    #[error("block of {bytes} bytes is larger than {BLOCK_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("block does not decode: {0}")]
    Malformed(String),
    #[error("block has {0} rows, at most {BLOCK_ROWS_MAX} are taken")]
    TooManyRows(u32),
    #[error("block has {0} columns, at most {BLOCK_COLUMNS_MAX} are taken")]
    TooManyColumns(usize),
    #[error("column {column}: {fault}")]
    Column { column: ColumnName, fault: ColumnFault },
}

#[derive(Debug, Error, PartialEq)]
pub enum ColumnFault {
    #[error("stands twice")]
    Repeated,
    #[error("is missing")]
    Missing,
    #[error("has {found} values for {rows} rows")]
    Length { found: usize, rows: u32 },
    #[error("holds another type than its table's")]
    Kind,
    #[error("row {row} is null")]
    Null { row: usize },
    #[error("row {row} points outside its dictionary")]
    Index { row: usize },
    #[error("row {row} is a time outside the years 1 to 9999")]
    Time { row: usize },
    #[error("row {row} is neither 0 nor 1")]
    Boolean { row: usize },
    #[error("row {row} is not a finite number")]
    NotFinite { row: usize },
    #[error("row {row} is no latency sketch")]
    Sketch { row: usize },
    #[error("is set by the aggregator alone")]
    Reserved,
}

/// A column's name and number, for messages.
#[derive(Debug, PartialEq)]
pub struct ColumnName(pub &'static str, pub u16);

impl fmt::Display for ColumnName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.0, self.1)
    }
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_limit(BLOCK_BYTES_MAX as u64).with_little_endian().reject_trailing_bytes()
}

/// Writes one column behind what is there.
fn append_column(column: &EncodedColumn, bytes: &mut Vec<u8>) -> Result<(), BlockError> {
    codec().serialize_into(bytes, column).map_err(|error| BlockError::Malformed(error.to_string()))
}

impl Block {
    pub fn rows(&self) -> u32 {
        self.rows
    }

    pub fn encode(&self) -> Result<Vec<u8>, BlockError> {
        codec().serialize(self).map_err(|error| BlockError::Malformed(error.to_string()))
    }

    /// Decodes what may come from anywhere. Memory stays within a small multiple of the input.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(BlockError::TooLarge { bytes: bytes.len() });
        }
        let block: Block = codec().deserialize(bytes).map_err(|error| BlockError::Malformed(error.to_string()))?;
        Ok(block)
    }

    /// Everything that a reader relies on: lengths, kinds, nulls, dictionary indexes, times, finite numbers.
    pub fn check(self, table: Table) -> Result<CheckedBlock, BlockError> {
        if self.rows > BLOCK_ROWS_MAX {
            return Err(BlockError::TooManyRows(self.rows));
        }
        if self.columns.len() > BLOCK_COLUMNS_MAX {
            return Err(BlockError::TooManyColumns(self.columns.len()));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let Some(known) = table.column(column.id) else { continue };
            let name = ColumnName(known.name, known.id);
            let fault = if column.id == RECEIVED_AT {
                Err(ColumnFault::Reserved)
            } else if self.columns[..at].iter().any(|other| other.id == column.id) {
                Err(ColumnFault::Repeated)
            } else {
                column.values.check(self.rows, known.kind, known.nullable)
            };
            fault.map_err(|fault| BlockError::Column { column: name, fault })?;
        }
        let missing = table.columns().iter().find(|known| {
            !known.nullable && known.id != RECEIVED_AT && !self.columns.iter().any(|column| column.id == known.id)
        });
        if let Some(known) = missing.filter(|_| self.rows > 0) {
            let column = ColumnName(known.name, known.id);
            return Err(BlockError::Column { column, fault: ColumnFault::Missing });
        }
        Ok(CheckedBlock::new(self, table))
    }
}

impl Values {
    fn check(&self, rows: u32, kind: ColumnKind, nullable: bool) -> Result<(), ColumnFault> {
        let kind_matches = match self {
            Values::Text(_) | Values::Dictionary { .. } => kind == ColumnKind::Text,
            Values::Integer(_) | Values::Integers(_) | Values::Deltas(_) | Values::OptionalIntegers(_) => {
                matches!(kind, ColumnKind::Integer | ColumnKind::Time | ColumnKind::Boolean)
            }
            Values::Floats(_) | Values::OptionalFloats(_) => kind == ColumnKind::Float,
            Values::Ids { .. } => kind == ColumnKind::Id,
            Values::Blobs(_) => kind == ColumnKind::Sketch,
        };
        if !kind_matches {
            return Err(ColumnFault::Kind);
        }
        for found in self.lengths().into_iter().flatten() {
            if found != rows as usize {
                return Err(ColumnFault::Length { found, rows });
            }
        }
        self.check_values(kind, nullable)
    }

    fn check_values(&self, kind: ColumnKind, nullable: bool) -> Result<(), ColumnFault> {
        match self {
            Values::Dictionary { texts, index } => check_index(index, texts.len(), nullable),
            Values::OptionalIntegers(values) if !nullable => no_null(values),
            Values::OptionalFloats(values) if !nullable => no_null(values),
            _ => Ok(()),
        }?;
        match self {
            Values::Floats(values) => {
                first_row(values, |value| !value.is_finite()).map_or(Ok(()), |row| Err(ColumnFault::NotFinite { row }))
            }
            Values::OptionalFloats(values) => first_row(values, |value| value.is_some_and(|value| !value.is_finite()))
                .map_or(Ok(()), |row| Err(ColumnFault::NotFinite { row })),
            Values::Blobs(values) => first_row(values, |bytes| Sketch::decode(bytes).is_err())
                .map_or(Ok(()), |row| Err(ColumnFault::Sketch { row })),
            _ if kind == ColumnKind::Time => {
                let outside = |value| crate::time::Timestamp(value).checked().is_none();
                self.first_integer(outside).map_or(Ok(()), |row| Err(ColumnFault::Time { row }))
            }
            _ if kind == ColumnKind::Boolean => {
                let neither = |value| ![0, 1].contains(&value);
                self.first_integer(neither).map_or(Ok(()), |row| Err(ColumnFault::Boolean { row }))
            }
            _ => Ok(()),
        }
    }

    /// The first row whose integer is such.
    fn first_integer(&self, holds: impl Fn(i64) -> bool) -> Option<usize> {
        match self {
            Values::Integer(value) => holds(*value).then_some(0),
            Values::Integers(values) => values.iter().position(|value| holds(*value)),
            Values::Deltas(values) => {
                let mut sum = 0i64;
                values.iter().position(|delta| {
                    sum = sum.wrapping_add(*delta);
                    holds(sum)
                })
            }
            Values::OptionalIntegers(values) => values.iter().position(|value| value.is_some_and(&holds)),
            _ => None,
        }
    }

    /// The lengths that must equal the number of rows; a constant has none.
    fn lengths(&self) -> [Option<usize>; 2] {
        match self {
            Values::Text(_) | Values::Integer(_) => [None, None],
            Values::Integers(values) | Values::Deltas(values) => [Some(values.len()), None],
            Values::OptionalIntegers(values) => [Some(values.len()), None],
            Values::Floats(values) => [Some(values.len()), None],
            Values::OptionalFloats(values) => [Some(values.len()), None],
            Values::Dictionary { index, .. } => [Some(index.len()), None],
            Values::Ids { high, low } => [Some(high.len()), Some(low.len())],
            Values::Blobs(values) => [Some(values.len()), None],
        }
    }
}

fn check_index(index: &[u32], texts: usize, nullable: bool) -> Result<(), ColumnFault> {
    if let Some(row) = index.iter().position(|entry| *entry as usize > texts) {
        return Err(ColumnFault::Index { row });
    }
    match index.iter().position(|entry| *entry == 0) {
        Some(row) if !nullable => Err(ColumnFault::Null { row }),
        _ => Ok(()),
    }
}

fn no_null<T>(values: &[Option<T>]) -> Result<(), ColumnFault> {
    first_row(values, Option::is_none).map_or(Ok(()), |row| Err(ColumnFault::Null { row }))
}

fn first_row<T>(values: &[T], holds: impl Fn(&T) -> bool) -> Option<usize> {
    values.iter().position(holds)
}

#[cfg(test)]
mod tests;
