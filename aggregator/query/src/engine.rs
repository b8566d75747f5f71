//! The engine: takes a statement, pins a snapshot, and answers from what it has kept or runs it, on threads of its own.
//!
//! A query runs on a runtime apart from the one that answers HTTP, so that a plan which does not yield starves neither
//! ingest nor health; the timeout is watched from outside.

mod advice;
mod advising;
mod answers;
mod explained;
mod fault;
mod history;
mod owned;
mod run;
mod statement;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use ridealong_engine::datafusion::catalog::MemorySchemaProvider;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use ridealong_lake::{Lake, Snapshot};
use ridealong_model::budget::{Account, Budget};
use ridealong_model::jobs::{JobsSource, NoJobs};
use ridealong_model::ledger::{LedgerSource, NoLedger};
use ridealong_model::query::{QueryAnswer, QueryEngine, QueryError, QueryRequest, QueryStatus};
use ridealong_model::segment::{ConditionFault, NoSegments, SegmentCheck, SegmentRules};
use ridealong_model::tenant::TenantId;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::limits::{Permit, QueryPool, SharedPool, Threads, Watchdog};
use crate::segments::{Segments, Warnings};
use crate::system::Sources;
use crate::{segments, session};
use advice::{Advisor, SLOW};
use answers::{Answers, Flight};
use fault::{broken, fault};
use owned::{AbortOnDrop, Leaving, OnItsThreads};
use run::{Planned, Run};
use statement::{Basis, Statement};

pub(crate) use explained::Totals;
pub(crate) use history::{History, Query, Recording, State};

/// Rows acknowledged before a query are readable within this, or it is answered 503.
const PATIENCE: Duration = Duration::from_secs(1);
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

    async fn answer(
        &self,
        tenant: &TenantId,
        request: QueryRequest,
        recording: &mut Recording,
    ) -> Result<QueryAnswer, QueryError> {
        let started = Instant::now();
        if !self.options.budget.has_room(Account::Queries, 0) {
            self.options.budget.count_refusal();
            return Err(QueryError::Busy);
        }
        let snapshot = Arc::new(self.lake.pin(tenant.as_str(), PATIENCE).await.ok_or(QueryError::Behind)?);
        let pinned = Instant::now();
        self.register_stores()?;
        let statement = Statement::of(tenant, &request);
        let asked = Asked { statement, request, snapshot, query_id: recording.query_id.clone() };
        let (answer, cache_hit) = self.made(&asked, started, recording).await?;
        let answer = QueryAnswer {
            cache_hit,
            query_id: asked.query_id,
            execution: started.elapsed(),
            behind: pinned.elapsed(),
            ..QueryAnswer::clone(&answer)
        };
        Ok(answer)
    }

    /// The answer, and whether it was there already.
    async fn made(
        &self,
        asked: &Asked,
        started: Instant,
        recording: &mut Recording,
    ) -> Result<(Arc<QueryAnswer>, bool), QueryError> {
        let timeout = asked.request.timeout;
        let segments = self.segments(asked.statement.tenant.clone());
        let (reads, planned) = match self.answers.reads(&asked.statement).await {
            Some(reads) => (reads, None),
            None => {
                let planned = self.planned(asked, timeout).await?;
                let reads = planned.with(|(_, planned)| planned.reads.clone()).unwrap_or_default();
                (self.answers.learn(&asked.statement, reads).await, Some(planned))
            }
        };
        let basis = reads.basis(&asked.snapshot, &segments);
        if let Some(basis) = &basis
            && let Some(answer) = self.answers.get(&asked.statement, basis).await
        {
            return Ok((answer, true));
        }
        let handle = self.handle()?;
        let flight = match &basis {
            Some(of) => self.answers.flight(&asked.statement, of, || self.fly(asked, planned, basis.clone(), &handle)),
            None => Arc::new(self.fly(asked, planned, None, &handle)),
        };
        let waited = tokio::time::timeout(timeout.saturating_sub(started.elapsed()), flight.outcome.clone()).await;
        recording.read(flight.progress.totals(), flight.permit.peak());
        let answer = waited.unwrap_or(Err(QueryError::TimedOut(timeout)))?;
        if answer.execution >= SLOW {
            self.advise(asked, &reads, flight.progress.totals().unwrap_or_default());
        }
        Ok((answer, false))
    }

    /// The statement planned, for what it reads.
    async fn planned(&self, asked: &Asked, timeout: Duration) -> Result<OnItsThreads<(Run, Planned)>, QueryError> {
        let handle = self.handle()?;
        let run = self.run(asked);
        let mut leaving = Leaving(Some(Arc::clone(&run.permit)));
        let on = handle.clone();
        let mut task = AbortOnDrop(handle.spawn(async move {
            let planned = run.plan().await?;
            Ok(OnItsThreads::new((run, planned), on))
        }));
        let planned = match tokio::time::timeout(timeout, &mut task.0).await {
            Err(_) => Err(QueryError::TimedOut(timeout)),
            Ok(Err(error)) => Err(broken(error)),
            Ok(Ok(planned)) => planned,
        };
        if planned.is_ok() {
            leaving.0 = None;
        }
        planned
    }

    /// Starts the run.
    fn fly(
        &self,
        asked: &Asked,
        planned: Option<OnItsThreads<(Run, Planned)>>,
        basis: Option<Basis>,
        handle: &Handle,
    ) -> Flight {
        let (run, plan) = match planned.and_then(OnItsThreads::into_value) {
            Some((run, plan)) => (run, Some(plan)),
            None => (self.run(asked), None),
        };
        let (permit, progress) = (Arc::clone(&run.permit), Arc::clone(&run.progress));
        let (slots, answers) = (Arc::clone(&self.slots), Arc::clone(&self.answers));
        let statement = asked.statement.clone();
        let task = handle.spawn(async move {
            let slot = tokio::time::timeout(run.request.timeout.min(PATIENCE), slots.acquire_owned()).await;
            let Ok(Ok(slot)) = slot else { return Err(QueryError::Busy) };
            run.permit.occupy(slot);
            let planned = match plan {
                Some(planned) => planned,
                None => run.plan().await?,
            };
            let answer = Arc::new(run.execute(planned).await?);
            if let Some(basis) = basis {
                answers.keep(&statement, basis, Arc::clone(&answer)).await;
            }
            Ok(answer)
        });
        let abort = task.abort_handle();
        let outcome = async move { task.await.unwrap_or_else(|error| Err(broken(error))) };
        Flight { outcome: outcome.boxed().shared(), progress, permit, abort, handle: handle.clone() }
    }

    fn run(&self, asked: &Asked) -> Run {
        let permit = self.watchdog.permits.add(Permit::new(asked.query_id.clone()));
        let pool = QueryPool::new(self.query_bytes_max, Arc::clone(&self.pool), Arc::clone(&permit));
        let environment = RuntimeEnv { memory_pool: Arc::new(pool), ..RuntimeEnv::clone(&self.environment) };
        Run {
            request: asked.request.clone(),
            tenant: asked.statement.tenant.clone(),
            snapshot: Arc::clone(&asked.snapshot),
            system: Arc::clone(&self.system),
            segments: self.segments(asked.statement.tenant.clone()),
            environment: Arc::new(environment),
            threads: self.options.threads,
            permit,
            progress: Arc::default(),
        }
    }

    fn handle(&self) -> Result<Handle, QueryError> {
        self.watchdog.handle().ok_or_else(|| QueryError::Short("the engine is closed".into()))
    }
}

/// One question.
#[derive(Clone)]
struct Asked {
    statement: Statement,
    request: QueryRequest,
    snapshot: Arc<Snapshot>,
    query_id: String,
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
