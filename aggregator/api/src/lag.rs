//! How far behind what is acknowledged queries and Delta tables are, and how old the newest event is.

use ridealong_common::time::Timestamp;
use ridealong_ingest::Ingest;
use ridealong_model::lake::LakeStatus;
use serde::Serialize;
use utoipa::ToSchema;

/// How far behind, in milliseconds
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lag {
    /// Age of the oldest acknowledged row that no query sees; 0 when there is none
    readable_ms: u64,
    /// Age of the oldest acknowledged row that is not in Delta; 0 when there is none
    committed_ms: u64,
    tables: Vec<TableLag>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TableLag {
    tenant: String,
    table: &'static str,
    /// Age of the newest row by its own time; null while there is none
    event_time_ms: Option<u64>,
    committed_ms: u64,
}

/// By receipt: the age of the oldest acknowledged row that is not yet there; 0 when none is missing. By event time: the
/// age of the newest event; null while there is none.
pub(crate) fn of(ingest: &Ingest, lake: &LakeStatus, now: Timestamp) -> Lag {
    let tables = lake.tables.iter().map(|table| TableLag {
        tenant: table.tenant.clone(),
        table: table.table,
        event_time_ms: table.newest_us.map(|newest| milliseconds(now, newest)),
        committed_ms: age(now, table.oldest_hot_received_us),
    });
    let (readable_ms, committed_ms) = by_receipt(ingest, lake, now);
    Lag { readable_ms, committed_ms, tables: tables.collect() }
}

/// Until readable and until in Delta, ms.
pub(crate) fn by_receipt(ingest: &Ingest, lake: &LakeStatus, now: Timestamp) -> (u64, u64) {
    let unread = ingest.oldest_stored_after(lake.readable).map(|oldest| oldest.micros());
    let oldest_hot = lake.tables.iter().filter_map(|table| table.oldest_hot_received_us).min();
    // What is not read yet is not in Delta either.
    let uncommitted = oldest_hot.into_iter().chain(unread).min();
    (age(now, unread), age(now, uncommitted))
}

fn age(now: Timestamp, then_us: Option<i64>) -> u64 {
    then_us.map_or(0, |then| milliseconds(now, then))
}

/// An event of the future, by its own clock, has no age.
pub(crate) fn milliseconds(now: Timestamp, then_us: i64) -> u64 {
    u64::try_from(now.micros().saturating_sub(then_us) / 1_000).unwrap_or(0)
}
