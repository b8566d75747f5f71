//! `quarantine` as SQL shows it: of each event that was set aside the row that is in force, the one of the highest
//! revision. What was replayed or dismissed shows as that and no longer as open.

use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::catalog::TableProvider;
use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::datasource::{ViewTable, provider_as_source};
use ridealong_engine::datafusion::functions_window::expr_fn::row_number;
use ridealong_engine::datafusion::logical_expr::{ExprFunctionExt, LogicalPlanBuilder};
use ridealong_engine::datafusion::prelude::{ident, lit};

use crate::provider::SnapshotTable;

const NEWEST: &str = "newest";

pub(crate) fn quarantine(scanned: SnapshotTable) -> Result<Arc<dyn TableProvider>> {
    let rows = LogicalPlanBuilder::scan(Table::Quarantine.name(), provider_as_source(Arc::new(scanned)), None)?;
    let newest = row_number()
        .partition_by(vec![ident("event_id"), ident("source_table")])
        .order_by(vec![ident("revision").sort(false, false)])
        .build()?
        .alias(NEWEST);
    let columns = Table::Quarantine.columns().iter().map(|column| ident(column.name));
    let plan = rows.window(vec![newest])?.filter(ident(NEWEST).eq(lit(1_u64)))?.project(columns.collect::<Vec<_>>())?;
    Ok(Arc::new(ViewTable::new(plan.build()?, None)))
}
