//! `system.queries`: the tenant's latest queries, one row each: how they ended, what they read, what would have helped.

use std::sync::{Arc, LazyLock};

use ridealong_engine::datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ridealong_engine::datafusion::common::Result;

use crate::engine::{Query, Totals};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("query_id", DataType::Utf8, false),
        Field::new("started_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("duration_ms", DataType::Float64, true),
        Field::new("state", DataType::Utf8, false),
        Field::new("sql", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, true),
        Field::new("bytes_scanned", DataType::Int64, true),
        Field::new("files_read", DataType::Int64, true),
        Field::new("files_total", DataType::Int64, true),
        Field::new("rows_scanned", DataType::Int64, true),
        Field::new("memory_peak_bytes", DataType::Int64, true),
        Field::new("cache_hit", DataType::Boolean, false),
        Field::new("error", DataType::Utf8, true),
        Field::new("advice", DataType::Utf8, true),
        Field::new("advice_effect", DataType::Utf8, true),
    ]))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}

pub(super) fn rows(queries: &[Query]) -> Result<RecordBatch> {
    let texts = |of: fn(&Query) -> Option<&str>| Arc::new(queries.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let counts = |of: fn(&Query) -> Option<u64>| {
        let counts = queries.iter().map(|query| of(query).map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
        Arc::new(counts.collect::<Int64Array>()) as ArrayRef
    };
    let totals = |of: fn(&Totals) -> u64| {
        let counts = queries.iter().map(|query| query.totals.as_ref().map(of));
        let counts = counts.map(|count| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
        Arc::new(counts.collect::<Int64Array>()) as ArrayRef
    };
    let columns = vec![
        texts(|query| Some(&query.query_id)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(queries.iter().map(|query| query.started_us))) as _,
        Arc::new(queries.iter().map(Query::duration_ms).collect::<Float64Array>()) as _,
        texts(|query| Some(query.state.name())),
        texts(|query| Some(&query.sql)),
        counts(|query| query.rows),
        totals(|totals| totals.bytes_scanned),
        totals(|totals| totals.files_read),
        totals(|totals| totals.files_total),
        totals(|totals| totals.rows_scanned),
        counts(|query| query.memory_peak),
        Arc::new(queries.iter().map(|query| Some(query.cache_hit)).collect::<BooleanArray>()) as _,
        texts(|query| query.error.as_deref()),
        texts(|query| Some(&query.advice.as_ref()?.text)),
        texts(|query| query.advice.as_ref()?.effect.as_deref()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
