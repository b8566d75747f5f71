//! The last minute, second by second: what adds up, and the latencies.

use ridealong_common::sketch::Sketch;

use super::distinct::Distinct;
use super::{WINDOW_SECONDS, is_in_window};

/// One service in one environment, or all of a tenant.
pub(crate) struct Cells {
    /// The cell of a second lies at its remainder.
    cells: Vec<Cell>,
    pub users: Distinct,
    pub sessions: Distinct,
    /// The newest second in which anything came.
    pub newest: i64,
}

#[derive(Default)]
struct Cell {
    second: i64,
    sums: Sums,
    latencies: Sketch,
}

/// What adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub events: u64,
    pub requests: u64,
    pub errors: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// The longest, µs: does not add up, but joins as well.
    pub latency_max_us: u64,
}

impl Sums {
    pub fn add(&mut self, other: &Sums) {
        self.events += other.events;
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.latency_max_us = self.latency_max_us.max(other.latency_max_us);
    }
}

impl Cells {
    pub fn new(distinct_max: usize) -> Self {
        let cells = (0..WINDOW_SECONDS).map(|_| Cell { second: i64::MIN, ..Cell::default() }).collect();
        let (users, sessions) = (Distinct::new(distinct_max), Distinct::new(distinct_max));
        Self { cells, users, sessions, newest: i64::MIN }
    }

    /// False when the second has left the window already.
    pub fn add(&mut self, second: i64, sums: &Sums, latencies: Option<&Sketch>) -> bool {
        let cell = &mut self.cells[second.rem_euclid(WINDOW_SECONDS) as usize];
        if cell.second > second {
            return false;
        }
        if cell.second < second {
            *cell = Cell { second, ..Cell::default() };
        }
        cell.sums.add(sums);
        if let Some(latencies) = latencies {
            cell.latencies.merge(latencies);
        }
        self.newest = self.newest.max(second);
        true
    }

    pub fn sums(&self, now: i64) -> Sums {
        let mut sums = Sums::default();
        self.inside(now).for_each(|cell| sums.add(&cell.sums));
        sums
    }

    pub fn latencies(&self, now: i64, into: &mut Sketch) {
        self.inside(now).for_each(|cell| into.merge(&cell.latencies));
    }

    fn inside(&self, now: i64) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| is_in_window(cell.second, now))
    }
}

#[cfg(test)]
mod tests;
