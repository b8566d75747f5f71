//! Visits: what `sessions` and `users` are made of. A visit is a run of events of one visitor, session and circumstances
//! (source, country, device, platform), with counts, both ends and what stood there.
//!
//! Visits add up in any order and any grouping: sums, least and greatest values, ties decided by the values themselves.
//! So each read of the log may make its own, a flush may join what a while has brought, and a late event is one more.
//! Where no session id is given, a visit holds no pause longer than [`PAUSE_US`]; a query puts visits together by the
//! same rule. Events without user, visitor and session make none. An empty text counts as none.
//!
//! Who changes or erases events has to make the visits anew of every user, visitor and session that these name: a visit
//! does not know its events.
//!
//! Not here: which log entries are in the table already; what SQL makes of visits.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use ridealong_common::table::{events, visits};
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::arrow::error::ArrowError;

use rows::{Rows, batch_of};

mod rows;

/// A longer pause ends a session to which no id is given.
pub const PAUSE_US: i64 = 30 * 60 * 1_000_000;

/// What the events of one visit have in common, in this order; the first three are its ids.
const KEY: [(u16, u16); 7] = [
    (visits::USER_ID, events::USER_ID),
    (visits::ANONYMOUS_ID, events::ANONYMOUS_ID),
    (visits::SESSION_ID, events::SESSION_ID),
    (visits::SOURCE, events::SOURCE),
    (visits::COUNTRY, events::COUNTRY),
    (visits::DEVICE_TYPE, events::DEVICE_TYPE),
    (visits::PLATFORM, events::PLATFORM),
];
const IDS: usize = 3;
const SESSION: usize = 2;

type Key<'a> = [Option<&'a str>; KEY.len()];

/// The visits of events; None when no event names anybody.
pub(crate) fn of_events(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, ArrowError> {
    let visits = gathered(&batches.iter().map(Rows::of_events).collect::<Vec<_>>());
    if visits.is_empty() { Ok(None) } else { batch_of(&visits).map(Some) }
}

/// The same visits in fewer rows.
pub(crate) fn merged(batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    batch_of(&gathered(&batches.iter().map(Rows::of_visits).collect::<Vec<_>>()))
}

/// One row, or several put together. Its texts are borrowed from the rows.
#[derive(Clone, Debug, PartialEq)]
struct Visit<'a> {
    key: Key<'a>,
    first: i64,
    last: i64,
    received: i64,
    events: i64,
    pages: i64,
    errors: i64,
    entry_type: &'a str,
    exit_type: &'a str,
    /// The first there was, with its time.
    referrer: Option<(i64, &'a str)>,
}

impl<'a> Visit<'a> {
    /// Commutative and associative: the order in which rows come does not matter.
    fn add(&mut self, other: &Visit<'a>) {
        (self.first, self.entry_type) = (self.first, self.entry_type).min((other.first, other.entry_type));
        (self.last, self.exit_type) = (self.last, self.exit_type).max((other.last, other.exit_type));
        self.received = self.received.max(other.received);
        self.events += other.events;
        self.pages += other.pages;
        self.errors += other.errors;
        self.referrer = match (self.referrer, other.referrer) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Whether a visit of the same key that begins later, at `first`, is still this one.
    fn reaches(&self, first: i64) -> bool {
        self.key[SESSION].is_some() || first - self.last <= PAUSE_US
    }
}

/// Where a row lies, and what it is sorted by.
struct Place {
    group: u32,
    source: u32,
    row: u32,
    first: i64,
}

fn gathered<'a>(sources: &[Rows<'a>]) -> Vec<Visit<'a>> {
    let mut groups: HashMap<Key<'a>, u32, RandomState> = HashMap::default();
    let mut places = Vec::with_capacity(sources.iter().map(Rows::len).sum());
    for (source, rows) in sources.iter().enumerate() {
        for row in 0..rows.len() {
            let key = rows.key(row);
            if key[..IDS].iter().all(Option::is_none) {
                continue;
            }
            let next = groups.len() as u32;
            let group = *groups.entry(key).or_insert(next);
            places.push(Place { group, source: source as u32, row: row as u32, first: rows.first(row) });
        }
    }
    // Sorting rather than searching bounds the work for events in any order, with any number of pauses.
    places.sort_unstable_by_key(|place| (place.group, place.first));
    let mut visits: Vec<Visit<'a>> = Vec::with_capacity(groups.len());
    let mut group = None;
    for place in &places {
        let visit = sources[place.source as usize].visit(place.row as usize);
        match visits.last_mut().filter(|last| group == Some(place.group) && last.reaches(visit.first)) {
            Some(last) => last.add(&visit),
            None => visits.push(visit),
        }
        group = Some(place.group);
    }
    visits
}

#[cfg(test)]
pub(crate) mod tests;
