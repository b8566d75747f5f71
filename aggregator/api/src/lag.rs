//! How far behind what is acknowledged queries and Delta tables are, and how old the newest event is.

use ridealong_common::time::Timestamp;
use ridealong_ingest::Ingest;
use ridealong_model::lake::LakeStatus;
use serde_json::{Value, json};

/// By receipt: the age of the oldest acknowledged row that is not yet there; 0 when none is missing. By event time: the
/// age of the newest event; null while there is none.
pub(crate) fn of(ingest: &Ingest, lake: &LakeStatus, now: Timestamp) -> Value {
    let tables = lake.tables.iter().map(|table| {
        json!({
            "tenant": table.tenant,
            "table": table.table,
            "eventTimeMs": table.newest_us.map(|newest| milliseconds(now, newest)),
            "committedMs": age(now, table.oldest_hot_received_us),
        })
    });
    let (readable, committed) = by_receipt(ingest, lake, now);
    json!({ "readableMs": readable, "committedMs": committed, "tables": tables.collect::<Vec<_>>() })
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
