//! What the cells of a grid hold, side by side.

use ridealong_common::distinct::Distinct;

use super::bins::Bins;
use super::family::{Group, Merge};

/// Of each cell, by its place.
#[derive(Clone, Debug)]
pub enum States {
    /// So many numbers a cell as there are kinds.
    Numbers(&'static [Merge], Vec<f64>),
    Latency(Vec<Bins>),
    Distinct(Vec<Distinct>),
}

impl States {
    pub fn of(group: Group) -> Self {
        match group {
            Group::Users | Group::Sessions => Self::Distinct(Vec::new()),
            Group::Latency => Self::Latency(Vec::new()),
            numbers => Self::Numbers(numbers.numbers(), Vec::new()),
        }
    }

    /// Adds an empty cell.
    pub fn push(&mut self) {
        match self {
            Self::Numbers(kinds, values) => values.resize(values.len() + kinds.len(), 0.0),
            Self::Latency(cells) => cells.push(Bins::default()),
            Self::Distinct(cells) => cells.push(Distinct::default()),
        }
    }

    /// Merges a cell of others of the same group into one of these.
    pub fn merge(&mut self, at: usize, others: &States, other: usize) {
        match (self, others) {
            (Self::Numbers(kinds, values), Self::Numbers(_, theirs)) => {
                let width = kinds.len();
                let ours = &mut values[at * width..(at + 1) * width];
                merge_numbers(kinds, ours, &theirs[other * width..(other + 1) * width]);
            }
            (Self::Latency(cells), Self::Latency(theirs)) => cells[at].merge(&theirs[other]),
            (Self::Distinct(cells), Self::Distinct(theirs)) => cells[at].merge(&theirs[other]),
            _ => unreachable!("cells of one group hold the same"),
        }
    }

    /// On the heap.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers(_, values) => values.capacity() * size_of::<f64>(),
            Self::Latency(cells) => cells.iter().map(|cell| cell.bytes() + size_of::<Bins>()).sum(),
            Self::Distinct(cells) => cells.iter().map(|cell| cell.bytes() + size_of::<Distinct>()).sum(),
        }
    }
}

pub fn merge_numbers(kinds: &[Merge], ours: &mut [f64], theirs: &[f64]) {
    for ((kind, our), their) in kinds.iter().zip(ours).zip(theirs) {
        match kind {
            Merge::Sum => *our += their,
            Merge::Max => *our = our.max(*their),
        }
    }
}
