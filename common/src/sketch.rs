//! The latency sketch: percentiles of durations within 1 % of the true value, mergeable, stored for ever.
//!
//! A DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
//! VLDB 2019). Values fall into bins whose bounds grow by γ = (1 + α) / (1 − α) with α = 0.01; bin `i` holds
//! γ^(i−1) < v ≤ γ^i and answers 2γ^i / (γ + 1). Values of 0 have a bin of their own. At most [`BINS_MAX`] bins: past
//! that the lowest are merged into one, so that the high percentiles, which people ask for, stay exact to 1 %.
//!
//! Serialised:
//!
//! ```text
//! version   u8         1: α = 0.01, value unit µs
//! zeros     varint     how many values were 0
//! bins      varint     how many bins follow
//! first     varint     index of the lowest bin (only when there are bins)
//! then for each bin: gap to the previous index (varint; absent for the first), count (varint)
//! ```
//!
//! Varints are unsigned LEB128.

use std::cmp::Ordering;

use thiserror::Error;

use crate::varint;

const VERSION: u8 = 1;
const ALPHA: f64 = 0.01;
const GAMMA: f64 = (1.0 + ALPHA) / (1.0 - ALPHA);

/// Bins kept. From 1 µs to 12 days there are 1,386, so in practice none is ever merged.
pub const BINS_MAX: usize = 1_400;
/// The highest bin that 64 bits can reach: a larger index is damage.
const INDEX_MAX: u32 = 2_220;

/// Counts of values by bin. `u64` values, by convention microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    zeros: u64,
    /// Index and count, by index: fewer steps to find one than in a tree, and one piece of memory.
    bins: Vec<(u32, u64)>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum SketchError {
    #[error("sketch of version {0}; this program reads version {VERSION}")]
    Version(u8),
    #[error("sketch ends early or is damaged")]
    Damaged,
}

impl Sketch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, value: u64) {
        if value == 0 {
            self.zeros = self.zeros.saturating_add(1);
        } else {
            let index = index_of(value);
            match self.bins.binary_search_by_key(&index, |(index, _)| *index) {
                Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(1),
                Err(at) => {
                    self.bins.insert(at, (index, 1));
                    self.shrink();
                }
            }
        }
    }

    pub fn merge(&mut self, other: &Sketch) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.bins = merged(&self.bins, &other.bins);
        self.shrink();
    }

    /// How many values fell where: a [code](code_of), ascending, and a count.
    pub fn bins(&self) -> impl Iterator<Item = (u16, u64)> {
        let zeros = (self.zeros > 0).then_some((0, self.zeros));
        zeros.into_iter().chain(self.bins.iter().map(|(index, count)| (*index as u16 + 1, *count)))
    }

    pub fn count(&self) -> u64 {
        self.bins.iter().fold(self.zeros, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Memory beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        self.bins.capacity() * size_of::<(u32, u64)>()
    }

    /// The value at quantile `q` in 0..=1 (0.95 is p95), within 1 %; `None` when nothing was added.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = (q * (count - 1) as f64).floor() as u64;
        let mut seen = self.zeros;
        if rank < seen {
            return Some(0.0);
        }
        for (index, count) in &self.bins {
            seen = seen.saturating_add(*count);
            if rank < seen {
                return Some(value_of(*index));
            }
        }
        self.bins.last().map(|(index, _)| value_of(*index))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + 3 * self.bins.len());
        bytes.push(VERSION);
        varint::write(&mut bytes, self.zeros);
        varint::write(&mut bytes, self.bins.len() as u64);
        let mut last = 0;
        for (index, count) in &self.bins {
            varint::write(&mut bytes, u64::from(index - last));
            varint::write(&mut bytes, *count);
            last = *index;
        }
        bytes
    }

    /// Reads what may come from anywhere; allocates no more than its bins.
    pub fn decode(bytes: &[u8]) -> Result<Self, SketchError> {
        let (&version, mut rest) = bytes.split_first().ok_or(SketchError::Damaged)?;
        if version != VERSION {
            return Err(SketchError::Version(version));
        }
        let zeros = varint::read(&mut rest).ok_or(SketchError::Damaged)?;
        let length = varint::read(&mut rest).ok_or(SketchError::Damaged)?;
        if length > BINS_MAX as u64 {
            return Err(SketchError::Damaged);
        }
        let mut bins = Vec::new();
        let mut index = 0u32;
        for at in 0..length {
            let gap = varint::read(&mut rest).ok_or(SketchError::Damaged)?;
            let gap = u32::try_from(gap).ok().filter(|gap| *gap <= INDEX_MAX).ok_or(SketchError::Damaged)?;
            if at > 0 && gap == 0 {
                return Err(SketchError::Damaged);
            }
            index += gap;
            let count = varint::read(&mut rest).ok_or(SketchError::Damaged)?;
            if index > INDEX_MAX || count == 0 {
                return Err(SketchError::Damaged);
            }
            bins.push((index, count));
        }
        if rest.is_empty() { Ok(Self { zeros, bins }) } else { Err(SketchError::Damaged) }
    }

    fn shrink(&mut self) {
        let over = self.bins.len().saturating_sub(BINS_MAX);
        if over > 0 {
            let lowest: u64 = self.bins.drain(..over).fold(0, |sum, (_, count)| sum.saturating_add(count));
            self.bins[0].1 = self.bins[0].1.saturating_add(lowest);
        }
    }
}

/// Where a value falls: 0 for 0, else a bin's index and 1. The same for all that [`bins`](Sketch::bins) of one version yields.
pub fn code_of(value: u64) -> u16 {
    if value == 0 { 0 } else { index_of(value) as u16 + 1 }
}

/// What stands for the values of a code: within 1 % of each.
pub fn value_of_code(code: u16) -> f64 {
    if code == 0 { 0.0 } else { value_of(u32::from(code) - 1) }
}

/// The bins of both, by index.
fn merged(one: &[(u32, u64)], other: &[(u32, u64)]) -> Vec<(u32, u64)> {
    let mut bins = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    while let (Some(left), Some(right)) = (one.peek().copied(), other.peek().copied()) {
        bins.push(match left.0.cmp(&right.0) {
            Ordering::Less => left,
            Ordering::Greater => right,
            Ordering::Equal => (left.0, left.1.saturating_add(right.1)),
        });
        one.next_if(|bin| bin.0 <= right.0);
        other.next_if(|bin| bin.0 <= left.0);
    }
    bins.extend(one);
    bins.extend(other);
    bins
}

fn index_of(value: u64) -> u32 {
    ((value as f64).ln() / GAMMA.ln()).ceil().max(0.0) as u32
}

fn value_of(index: u32) -> f64 {
    2.0 * GAMMA.powi(index as i32) / (GAMMA + 1.0)
}

#[cfg(test)]
mod tests;
