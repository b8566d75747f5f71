//! A row as the query answers it, and as the caller sees it.

use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_ingest::{QuarantineRow, Standing};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Answered {
    event_id: String,
    timestamp: String,
    source_table: String,
    reason: String,
    detail: String,
    payload: Option<String>,
    source: Option<String>,
    event_type: Option<String>,
    status: String,
    revision: i64,
}

pub(super) fn of_answer(rows_json: &[u8]) -> Result<Vec<QuarantineRow>, Failure> {
    let unread = |what: String| Failure::new(500, "query-failed", "Query failed", what);
    let rows: Vec<Answered> = serde_json::from_slice(rows_json).map_err(|error| unread(error.to_string()))?;
    let row = |row: Answered| {
        Some(QuarantineRow {
            event_id: EventId::from_caller(&row.event_id),
            timestamp: Timestamp::parse(&row.timestamp)?,
            source_table: row.source_table,
            reason: row.reason,
            detail: row.detail,
            payload: row.payload,
            source: row.source,
            event_type: row.event_type,
            standing: Standing::from_name(&row.status)?,
            revision: row.revision,
        })
    };
    rows.into_iter().map(row).collect::<Option<_>>().ok_or_else(|| unread("a row cannot be read".to_owned()))
}

/// The payload is shown as the JSON it is, where it is some.
pub(super) fn shown(row: &QuarantineRow) -> Value {
    let payload = row.payload.as_deref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    json!({
        "eventId": row.event_id.to_string(),
        "quarantinedAt": row.timestamp.to_string(),
        "table": row.source_table,
        "reason": row.reason,
        "detail": row.detail,
        "payload": payload,
        "source": row.source,
        "eventType": row.event_type,
        "status": row.standing.name(),
        "revision": row.revision,
    })
}
