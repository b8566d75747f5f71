//! `system.ledger`: the tenant's books, one row a count. The log's part is of the moment of the query's own snapshot, so
//! that what it says was stored is what the same query finds in the tables.

use std::sync::{Arc, LazyLock};

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ridealong_engine::datafusion::common::{DataFusionError, Result};
use ridealong_lake::Snapshot;
use ridealong_model::ledger::{LedgerRow, LedgerSource, Stage, Unit};
use ridealong_model::query::QueryError;
use ridealong_model::tenant::TenantId;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("stage", DataType::Utf8, false),
        Field::new("door", DataType::Utf8, true),
        Field::new("producer", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, true),
        Field::new("outcome", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, true),
        Field::new("unit", DataType::Utf8, false),
        Field::new("count", DataType::Int64, false),
        Field::new("since", time, true),
        Field::new("position", DataType::Int64, false),
    ]))
});

const DROPPED: &str = "dropped";

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}

pub(super) fn rows(source: &dyn LedgerSource, tenant: &TenantId, snapshot: &Snapshot) -> Result<RecordBatch> {
    let position = snapshot.position.0;
    // The log went on by thousands of records since the snapshot was pinned.
    let behind = || DataFusionError::External(Box::new(QueryError::Behind));
    let mut rows = source.ledger(tenant, position).ok_or_else(behind)?;
    rows.extend(readable(snapshot));
    let column =
        |of: fn(&LedgerRow) -> Option<&str>| Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let columns = vec![
        column(|row| Some(row.stage.name())),
        column(|row| row.door),
        column(|row| row.producer.as_deref()),
        column(|row| row.table),
        column(|row| Some(row.outcome)),
        column(|row| row.reason),
        column(|row| Some(row.unit.name())),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(row.count).unwrap_or(i64::MAX)))),
        Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.since_us))),
        Arc::new(Int64Array::from_value(position as i64, rows.len())),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// What the snapshot itself holds, rows in memory and rows in Delta, and what is gone because its time was over: together
/// what the log has stored.
fn readable(snapshot: &Snapshot) -> impl Iterator<Item = LedgerRow> {
    let tables = Table::ALL.into_iter().filter_map(|table| Some((table, snapshot.table(table)?)));
    let counts = tables.flat_map(|(table, of)| {
        let counts = [("hot", of.rows_hot()), ("committed", of.cold.rows()), (DROPPED, of.cold.dropped)];
        counts.map(|(outcome, count)| (table, outcome, count))
    });
    counts.filter(|(_, _, count)| *count > 0).map(|(table, outcome, count)| LedgerRow {
        stage: Stage::Lake,
        door: None,
        producer: None,
        table: Some(table.name()),
        outcome,
        reason: (outcome == DROPPED).then_some("retention"),
        unit: Unit::Rows,
        count,
        since_us: None,
    })
}
