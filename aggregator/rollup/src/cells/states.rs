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
    /// The same, of cells that change no more.
    Settled(Settled),
    Distinct(Vec<Distinct>),
}

/// Bins of all cells one after the other.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Of each cell, the largest value.
    pub maxes: Vec<u64>,
    /// Of each cell, where its bins end.
    pub ends: Vec<u32>,
    pub bins: Vec<(u16, u64)>,
}

impl Settled {
    /// Closes a cell whose bins have been added.
    pub fn close(&mut self, max: u64) {
        self.maxes.push(max);
        self.ends.push(self.bins.len() as u32);
    }

    pub fn bins(&self, cell: usize) -> &[(u16, u64)] {
        let start = cell.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bins[start..self.ends[cell] as usize]
    }
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
            Self::Settled(_) => unreachable!("what is settled gets no cells"),
        }
    }

    /// Those of some cells, in this order, to change no more.
    pub fn settled(&self, places: &[usize]) -> Self {
        match self {
            Self::Latency(cells) => {
                let mut settled = Settled::default();
                for at in places {
                    cells[*at].each(|code, count| settled.bins.push((code, count)));
                    settled.close(cells[*at].max);
                }
                Self::Settled(settled)
            }
            Self::Numbers(kinds, values) => {
                let width = kinds.len();
                let of_cell = |at: &usize| values[at * width..(at + 1) * width].iter().copied();
                Self::Numbers(kinds, places.iter().flat_map(of_cell).collect())
            }
            Self::Distinct(cells) => Self::Distinct(places.iter().map(|at| cells[*at].clone()).collect()),
            Self::Settled(_) => unreachable!("a grid's cells may change"),
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
            (Self::Latency(cells), Self::Settled(theirs)) => {
                let cell = &mut cells[at];
                theirs.bins(other).iter().for_each(|(code, count)| cell.add(*code, *count));
                cell.max = cell.max.max(theirs.maxes[other]);
            }
            (Self::Distinct(cells), Self::Distinct(theirs)) => cells[at].merge(&theirs[other]),
            _ => unreachable!("cells of one group hold the same"),
        }
    }

    /// On the heap.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers(_, values) => values.capacity() * size_of::<f64>(),
            Self::Latency(cells) => cells.iter().map(|cell| cell.bytes() + size_of::<Bins>()).sum(),
            Self::Settled(settled) => {
                settled.bins.capacity() * size_of::<(u16, u64)>()
                    + settled.maxes.capacity() * 8
                    + settled.ends.capacity() * 4
            }
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
