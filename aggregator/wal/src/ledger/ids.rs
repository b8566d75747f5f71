//! The event ids that were seen, exact and in 24 bytes each: a ring of the ids in the order in which they came, and an
//! open-addressing table of places in that ring. The oldest are forgotten one by one, by number or by age.
//!
//! Ids are numbered from 0 in the order in which they came; the number is what the checkpoint's runs go by. An id of a
//! tenant is mixed with the tenant's salt before it comes here.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::books::IdsBooks;

/// Slices of time that ages are told apart by, in one window.
const SLICES: i64 = 1_024;
const CAPACITY_MIN: usize = 1 << 10;
/// Places are stored as `u32`, plus one.
const IDS_MAX: usize = 1 << 31;

pub(crate) struct Ids {
    ids_max: usize,
    window_us: i64,
    /// By number modulo its length, a power of two; what lies outside `head..next` is old.
    ring: Vec<u128>,
    /// Place in the ring plus one, 0 when empty; twice as long as the ring, so never more than half full.
    table: Vec<u32>,
    head: u64,
    next: u64,
    slices: VecDeque<Slice>,
    forgotten_early: u64,
    /// Callers choose ids: without a secret they could make them all collide.
    secret: [u64; 2],
}

/// Consecutive ids that came within a short time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub first: u64,
    pub oldest_us: i64,
    pub newest_us: i64,
}

impl Ids {
    pub fn new(ids_max: usize, window: Duration) -> Self {
        let random = RandomState::new();
        Self {
            ids_max: ids_max.clamp(1, IDS_MAX),
            window_us: i64::try_from(window.as_micros()).unwrap_or(i64::MAX),
            ring: Vec::new(),
            table: Vec::new(),
            head: 0,
            next: 0,
            slices: VecDeque::new(),
            forgotten_early: 0,
            secret: [random.hash_one(0), random.hash_one(1)],
        }
    }

    pub fn len(&self) -> usize {
        (self.next - self.head) as usize
    }

    /// The numbers of the ids that are remembered.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        self.head..self.next
    }

    pub fn get(&self, number: u64) -> u128 {
        self.ring[self.place(number)]
    }

    pub fn slices(&self) -> impl ExactSizeIterator<Item = &Slice> {
        self.slices.iter()
    }

    pub fn forgotten_early(&self) -> u64 {
        self.forgotten_early
    }

    pub fn contains(&self, id: u128) -> bool {
        !self.ring.is_empty() && self.find(id).is_ok()
    }

    pub fn insert(&mut self, id: u128, at_us: i64) {
        if self.contains(id) {
            return;
        }
        while self.len() >= self.ids_max {
            self.forget_first();
            self.forgotten_early += 1;
        }
        self.push(id);
        let width_us = self.window_us / SLICES;
        match self.slices.back_mut() {
            Some(last) if at_us.saturating_sub(last.oldest_us) <= width_us => {
                last.oldest_us = last.oldest_us.min(at_us);
                last.newest_us = last.newest_us.max(at_us);
            }
            _ => self.slices.push_back(Slice { first: self.next - 1, oldest_us: at_us, newest_us: at_us }),
        }
    }

    /// Forgets the slices whose ids are all older than the window.
    pub fn expire(&mut self, now_us: i64) {
        while let Some(slice) =
            self.slices.front().filter(|slice| now_us.saturating_sub(slice.newest_us) > self.window_us)
        {
            debug_assert!(slice.first <= self.head, "the first slice begins where the ids begin");
            let end = self.slices.get(1).map_or(self.next, |next| next.first);
            while self.head < end {
                self.forget_first();
            }
        }
    }

    pub fn books(&self) -> IdsBooks {
        IdsBooks {
            count: self.len() as u64,
            count_max: self.ids_max as u64,
            window_us: self.window_us,
            oldest_at_us: self.slices.front().map(|slice| slice.oldest_us),
            forgotten_early: self.forgotten_early,
        }
    }

    /// Begins to restore what a checkpoint kept: numbers go on from `head`, the ids follow with [`Ids::restore`].
    pub fn restore_from(&mut self, head: u64, slices: VecDeque<Slice>, forgotten_early: u64) {
        assert!(self.len() == 0, "only an empty set is restored");
        (self.head, self.next, self.slices, self.forgotten_early) = (head, head, slices, forgotten_early);
    }

    /// The next id of a checkpoint; false when it is there already, which no checkpoint has.
    pub fn restore(&mut self, id: u128) -> bool {
        let new = !self.contains(id);
        if new {
            self.push(id);
        }
        new
    }

    fn push(&mut self, id: u128) {
        if self.len() == self.ring.len() {
            self.grow();
        }
        let place = self.place(self.next);
        self.ring[place] = id;
        if let Err(slot) = self.find(id) {
            self.table[slot] = place as u32 + 1;
        }
        self.next += 1;
    }

    fn grow(&mut self) {
        let capacity = (self.ring.len() * 2).max(CAPACITY_MIN);
        let old = std::mem::replace(&mut self.ring, vec![0; capacity]);
        self.table = vec![0; capacity * 2];
        for number in self.head..self.next {
            let id = old[(number & (old.len() as u64 - 1)) as usize];
            let place = self.place(number);
            self.ring[place] = id;
            if let Err(slot) = self.find(id) {
                self.table[slot] = place as u32 + 1;
            }
        }
    }

    fn forget_first(&mut self) {
        let id = self.get(self.head);
        if let Ok(slot) = self.find(id) {
            self.clear_slot(slot);
        }
        self.head += 1;
        if self.slices.get(1).is_some_and(|slice| slice.first <= self.head) {
            self.slices.pop_front();
        } else if self.len() == 0 {
            self.slices.clear();
        }
    }

    /// Empties a slot and closes up what was pushed past it (Knuth, volume 3, algorithm 6.4 R).
    fn clear_slot(&mut self, mut hole: usize) {
        let mask = self.table.len() - 1;
        let mut slot = hole;
        loop {
            slot = (slot + 1) & mask;
            let Some(place) = self.table[slot].checked_sub(1) else { break };
            let home = self.home(self.ring[place as usize]);
            if (slot.wrapping_sub(home) & mask) >= (slot.wrapping_sub(hole) & mask) {
                self.table[hole] = self.table[slot];
                hole = slot;
            }
        }
        self.table[hole] = 0;
    }

    /// The slot that holds the id, or the empty one where it belongs.
    fn find(&self, id: u128) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut slot = self.home(id);
        loop {
            match self.table[slot].checked_sub(1) {
                None => return Err(slot),
                Some(place) if self.ring[place as usize] == id => return Ok(slot),
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    fn place(&self, number: u64) -> usize {
        (number & (self.ring.len() as u64 - 1)) as usize
    }

    /// Where the search for an id begins: both halves multiplied with a secret, the product folded.
    fn home(&self, id: u128) -> usize {
        let [low, high] = [id as u64 ^ self.secret[0], (id >> 64) as u64 ^ self.secret[1]];
        let product = u128::from(low) * u128::from(high | 1);
        let folded = (product as u64 ^ (product >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (folded >> 32) as usize & (self.table.len() - 1)
    }
}

#[cfg(test)]
mod tests;
