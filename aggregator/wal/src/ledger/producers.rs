//! What is held of each producer's numbers, for a bounded number of producers.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use ridealong_common::ids::ProducerId;

use super::intervals::Intervals;
use crate::books::{ProducerBooks, ProducersForgotten};
use crate::entry::{Numbers, Position};

/// Ranges of a producer whose CRC is known, so that other content under the same numbers is noticed.
pub(super) const RECENT_MAX: usize = 64;
/// Missing ranges listed in the books for one producer; their sum is always exact.
const MISSING_LISTED_MAX: usize = 100;

/// A producer of a tenant (by its number).
pub(super) type ProducerKey = (u32, ProducerId);

pub(super) struct Producers {
    producers_max: usize,
    intervals_max: usize,
    /// Shared with whoever writes a checkpoint or the books: a change while they do copies that one producer.
    map: HashMap<ProducerKey, Arc<Producer>>,
    forgotten: ProducersForgotten,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Producer {
    pub announced: u64,
    pub received: u64,
    pub given_up: u64,
    pub last_seen_us: i64,
    pub last_position: Position,
    pub held: Intervals,
    pub recent: VecDeque<Held>,
}

/// A range of numbers and the CRC of what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub first: u64,
    pub rows: u32,
    pub crc: u32,
}

impl Held {
    pub fn new(numbers: &Numbers, rows: u32) -> Self {
        Self { first: numbers.first, rows, crc: numbers.crc }
    }

    /// The end fits: every entry and every record is checked for it.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + u64::from(self.rows)
    }

    /// The same numbers with other content.
    pub fn conflicts(&self, other: &Held) -> bool {
        self.first == other.first && self.rows == other.rows && self.crc != other.crc
    }
}

impl Producer {
    pub fn books(&self, tenant: Arc<str>, id: ProducerId) -> ProducerBooks {
        ProducerBooks {
            tenant,
            producer: id,
            announced: self.announced,
            received: self.received,
            given_up: self.given_up,
            missing: self.announced - self.received - self.given_up,
            missing_ranges: self.held.missing(self.announced).take(MISSING_LISTED_MAX).collect(),
            last_seen_us: self.last_seen_us,
        }
    }
}

impl Producers {
    pub fn new(producers_max: usize, intervals_max: usize) -> Self {
        let (producers_max, intervals_max) = (producers_max.max(1), intervals_max.max(2));
        Self { producers_max, intervals_max, map: HashMap::new(), forgotten: ProducersForgotten::default() }
    }

    pub fn get(&self, key: &ProducerKey) -> Option<&Producer> {
        self.map.get(key).map(|producer| &**producer)
    }

    pub fn apply(&mut self, key: ProducerKey, held: Held, announced: u64, at_us: i64, position: Position) {
        let range = held.range();
        let producer = Arc::make_mut(self.map.entry(key).or_default());
        producer.announced = producer.announced.max(announced).max(range.end);
        producer.last_seen_us = at_us;
        producer.last_position = position;
        if !producer.held.contains(&range) {
            producer.received += producer.held.insert(range);
            if producer.recent.len() == RECENT_MAX {
                producer.recent.pop_front();
            }
            producer.recent.push_back(held);
        }
        while producer.held.runs().len() > self.intervals_max {
            producer.given_up += producer.held.close_oldest_gap();
        }
        if self.map.len() > self.producers_max {
            self.forget_oldest();
        }
    }

    /// Forgets a sixteenth at once, so that the search for the oldest is rare.
    fn forget_oldest(&mut self) {
        let count = (self.map.len() - self.producers_max).max(self.producers_max / 16);
        let mut order: Vec<(Position, ProducerKey)> =
            self.map.iter().map(|(key, each)| (each.last_position, *key)).collect();
        order.sort_unstable();
        for (_, key) in &order[..count] {
            let Some(producer) = self.map.remove(key) else { continue };
            self.forgotten.producers += 1;
            self.forgotten.announced += u128::from(producer.announced);
            self.forgotten.received += u128::from(producer.received);
        }
        tracing::warn!(count, total = self.forgotten.producers, "forgot the producers unseen for longest");
    }

    /// All producers at this moment, by pointer.
    pub fn shared(&self) -> Vec<(ProducerKey, Arc<Producer>)> {
        self.map.iter().map(|(key, producer)| (*key, Arc::clone(producer))).collect()
    }

    pub fn forgotten(&self) -> ProducersForgotten {
        self.forgotten
    }

    pub fn restore(&mut self, key: ProducerKey, producer: Producer) {
        self.map.insert(key, Arc::new(producer));
    }

    pub fn restore_forgotten(&mut self, forgotten: ProducersForgotten) {
        self.forgotten = forgotten;
    }
}
