//! Columns of a block, to be read row by row.

use ridealong_common::block::{CheckedBlock, Values};
use ridealong_wal::Entry;

/// A column of texts.
#[derive(Clone, Copy)]
pub(crate) enum Texts<'a> {
    Null,
    One(&'a str),
    Many { texts: &'a [String], index: &'a [u32] },
}

impl<'a> Texts<'a> {
    pub fn of(block: &'a CheckedBlock, id: u16) -> Self {
        match block.values(id) {
            Some(Values::Text(text)) => Texts::One(text),
            Some(Values::Dictionary { texts, index }) => Texts::Many { texts, index },
            _ => Texts::Null,
        }
    }

    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.distinct(self.number(row))
    }

    /// Which of the distinct texts a row has; 0 is none.
    pub fn number(&self, row: usize) -> u32 {
        match self {
            Texts::Null => 0,
            Texts::One(_) => 1,
            Texts::Many { index, .. } => index[row],
        }
    }

    pub fn distinct(&self, number: u32) -> Option<&'a str> {
        let at = number.checked_sub(1)?;
        match self {
            Texts::Null => None,
            Texts::One(text) => Some(text),
            Texts::Many { texts, .. } => Some(&texts[at as usize]),
        }
    }

    /// How many distinct texts there are at most.
    pub fn distinct_max(&self) -> u32 {
        match self {
            Texts::Null => 0,
            Texts::One(_) => 1,
            Texts::Many { texts, .. } => texts.len() as u32,
        }
    }

    /// The number of a text; None when no row has it.
    pub fn find(&self, wanted: &str) -> Option<u32> {
        match self {
            Texts::Null => None,
            Texts::One(text) => (*text == wanted).then_some(1),
            Texts::Many { texts, .. } => texts.iter().position(|text| text == wanted).map(|at| at as u32 + 1),
        }
    }
}

/// Integers of which none is null; 0 stands for what is.
pub(crate) fn integers(block: &CheckedBlock, id: u16) -> Vec<i64> {
    block.integers(id).into_iter().map(Option::unwrap_or_default).collect()
}

pub(crate) fn floats(block: &CheckedBlock, id: u16) -> Vec<Option<f64>> {
    match block.values(id) {
        Some(Values::Floats(values)) => values.iter().copied().map(Some).collect(),
        Some(Values::OptionalFloats(values)) => values.clone(),
        _ => vec![None; block.rows()],
    }
}

/// The rows of an entry that count: those that are neither repeats nor set aside.
pub(crate) fn rows_of(entry: &Entry) -> Vec<usize> {
    let is_skipped = |row: &u32| entry.skipped_rows.binary_search(row).is_ok();
    (0..entry.rows).filter(|row| !is_skipped(row)).map(|row| row as usize).collect()
}
