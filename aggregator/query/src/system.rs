//! The tables of the schema `system`: how the system itself is doing, for the caller's tenant alone.
//!
//! Each is a schema and a way to get its rows, which is gone only when a query names the table. A new one is a line in
//! [`tables`].

mod jobs;
mod ledger;
mod queries;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::arrow::datatypes::SchemaRef;
use ridealong_engine::datafusion::catalog::memory::MemorySourceConfig;
use ridealong_engine::datafusion::catalog::{MemorySchemaProvider, SchemaProvider, Session, TableProvider};
use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::logical_expr::{Expr, TableType};
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_lake::Snapshot;
use ridealong_model::jobs::JobsSource;
use ridealong_model::ledger::LedgerSource;
use ridealong_model::tenant::TenantId;

use crate::engine::History;

pub(crate) const SCHEMA: &str = "system";

/// Where the rows come from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub ledger: Arc<dyn LedgerSource>,
    pub jobs: Arc<dyn JobsSource>,
    pub queries: Arc<History>,
}

/// The schema for one query.
pub(crate) fn schema(
    sources: &Arc<Sources>,
    tenant: &TenantId,
    snapshot: &Arc<Snapshot>,
) -> Result<Arc<dyn SchemaProvider>> {
    let schema = MemorySchemaProvider::new();
    for (name, table) in tables(sources, tenant, snapshot) {
        schema.register_table(name.to_owned(), Arc::new(table))?;
    }
    Ok(Arc::new(schema))
}

fn tables(sources: &Arc<Sources>, tenant: &TenantId, snapshot: &Arc<Snapshot>) -> [(&'static str, SystemTable); 3] {
    let (jobs, history, asking) = (Arc::clone(&sources.jobs), Arc::clone(&sources.queries), tenant.clone());
    let (sources, tenant, snapshot) = (Arc::clone(sources), tenant.clone(), Arc::clone(snapshot));
    [
        ("ledger", SystemTable::new(ledger::schema(), move || ledger::rows(&*sources.ledger, &tenant, &snapshot))),
        ("jobs", SystemTable::new(jobs::schema(), move || jobs::rows(&*jobs))),
        ("queries", SystemTable::new(queries::schema(), move || queries::rows(&history.of(&asking)))),
    ]
}

/// A table whose rows are made when it is scanned.
struct SystemTable {
    schema: SchemaRef,
    rows: Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>,
}

impl SystemTable {
    fn new(schema: SchemaRef, rows: impl Fn() -> Result<RecordBatch> + Send + Sync + 'static) -> Self {
        Self { schema, rows: Box::new(rows) }
    }
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SystemTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = [vec![(self.rows)()?]];
        Ok(MemorySourceConfig::try_new_exec(&rows, self.schema.clone(), projection.cloned())?)
    }
}
