//! One table of a snapshot as SQL shows it: the columns as stored, with ids as text.

use std::sync::Arc;

use async_trait::async_trait;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use ridealong_engine::datafusion::catalog::{Session, TableProvider};
use ridealong_engine::datafusion::common::{Result, ToDFSchema};
use ridealong_engine::datafusion::logical_expr::expr::InList;
use ridealong_engine::datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_engine::datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use ridealong_engine::datafusion::prelude::ident;
use ridealong_lake::schema::{file_schema, public_schema, with_views};
use ridealong_lake::{TableSnapshot, Wanted, on_stored};

use crate::uuid_text::uuid_text;

/// The one column of bytes that is no id.
const SKETCH: &str = "duration_sketch";

/// Columns with many values, each in few rows.
const KEYS: [&str; 6] = ["event_id", "user_id", "anonymous_id", "session_id", "request_id", "trace_id"];

/// A table of a snapshot, with the columns that SQL shows.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    snapshot: TableSnapshot,
    /// As stored: ids are bytes.
    stored: SchemaRef,
    /// As shown: ids are text. The same columns in the same order.
    shown: SchemaRef,
    /// Whether texts are views.
    views: bool,
}

impl SnapshotTable {
    pub fn new(snapshot: TableSnapshot) -> Self {
        let (stored, shown) = (file_schema(snapshot.table), public_schema(snapshot.table));
        // The statements over visits are written for texts as they are kept.
        let views = snapshot.table != Table::Visits;
        let (stored, shown) = if views { (with_views(&stored), with_views(&shown)) } else { (stored, shown) };
        Self { snapshot, stored, shown, views }
    }

    /// The table of a tenant that has no row of it yet.
    pub fn empty(table: Table) -> Self {
        Self::new(TableSnapshot { table, hot: Vec::new(), cold: Arc::default() })
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.shown.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A filter that is not passed on still runs above the scan; a limit must then not stop the scan early.
        let stored: Vec<Expr> =
            filters.iter().filter_map(|filter| on_stored(filter, &self.shown, &self.stored)).collect();
        let limit = limit.filter(|_| filters.is_empty());
        let picks_few = stored.iter().any(picks_few);
        let wanted =
            Wanted { projection: projection.map(Vec::as_slice), filters: &stored, limit, views: self.views, picks_few };
        let scanned = self.snapshot.scan(state, &wanted)?;
        with_text_ids(scanned, state)
    }
}

/// Whether a filter is for one key or some: of the rows of a table few have it.
fn picks_few(filter: &Expr) -> bool {
    let is_key = |expression: &Expr| match expression {
        Expr::Column(column) => KEYS.contains(&column.name.as_str()),
        _ => false,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => is_key(left) || is_key(right),
        Expr::InList(InList { expr, negated: false, .. }) => is_key(expr),
        _ => false,
    }
}

/// Turns the ids of a scan into text; the scan itself when it has none.
fn with_text_ids(scan: Arc<dyn ExecutionPlan>, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = scan.schema();
    let is_id = |field: &Field| field.data_type() == &DataType::Binary && field.name() != SKETCH;
    if !schema.fields().iter().any(|field| is_id(field)) {
        return Ok(scan);
    }
    let input = schema.clone().to_dfschema()?;
    let to_text = uuid_text();
    let columns = schema.fields().iter().map(|field| {
        let column = ident(field.name());
        let shown = if is_id(field) { to_text.call(vec![column]) } else { column };
        Ok(ProjectionExpr::new(state.create_physical_expr(shown, &input)?, field.name().clone()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
}
