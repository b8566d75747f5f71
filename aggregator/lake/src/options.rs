//! What the lake may be told, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use ridealong_model::budget::Budget;
use ridealong_model::location::{Locations, UsualPlaces};
use ridealong_model::retention::{KeepForEver, RetentionRules};
use ridealong_wal::disk::Disk;

use crate::place::Place;

#[derive(Clone)]
pub struct LakeOptions {
    /// Holds `{tenant}/{table}/`.
    pub root: Place,
    /// Holds the same for days that are kept and seldom read.
    pub archive: Option<Place>,
    /// When days go to the archive, and when for good.
    pub retention: Arc<dyn RetentionRules>,
    /// A file that no version of its table names stays for so long: queries that began before still read it, and so may
    /// other programs.
    pub vacuum_after: Duration,
    /// Where deletions and corrections are kept until they have reached every file.
    pub journal: Arc<dyn Disk>,
    /// Tenants whose tables lie elsewhere.
    pub locations: Arc<dyn Locations>,
    /// A flush once this many rows of a table are hot: a Parquet file of a good size.
    pub flush_rows: usize,
    /// A flush once a table's hot rows take this much memory.
    pub flush_bytes: usize,
    /// A flush once a table's oldest hot row is this old: bounds the log that a restart replays. Not shorter than
    /// needed, since each flush adds a file and commits grow slower with the number of files.
    pub flush_age: Duration,
    /// Hot rows of all tables: past it the log is read no further until a flush has succeeded.
    pub hot_bytes_max: usize,
    /// Memory of the whole program: hot rows are counted there, and flushed early when it runs short.
    pub budget: Arc<Budget>,
    /// Tenants with tables.
    pub tenants_max: usize,
}

impl LakeOptions {
    pub fn new(root: Place, journal: Arc<dyn Disk>) -> Self {
        Self {
            root,
            archive: None,
            retention: Arc::new(KeepForEver),
            vacuum_after: Duration::from_secs(24 * 3_600),
            journal,
            locations: Arc::new(UsualPlaces),
            flush_rows: 1_000_000,
            flush_bytes: 128 << 20,
            flush_age: Duration::from_secs(300),
            hot_bytes_max: 1 << 30,
            budget: Budget::new(u64::MAX),
            tenants_max: 200,
        }
    }
}
