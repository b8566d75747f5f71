//! Cells that change no more: those of one family of one file at one level in one [block](Block) of the day, sorted by
//! bucket, and their bytes.
//!
//! ```text
//! dimensions   u8
//! of each      count of its values (varint), then each: tag u8 (0 null, 1 false, 2 true, 3 integer, 4 text), then
//!              an integer (varint, zigzag) or a length (varint) and UTF-8
//! tuples       count (varint), then of each the place of its value in each dimension (varints)
//! cells        count (varint), then of each the difference of its bucket to the one before (varint, zigzag) and its
//!              tuple (varint)
//! states       numbers: f64 little-endian, cell by cell
//!              latency: of each cell max (varint), bins (varint), of each the difference of its code to the one before
//!              and its count (varints)
//!              distinct: of each cell as `ridealong_common::distinct` says
//! ```

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use ridealong_common::distinct::Distinct;
use ridealong_common::varint;
use thiserror::Error;

use super::dictionary::{Codes, Tuples, Value};
use super::family::{Family, Level};
use super::grid::{Buckets, Grid, Mapped};
use super::states::{Settled, States};

#[derive(Debug, Error, PartialEq, Eq)]
#[error("a section is damaged")]
pub struct Damaged;

#[derive(Clone, Debug)]
pub struct Section {
    pub level: Level,
    pub tuples: Tuples,
    /// Of each cell, ascending.
    buckets: Vec<i64>,
    tuple_of: Vec<u32>,
    states: States,
}

/// A part of a day. A file is of one day, and a question that cuts it wants little of its short buckets: so these lie in
/// blocks, and only those that are needed are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(pub u8);

impl Block {
    fn length(level: Level) -> i64 {
        Level::Hour.micros()
            * match level {
                Level::TenSeconds => 1,
                Level::Minute => 4,
                Level::QuarterHour | Level::Hour | Level::Day => 24,
            }
    }

    fn of(level: Level, time: i64) -> Self {
        Self((time.rem_euclid(Level::Day.micros()) / Self::length(level)) as u8)
    }

    /// Whether it has anything from a moment up to another, of whichever day.
    pub fn overlaps(self, level: Level, from: i64, to: i64) -> bool {
        let (day, length) = (Level::Day.micros(), Self::length(level));
        let start = i64::from(self.0) * length;
        let since = |earlier: i64, later: i64| (later - earlier).rem_euclid(day);
        since(from.rem_euclid(day), start) < to - from || since(start, from.rem_euclid(day)) < length
    }
}

impl Section {
    /// The cells of a grid, cut by the blocks that they lie in.
    pub fn blocks(grid: &Grid, level: Level) -> Vec<Self> {
        debug_assert_eq!(grid.buckets, Buckets::of(level), "a section has the buckets of its level");
        let places = grid.sorted();
        let block_of = |at: usize| Block::of(level, grid.buckets.start(grid.key(at).0));
        places
            .chunk_by(|one, other| block_of(*one) == block_of(*other))
            .map(|places| Self::of(grid, level, places))
            .collect()
    }

    fn of(grid: &Grid, level: Level, places: &[usize]) -> Self {
        let mut tuples = Tuples::of(grid.tuples.dictionaries().len());
        let all: Vec<usize> = (0..grid.tuples.dictionaries().len()).collect();
        let mut known: HashMap<u32, u32, RandomState> = HashMap::default();
        let (mut buckets, mut tuple_of) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
        for at in places {
            let (bucket, tuple) = grid.key(*at);
            let tuple = *known.entry(tuple).or_insert_with(|| tuples.taken_over(&grid.tuples, tuple, &all));
            buckets.push(bucket);
            tuple_of.push(tuple);
        }
        Self { level, tuples, buckets, tuple_of, states: grid.states.settled(places) }
    }

    pub fn block(&self) -> Block {
        let first = self.buckets.first().map_or(0, |bucket| Buckets::of(self.level).start(*bucket));
        Block::of(self.level, first)
    }

    pub fn cells(&self) -> usize {
        self.buckets.len()
    }

    /// Merges cells into a grid: those of whole buckets from one moment up to another, of tuples that count. Says how many
    /// there were.
    pub fn merge_into(&self, grid: &mut Grid, mapped: &Mapped, from: i64, to: i64) -> u64 {
        let own = Buckets::of(self.level);
        let cells = self.between(own.of_time(from), own.of_time(to));
        let mut merged = 0;
        let mut last = None;
        for at in cells {
            let Some(tuple) = mapped.get(self.tuple_of[at]) else { continue };
            let bucket = match last {
                Some((ours, theirs)) if ours == self.buckets[at] => theirs,
                _ => grid.buckets.of_time(own.start(self.buckets[at])),
            };
            last = Some((self.buckets[at], bucket));
            let cell = grid.cell(bucket, tuple);
            grid.states.merge(cell, &self.states, at);
            merged += 1;
        }
        merged
    }

    fn between(&self, first: i64, end: i64) -> Range<usize> {
        self.buckets.partition_point(|bucket| *bucket < first)..self.buckets.partition_point(|bucket| *bucket < end)
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.tuples.bytes() + self.states.bytes() + self.cells() * 12
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.cells() * 16);
        bytes.push(self.tuples.dictionaries().len() as u8);
        for dictionary in self.tuples.dictionaries() {
            varint::write(&mut bytes, dictionary.values().len() as u64);
            dictionary.values().iter().for_each(|value| write_value(&mut bytes, value));
        }
        varint::write(&mut bytes, self.tuples.len() as u64);
        for tuple in 0..self.tuples.len() as u32 {
            let codes = &self.tuples.codes(tuple)[..self.tuples.dictionaries().len()];
            codes.iter().for_each(|code| varint::write(&mut bytes, u64::from(*code)));
        }
        varint::write(&mut bytes, self.cells() as u64);
        let mut last = 0;
        for (bucket, tuple) in self.buckets.iter().zip(&self.tuple_of) {
            varint::write(&mut bytes, zigzag(bucket - last));
            varint::write(&mut bytes, u64::from(*tuple));
            last = *bucket;
        }
        write_states(&mut bytes, &self.states);
        bytes
    }

    /// Reads what may come from anywhere.
    pub fn decode(family: &Family, level: Level, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut read = Read(bytes);
        let dimensions = usize::from(read.byte()?);
        if dimensions != family.dimensions.len() {
            return Err(Damaged);
        }
        let tuples = read.tuples(dimensions)?;
        let cells = read.count()?;
        let (mut buckets, mut tuple_of) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
        let mut last = 0i64;
        for at in 0..cells {
            let gap = read.signed()?;
            last = last.checked_add(gap).filter(|_| at == 0 || gap >= 0).ok_or(Damaged)?;
            let tuple = u32::try_from(read.varint()?).ok().filter(|tuple| (*tuple as usize) < tuples.len());
            buckets.push(last);
            tuple_of.push(tuple.ok_or(Damaged)?);
        }
        let states = read.states(family, cells)?;
        if read.0.is_empty() { Ok(Self { level, tuples, buckets, tuple_of, states }) } else { Err(Damaged) }
    }
}

fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0),
        Value::Boolean(value) => bytes.push(1 + u8::from(*value)),
        Value::Integer(value) => {
            bytes.push(3);
            varint::write(bytes, zigzag(*value));
        }
        Value::Text(text) => {
            bytes.push(4);
            varint::write(bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

fn write_states(bytes: &mut Vec<u8>, states: &States) {
    match states {
        States::Numbers(_, values) => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
        States::Settled(settled) => settled.maxes.iter().enumerate().for_each(|(cell, max)| {
            let bins = settled.bins(cell);
            varint::write(bytes, *max);
            varint::write(bytes, bins.len() as u64);
            let mut last = 0;
            for (code, count) in bins {
                varint::write(bytes, u64::from(code - last));
                varint::write(bytes, *count);
                last = *code;
            }
        }),
        States::Latency(_) => unreachable!("a section's cells are settled"),
        States::Distinct(cells) => cells.iter().for_each(|cell| cell.encode_into(bytes)),
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// What is left to read.
struct Read<'a>(&'a [u8]);

impl Read<'_> {
    fn byte(&mut self) -> Result<u8, Damaged> {
        let (byte, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn varint(&mut self) -> Result<u64, Damaged> {
        varint::read(&mut self.0).ok_or(Damaged)
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Of things that take a byte each at least: more than there are bytes is damage, so nothing large is allocated for it.
    fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= self.0.len()).ok_or(Damaged)
    }

    fn tuples(&mut self, dimensions: usize) -> Result<Tuples, Damaged> {
        let mut tuples = Tuples::of(dimensions);
        for at in 0..dimensions {
            for expected in 0..self.count()? as u32 {
                let value = self.value()?;
                if tuples.dictionary(at).code_of(&value) != expected {
                    return Err(Damaged);
                }
            }
        }
        // One of no dimension takes no byte, and there is one.
        let count = self.varint()?;
        if dimensions > 0 && count > self.0.len() as u64 || dimensions == 0 && count > 1 {
            return Err(Damaged);
        }
        for expected in 0..count as u32 {
            let mut codes = Codes::default();
            for (at, code) in codes.iter_mut().enumerate().take(dimensions) {
                let known = tuples.dictionaries()[at].values().len() as u64;
                *code = Some(self.varint()?).filter(|code| *code < known).ok_or(Damaged)? as u32;
            }
            if tuples.tuple(codes) != expected {
                return Err(Damaged);
            }
        }
        Ok(tuples)
    }

    fn value(&mut self) -> Result<Value, Damaged> {
        Ok(match self.byte()? {
            0 => Value::Null,
            tag @ (1 | 2) => Value::Boolean(tag == 2),
            3 => Value::Integer(self.signed()?),
            4 => {
                let length = self.count()?;
                let (text, rest) = self.0.split_at(length);
                self.0 = rest;
                Value::Text(std::str::from_utf8(text).map_err(|_| Damaged)?.into())
            }
            _ => return Err(Damaged),
        })
    }

    fn states(&mut self, family: &Family, cells: usize) -> Result<States, Damaged> {
        Ok(match States::of(family.group) {
            States::Numbers(kinds, _) => {
                let length = cells * kinds.len() * size_of::<f64>();
                let (numbers, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
                self.0 = rest;
                let (numbers, _) = numbers.as_chunks::<8>();
                States::Numbers(kinds, numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
            }
            States::Latency(_) | States::Settled(_) => States::Settled(self.settled(cells)?),
            States::Distinct(_) => {
                let read = |_| Distinct::decode_from(&mut self.0).map_err(|_| Damaged);
                States::Distinct((0..cells).map(read).collect::<Result<_, _>>()?)
            }
        })
    }

    fn settled(&mut self, cells: usize) -> Result<Settled, Damaged> {
        let mut settled = Settled::default();
        for _ in 0..cells {
            let max = self.varint()?;
            let mut last = 0u64;
            for at in 0..self.count()? {
                let gap = self.varint()?;
                last += gap.min(u64::from(u16::MAX));
                if last > CODE_MAX || at > 0 && gap == 0 {
                    return Err(Damaged);
                }
                settled.bins.push((last as u16, self.varint()?));
            }
            settled.close(max);
        }
        Ok(settled)
    }
}

/// The code of the largest value that there is: more is damage.
const CODE_MAX: u64 = 2_222;

#[cfg(test)]
mod tests;
