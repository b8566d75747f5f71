//! A query's permit to work. All that works for it holds it, on whatever thread; when it is revoked each piece of work
//! ends at its next look, and when the last has let go of it, the query's slot is free.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ridealong_engine::datafusion::common::{DataFusionError, Result};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;

/// Why a query may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Why {
    #[error("nobody waits for it any more")]
    Left,
    #[error("the program is short of memory and this query holds most")]
    Memory,
}

pub(crate) struct Permit {
    pub query_id: String,
    revoked: OnceLock<(Why, Instant)>,
    /// Bytes that it has reserved, and the most it ever had.
    reserved: AtomicUsize,
    peak: AtomicUsize,
    /// It was refused memory that others hold.
    starved: AtomicBool,
    /// It was reported as still at work after its end.
    reported: AtomicBool,
    slot: OnceLock<OwnedSemaphorePermit>,
}

impl Permit {
    pub fn new(query_id: String) -> Self {
        Self {
            query_id,
            revoked: OnceLock::new(),
            reserved: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            starved: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            slot: OnceLock::new(),
        }
    }

    /// Takes one of the places of queries that run at once, until all work has let go of the permit.
    pub fn occupy(&self, slot: OwnedSemaphorePermit) {
        // It takes one at most.
        let _ = self.slot.set(slot);
    }

    /// An error when the work is to end.
    pub fn check(&self) -> Result<()> {
        match self.revoked.get() {
            None => Ok(()),
            Some((why, _)) => Err(DataFusionError::External(Box::new(*why))),
        }
    }

    /// The first reason counts.
    pub fn revoke(&self, why: Why) {
        // A second reason changes nothing.
        let _ = self.revoked.set((why, Instant::now()));
    }

    pub fn revoked(&self) -> Option<Why> {
        self.revoked.get().map(|(why, _)| *why)
    }

    /// How long work has gone on that should have ended.
    pub fn overdue(&self) -> Option<Duration> {
        self.revoked.get().map(|(_, since)| since.elapsed())
    }

    /// True once.
    pub fn report(&self) -> bool {
        !self.reported.swap(true, Ordering::Relaxed)
    }

    pub fn reserve(&self, bytes: usize) {
        let reserved = self.reserved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(reserved, Ordering::Relaxed);
    }

    pub fn give_back(&self, bytes: usize) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    pub fn starve(&self) {
        self.starved.store(true, Ordering::Relaxed);
    }

    pub fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "permit of {}", self.query_id)
    }
}

/// All permits that work still holds. It does not hold them itself.
#[derive(Debug, Default)]
pub(crate) struct Permits(Mutex<Vec<Weak<Permit>>>);

impl Permits {
    pub fn add(&self, permit: Permit) -> Arc<Permit> {
        let permit = Arc::new(permit);
        let mut all = self.0.lock();
        all.retain(|permit| permit.strong_count() > 0);
        all.push(Arc::downgrade(&permit));
        permit
    }

    pub fn held(&self) -> Vec<Arc<Permit>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}
