//! Reading a checked block.

use super::{Block, Values};
use crate::ids::EventId;
use crate::table::Table;

/// A block that passed [`Block::check`] for its table.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedBlock {
    block: Block,
    table: Table,
}

/// One value of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Float(f64),
    Id(EventId),
    Bytes(&'a [u8]),
}

impl CheckedBlock {
    pub(super) fn new(block: Block, table: Table) -> Self {
        Self { block, table }
    }

    pub fn rows(&self) -> usize {
        self.block.rows as usize
    }

    pub fn table(&self) -> Table {
        self.table
    }

    pub fn as_block(&self) -> &Block {
        &self.block
    }

    pub fn into_block(self) -> Block {
        self.block
    }

    /// The stored values of a column; `None` when it is null in every row.
    pub fn values(&self, id: u16) -> Option<&Values> {
        self.block.columns.iter().find(|column| column.id == id).map(|column| &column.values)
    }

    /// All ids of an id column, in row order.
    pub fn ids(&self, id: u16) -> Vec<EventId> {
        match self.values(id) {
            Some(Values::Ids { high, low }) => joined(high, low),
            _ => Vec::new(),
        }
    }

    /// All values of an integer or time column, in row order.
    pub fn integers(&self, id: u16) -> Vec<Option<i64>> {
        let rows = self.rows();
        self.values(id).map_or_else(|| vec![None; rows], |values| values.integers(rows))
    }

    /// One cell. Walks the column where it is stored as differences: meant for showing single rows, not for scanning.
    pub fn cell(&self, row: usize, id: u16) -> Cell<'_> {
        assert!(row < self.rows(), "row {row} of {}", self.rows());
        match self.values(id) {
            None => Cell::Null,
            Some(Values::Text(text)) => Cell::Text(text),
            Some(Values::Integer(value)) => Cell::Integer(*value),
            Some(Values::Integers(values)) => Cell::Integer(values[row]),
            Some(Values::Deltas(values)) => Cell::Integer(summed(&values[..=row])),
            Some(Values::OptionalIntegers(values)) => values[row].map_or(Cell::Null, Cell::Integer),
            Some(Values::Floats(values)) => Cell::Float(values[row]),
            Some(Values::OptionalFloats(values)) => values[row].map_or(Cell::Null, Cell::Float),
            Some(Values::Dictionary { texts, index }) => match index[row] {
                0 => Cell::Null,
                entry => Cell::Text(&texts[entry as usize - 1]),
            },
            Some(Values::Ids { high, low }) => Cell::Id(id_of(summed(&high[..=row]), summed(&low[..=row]))),
            Some(Values::Blobs(values)) => Cell::Bytes(&values[row]),
        }
    }
}

impl Values {
    /// The integers of `rows` rows, differences taken apart.
    pub fn integers(&self, rows: usize) -> Vec<Option<i64>> {
        match self {
            Values::Integer(value) => vec![Some(*value); rows],
            Values::Integers(values) => values.iter().copied().map(Some).collect(),
            Values::Deltas(values) => running(values).map(Some).collect(),
            Values::OptionalIntegers(values) => values.clone(),
            _ => vec![None; rows],
        }
    }
}

/// The running sums of differences.
pub(crate) fn running(differences: &[i64]) -> impl Iterator<Item = i64> + '_ {
    differences.iter().scan(0i64, |value, difference| {
        *value = value.wrapping_add(*difference);
        Some(*value)
    })
}

fn summed(differences: &[i64]) -> i64 {
    differences.iter().fold(0i64, |value, difference| value.wrapping_add(*difference))
}

fn joined(high: &[i64], low: &[i64]) -> Vec<EventId> {
    running(high).zip(running(low)).map(|(high, low)| id_of(high, low)).collect()
}

fn id_of(high: i64, low: i64) -> EventId {
    EventId::from_u128((u128::from(high as u64) << 64) | u128::from(low as u64))
}
