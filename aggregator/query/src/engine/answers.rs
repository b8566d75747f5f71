//! Answers that were given, for whoever asks the same of the same rows; and answers on their way, for whoever asks
//! meanwhile.
//!
//! An answer is kept with its [`Basis`], the revisions of the tables that it was made of. Another basis is another answer,
//! so nothing has to be told that rows came, went or moved. A flight is one run for all who wait for it; when the last has
//! left, it ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, Shared};
use moka::future::Cache;
use parking_lot::Mutex;
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_model::query::{QueryAnswer, QueryError};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::explained::{Totals, totals};
use super::statement::{Basis, Reads, Statement};
use crate::limits::{Permit, SharedPool, Why};

/// Statements of which it is known what they read.
const STATEMENTS_MAX: u64 = 4_096;
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 512;

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub basis: Basis,
    pub answer: Arc<QueryAnswer>,
}

/// Runs of one statement, each with what it is made of.
type UnderWay = Vec<(Basis, Weak<Flight>)>;

pub(super) struct Answers {
    kept: Option<Cache<Statement, Kept>>,
    reads: Cache<Statement, Arc<Reads>>,
    flights: Mutex<HashMap<Statement, UnderWay>>,
    shared: AtomicU64,
    pool: Arc<SharedPool>,
}

/// The end of a run.
pub(super) type Outcome = Result<Arc<QueryAnswer>, QueryError>;

/// One run that several may wait for.
pub(super) struct Flight {
    pub outcome: Shared<BoxFuture<'static, Outcome>>,
    pub progress: Arc<Progress>,
    pub permit: Arc<Permit>,
    pub abort: AbortHandle,
    pub handle: Handle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.permit.revoke(Why::Left);
        self.abort.abort();
        // Letting go of a plan recurses through it.
        let progress = Arc::clone(&self.progress);
        self.handle.spawn(async move { progress.done() });
    }
}

/// How far a run has come.
#[derive(Default)]
pub(super) struct Progress(Mutex<Reading>);

#[derive(Default)]
enum Reading {
    #[default]
    Planning,
    Running(Arc<dyn ExecutionPlan>, u64),
    Done(Totals),
}

impl Progress {
    /// The plan runs; its tables have so many files.
    pub fn runs(&self, plan: &Arc<dyn ExecutionPlan>, files_total: u64) {
        *self.0.lock() = Reading::Running(Arc::clone(plan), files_total);
    }

    /// The plan is let go of.
    pub fn done(&self) {
        let mut reading = self.0.lock();
        if let Reading::Running(plan, files_total) = &*reading {
            let totals = totals(plan, *files_total);
            *reading = Reading::Done(totals);
        }
    }

    pub fn totals(&self) -> Option<Totals> {
        match &*self.0.lock() {
            Reading::Planning => None,
            Reading::Running(plan, files_total) => Some(totals(plan, *files_total)),
            Reading::Done(totals) => Some(*totals),
        }
    }
}

impl Answers {
    /// Keeps answers of so many bytes; 0: none.
    pub fn new(bytes_max: u64, pool: Arc<SharedPool>) -> Self {
        let weigh = |statement: &Statement, kept: &Kept| {
            let answer = &kept.answer;
            let names: usize = answer.columns.iter().map(|column| column.name.len() + column.kind.len()).sum();
            let bytes = statement.bytes() + answer.rows_json.len() + answer.plan.len() + names + ENTRY_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let kept = (bytes_max > 0).then(|| Cache::builder().max_capacity(bytes_max).weigher(weigh).build());
        let reads = Cache::builder().max_capacity(STATEMENTS_MAX).build();
        Self { kept, reads, flights: Mutex::default(), shared: AtomicU64::new(0), pool }
    }

    /// What the statement reads, if it was asked before.
    pub async fn reads(&self, statement: &Statement) -> Option<Arc<Reads>> {
        self.reads.get(statement).await
    }

    pub async fn learn(&self, statement: &Statement, reads: Reads) -> Arc<Reads> {
        let reads = Arc::new(reads);
        self.reads.insert(statement.clone(), Arc::clone(&reads)).await;
        reads
    }

    /// The answer that was made of these rows.
    pub async fn get(&self, statement: &Statement, basis: &Basis) -> Option<Arc<QueryAnswer>> {
        let kept = self.kept.as_ref()?.get(statement).await?;
        (kept.basis == *basis).then_some(kept.answer)
    }

    pub async fn keep(&self, statement: &Statement, basis: Basis, answer: Arc<QueryAnswer>) {
        let Some(cache) = &self.kept else { return };
        cache.insert(statement.clone(), Kept { basis, answer }).await;
        cache.run_pending_tasks().await;
        self.pool.keep(cache.weighted_size());
    }

    pub fn bytes(&self) -> u64 {
        self.kept.as_ref().map_or(0, Cache::weighted_size)
    }

    /// Answers that several have shared.
    pub fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    /// The flight that makes this answer, or a new one.
    pub fn flight(&self, statement: &Statement, basis: &Basis, start: impl FnOnce() -> Flight) -> Arc<Flight> {
        let mut flights = self.flights.lock();
        flights.retain(|_, flight| flight.iter().any(|(_, flight)| flight.strong_count() > 0));
        let alike = flights.entry(statement.clone()).or_default();
        alike.retain(|(_, flight)| flight.strong_count() > 0);
        let under_way = alike.iter().find(|(of, _)| of == basis).and_then(|(_, flight)| flight.upgrade());
        if let Some(flight) = under_way {
            self.shared.fetch_add(1, Ordering::Relaxed);
            return flight;
        }
        let flight = Arc::new(start());
        alike.push((basis.clone(), Arc::downgrade(&flight)));
        flight
    }
}

#[cfg(test)]
mod tests;
