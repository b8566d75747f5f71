//! Reads single files of a table, with what is pending applied.

use std::sync::Arc;

use futures::StreamExt;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{BooleanArray, RecordBatch, new_null_array};
use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::execution::SendableRecordBatchStream;
use ridealong_engine::datafusion::logical_expr::Expr;
use ridealong_engine::datafusion::physical_plan::execute_stream;
use ridealong_engine::datafusion::prelude::SessionContext;

use super::mutation::{Mutation, Ready};
use super::people::{COLUMNS, People};
use crate::scan::Wanted;
use crate::schema::file_schema;
use crate::snapshot::{ColdFile, ColdTable, TableSnapshot};

/// What a mutation finds in a file, or in rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matched {
    pub rows: u64,
    pub people: People,
}

/// The rows of a file, those left out for which a filter does not hold, as far as that is easily known.
pub(crate) fn rows_of(
    session: &SessionContext,
    table: Table,
    file: &ColdFile,
    columns: &[usize],
    filters: &[Expr],
) -> Result<SendableRecordBatchStream> {
    let cold = Arc::new(ColdTable { files: vec![file.clone()], ..ColdTable::default() });
    let snapshot = TableSnapshot { table, hot: Vec::new(), cold };
    let plan = snapshot.scan(&session.state(), &Wanted { projection: Some(columns), filters, ..Wanted::default() })?;
    execute_stream(plan, session.task_ctx())
}

/// What a mutation changes in a file.
pub(crate) async fn matched(
    session: &SessionContext,
    table: Table,
    file: &ColdFile,
    mutation: &Mutation,
) -> Result<Matched> {
    let columns = columns_of(table, mutation);
    let mut found = Matched::default();
    let mut rows = rows_of(session, table, file, &columns, std::slice::from_ref(&mutation.filter))?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let matching = Ready::new(mutation, &batch, &session.state())?.matching(&batch)?;
        found.add(&batch, &matching);
    }
    Ok(found)
}

fn columns_of(table: Table, mutation: &Mutation) -> Vec<usize> {
    let read = mutation.columns_read();
    let columns = table.columns().iter().enumerate();
    let named = |name: &str| read.contains(name) || (table == Table::Events && COLUMNS.contains(&name));
    let mut columns: Vec<usize> = columns.filter(|(_, column)| named(column.name)).map(|(at, _)| at).collect();
    if columns.is_empty() {
        columns.push(0);
    }
    columns
}

impl Matched {
    pub fn add(&mut self, rows: &RecordBatch, matching: &BooleanArray) {
        self.rows += matching.true_count() as u64;
        self.people.add_named_in(rows, matching);
    }
}

/// The rows with all columns of the table, those that were not read being null.
pub(crate) fn widened(table: Table, rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = file_schema(table);
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), rows.num_rows()),
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}
