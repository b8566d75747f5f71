//! Building a block column by column, as values ([`Block`]) or as bytes ([`Encoder`](super::Encoder)).

use std::collections::HashMap;

use super::{Block, EncodedColumn, Values};
use crate::ids::EventId;

/// Takes the columns of a block. What is not given is null in every row.
pub trait ColumnSink: Sized {
    /// The same text in every row; nothing when there is none.
    #[must_use]
    fn constant(self, id: u16, text: Option<&str>) -> Self;
    #[must_use]
    fn integers(self, id: u16, values: impl Iterator<Item = i64> + Clone) -> Self;
    /// Integers that grow, such as times: stored as differences.
    #[must_use]
    fn growing(self, id: u16, values: impl Iterator<Item = i64> + Clone) -> Self;
    #[must_use]
    fn optional_integers(self, id: u16, values: impl Iterator<Item = Option<i64>> + Clone) -> Self;
    #[must_use]
    fn optional_booleans(self, id: u16, values: impl Iterator<Item = Option<bool>> + Clone) -> Self {
        self.optional_integers(id, values.map(|value| value.map(i64::from)))
    }
    #[must_use]
    fn floats(self, id: u16, values: impl Iterator<Item = f64> + Clone) -> Self;
    /// Texts, each distinct one stored once.
    #[must_use]
    fn texts<'a>(self, id: u16, values: impl Iterator<Item = Option<&'a str>> + Clone) -> Self;
    #[must_use]
    fn ids(self, id: u16, values: impl Iterator<Item = EventId> + Clone) -> Self;
}

impl ColumnSink for Block {
    fn constant(self, id: u16, text: Option<&str>) -> Self {
        Block::constant(self, id, text)
    }

    fn integers(self, id: u16, values: impl Iterator<Item = i64> + Clone) -> Self {
        Block::integers(self, id, values)
    }

    fn growing(self, id: u16, values: impl Iterator<Item = i64> + Clone) -> Self {
        Block::growing(self, id, values)
    }

    fn optional_integers(self, id: u16, values: impl Iterator<Item = Option<i64>> + Clone) -> Self {
        Block::optional_integers(self, id, values)
    }

    fn floats(self, id: u16, values: impl Iterator<Item = f64> + Clone) -> Self {
        Block::floats(self, id, values)
    }

    fn texts<'a>(self, id: u16, values: impl Iterator<Item = Option<&'a str>> + Clone) -> Self {
        Block::texts(self, id, values)
    }

    fn ids(self, id: u16, values: impl Iterator<Item = EventId> + Clone) -> Self {
        Block::ids(self, id, values)
    }
}

impl Block {
    /// A block of `rows` rows in which every column is null until it is given.
    pub fn of_rows(rows: usize) -> Self {
        Self { rows: rows as u32, columns: Vec::new() }
    }

    /// The same text in every row; nothing when there is none.
    #[must_use]
    pub fn constant(self, id: u16, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.with(id, Values::Text(text.to_owned())),
            None => self,
        }
    }

    /// Integers; one is stored when all are the same.
    #[must_use]
    pub fn integers(self, id: u16, values: impl Iterator<Item = i64>) -> Self {
        let values: Vec<i64> = values.collect();
        match values.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => {
                self.with(id, Values::Integer(*first))
            }
            _ => self.with(id, Values::Integers(values)),
        }
    }

    /// Integers that grow, such as times: stored as differences.
    #[must_use]
    pub fn growing(self, id: u16, values: impl Iterator<Item = i64>) -> Self {
        self.with(id, Values::Deltas(differences(values)))
    }

    #[must_use]
    pub fn optional_integers(self, id: u16, values: impl Iterator<Item = Option<i64>>) -> Self {
        let values: Vec<Option<i64>> = values.collect();
        if values.iter().all(Option::is_none) {
            return self;
        }
        match values.iter().copied().collect::<Option<Vec<i64>>>() {
            Some(complete) => self.integers(id, complete.into_iter()),
            None => self.with(id, Values::OptionalIntegers(values)),
        }
    }

    #[must_use]
    pub fn floats(self, id: u16, values: impl Iterator<Item = f64>) -> Self {
        self.with(id, Values::Floats(values.collect()))
    }

    #[must_use]
    pub fn optional_floats(self, id: u16, values: impl Iterator<Item = Option<f64>>) -> Self {
        let values: Vec<Option<f64>> = values.collect();
        if values.iter().all(Option::is_none) {
            return self;
        }
        self.with(id, Values::OptionalFloats(values))
    }

    /// Texts, each distinct one stored once.
    #[must_use]
    pub fn texts<'a>(self, id: u16, values: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut index = Vec::with_capacity(self.rows as usize);
        for value in values {
            index.push(value.map_or(0, |text| {
                *known.entry(text).or_insert_with(|| {
                    texts.push(text.to_owned());
                    texts.len() as u32
                })
            }));
        }
        match (texts.len(), index.contains(&0)) {
            (0, _) => self,
            (1, false) => self.with(id, Values::Text(texts.remove(0))),
            _ => self.with(id, Values::Dictionary { texts, index }),
        }
    }

    #[must_use]
    pub fn ids(self, id: u16, values: impl Iterator<Item = EventId> + Clone) -> Self {
        let high = differences(values.clone().map(|id| (id.as_u128() >> 64) as i64));
        let low = differences(values.map(|id| id.as_u128() as i64));
        self.with(id, Values::Ids { high, low })
    }

    #[must_use]
    pub fn blobs(self, id: u16, values: impl Iterator<Item = Vec<u8>>) -> Self {
        self.with(id, Values::Blobs(values.collect()))
    }

    pub(super) fn with(mut self, id: u16, values: Values) -> Self {
        debug_assert!(self.columns.iter().all(|column| column.id != id), "column {id} given twice");
        if self.rows > 0 {
            self.columns.push(EncodedColumn { id, values });
        }
        self
    }
}

fn differences(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut last = 0i64;
    values
        .map(|value| {
            let difference = value.wrapping_sub(last);
            last = value;
            difference
        })
        .collect()
}
