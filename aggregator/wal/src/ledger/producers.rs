//! What is held of each producer's numbers, for a bounded number of producers.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use ridealong_common::ids::ProducerId;
use ridealong_common::table::Table;

use super::intervals::Intervals;
use crate::books::{Conflict, Conflicts, ProducerBooks, ProducersForgotten, RowCounts};
use crate::entry::{Numbers, Position};
use crate::record::Record;

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
    /// What became of its rows; only tables of which any came.
    pub tables: Vec<(Table, RowCounts)>,
    /// Of `received`: from before these were told apart.
    pub unsplit: u64,
    pub conflicts: Option<Box<Conflicts>>,
}

/// What a record changed of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub rows: RowCounts,
    pub announced_before: u64,
    pub received: u64,
    pub given_up_before: u64,
    pub given_up: u64,
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

impl Producers {
    pub fn new(producers_max: usize, intervals_max: usize) -> Self {
        let (producers_max, intervals_max) = (producers_max.max(1), intervals_max.max(2));
        Self { producers_max, intervals_max, map: HashMap::new(), forgotten: ProducersForgotten::default() }
    }

    pub fn get(&self, key: &ProducerKey) -> Option<&Producer> {
        self.map.get(key).map(|producer| &**producer)
    }

    /// Accounts for a record with numbers; afterwards there may be too many producers.
    pub fn apply(&mut self, key: ProducerKey, numbers: &Numbers, record: &Record<'_>) -> Arrival {
        let producer = Arc::make_mut(self.map.entry(key).or_default());
        let (announced_before, given_up_before) = (producer.announced, producer.given_up);
        let received_before = producer.received;
        let held = Held::new(numbers, record.rows);
        producer.announced = announced_before.max(record.announced).max(held.range().end);
        producer.last_seen_us = record.received_at_us;
        producer.last_position = record.position;
        let fresh = producer.arrived(held);
        let rows = record.row_counts(Some(fresh));
        // A gap that was given up after this record was decided, in the same group, was none for these rows.
        let late = rows.with_new_numbers() - fresh.min(rows.with_new_numbers());
        producer.received += late;
        producer.given_up -= late.min(producer.given_up);
        producer.count(record.table, rows);
        if record.conflict {
            producer.conflict(Conflict { first: held.first, rows: held.rows, at_us: record.received_at_us });
        }
        while producer.held.runs().len() > self.intervals_max {
            producer.given_up += producer.held.close_oldest_gap();
        }
        let (received, given_up) = (producer.received - received_before, producer.given_up);
        Arrival { rows, announced_before, received, given_up_before, given_up }
    }

    /// Forgets a sixteenth at once when there are too many, so that the search for the oldest is rare.
    pub fn forget_oldest(&mut self) -> Vec<(ProducerKey, Arc<Producer>)> {
        if self.map.len() <= self.producers_max {
            return Vec::new();
        }
        let count = (self.map.len() - self.producers_max).max(self.producers_max / 16);
        let mut order: Vec<(Position, ProducerKey)> =
            self.map.iter().map(|(key, each)| (each.last_position, *key)).collect();
        order.sort_unstable();
        let forgotten: Vec<_> =
            order[..count].iter().filter_map(|(_, key)| Some((*key, self.map.remove(key)?))).collect();
        forgotten.iter().for_each(|(_, producer)| self.forgotten.add(producer));
        tracing::warn!(count, total = self.forgotten.producers, "forgot the producers unseen for longest");
        forgotten
    }

    /// All producers at this moment, by pointer.
    pub fn shared(&self) -> Vec<(ProducerKey, Arc<Producer>)> {
        self.map.iter().map(|(key, producer)| (*key, Arc::clone(producer))).collect()
    }

    /// Those of one tenant.
    pub fn shared_of(&self, tenant: u32) -> Vec<(ProducerId, Arc<Producer>)> {
        let mine = self.map.iter().filter(|((of, _), _)| *of == tenant);
        mine.map(|((_, id), producer)| (*id, Arc::clone(producer))).collect()
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

impl Producer {
    /// How many of the numbers are new.
    fn arrived(&mut self, held: Held) -> u64 {
        if self.held.contains(&held.range()) {
            return 0;
        }
        let fresh = self.held.insert(held.range());
        self.received += fresh;
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(held);
        fresh
    }

    fn count(&mut self, table: Table, rows: RowCounts) {
        match self.tables.iter_mut().find(|(each, _)| *each == table) {
            Some((_, counts)) => *counts += rows,
            None => self.tables.push((table, rows)),
        }
    }

    fn conflict(&mut self, conflict: Conflict) {
        let fresh = || Box::new(Conflicts { count: 0, first: conflict, last: conflict });
        let conflicts = self.conflicts.get_or_insert_with(fresh);
        conflicts.count += 1;
        conflicts.last = conflict;
    }

    pub fn books(&self, tenant: Arc<str>, producer: ProducerId) -> ProducerBooks {
        let mut tables = self.tables.clone();
        tables.sort_unstable_by_key(|(table, _)| *table);
        ProducerBooks {
            tenant,
            producer,
            announced: self.announced,
            received: self.received,
            given_up: self.given_up,
            missing: self.announced - self.received - self.given_up,
            missing_ranges: self.held.missing(self.announced).take(MISSING_LISTED_MAX).collect(),
            last_seen_us: self.last_seen_us,
            tables,
            unsplit: self.unsplit,
            conflicts: self.conflicts.as_deref().copied(),
        }
    }
}

impl ProducersForgotten {
    pub(super) fn add(&mut self, producer: &Producer) {
        self.producers += 1;
        self.announced += u128::from(producer.announced);
        self.received += u128::from(producer.received);
        self.given_up += u128::from(producer.given_up);
    }
}
