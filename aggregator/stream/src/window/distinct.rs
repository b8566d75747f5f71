//! How many different values there were in the last minute.
//!
//! Exact as long as few enough are kept; then one in 2, 4, 8 … is kept, chosen by its hash, and the count is multiplied
//! (Wegman's adaptive sampling: Flajolet, "On adaptive sampling", Computing 43, 1990). With at most `kept_max` values
//! the standard error is about 1.2 / √`kept_max`. Unlike registers of a HyperLogLog, values can leave: each is kept with
//! the second in which it was last seen.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::{WINDOW_SECONDS, is_in_window};

/// One in 2^32 is enough for any stream.
const LEVEL_MAX: u32 = 32;

pub(crate) struct Distinct {
    /// A value's hash, and the second in which it was last seen.
    last_seen: HashMap<u64, i64, RandomState>,
    kept_max: usize,
    /// Hashes that end in so many zero bits are kept.
    recording: u32,
    /// What answers count by: `recording`, or more until a whole window was recorded.
    answering: u32,
    recording_since: i64,
}

/// A count, and whether it is an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DistinctCount {
    pub count: u64,
    pub is_estimate: bool,
}

impl Distinct {
    pub fn new(kept_max: usize) -> Self {
        Self { last_seen: HashMap::default(), kept_max, recording: 0, answering: 0, recording_since: 0 }
    }

    pub fn add(&mut self, hash: u64, second: i64) {
        if !passes(hash, self.recording) {
            return;
        }
        let last = self.last_seen.entry(hash).or_insert(second);
        *last = (*last).max(second);
        if self.last_seen.len() > self.kept_max {
            self.make_room(second);
        }
    }

    fn make_room(&mut self, now: i64) {
        self.forget(now);
        while self.last_seen.len() > self.kept_max && self.recording < LEVEL_MAX {
            self.recording += 1;
            self.answering = self.answering.max(self.recording);
            let level = self.recording;
            self.last_seen.retain(|hash, _| passes(*hash, level));
        }
    }

    /// Drops what the window has left behind, and keeps more again when there is room. To be called now and then.
    pub fn forget(&mut self, now: i64) {
        self.last_seen.retain(|_, second| is_in_window(*second, now) || *second > now);
        if self.recording < self.answering {
            if now - self.recording_since >= WINDOW_SECONDS {
                self.answering = self.recording;
            }
        } else if self.recording > 0 && self.last_seen.len() < self.kept_max / 4 {
            self.recording -= 1;
            self.recording_since = now;
        }
        if self.last_seen.capacity() > 4 * self.last_seen.len().max(64) {
            self.last_seen.shrink_to_fit();
        }
    }

    /// Over all of them together.
    pub fn count<'a>(all: impl Iterator<Item = &'a Self> + Clone, now: i64) -> DistinctCount {
        let level = all.clone().map(|one| one.answering).max().unwrap_or(0);
        let seen = all.clone().flat_map(|one| &one.last_seen);
        let counted = seen.filter(|(hash, second)| is_in_window(**second, now) && passes(**hash, level));
        let count = match all.count() {
            0 | 1 => counted.count(),
            _ => counted.map(|(hash, _)| *hash).collect::<HashSet<u64, RandomState>>().len(),
        };
        DistinctCount { count: (count as u64) << level, is_estimate: level > 0 }
    }
}

fn passes(hash: u64, level: u32) -> bool {
    hash.trailing_zeros() >= level
}

#[cfg(test)]
mod tests;
