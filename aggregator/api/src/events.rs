//! `POST /track` and `POST /batch-track`: events as JSON.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ridealong_common::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX};
use ridealong_ingest::{EventReceipt, EventStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::door::{body_bytes, json as read_json};
use crate::failure::Failure;
use crate::services::Services;

/// One event → 202 `{eventId, status}`, durable and readable.
pub(crate) async fn track(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let bytes = body_bytes(&headers, body, EVENT_BYTES_MAX).await?;
    let event: Value = read_json(&bytes).inspect_err(|_| services.ingest.refuse_events("invalid_json", 1))?;
    let receipts = services.ingest.accept_events(&services.tenant(), std::slice::from_ref(&event)).await?;
    let Some(EventReceipt { event_id, status }) = receipts.into_iter().next() else {
        unreachable!("one event has one receipt")
    };
    match status {
        Ok(status) => {
            let body = json!({ "eventId": event_id.map(|id| id.to_string()), "status": name(status) });
            Ok((StatusCode::ACCEPTED, Json(body)))
        }
        Err(fault) => Err(Failure::new(400, "invalid-event", "Not an event", fault.to_string())),
    }
}

#[derive(Deserialize)]
struct Batch {
    events: Vec<Value>,
}

/// Many events → 200 with one result each, in order.
pub(crate) async fn batch_track(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let bytes = body_bytes(&headers, body, BATCH_BYTES_MAX).await?;
    let batch: Batch = read_json(&bytes).inspect_err(|_| services.ingest.refuse_events("invalid_json", 0))?;
    if batch.events.len() > BATCH_EVENTS_MAX {
        services.ingest.refuse_events("too_many", batch.events.len());
        let detail = format!("{} events in one batch, at most {BATCH_EVENTS_MAX} are taken", batch.events.len());
        return Err(Failure::new(400, "too-many-events", "Too many events", detail));
    }
    let receipts = services.ingest.accept_events(&services.tenant(), &batch.events).await?;
    let failed = receipts.iter().filter(|receipt| receipt.status.is_err()).count();
    let results: Vec<Value> = receipts.iter().map(result).collect();
    Ok(Json(json!({
        "totalEvents": results.len(),
        "successfulEvents": results.len() - failed,
        "failedEvents": failed,
        "results": results,
    })))
}

fn result(receipt: &EventReceipt) -> Value {
    let id = receipt.event_id.map(|id| id.to_string());
    match &receipt.status {
        Ok(status) => json!({ "eventId": id, "success": true, "status": name(*status) }),
        Err(fault) => json!({ "eventId": id, "success": false, "status": "refused", "error": fault.to_string() }),
    }
}

fn name(status: EventStatus) -> &'static str {
    match status {
        EventStatus::Stored => "stored",
        EventStatus::Duplicate => "duplicate",
    }
}
