//! Encoding a block from its rows at once: the same bytes as [`Block::encode`](super::Block::encode) of the same columns,
//! without the vectors and strings between. The agent's spool makes every request's block with it.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{BlockError, ColumnSink};
use crate::ids::EventId;
use crate::limits::BLOCK_BYTES_MAX;

/// bincode's marks of an integer that takes two, four or eight bytes; below them it is its own byte.
const TWO_BYTES: u8 = 251;
const FOUR_BYTES: u8 = 252;
const EIGHT_BYTES: u8 = 253;

/// The numbers of `Values`' variants.
const TEXT: u8 = 0;
const INTEGER: u8 = 1;
const INTEGERS: u8 = 2;
const DELTAS: u8 = 3;
const OPTIONAL_INTEGERS: u8 = 4;
const FLOATS: u8 = 5;
const DICTIONARY: u8 = 7;
const IDS: u8 = 8;

/// A block on its way. Columns come in any order, each at most once.
#[derive(Debug)]
pub struct Encoder {
    rows: u32,
    columns: u8,
    /// Where the number of columns stands.
    columns_at: usize,
    bytes: Vec<u8>,
    /// For finding texts that were there before; kept from column to column.
    slots: Vec<u32>,
}

impl Encoder {
    pub fn of_rows(rows: usize) -> Self {
        let mut encoder = Self {
            rows: rows as u32,
            columns: 0,
            columns_at: 0,
            bytes: Vec::with_capacity(96 * rows + 512),
            slots: Vec::new(),
        };
        encoder.unsigned(rows as u64);
        encoder.columns_at = encoder.bytes.len();
        encoder.bytes.push(0);
        encoder
    }

    pub fn finish(mut self) -> Result<Vec<u8>, BlockError> {
        assert!(self.columns < TWO_BYTES, "the number of columns is one byte");
        if self.bytes.len() > BLOCK_BYTES_MAX {
            return Err(BlockError::TooLarge { bytes: self.bytes.len() });
        }
        self.bytes[self.columns_at] = self.columns;
        Ok(self.bytes)
    }

    fn column(&mut self, id: u16, kind: u8) {
        self.columns += 1;
        self.unsigned(u64::from(id));
        self.bytes.push(kind);
    }

    fn unsigned(&mut self, value: u64) {
        match value {
            0..251 => self.bytes.push(value as u8),
            251..=0xffff => self.marked(TWO_BYTES, &(value as u16).to_le_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(FOUR_BYTES, &(value as u32).to_le_bytes()),
            _ => self.marked(EIGHT_BYTES, &value.to_le_bytes()),
        }
    }

    fn marked(&mut self, mark: u8, bytes: &[u8]) {
        self.bytes.push(mark);
        self.bytes.extend_from_slice(bytes);
    }

    /// Zigzag: small numbers of either sign are short.
    fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn differences(&mut self, values: impl Iterator<Item = i64>) {
        self.unsigned(u64::from(self.rows));
        let mut last = 0i64;
        for value in values {
            self.signed(value.wrapping_sub(last));
            last = value;
        }
    }
}

impl ColumnSink for Encoder {
    fn constant(mut self, id: u16, text: Option<&str>) -> Self {
        if let Some(text) = text.filter(|_| self.rows > 0) {
            self.column(id, TEXT);
            self.text(text);
        }
        self
    }

    fn integers(mut self, id: u16, mut values: impl Iterator<Item = i64> + Clone) -> Self {
        let all = values.clone();
        let Some(first) = values.next() else { return self };
        if values.all(|value| value == first) {
            self.column(id, INTEGER);
            self.signed(first);
            return self;
        }
        self.column(id, INTEGERS);
        self.unsigned(u64::from(self.rows));
        all.for_each(|value| self.signed(value));
        self
    }

    fn growing(mut self, id: u16, values: impl Iterator<Item = i64> + Clone) -> Self {
        if self.rows > 0 {
            self.column(id, DELTAS);
            self.differences(values);
        }
        self
    }

    fn optional_integers(mut self, id: u16, values: impl Iterator<Item = Option<i64>> + Clone) -> Self {
        let missing = values.clone().filter(Option::is_none).count();
        if missing == self.rows as usize {
            return self;
        }
        if missing == 0 {
            return self.integers(id, values.flatten());
        }
        self.column(id, OPTIONAL_INTEGERS);
        self.unsigned(u64::from(self.rows));
        for value in values {
            self.bytes.push(u8::from(value.is_some()));
            if let Some(value) = value {
                self.signed(value);
            }
        }
        self
    }

    fn floats(mut self, id: u16, values: impl Iterator<Item = f64> + Clone) -> Self {
        if self.rows > 0 {
            self.column(id, FLOATS);
            self.unsigned(u64::from(self.rows));
            values.for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
        }
        self
    }

    fn texts<'a>(mut self, id: u16, values: impl Iterator<Item = Option<&'a str>> + Clone) -> Self {
        if values.clone().all(|value| value.is_none()) {
            return self;
        }
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        slots.resize((2 * self.rows as usize).next_power_of_two(), 0);
        let hasher = RandomState::default();
        let mut distinct = Distinct { texts: Vec::new(), slots: &mut slots, hasher, last: 0 };
        let mut index = Vec::with_capacity(self.rows as usize);
        index.extend(values.map(|value| value.map_or(0, |text| distinct.number(text))));
        let texts = distinct.texts;
        self.slots = slots;
        match (&texts[..], index.contains(&0)) {
            ([], _) => {}
            ([only], false) => return self.constant(id, Some(only)),
            (texts, _) => {
                self.column(id, DICTIONARY);
                self.unsigned(texts.len() as u64);
                texts.iter().for_each(|text| self.text(text));
                self.unsigned(u64::from(self.rows));
                index.into_iter().for_each(|entry| self.unsigned(u64::from(entry)));
            }
        }
        self
    }

    fn ids(mut self, id: u16, values: impl Iterator<Item = EventId> + Clone) -> Self {
        if self.rows > 0 {
            self.column(id, IDS);
            self.differences(values.clone().map(|id| (id.as_u128() >> 64) as i64));
            self.differences(values.map(|id| id.as_u128() as i64));
        }
        self
    }
}

/// Numbers texts from 1 in the order in which they are first seen.
struct Distinct<'a, 's> {
    texts: Vec<&'a str>,
    /// Numbers by hash, 0 where there is none; a power of two of them, at least twice the rows.
    slots: &'s mut [u32],
    hasher: RandomState,
    last: u32,
}

impl<'a> Distinct<'a, '_> {
    /// Many columns hold one text nearly everywhere, and often in the same place of memory: then nothing is hashed.
    fn number(&mut self, text: &'a str) -> u32 {
        if self.last == 0 || self.texts[self.last as usize - 1] != text {
            self.last = self.looked_up(text);
        }
        self.last
    }

    fn looked_up(&mut self, text: &'a str) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = self.hasher.hash_one(text) as usize & mask;
        // Ends: half of the slots are free.
        loop {
            match self.slots[at] {
                0 => {
                    self.texts.push(text);
                    self.slots[at] = self.texts.len() as u32;
                    return self.slots[at];
                }
                number if self.texts[number as usize - 1] == text => return number,
                _ => at = (at + 1) & mask,
            }
        }
    }
}
