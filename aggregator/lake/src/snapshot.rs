//! What a query pins: for each table, the hot rows and the Delta version that belong together.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_wal::Position;

use crate::mutations::Mutation;

/// The tables of one tenant at one moment. Immutable; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub tables: Vec<TableSnapshot>,
    /// Every stored row of the log up to here is in it, and none after.
    pub position: Position,
    /// As long as a table's is the same, so are its rows.
    pub(crate) revisions: Vec<(Table, u64)>,
}

impl Snapshot {
    /// Another after each change of the table; None while there is no row of it.
    pub fn revision(&self, table: Table) -> Option<u64> {
        self.revisions.iter().find(|(of, _)| *of == table).map(|(_, revision)| *revision)
    }

    pub fn table(&self, table: Table) -> Option<&TableSnapshot> {
        self.tables.iter().find(|snapshot| snapshot.table == table)
    }
}

#[derive(Clone, Debug)]
pub struct TableSnapshot {
    pub table: Table,
    /// Rows that are not in the Delta version below, oldest first, with the columns of the data files.
    pub hot: Vec<RecordBatch>,
    pub cold: Arc<ColdTable>,
}

/// How much of a table's hot rows somebody has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HotMark {
    /// How often rows had left or been replaced, and 1; 0 before the first look.
    pub changes: u64,
    /// How many batches there were.
    pub batches: usize,
}

/// What is new in a table since a [`HotMark`].
#[derive(Clone, Debug)]
pub struct Newer {
    /// Batches that came since then; all of them when some have left or were replaced meanwhile.
    pub hot: Vec<RecordBatch>,
    pub is_all: bool,
    pub cold: Arc<ColdTable>,
    pub mark: HotMark,
}

/// One version of a Delta table: its files.
#[derive(Clone, Debug, Default)]
pub struct ColdTable {
    /// None before the first commit.
    pub version: Option<i64>,
    /// The newest first.
    pub files: Vec<ColdFile>,
    /// Rows that are gone because their time was over.
    pub dropped: u64,
    /// Rows that were deleted, from files or from memory.
    pub deleted: u64,
}

impl TableSnapshot {
    pub fn rows_hot(&self) -> u64 {
        self.hot.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

impl ColdTable {
    pub(crate) fn new(version: Option<i64>, mut files: Vec<ColdFile>, dropped: u64) -> Self {
        files.sort_by_key(|file| Reverse(file.timestamps.map_or(i64::MAX, |(_, newest)| newest)));
        Self { version, files, dropped, deleted: 0 }
    }

    /// With what lies in the table's archive. A file that is in both is on its way there, and is here until it is gone.
    pub(crate) fn with_archive(self, archive: ColdTable) -> Self {
        let here: HashSet<&str> = self.files.iter().map(|file| &*file.name).collect();
        let there = archive.files.into_iter().filter(|file| !here.contains(&*file.name));
        let there: Vec<ColdFile> = there.map(|file| ColdFile { archived: true, ..file }).collect();
        let files = self.files.into_iter().chain(there).collect();
        Self::new(self.version, files, self.dropped + archive.dropped)
    }

    /// Rows that a query finds.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows.saturating_sub(file.masked)).sum()
    }

    /// Those of them that are in these files.
    pub(crate) fn rows_in(&self, names: &[String]) -> u64 {
        let names: HashSet<&str> = names.iter().map(String::as_str).collect();
        let files = self.files.iter().filter(|file| names.contains(&*file.name));
        files.map(|file| file.rows.saturating_sub(file.masked)).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// One Parquet file of a Delta version.
#[derive(Clone, Debug)]
pub struct ColdFile {
    /// The root of the object store that it lies in: `file:///`, `s3://bucket/`.
    pub store: Arc<str>,
    /// As the object store names it: from the store's root, without a leading slash.
    pub path: String,
    /// As the table names it: the part of the path below the table.
    pub name: String,
    /// It lies in the archive: a table of its own, which only moves and drops change.
    pub archived: bool,
    /// Mutations that its rows have not seen yet, in their order: they are applied whenever it is read.
    pub pending: Arc<[Arc<Mutation>]>,
    /// Rows that these leave out.
    pub masked: u64,
    pub bytes: u64,
    pub rows: u64,
    pub modified_ms: i64,
    /// Bounds of `timestamp` in microseconds; Delta's statistics are cut to milliseconds, so the upper one is widened.
    pub timestamps: Option<(i64, i64)>,
}
