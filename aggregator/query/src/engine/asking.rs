//! From a question to its answer: what is known of the statement, an answer that was kept, a run that others wait for too,
//! or a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use ridealong_engine::datafusion::execution::runtime_env::RuntimeEnv;
use ridealong_lake::Snapshot;
use ridealong_model::budget::Account;
use ridealong_model::query::{QueryAnswer, QueryError, QueryRequest};
use ridealong_model::tenant::TenantId;
use tokio::runtime::Handle;

use super::Engine;
use super::answers::Flight;
use super::fault::broken;
use super::history::Recording;
use super::owned::{AbortOnDrop, Leaving, OnItsThreads};
use super::run::{Planned, Run};
use super::statement::{Basis, Statement};
use crate::limits::{Permit, QueryPool};

/// Rows acknowledged before a query are readable within this, or it is answered 503.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// One question.
#[derive(Clone)]
pub(super) struct Asked {
    pub statement: Statement,
    pub request: QueryRequest,
    pub snapshot: Arc<Snapshot>,
    pub query_id: String,
}

impl Engine {
    /// Dropping the future is leaving.
    pub(super) async fn answer(
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
        if answer.execution >= self.advisor.slow {
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

    /// A run with a permit and memory of its own.
    pub(super) fn run(&self, asked: &Asked) -> Run {
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

    pub(super) fn handle(&self) -> Result<Handle, QueryError> {
        self.watchdog.handle().ok_or_else(|| QueryError::Short("the engine is closed".into()))
    }
}
