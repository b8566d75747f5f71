//! The engine: takes a statement, pins a snapshot, runs it on threads of its own with limits on time, rows and memory.
//!
//! A query runs on a runtime apart from the one that answers HTTP, so that a plan which does not yield starves neither
//! ingest nor health; the timeout is watched from outside.

mod opened;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::catalog::MemorySchemaProvider;
use ridealong_engine::datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use ridealong_engine::datafusion::execution::context::SessionContext;
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use ridealong_engine::datafusion::parquet::errors::ParquetError;
use ridealong_engine::datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use ridealong_engine::deltalake::logstore::object_store::Error as StoreError;
use ridealong_lake::{Lake, Snapshot};
use ridealong_model::budget::{Account, Budget};
use ridealong_model::jobs::{JobsSource, NoJobs};
use ridealong_model::ledger::{LedgerSource, NoLedger};
use ridealong_model::query::{Param, QueryAnswer, QueryEngine, QueryError, QueryRequest};
use ridealong_model::segment::{ConditionFault, NoSegments, SegmentCheck, SegmentRules};
use ridealong_model::tenant::TenantId;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::budget_pool::BudgetPool;
use crate::segments::{Segments, Warnings};
use crate::system::Sources;
use crate::{answer, guard, segments, session, system};

pub(crate) use opened::Opened;

/// Rows acknowledged before a query are readable within this, or it is answered 503.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of a thread for queries: parsing, planning and dropping a statement recurse through its tree. Only what is used is
/// taken from memory.
const STACK_BYTES: usize = 256 << 20;

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

pub struct Engine {
    lake: Lake,
    system: Arc<Sources>,
    options: EngineOptions,
    environment: Arc<RuntimeEnv>,
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
    slots: Arc<Semaphore>,
    rules: Arc<dyn SegmentRules>,
    warnings: Arc<Warnings>,
}

impl Engine {
    pub fn start(lake: Lake, options: EngineOptions) -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        let pool = Arc::new(BudgetPool::new(options.memory_bytes, Arc::clone(&options.budget)));
        let environment = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let slots = Arc::new(Semaphore::new(options.queries_max));
        let handle = runtime.handle().clone();
        let (rules, warnings) = (Arc::new(NoSegments), Arc::default());
        let system = Arc::new(Sources { ledger: Arc::new(NoLedger), jobs: Arc::new(NoJobs) });
        let runtime = Mutex::new(Some(runtime));
        Ok(Self { lake, options, environment, runtime, handle, slots, rules, warnings, system })
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
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl QueryEngine for Engine {
    async fn query(&self, tenant: &TenantId, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let started = Instant::now();
        let timeout = request.timeout;
        if !self.options.budget.has_room(Account::Queries, 0) {
            self.options.budget.count_refusal();
            return Err(QueryError::Busy);
        }
        let slot = tokio::time::timeout(timeout.min(PATIENCE), Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(QueryError::Busy) };
        let snapshot = self.lake.pin(tenant.as_str(), PATIENCE).await.ok_or(QueryError::Behind)?;
        self.register_stores()?;
        let run = Run {
            request,
            system: Arc::clone(&self.system),
            tenant: tenant.clone(),
            snapshot: Arc::new(snapshot),
            segments: self.segments(tenant.clone()),
            environment: Arc::clone(&self.environment),
            threads: self.options.threads,
            started,
        };
        let mut task = AbortOnDrop(self.handle.spawn(async move {
            let _slot = slot;
            run.run().await
        }));
        match tokio::time::timeout(timeout, &mut task.0).await {
            Err(_) => Err(QueryError::TimedOut(timeout)),
            Ok(Err(error)) => Err(QueryError::Failed(format!("its task ended early: {error}"))),
            Ok(Ok(answer)) => answer,
        }
    }
}

#[async_trait]
impl SegmentCheck for Engine {
    async fn check(&self, condition: &str) -> Result<(), ConditionFault> {
        let (condition, environment) = (condition.to_owned(), Arc::clone(&self.environment));
        let segments = self.segments(TenantId::default_tenant());
        // On a thread for queries: planning recurses through the condition.
        let task = self.handle.spawn(async move {
            let unready = |error: DataFusionError| ConditionFault::Unreadable(error.strip_backtrace());
            let none = Arc::new(MemorySchemaProvider::new());
            let context = session::session(&Snapshot::default(), &segments, none, environment, 1).map_err(unready)?;
            segments::check(&condition, &context.state())
        });
        task.await.unwrap_or_else(|error| Err(ConditionFault::Unreadable(format!("its task ended early: {error}"))))
    }
}

/// Stops the work when nobody waits for it any more.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One query on its way.
struct Run {
    request: QueryRequest,
    system: Arc<Sources>,
    tenant: TenantId,
    snapshot: Arc<Snapshot>,
    segments: Segments,
    environment: Arc<RuntimeEnv>,
    threads: usize,
    started: Instant,
}

impl Run {
    async fn planned(&self) -> Result<(SessionContext, Arc<dyn ExecutionPlan>), QueryError> {
        let statement = guard::reading(&self.request.sql)?;
        let system = system::schema(&self.system, &self.tenant, &self.snapshot).map_err(fault)?;
        let context =
            session::session(&self.snapshot, &self.segments, system, Arc::clone(&self.environment), self.threads);
        let context = context.map_err(fault)?;
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(fault)?;
        guard::options().verify_plan(&plan).map_err(|error| QueryError::NotARead(error.strip_backtrace()))?;
        let plan = match self.request.params.is_empty() {
            true => plan,
            false => plan.with_param_values(params(&self.request.params)).map_err(fault)?,
        };
        let plan = state.create_physical_plan(&plan).await.map_err(fault)?;
        Ok((context, plan))
    }

    async fn run(self) -> Result<QueryAnswer, QueryError> {
        let (context, plan) = self.planned().await?;
        let text = displayable(plan.as_ref()).indent(false).to_string();
        let schema = plan.schema();
        let stream = execute_stream(plan, context.task_ctx()).map_err(fault)?;
        let (batches, rows, truncated) = collect(stream, self.request.rows_max).await?;
        Ok(QueryAnswer {
            columns: answer::columns(&schema),
            rows_json: answer::rows_json(&batches)?,
            rows,
            truncated,
            execution: self.started.elapsed(),
            plan: text,
            query_id: Uuid::now_v7().to_string(),
        })
    }
}

/// Rows up to the cap, and whether there were more.
async fn collect(
    mut stream: ridealong_engine::datafusion::execution::SendableRecordBatchStream,
    rows_max: usize,
) -> Result<(Vec<RecordBatch>, usize, bool), QueryError> {
    let mut batches = Vec::new();
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(fault)?;
        let room = rows_max - rows;
        if batch.num_rows() > room {
            batches.push(batch.slice(0, room));
            return Ok((batches, rows_max, true));
        }
        rows += batch.num_rows();
        batches.push(batch);
    }
    Ok((batches, rows, false))
}

fn params(params: &[Param]) -> ParamValues {
    let scalars = params.iter().map(|param| match param {
        Param::Null => ScalarValue::Null,
        Param::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Param::Integer(value) => ScalarValue::Int64(Some(*value)),
        Param::Float(value) => ScalarValue::Float64(Some(*value)),
        Param::Text(value) => ScalarValue::Utf8(Some(value.clone())),
    });
    ParamValues::from(scalars.collect::<Vec<_>>())
}

/// The engine's errors by whose fault they are.
fn fault(error: DataFusionError) -> QueryError {
    if let Some(unread) = unread(&error) {
        return unread;
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => QueryError::TooLarge(text.clone()),
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::ArrowError(..)
        | DataFusionError::Execution(_) => QueryError::Invalid(error.strip_backtrace()),
        DataFusionError::External(source) if matches!(source.downcast_ref(), Some(QueryError::Behind)) => {
            QueryError::Behind
        }
        _ => QueryError::Failed(error.strip_backtrace()),
    }
}

/// How an S3 store's error begins where a Parquet reader has made a text of it.
const STORE_FAILED: &str = "Generic S3 error";

/// A store that did not give what was asked of it; what it has not got is another matter.
fn unread(error: &DataFusionError) -> Option<QueryError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match (error.downcast_ref::<StoreError>(), error.downcast_ref::<ParquetError>()) {
            (Some(StoreError::NotFound { .. } | StoreError::InvalidPath { .. }), _) => return None,
            (Some(store), _) => return Some(QueryError::Unread(store.to_string())),
            (_, Some(ParquetError::General(text))) if text.contains(STORE_FAILED) => {
                return Some(QueryError::Unread(text.clone()));
            }
            _ => cause = error.source(),
        }
    }
    None
}

#[cfg(test)]
mod tests;
