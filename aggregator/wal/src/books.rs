//! The aggregator's half of the books, as numbers to serve: counted where it happens, replayed exactly.
//!
//! What is counted in the log, for each tenant and table, by who sent it:
//!
//! - *received*: rows that came = *stored* + *duplicate* by number + *duplicate* by event id + *quarantined*;
//! - a table's received = that of its producers + of producers that were forgotten + *unnumbered* (JSON, no producer).
//!
//! And for each producer, in numbers:
//!
//! - *announced*: the numbers that it has handed out, as far as it has told = *received* (distinct ones that arrived)
//!   + *given up* + *missing*, which are named;
//! - received = rows stored + duplicate by event id + quarantined (+ *unsplit*, from before these were told apart).
//!
//! So announced = stored + duplicate by id + quarantined + given up + missing; a row whose number came before is a duplicate
//! by number and was announced once. All of it follows from the log's records alone: a restart changes none of it.

use std::ops::{AddAssign, Range, SubAssign};
use std::sync::Arc;

use ridealong_common::ids::ProducerId;
use ridealong_common::table::Table;

use crate::entry::Position;

/// One moment of the log: everything up to `position` and nothing after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub position: Position,
    /// By tenant and table; only those in which anything ever happened.
    pub tables: Vec<TableBooks>,
    /// By tenant and producer.
    pub producers: Vec<ProducerBooks>,
    /// Of all tenants.
    pub producers_forgotten: ProducersForgotten,
    /// The same by tenant; only those that have any.
    pub forgotten: Vec<(Arc<str>, ProducersForgotten)>,
    pub ids: IdsBooks,
    /// How often the same numbers came again with other content.
    pub conflicts: u64,
    /// Records of the log that were damaged and given up by a salvage, ever.
    pub records_lost: u64,
    /// Segments, checkpoint and runs of ids.
    pub bytes_on_disk: u64,
    pub segments: u64,
    /// Segments alone, and what they may be.
    pub bytes: u64,
    pub bytes_max: u64,
    /// Records that the next start would replay.
    pub bytes_to_replay: u64,
    /// Since this start.
    pub failed_syncs: u64,
    /// Entries refused because the log was as large as it may be, since this start.
    pub refused_log_full: u64,
    /// By name; without the lake, which is not registered.
    pub followers: Vec<FollowerBooks>,
    /// Why the last group was not written, if that was a moment ago and none was since.
    pub refusing: Option<String>,
}

/// A registered follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerBooks {
    pub name: String,
    /// Up to where it has saved.
    pub position: Position,
    /// Of the segments that it has not read to their end; 0 when it has everything.
    pub bytes_behind: u64,
    /// How often the log was let go before it was read.
    pub overruns: u64,
}

/// The books of one tenant at one moment. Missing ranges are not named in them unless the moment is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantBooks {
    pub position: Position,
    pub tables: Vec<TableBooks>,
    pub producers: Vec<ProducerBooks>,
    pub forgotten: ProducersForgotten,
}

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    pub stored: u64,
    /// Their numbers had come before.
    pub duplicate_numbers: u64,
    /// Their event ids had come before, under other numbers or none.
    pub duplicate_ids: u64,
    pub quarantined: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableBooks {
    pub tenant: Arc<str>,
    pub table: Table,
    pub rows_stored: u64,
    pub rows_duplicate: u64,
    /// Rows that came for this table and were set aside.
    pub rows_quarantined: u64,
    /// Of the three above: what came without numbers.
    pub unnumbered: RowCounts,
    /// Of the three above: what came from producers that are not in the list any more.
    pub forgotten: RowCounts,
}

/// `announced` = `received` + `given_up` + `missing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerBooks {
    pub tenant: Arc<str>,
    pub producer: ProducerId,
    /// Numbers handed out by the producer, as far as it has told.
    pub announced: u64,
    /// Distinct numbers that arrived.
    pub received: u64,
    /// Numbers in gaps that were closed to bound the list; if they arrive yet, they count as duplicates.
    pub given_up: u64,
    pub missing: u64,
    /// The oldest hundred ranges of the missing numbers.
    pub missing_ranges: Vec<Range<u64>>,
    pub last_seen_us: i64,
    /// What became of its rows, by table.
    pub tables: Vec<(Table, RowCounts)>,
    /// Of `received`: from before version 4 of the checkpoint, which tells apart what became of them.
    pub unsplit: u64,
    pub conflicts: Option<Conflicts>,
}

/// The same numbers came again with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflicts {
    pub count: u64,
    pub first: Conflict,
    pub last: Conflict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub first: u64,
    pub rows: u32,
    pub at_us: i64,
}

/// Totals of the producers that were forgotten to bound the memory; numbers of theirs would be stored again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducersForgotten {
    pub producers: u64,
    pub announced: u128,
    pub received: u128,
    pub given_up: u128,
}

/// The window in which a repeated event id is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdsBooks {
    pub count: u64,
    /// As many are remembered at most.
    pub count_max: u64,
    /// An id is remembered so long at most.
    pub window_us: i64,
    /// When the oldest id that is remembered came, to the width of a slice; None when there is none.
    pub oldest_at_us: Option<i64>,
    /// Ids forgotten before their time, because there were too many.
    pub forgotten_early: u64,
}

impl RowCounts {
    pub fn duplicate(&self) -> u64 {
        self.duplicate_numbers + self.duplicate_ids
    }

    /// All of them.
    pub fn received(&self) -> u64 {
        self.stored + self.duplicate() + self.quarantined
    }

    /// Those whose numbers had not come before, if they had any.
    pub fn with_new_numbers(&self) -> u64 {
        self.stored + self.duplicate_ids + self.quarantined
    }
}

impl AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.duplicate_numbers += other.duplicate_numbers;
        self.duplicate_ids += other.duplicate_ids;
        self.quarantined += other.quarantined;
    }
}

/// Takes back what was added before.
impl SubAssign for RowCounts {
    fn sub_assign(&mut self, other: Self) {
        self.stored -= other.stored;
        self.duplicate_numbers -= other.duplicate_numbers;
        self.duplicate_ids -= other.duplicate_ids;
        self.quarantined -= other.quarantined;
    }
}

impl TableBooks {
    /// Of all senders.
    pub fn received(&self) -> u64 {
        self.rows_stored + self.rows_duplicate + self.rows_quarantined
    }
}

impl ProducerBooks {
    /// Of all tables.
    pub fn rows(&self) -> RowCounts {
        let mut rows = RowCounts::default();
        self.tables.iter().for_each(|(_, counts)| rows += *counts);
        rows
    }
}
