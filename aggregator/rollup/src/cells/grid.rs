//! Cells that are being gathered: by bucket and by tuple of values.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::dictionary::{Codes, Tuples};
use super::family::{Group, Level};
use super::states::States;

/// How time is cut: buckets of one length, counted from an origin. Without a length everything is bucket 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buckets {
    /// µs; 0 for one bucket.
    pub length: i64,
    /// µs.
    pub origin: i64,
}

impl Buckets {
    pub const ONE: Buckets = Buckets { length: 0, origin: 0 };

    pub const fn of(level: Level) -> Self {
        Self { length: level.micros(), origin: 0 }
    }

    pub fn of_time(self, time: i64) -> i64 {
        if self.length == 0 { 0 } else { (time - self.origin).div_euclid(self.length) }
    }

    /// When a bucket begins.
    pub fn start(self, bucket: i64) -> i64 {
        self.origin + bucket * self.length
    }

    /// Whether each bucket of a level lies in one of these.
    pub fn consist_of(self, level: Level) -> bool {
        self.length % level.micros() == 0 && self.origin % level.micros() == 0
    }
}

/// Cells of one group.
#[derive(Clone, Debug)]
pub struct Grid {
    pub group: Group,
    pub buckets: Buckets,
    pub tuples: Tuples,
    /// Of each cell.
    bucket_of: Vec<i64>,
    tuple_of: Vec<u32>,
    pub states: States,
    index: HashMap<(i64, u32), u32, RandomState>,
    last: Option<(i64, u32, u32)>,
}

impl Grid {
    pub fn new(group: Group, dimensions: usize, buckets: Buckets) -> Self {
        Self {
            group,
            buckets,
            tuples: Tuples::of(dimensions),
            bucket_of: Vec::new(),
            tuple_of: Vec::new(),
            states: States::of(group),
            index: HashMap::default(),
            last: None,
        }
    }

    pub fn len(&self) -> usize {
        self.bucket_of.len()
    }

    /// The place of a cell, which is made if it is not there.
    pub fn cell(&mut self, bucket: i64, tuple: u32) -> usize {
        if let Some((last_bucket, last_tuple, cell)) = self.last
            && last_bucket == bucket
            && last_tuple == tuple
        {
            return cell as usize;
        }
        let next = self.bucket_of.len() as u32;
        let cell = *self.index.entry((bucket, tuple)).or_insert(next);
        if cell == next {
            self.bucket_of.push(bucket);
            self.tuple_of.push(tuple);
            self.states.push();
        }
        self.last = Some((bucket, tuple, cell));
        cell as usize
    }

    /// Bucket and tuple of each cell, by its place.
    pub fn keys(&self) -> impl Iterator<Item = (i64, u32)> {
        self.bucket_of.iter().copied().zip(self.tuple_of.iter().copied())
    }

    /// Merges cells of another grid: those of whole buckets of it from one moment up to another, of tuples that count. Says
    /// how many there were.
    pub fn merge_from(&mut self, other: &Grid, mapped: &Mapped, from: i64, to: i64) -> u64 {
        let mut merged = 0;
        for (at, (bucket, tuple)) in other.keys().enumerate() {
            let start = other.buckets.start(bucket);
            if (from..to).contains(&start)
                && let Some(tuple) = mapped.get(tuple)
            {
                let bucket = self.buckets.of_time(start);
                let cell = self.cell(bucket, tuple);
                self.states.merge(cell, &other.states, at);
                merged += 1;
            }
        }
        merged
    }

    /// The same cells in longer buckets.
    pub fn coarser(&self, level: Level) -> Self {
        let mut coarser = Self::new(self.group, self.tuples.dictionaries().len(), Buckets::of(level));
        coarser.tuples = self.tuples.clone();
        for (from, (bucket, tuple)) in self.keys().enumerate() {
            let bucket = coarser.buckets.of_time(self.buckets.start(bucket));
            let cell = coarser.cell(bucket, tuple);
            coarser.states.merge(cell, &self.states, from);
        }
        coarser
    }

    /// The place of each cell, by bucket and then by tuple.
    pub fn sorted(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.sort_unstable_by_key(|at| (self.bucket_of[*at], self.tuple_of[*at]));
        places
    }

    pub fn key(&self, at: usize) -> (i64, u32) {
        (self.bucket_of[at], self.tuple_of[at])
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        self.tuples.bytes() + self.states.bytes() + self.len() * 48
    }
}

/// Which tuples of other cells count, and what they are here: made once for each of them, not for each cell.
pub struct Mapped(Vec<Option<u32>>);

impl Mapped {
    /// `places`: where the grid's dimensions are among the others'. `allowed`: whether a tuple counts.
    pub fn new(grid: &mut Grid, others: &Tuples, places: &[usize], allowed: impl Fn(u32) -> bool) -> Self {
        let mut known: Vec<Vec<Option<u32>>> =
            places.iter().map(|place| vec![None; others.dictionaries()[*place].values().len()]).collect();
        let tuples = (0..others.len() as u32).map(|tuple| {
            if !allowed(tuple) {
                return None;
            }
            let mut codes = Codes::default();
            for (at, place) in places.iter().enumerate() {
                let theirs = others.codes(tuple)[*place] as usize;
                codes[at] = *known[at][theirs].get_or_insert_with(|| {
                    let value = &others.dictionaries()[*place].values()[theirs];
                    grid.tuples.dictionary(at).code_of(value)
                });
            }
            Some(grid.tuples.tuple(codes))
        });
        Self(tuples.collect())
    }

    pub fn get(&self, tuple: u32) -> Option<u32> {
        self.0[tuple as usize]
    }
}
