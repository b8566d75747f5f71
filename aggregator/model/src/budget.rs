//! One budget of memory for everything that grows with load: bodies being worked on, hot rows, queries.
//!
//! Who can wait or be refused asks first ([`Budget::try_take`]) and gives back by dropping its [`Share`]; hot rows, which
//! are acknowledged and must go somewhere, are counted as they are ([`Budget::hold`]). Ingest is refused while a quarter
//! is left and queries while a tenth is, so that what was acknowledged has room to become readable and to be flushed.
//!
//! Counting misses what libraries take for themselves and what the allocator keeps. So the process's resident memory, as
//! last measured, is looked at too: near the budget nothing new is admitted, whatever the counts say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Who takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Bodies that are read, decoded and waiting for the log.
    Ingest,
    /// Rows that are readable and not yet in Delta.
    HotRows,
    /// Sorts, groupings and joins of queries.
    Queries,
    /// What metrics are answered from, and answers on their way.
    Rollups,
}

#[derive(Debug)]
pub struct Budget {
    bytes_max: u64,
    ingest: AtomicU64,
    hot_rows: AtomicU64,
    queries: AtomicU64,
    rollups: AtomicU64,
    resident: AtomicU64,
    refused: AtomicU64,
}

/// Bytes taken, given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    account: Account,
    bytes: u64,
}

/// The budget at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    pub bytes_max: u64,
    pub ingest: u64,
    pub hot_rows: u64,
    pub queries: u64,
    pub rollups: u64,
    /// Of the whole process, as last measured.
    pub resident: u64,
    /// How often something was refused for want of memory.
    pub refused: u64,
}

impl Account {
    /// How much of the budget may be taken, by all together, when this one takes more; in percent.
    const fn ceiling(self) -> u64 {
        match self {
            Account::Ingest => 75,
            Account::Queries | Account::Rollups => 90,
            Account::HotRows => 100,
        }
    }
}

impl Budget {
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            ingest: AtomicU64::new(0),
            hot_rows: AtomicU64::new(0),
            queries: AtomicU64::new(0),
            rollups: AtomicU64::new(0),
            resident: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Takes memory, or says that there is not enough.
    pub fn try_take(self: &Arc<Self>, account: Account, bytes: u64) -> Option<Share> {
        let mut share = self.share(account);
        share.try_grow(bytes).then_some(share)
    }

    /// An empty share, to grow as things come.
    pub fn share(self: &Arc<Self>, account: Account) -> Share {
        Share { budget: Arc::clone(self), account, bytes: 0 }
    }

    /// Whether this much could be taken now.
    pub fn has_room(&self, account: Account, bytes: u64) -> bool {
        let taken = self.ingest.load(Ordering::Relaxed)
            + self.hot_rows.load(Ordering::Relaxed)
            + self.queries.load(Ordering::Relaxed)
            + self.rollups.load(Ordering::Relaxed);
        let most = taken.max(self.resident.load(Ordering::Relaxed));
        most.saturating_add(bytes) <= self.bytes_max / 100 * account.ceiling()
    }

    /// Counts what is held whatever the budget says.
    pub fn hold(&self, account: Account, bytes: u64) {
        self.counter(account).store(bytes, Ordering::Relaxed);
    }

    /// The process's resident memory was measured.
    pub fn measured(&self, resident: u64) {
        self.resident.store(resident, Ordering::Relaxed);
    }

    pub fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub fn status(&self) -> BudgetStatus {
        BudgetStatus {
            bytes_max: self.bytes_max,
            ingest: self.ingest.load(Ordering::Relaxed),
            hot_rows: self.hot_rows.load(Ordering::Relaxed),
            queries: self.queries.load(Ordering::Relaxed),
            rollups: self.rollups.load(Ordering::Relaxed),
            resident: self.resident.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn counter(&self, account: Account) -> &AtomicU64 {
        match account {
            Account::Ingest => &self.ingest,
            Account::HotRows => &self.hot_rows,
            Account::Queries => &self.queries,
            Account::Rollups => &self.rollups,
        }
    }
}

impl Share {
    /// More of the same; false when there is not enough, and nothing is taken.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        // Two that ask at one moment may both get the last of it: a few bodies over a ceiling that is no edge.
        if !self.budget.has_room(self.account, bytes) {
            return false;
        }
        self.grow(bytes);
        true
    }

    /// More, because it is there already.
    pub fn grow(&mut self, bytes: u64) {
        self.budget.counter(self.account).fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.budget.counter(self.account).fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests;
