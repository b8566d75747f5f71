//! One query on its way: planned, then executed, within its limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::common::{ParamValues, ScalarValue};
use ridealong_engine::datafusion::execution::SendableRecordBatchStream;
use ridealong_engine::datafusion::execution::context::SessionContext;
use ridealong_engine::datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use ridealong_engine::datafusion::execution::runtime_env::RuntimeEnv;
use ridealong_engine::datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use ridealong_engine::datafusion::physical_plan::{ExecutionPlan, execute_stream};
use ridealong_engine::datafusion::sql::parser::Statement as Parsed;
use ridealong_engine::datafusion::sql::sqlparser::ast::{Query, Statement as Ast};
use ridealong_lake::Snapshot;
use ridealong_model::query::{ANSWER_BYTES_MAX, Param, QueryAnswer, QueryError, QueryRequest};
use ridealong_model::tenant::TenantId;

use super::answers::Progress;
use super::explained::{self, Spent};
use super::fault::fault_of;
use super::statement::Reads;
use crate::limits::{self, Permit};
use crate::segments::Segments;
use crate::system::{self, Sources};
use crate::{answer, guard, session};

/// Rows of an answer in memory, before they are JSON.
const COLLECTED_BYTES_MAX: usize = 2 * ANSWER_BYTES_MAX;

/// What a query needs to run.
pub(super) struct Run {
    pub request: QueryRequest,
    pub tenant: TenantId,
    pub snapshot: Arc<Snapshot>,
    pub system: Arc<Sources>,
    pub segments: Segments,
    /// With a pool of memory of its own.
    pub environment: Arc<RuntimeEnv>,
    pub threads: usize,
    pub permit: Arc<Permit>,
    pub progress: Arc<Progress>,
}

/// A statement that may run, in a session that knows its tables.
pub(super) struct Planned {
    context: SessionContext,
    plan: LogicalPlan,
    pub reads: Reads,
    took: Duration,
}

impl Run {
    /// Of the statement alone, without its parameters' values.
    pub async fn plan(&self) -> Result<Planned, QueryError> {
        let started = Instant::now();
        let fault = |error| fault_of(error, &self.permit);
        let statement = guard::reading(&self.request.sql)?;
        if let Some(query) = query_of(&statement) {
            limits::check_statement(query)?;
        }
        let system = system::schema(&self.system, &self.tenant, &self.snapshot).map_err(fault)?;
        let environment = Arc::clone(&self.environment);
        let context = session::session(&self.snapshot, &self.segments, system, environment, self.threads, &self.permit);
        let context = context.map_err(fault)?;
        let plan = context.state().statement_to_plan(statement).await.map_err(fault)?;
        guard::options().verify_plan(&plan).map_err(|error| QueryError::NotARead(error.strip_backtrace()))?;
        limits::check_plan(&plan)?;
        let reads = Reads::of(&plan);
        Ok(Planned { context, plan, reads, took: started.elapsed() })
    }

    /// The plan of a statement with its parameters' values, each step guarded; of at most one row more than `rows_max`.
    pub async fn steps(
        &self,
        planned: Planned,
        rows_max: Option<usize>,
    ) -> Result<(SessionContext, Arc<dyn ExecutionPlan>), QueryError> {
        let fault = |error| fault_of(error, &self.permit);
        let context = planned.context;
        let plan = match self.request.params.is_empty() {
            true => planned.plan,
            false => planned.plan.with_param_values(params(&self.request.params)).map_err(fault)?,
        };
        let plan = match rows_max {
            Some(rows_max) => capped(plan, rows_max).map_err(fault)?,
            None => plan,
        };
        let plan = context.state().create_physical_plan(&plan).await.map_err(fault)?;
        let plan = limits::sorted_on_disk(plan).map_err(fault)?;
        let plan = limits::guarded(plan, &self.permit).map_err(fault)?;
        Ok((context, plan))
    }

    pub async fn execute(&self, planned: Planned) -> Result<QueryAnswer, QueryError> {
        let started = Instant::now();
        let fault = |error| fault_of(error, &self.permit);
        let (files_total, took) = (planned.reads.files(&self.snapshot), planned.took);
        let (context, plan) = self.steps(planned, Some(self.request.rows_max)).await?;
        let planning = took + started.elapsed();
        self.progress.runs(&plan, files_total);
        let (schema, running) = (plan.schema(), Instant::now());
        let stream = execute_stream(Arc::clone(&plan), context.task_ctx()).map_err(fault)?;
        let memory = MemoryConsumer::new("answer").register(&self.environment.memory_pool);
        let collected = self.collect(stream, &memory).await?;
        let rows_json = answer::rows_json(&collected.batches)?;
        let spent = Spent { planning, running: running.elapsed(), memory_peak: self.permit.peak() };
        let text = self.text(&plan, files_total, &spent);
        Ok(QueryAnswer {
            columns: answer::columns(&schema),
            rows_json,
            rows: collected.rows,
            truncated: collected.truncated,
            execution: took + started.elapsed(),
            plan: text,
            query_id: self.permit.query_id.clone(),
            cache_hit: false,
            behind: Duration::ZERO,
        })
    }

    fn text(&self, plan: &Arc<dyn ExecutionPlan>, files_total: u64, spent: &Spent) -> String {
        let totals = explained::totals(plan, files_total);
        self.progress.done();
        explained::text(plan, &totals, spent)
    }

    /// Rows up to the cap, and whether there were more.
    async fn collect(
        &self,
        mut stream: SendableRecordBatchStream,
        memory: &MemoryReservation,
    ) -> Result<Collected, QueryError> {
        let fault = |error| fault_of(error, &self.permit);
        let mut collected = Collected::default();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(fault)?;
            let room = self.request.rows_max - collected.rows;
            let taken = batch.slice(0, batch.num_rows().min(room));
            let size = limits::slice_bytes(&taken);
            bytes += size;
            if bytes > COLLECTED_BYTES_MAX {
                return Err(QueryError::TooLarge("its answer is larger than 64 MiB; select less".into()));
            }
            memory.try_grow(size).map_err(fault)?;
            collected.rows += taken.num_rows();
            collected.batches.push(taken);
            if batch.num_rows() > room {
                collected.truncated = true;
                break;
            }
        }
        Ok(collected)
    }
}

#[derive(Default)]
struct Collected {
    batches: Vec<RecordBatch>,
    rows: usize,
    truncated: bool,
}

/// The query in a statement that reads.
fn query_of(statement: &Parsed) -> Option<&Query> {
    match statement {
        Parsed::Statement(ast) => match ast.as_ref() {
            Ast::Query(query) => Some(query),
            _ => None,
        },
        Parsed::Explain(explain) => query_of(&explain.statement),
        _ => None,
    }
}

/// One row more than may be given is asked for, to know whether there are more; so a sort keeps no others.
fn capped(plan: LogicalPlan, rows_max: usize) -> ridealong_engine::datafusion::common::Result<LogicalPlan> {
    match plan {
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => Ok(plan),
        plan => LogicalPlanBuilder::from(plan).limit(0, Some(rows_max + 1))?.build(),
    }
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
