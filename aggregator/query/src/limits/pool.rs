//! Memory of queries: each has a pool of its own with a limit of its own, fairly divided among its steps that can spill;
//! all take from one that they share, and that from what the whole program may take.
//!
//! A query that holds more than its share (all of it, divided by the queries that run) leaves a quarter untouched, so that
//! one that has just begun finds room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ridealong_engine::datafusion::common::{DataFusionError, Result};
use ridealong_engine::datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use ridealong_model::budget::{Account, Budget};

use super::permit::Permit;

/// What all queries share.
#[derive(Debug)]
pub(crate) struct SharedPool {
    bytes_max: usize,
    reserved: AtomicUsize,
    queries: AtomicUsize,
    /// Reserved apart from queries, but on their account: kept answers.
    kept: AtomicUsize,
    budget: Arc<Budget>,
}

impl SharedPool {
    pub fn new(bytes_max: usize, budget: Arc<Budget>) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Self { bytes_max, reserved: zero(), queries: zero(), kept: zero(), budget })
    }

    /// Whether a query that holds `held` may take so much more; if so it is taken.
    fn try_take(&self, bytes: usize, held: usize) -> bool {
        let share = self.bytes_max / self.queries.load(Ordering::Relaxed).max(1);
        let ceiling = if held + bytes <= share { self.bytes_max } else { self.bytes_max / 4 * 3 };
        let alone = self.queries.load(Ordering::Relaxed) <= 1;
        let ceiling = if alone { self.bytes_max } else { ceiling };
        let taken = self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
            reserved.checked_add(bytes).filter(|reserved| *reserved <= ceiling)
        });
        taken.is_ok()
    }

    fn take(&self, bytes: usize) {
        self.reserved.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
        self.count();
    }

    /// Kept answers take so much now.
    pub fn keep(&self, bytes: u64) {
        self.kept.store(usize::try_from(bytes).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.count();
    }

    fn count(&self) {
        let bytes = self.reserved.load(Ordering::Relaxed).saturating_add(self.kept.load(Ordering::Relaxed));
        self.budget.hold(Account::Queries, bytes as u64);
    }
}

/// Of one query.
#[derive(Debug)]
pub(crate) struct QueryPool {
    own: FairSpillPool,
    bytes_max: usize,
    shared: Arc<SharedPool>,
    permit: Arc<Permit>,
}

impl QueryPool {
    pub fn new(bytes_max: usize, shared: Arc<SharedPool>, permit: Arc<Permit>) -> Self {
        shared.queries.fetch_add(1, Ordering::Relaxed);
        Self { own: FairSpillPool::new(bytes_max), bytes_max, shared, permit }
    }

    fn refused(&self, text: String) -> DataFusionError {
        self.permit.starve();
        self.shared.budget.count_refusal();
        DataFusionError::ResourcesExhausted(text)
    }
}

impl Drop for QueryPool {
    fn drop(&mut self) {
        self.shared.queries.fetch_sub(1, Ordering::Relaxed);
        self.shared.give_back(self.own.reserved());
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.take(additional);
        self.permit.reserve(additional);
        self.shared.count();
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.permit.give_back(shrink);
        self.shared.give_back(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.permit.check()?;
        if !self.shared.budget.has_room(Account::Queries, additional as u64) {
            return Err(self.refused(format!("{additional} bytes more are not there")));
        }
        self.own.try_grow(reservation, additional)?;
        if !self.shared.try_take(additional, self.permit.reserved()) {
            self.own.shrink(reservation, additional);
            return Err(self.refused(format!("{additional} bytes more are held by other queries")));
        }
        self.permit.reserve(additional);
        self.shared.count();
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the memory of one query, {} MiB", self.bytes_max >> 20)
    }
}
