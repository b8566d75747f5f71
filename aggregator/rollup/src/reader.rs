//! Rows of one file, with what is pending applied: the columns that are needed, of a range of time.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::common::{DataFusionError, ScalarValue};
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::logical_expr::Expr;
use ridealong_engine::datafusion::physical_plan::execute_stream;
use ridealong_engine::datafusion::prelude::{SessionConfig, SessionContext, ident, lit};
use ridealong_lake::{ColdFile, ColdTable, Lake, TableSnapshot, Wanted};

use crate::cells::kernel::Window;

/// Everything.
pub const ALWAYS: Window = (i64::MIN, i64::MAX);

pub struct Reader {
    lake: Lake,
    session: SessionContext,
}

impl Reader {
    pub fn new(lake: Lake) -> Self {
        let config = SessionConfig::new().with_target_partitions(1);
        Self { lake, session: SessionContext::new_with_config(config) }
    }

    /// Hands on the rows batch by batch. Rows outside of the window may be among them.
    pub async fn read<E: From<DataFusionError>>(
        &self,
        table: Table,
        file: &ColdFile,
        columns: &BTreeSet<&'static str>,
        window: Window,
        mut see: impl FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.register_stores()?;
        let known = table.columns().iter().enumerate();
        let places: Vec<usize> = known.filter(|(_, column)| columns.contains(column.name)).map(|(at, _)| at).collect();
        let filters = within(window);
        let wanted = Wanted { projection: Some(&places), filters: &filters, ..Wanted::default() };
        let cold = Arc::new(ColdTable { files: vec![file.clone()], ..ColdTable::default() });
        let snapshot = TableSnapshot { table, hot: Vec::new(), cold };
        let plan = snapshot.scan(&self.session.state(), &wanted)?;
        let mut rows = execute_stream(plan, self.session.task_ctx())?;
        while let Some(batch) = rows.next().await {
            see(&batch?)?;
        }
        Ok(())
    }

    /// Makes known the stores that files may lie in. Few, and seldom a new one.
    fn register_stores(&self) -> Result<(), DataFusionError> {
        let environment = self.session.runtime_env();
        for (url, store) in self.lake.stores() {
            let url = ObjectStoreUrl::parse(url)?;
            if environment.object_store(&url).is_err() {
                environment.register_object_store(url.as_ref(), store);
            }
        }
        Ok(())
    }
}

fn within((from, to): Window) -> Vec<Expr> {
    let time = |at| lit(ScalarValue::TimestampMicrosecond(Some(at), None));
    let mut filters = Vec::new();
    if from > i64::MIN {
        filters.push(ident("timestamp").gt_eq(time(from)));
    }
    if to < i64::MAX {
        filters.push(ident("timestamp").lt(time(to)));
    }
    filters
}
