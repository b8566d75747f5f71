//! A statement whose rows are read by somebody else, as fast as they like: no cap on rows, no timeout of a query.

use std::sync::Arc;

use ridealong_engine::datafusion::arrow::datatypes::SchemaRef;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::datafusion::execution::SendableRecordBatchStream;
use ridealong_engine::datafusion::physical_plan::execute_stream;
use ridealong_model::budget::Account;
use ridealong_model::query::{Param, QueryError, QueryRequest, TIMEOUT_MAX};
use ridealong_model::tenant::TenantId;
use uuid::Uuid;

use super::Engine;
use super::asking::{Asked, PATIENCE};
use super::fault::{broken, fault};
use super::owned::{AbortOnDrop, Leaving};
use super::run::Run;
use super::statement::Statement;

/// Its rows; nothing is read before they are asked for.
pub(crate) struct Opened {
    pub schema: SchemaRef,
    pub rows: SendableRecordBatchStream,
    /// As many tasks may work for it at once.
    pub threads: usize,
    /// Let go of, all work for it ends.
    #[expect(dead_code, reason = "held to be dropped")]
    leaving: Leaving,
}

/// Work on the engine's threads; dropped, it stops.
pub(crate) struct Working(#[expect(dead_code, reason = "held to be dropped")] AbortOnDrop<()>);

impl Opened {
    /// Whose fault an error of the rows is.
    pub fn fault(&self) -> impl Fn(DataFusionError) -> QueryError + Send + use<> {
        fault
    }
}

impl Engine {
    /// Plans a statement over a snapshot with every row acknowledged before.
    pub(crate) async fn open(&self, tenant: &TenantId, sql: &str, params: &[Param]) -> Result<Opened, QueryError> {
        if !self.options.budget.has_room(Account::Queries, 0) {
            self.options.budget.count_refusal();
            return Err(QueryError::Busy);
        }
        let snapshot = self.lake.pin(tenant.as_str(), PATIENCE).await.ok_or(QueryError::Behind)?;
        self.register_stores()?;
        let request = QueryRequest { params: params.to_vec(), ..QueryRequest::new(sql) };
        let statement = Statement::of(tenant, &request);
        let query_id = Uuid::now_v7().to_string();
        let run = self.run(&Asked { statement, request, snapshot: Arc::new(snapshot), query_id });
        let leaving = Leaving(Some(Arc::clone(&run.permit)));
        // On a thread for queries: planning recurses through the statement.
        let mut task = AbortOnDrop(self.handle()?.spawn(run.open(leaving)));
        match tokio::time::timeout(TIMEOUT_MAX, &mut task.0).await {
            Err(_) => Err(QueryError::TimedOut(TIMEOUT_MAX)),
            Ok(Err(error)) => Err(broken(error)),
            Ok(Ok(opened)) => opened,
        }
    }

    /// Runs `work` on the engine's threads.
    pub(crate) fn work(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<Working, QueryError> {
        Ok(Working(AbortOnDrop(self.handle()?.spawn(work))))
    }
}

impl Run {
    async fn open(self, leaving: Leaving) -> Result<Opened, QueryError> {
        let planned = self.plan().await?;
        let (context, plan) = self.steps(planned, None).await?;
        let schema = plan.schema();
        let rows = execute_stream(plan, context.task_ctx()).map_err(fault)?;
        Ok(Opened { schema, rows, threads: self.threads, leaving })
    }
}
