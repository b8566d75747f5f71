//! The engine: takes a statement, pins a snapshot, and answers from what it has kept or runs it, on threads of its own.
//!
//! A query runs on a runtime apart from the one that answers HTTP, so that a plan which does not yield starves neither
//! ingest nor health; the timeout is watched from outside.

mod advice;
mod advising;
mod answers;
mod asking;
mod explained;
mod fault;
mod history;
mod opened;
mod owned;
mod run;
mod statement;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ridealong_engine::datafusion::catalog::MemorySchemaProvider;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use ridealong_lake::{Lake, Snapshot};
use ridealong_model::budget::Budget;
use ridealong_model::jobs::{JobsSource, NoJobs};
use ridealong_model::ledger::{LedgerSource, NoLedger};
use ridealong_model::query::{QueryAnswer, QueryEngine, QueryError, QueryRequest, QueryStatus};
use ridealong_model::segment::{ConditionFault, NoSegments, SegmentCheck, SegmentRules};
use ridealong_model::tenant::TenantId;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::limits::{Permit, SharedPool, Threads, Watchdog};
use crate::segments::{Segments, Warnings};
use crate::system::Sources;
use crate::{segments, session};
use advice::Advisor;
use answers::Answers;
use fault::fault;

pub(crate) use explained::Totals;
pub(crate) use history::{History, Query, State};
pub(crate) use opened::Opened;

/// Of a thread for queries: parsing, planning and dropping a statement recurse through its tree. Only what is used is
/// taken from memory.
const STACK_BYTES: usize = 256 << 20;
/// Answers that are kept, unless [`Engine::with_cache`] says so.
const CACHE_BYTES: u64 = 64 << 20;

#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that queries share.
    pub threads: usize,
    /// Memory that all queries share; sorts and groupings past it spill to disk.
    pub memory_bytes: usize,
    /// Memory of the whole program, of which queries take a part.
    pub budget: Arc<Budget>,
    /// Queries at once; more wait for a moment and are then refused.
    pub queries_max: usize,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot start the threads for queries")]
    Threads(#[from] std::io::Error),
    #[error("cannot set up the query engine")]
    Engine(#[from] DataFusionError),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    lake: Lake,
    system: Arc<Sources>,
    options: EngineOptions,
    /// Of one query.
    query_bytes_max: usize,
    environment: Arc<RuntimeEnv>,
    pool: Arc<SharedPool>,
    watchdog: Arc<Watchdog>,
    slots: Arc<Semaphore>,
    rules: Arc<dyn SegmentRules>,
    warnings: Arc<Warnings>,
    answers: Arc<Answers>,
    history: Arc<History>,
    advisor: Arc<Advisor>,
}

impl Engine {
    pub fn start(lake: Lake, options: EngineOptions) -> Result<Self, StartError> {
        let threads = Threads { count: options.threads, stack_bytes: STACK_BYTES };
        let watchdog = Watchdog::start(threads, Arc::clone(&options.budget))?;
        let pool = SharedPool::new(options.memory_bytes, Arc::clone(&options.budget));
        let environment = RuntimeEnvBuilder::new().build_arc()?;
        let slots = Arc::new(Semaphore::new(options.queries_max));
        let (rules, warnings, history) = (Arc::new(NoSegments), Arc::default(), Arc::<History>::default());
        let system = Sources { ledger: Arc::new(NoLedger), jobs: Arc::new(NoJobs), queries: Arc::clone(&history) };
        let answers = Arc::new(Answers::new(CACHE_BYTES, Arc::clone(&pool)));
        Ok(Self {
            lake,
            system: Arc::new(system),
            query_bytes_max: options.memory_bytes / 2,
            options,
            environment,
            pool,
            watchdog,
            slots,
            rules,
            warnings,
            answers,
            history,
            advisor: Arc::default(),
        })
    }

    /// With the books for `system.ledger`.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Arc<dyn LedgerSource>) -> Self {
        self.system = Arc::new(Sources { ledger, ..Sources::clone(&self.system) });
        self
    }

    /// With what `system.jobs` shows.
    #[must_use]
    pub fn with_jobs(mut self, jobs: Arc<dyn JobsSource>) -> Self {
        self.system = Arc::new(Sources { jobs, ..Sources::clone(&self.system) });
        self
    }

    /// With rules for the column `segment` of `users`.
    #[must_use]
    pub fn with_segments(mut self, rules: Arc<dyn SegmentRules>) -> Self {
        self.rules = rules;
        self
    }

    /// With so much memory for one query, rather than half of what all share.
    #[must_use]
    pub fn with_query_memory(mut self, bytes_max: usize) -> Self {
        self.query_bytes_max = bytes_max;
        self
    }

    /// With so many bytes of answers kept; 0: none.
    #[must_use]
    pub fn with_cache(mut self, bytes_max: u64) -> Self {
        self.answers = Arc::new(Answers::new(bytes_max, Arc::clone(&self.pool)));
        self
    }

    /// With advice for queries that take longer than this.
    #[must_use]
    pub fn with_slow(mut self, slow: Duration) -> Self {
        self.advisor = Arc::new(Advisor::new(slow));
        self
    }

    fn segments(&self, tenant: TenantId) -> Segments {
        Segments { rules: Arc::clone(&self.rules), tenant, warnings: Arc::clone(&self.warnings) }
    }

    /// Makes known the stores that files may lie in. Few, and seldom a new one.
    fn register_stores(&self) -> Result<(), QueryError> {
        for (url, store) in self.lake.stores() {
            let url = ObjectStoreUrl::parse(url).map_err(fault)?;
            // Local files have one from the beginning.
            if self.environment.object_store(&url).is_err() {
                self.environment.register_object_store(url.as_ref(), store);
            }
        }
        Ok(())
    }

    /// Abandons what runs. May be called from a runtime's thread.
    pub fn close(&self) {
        self.watchdog.close();
    }
}

#[async_trait]
impl QueryEngine for Engine {
    /// Dropping the future is leaving: the work ends, unless others wait for the same.
    async fn query(&self, tenant: &TenantId, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let mut recording = self.history.begin(tenant, &request.sql);
        let result = self.answer(tenant, request, &mut recording).await;
        recording.finish(&result);
        result
    }

    fn status(&self) -> QueryStatus {
        let seen = self.watchdog.seen();
        QueryStatus {
            running: self.history.running(),
            done: self.history.ended(State::Done) + self.history.ended(State::Truncated),
            failed: self.history.ended(State::Failed),
            timed_out: self.history.ended(State::TimedOut),
            cancelled: self.history.ended(State::Cancelled),
            cache_hits: self.history.cache_hits(),
            shared: self.answers.shared(),
            cache_bytes: self.answers.bytes(),
            overdue_now: seen.overdue_now as u64,
            overdue: seen.overdue,
            ended_for_memory: seen.ended_for_memory,
            threads_replaced: seen.threads_replaced as u64,
        }
    }
}

#[async_trait]
impl SegmentCheck for Engine {
    async fn check(&self, condition: &str) -> Result<(), ConditionFault> {
        let (condition, environment) = (condition.to_owned(), Arc::clone(&self.environment));
        let segments = self.segments(TenantId::default_tenant());
        let permit = self.watchdog.permits.add(Permit::new("a segment's rule".into()));
        let closed = || ConditionFault::Unreadable("the engine is closed".into());
        // On a thread for queries: planning recurses through the condition.
        let task = self.watchdog.handle().ok_or_else(closed)?.spawn(async move {
            let unready = |error: DataFusionError| ConditionFault::Unreadable(error.strip_backtrace());
            let none = Arc::new(MemorySchemaProvider::new());
            let context = session::session(&Snapshot::default(), &segments, none, environment, 1, &permit);
            segments::check(&condition, &context.map_err(unready)?.state())
        });
        task.await.unwrap_or_else(|error| Err(ConditionFault::Unreadable(format!("its task ended early: {error}"))))
    }
}

#[cfg(test)]
pub(crate) mod tests;
