//! What goes into the log and what comes out of it, as its callers see it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::Table;
use uuid::Uuid;

/// The number of a record: 1 for the first, then one more for each. A number that was durable once never names another
/// record of the same log; one whose fsync failed was never shown to anybody and is given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// Before the first record.
    pub const NONE: Position = Position(0);

    pub const fn next(self) -> Position {
        Position(self.0 + 1)
    }

    pub const fn before(self) -> Position {
        Position(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The identity of a log; a log that was reset or restored has another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(Uuid);

impl LogId {
    pub fn draw() -> Self {
        Self(Uuid::new_v4())
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// What the event ids of a tenant are mixed with, so that equal ids of two tenants are two ids.
    pub(crate) fn salt(self, tenant: &str) -> u128 {
        Uuid::new_v5(&self.0, tenant.as_bytes()).as_u128()
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(out)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Rows of one tenant and table, to be stored once.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub tenant: Arc<str>,
    pub table: Table,
    /// When the aggregator took it; also the clock by which event ids grow old.
    pub received_at_us: i64,
    pub numbers: Option<Numbers>,
    /// How many numbers the producer has handed out by now; meaningless without `numbers`.
    pub announced: u64,
    pub rows: u32,
    /// One id a row when the rows are deduplicated by id.
    pub event_ids: Option<Vec<EventId>>,
    /// Indexes of rows that are not to be stored, because they are set aside in another entry; ascending. They are
    /// counted as quarantined, unless their numbers are held already: then they are duplicates.
    pub quarantined_rows: Vec<u32>,
    /// Whether these rows, of the table of what was set aside, came for `events` without numbers: there they are counted as
    /// quarantined, and repeats of them as duplicates.
    pub in_place_of_events: bool,
    pub payload: Bytes,
}

/// The numbers `first .. first + rows` of a producer, and what identifies their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub producer: ProducerId,
    pub first: u64,
    pub crc: u32,
}

/// The answer to an append: everything in it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// None when no row was stored.
    pub position: Option<Position>,
    pub stored: u32,
    /// Indexes of the rows that were not stored again, ascending.
    pub duplicate_rows: Vec<u32>,
    /// Rows that were set aside for the first time; with the two above, all rows of the entry.
    pub quarantined: u32,
}

/// An entry as followers read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    pub tenant: Arc<str>,
    pub table: Table,
    pub received_at_us: i64,
    pub numbers: Option<Numbers>,
    pub announced: u64,
    /// Rows in the payload, the skipped ones included.
    pub rows: u32,
    /// Indexes of the rows that are duplicates or quarantined and do not count, ascending.
    pub skipped_rows: Vec<u32>,
    pub payload: Bytes,
}
