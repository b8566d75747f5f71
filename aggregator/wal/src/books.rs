//! The aggregator's half of the books, as numbers to serve: counted where it happens, replayed exactly.

use std::ops::Range;
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
    pub producers_forgotten: ProducersForgotten,
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
    /// Why the last group was not written, if that was a moment ago and none was since.
    pub refusing: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableBooks {
    pub tenant: Arc<str>,
    pub table: Table,
    pub rows_stored: u64,
    pub rows_duplicate: u64,
    /// Rows that came for this table and were set aside.
    pub rows_quarantined: u64,
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
}

/// Totals of the producers that were forgotten to bound the memory; numbers of theirs would be stored again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducersForgotten {
    pub producers: u64,
    pub announced: u128,
    pub received: u128,
}

/// The window in which a repeated event id is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdsBooks {
    pub count: u64,
    /// When the oldest id that is remembered came, to the width of a slice; None when there is none.
    pub oldest_at_us: Option<i64>,
    /// Ids forgotten before their time, because there were too many.
    pub forgotten_early: u64,
}
