//! The agent's half of the books: produced + carried over = acknowledged + pending + dropped, by reason.
//!
//! Each number is counted where the thing happens, in rows. A producer is one start of the agent: what an earlier start
//! left in the spool is `carried_over`.
//!
//! An exchange that sampling leaves out is no row and never was one: it is counted beside the books, and in the summaries.
//! One that could not even be counted there, because the spool's queue was full, is `uncounted`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::overhead::{Overhead, OverheadSnapshot, increase};
use crate::summary::Tally;

/// Counters, shared by all parts.
#[derive(Debug, Default)]
pub struct Books {
    produced: AtomicU64,
    carried_over: AtomicU64,
    acknowledged: AtomicU64,
    recorders: Mutex<Vec<Arc<Recorded>>>,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
    uncounted: AtomicU64,
}

/// What one recorder has seen, in exchanges. It alone writes here.
#[derive(Debug, Default)]
pub struct Recorded {
    exchanges: AtomicU64,
    /// Became rows.
    rows: AtomicU64,
    errors: AtomicU64,
    /// Handed to the spool, or dropped because it could not take them.
    offered: AtomicU64,
    overhead: Overhead,
}

impl Recorded {
    pub fn recorded(&self, tally: &Tally, overhead_us: Option<u64>, is_row: bool) {
        increase(&self.rows, u64::from(is_row));
        increase(&self.errors, u64::from(tally.is_error));
        if let Some(overhead_us) = overhead_us {
            self.overhead.add(overhead_us);
        }
        increase(&self.exchanges, 1);
    }

    pub fn offered(&self, exchanges: u64) {
        increase(&self.offered, exchanges);
    }

    pub fn exchanges_offered(&self) -> u64 {
        self.offered.load(Ordering::Acquire)
    }
}

/// All exchanges of all recorders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanges {
    pub count: u64,
    pub errors: u64,
    /// Not made rows.
    pub sampled_out: u64,
    /// Neither rows nor counted.
    pub uncounted: u64,
    pub overhead: OverheadSnapshot,
}

/// Why rows were dropped. Stable words.
pub mod reason {
    /// More rows waited for the spool than may wait.
    pub const QUEUE_FULL: &str = "queue_full";
    /// The spool was at its limit, and the oldest went.
    pub const SPOOL_FULL: &str = "spool_full";
    /// Writing or syncing the spool failed.
    pub const SPOOL_FAILED: &str = "spool_failed";
    /// A part of the spool could not be read back.
    pub const SPOOL_DAMAGED: &str = "spool_damaged";
    /// The aggregator will never take it.
    pub const REFUSED: &str = "refused";
}

/// The books at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BooksSnapshot {
    /// Rows made by this start: requests, summaries, host samples, events.
    pub produced: u64,
    /// Rows that an earlier start had left in the spool.
    pub carried_over: u64,
    /// Rows that the aggregator holds.
    pub acknowledged: u64,
    /// Rows on their way to the spool, or in it.
    pub pending: u64,
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Books {
    /// Rows made elsewhere than by a recorder, which counts its own.
    pub fn produced(&self, rows: u64) {
        self.produced.fetch_add(rows, Ordering::Relaxed);
    }

    pub fn carried_over(&self, rows: u64) {
        self.carried_over.fetch_add(rows, Ordering::Relaxed);
    }

    pub fn acknowledged(&self, rows: u64) {
        self.acknowledged.fetch_add(rows, Ordering::Relaxed);
    }

    /// A new recorder's own counters.
    pub fn recorder(&self) -> Arc<Recorded> {
        let recorded = Arc::new(Recorded::default());
        self.recorders.lock().push(Arc::clone(&recorded));
        recorded
    }

    /// Every recorder, with the exchanges that it has recorded by now.
    pub fn recorded(&self) -> Vec<(Arc<Recorded>, u64)> {
        let recorders = self.recorders.lock();
        recorders.iter().map(|one| (Arc::clone(one), one.exchanges.load(Ordering::Acquire))).collect()
    }

    pub fn exchanges(&self) -> Exchanges {
        let mut sum = Exchanges { uncounted: self.uncounted.load(Ordering::Relaxed), ..Exchanges::default() };
        let mut rows = 0;
        for recorder in self.recorders.lock().iter() {
            sum.count += recorder.exchanges.load(Ordering::Acquire);
            sum.errors += recorder.errors.load(Ordering::Relaxed);
            rows += recorder.rows.load(Ordering::Relaxed);
            recorder.overhead.add_to(&mut sum.overhead);
        }
        sum.sampled_out = sum.count.saturating_sub(rows);
        sum
    }

    pub fn uncounted(&self, exchanges: u64) {
        self.uncounted.fetch_add(exchanges, Ordering::Relaxed);
    }

    pub fn dropped(&self, reason: &'static str, rows: u64) {
        if rows > 0 {
            *self.dropped.lock().entry(reason).or_default() += rows;
        }
    }

    pub fn snapshot(&self) -> BooksSnapshot {
        let dropped = self.dropped.lock().clone();
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let carried_over = self.carried_over.load(Ordering::Relaxed);
        let recorded: u64 = self.recorders.lock().iter().map(|one| one.rows.load(Ordering::Acquire)).sum();
        let produced = recorded + self.produced.load(Ordering::Relaxed);
        let gone = acknowledged + dropped.values().sum::<u64>();
        BooksSnapshot {
            produced,
            carried_over,
            acknowledged,
            pending: (produced + carried_over).saturating_sub(gone),
            dropped,
        }
    }
}
