//! A table's rows as Arrow: as stored in Delta, and as the public sees them.
//!
//! Stored: times without a zone in UTC microseconds (`date_trunc` on zoned times is 8 to 10 times slower), ids as 16
//! bytes (13 bytes a row in Parquet where text takes 16), and a partition column [`DATE`] made from `timestamp`. Public:
//! ids as text, no partition column. The columns themselves come from `ridealong_common::table`.

use std::sync::Arc;

use ridealong_common::table::{Column, ColumnKind, Table};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

/// The partition column: the UTC day of `timestamp`.
pub const DATE: &str = "date";
/// The column that every table is partitioned and sorted by.
pub const TIMESTAMP: &str = "timestamp";
/// When the aggregator took the row.
pub const RECEIVED_AT: &str = "received_at";

/// The columns of the data files: all but the partition column.
pub fn file_schema(table: Table) -> SchemaRef {
    Arc::new(Schema::new(table.columns().iter().map(|column| field(column, false)).collect::<Vec<_>>()))
}

/// The columns of the Delta table.
pub fn stored_schema(table: Table) -> SchemaRef {
    let mut fields: Vec<_> = file_schema(table).fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DATE, DataType::Date32, true)));
    Arc::new(Schema::new(fields))
}

/// The columns that SQL shows.
pub fn public_schema(table: Table) -> SchemaRef {
    Arc::new(Schema::new(table.columns().iter().map(|column| field(column, true)).collect::<Vec<_>>()))
}

/// The same columns with texts as views: what queries group, compare and carry along without copying it.
pub fn with_views(schema: &SchemaRef) -> SchemaRef {
    let view = |field: &FieldRef| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(view).collect::<Vec<_>>()))
}

/// Every stored column may be null for Delta: a column added later is null in older rows.
fn field(column: &Column, public: bool) -> Field {
    let kind = match column.kind {
        ColumnKind::Id if public => DataType::Utf8,
        ColumnKind::Id | ColumnKind::Sketch => DataType::Binary,
        ColumnKind::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Integer => DataType::Int64,
        ColumnKind::Boolean => DataType::Boolean,
        ColumnKind::Float => DataType::Float64,
    };
    Field::new(column.name, kind, true)
}
