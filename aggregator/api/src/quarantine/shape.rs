//! A row as the query answers it, and as the caller sees it.

use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_ingest::{QuarantineRow, Standing};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

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

/// An event that was set aside
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Quarantined)]
pub(crate) struct Shown {
    #[schema(format = "uuid")]
    event_id: String,
    #[schema(format = DateTime)]
    quarantined_at: String,
    /// Where it would lie
    table: String,
    reason: String,
    detail: String,
    /// As it came, or as it was corrected; shown as the JSON it is, where it is some
    payload: Option<Value>,
    source: Option<String>,
    event_type: Option<String>,
    /// `open`, `corrected`, `replayed` or `discarded`
    status: &'static str,
    revision: i64,
}

pub(super) fn shown(row: &QuarantineRow) -> Shown {
    let payload = row.payload.as_deref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    Shown {
        event_id: row.event_id.to_string(),
        quarantined_at: row.timestamp.to_string(),
        table: row.source_table.clone(),
        reason: row.reason.clone(),
        detail: row.detail.clone(),
        payload,
        source: row.source.clone(),
        event_type: row.event_type.clone(),
        status: row.standing.name(),
        revision: row.revision,
    }
}
