//! `POST /track` and `POST /batch-track`: events as JSON, durable and readable when answered.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ridealong_common::limits::{BATCH_BYTES_MAX, EVENT_BYTES_MAX};
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;
use ridealong_edge::events::{Outcome, Taken, batch, batch_answer, single_answer};
use ridealong_ingest::{EventReceipt, EventStatus};
use serde_json::Value;

use crate::description::problems::{Fails, JsonBody, Log, ManyEvents, OneEvent};
use crate::description::shapes::{BatchAnswer, Event, EventBatch, TrackAnswer};
use crate::failure::refused;
use crate::services::Services;

/// Takes one event
///
/// It is durable, and in every answer begun afterwards, when this is answered. Sent again it is stored once. At most 256 KiB.
#[utoipa::path(post, path = "/track", operation_id = "track", tag = "ingest", request_body = Event,
    responses((status = 202, body = TrackAnswer, description = "Taken"), Fails<(JsonBody, OneEvent, Log)>))]
pub(crate) async fn track(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let held = services.body(&headers, body, EVENT_BYTES_MAX).await?;
    let event: Value =
        read_json(&held.bytes).inspect_err(|_| services.ingest.refuse_events(&services.tenant(), "invalid_json", 1))?;
    let outcome = store(&services, vec![event]).await?.pop();
    let Some(outcome) = outcome else { unreachable!("one event has one outcome") };
    Ok((StatusCode::ACCEPTED, Json(single_answer(outcome)?)))
}

/// Takes up to 5,000 events
///
/// Each as `POST /track` would. At most 8 MiB.
#[utoipa::path(post, path = "/batch-track", operation_id = "batchTrack", tag = "ingest", request_body = EventBatch,
    responses((status = 200, body = BatchAnswer, description = "What became of each"), Fails<(JsonBody, ManyEvents, Log)>))]
pub(crate) async fn batch_track(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let held = services.body(&headers, body, BATCH_BYTES_MAX).await?;
    let events =
        batch(&held.bytes).inspect_err(|_| services.ingest.refuse_events(&services.tenant(), "invalid_batch", 0))?;
    Ok(Json(batch_answer(store(&services, events).await?)))
}

async fn store(services: &Services, events: Vec<Value>) -> Result<Vec<Outcome>, Failure> {
    let receipts = services.ingest.accept_events(&services.tenant(), events).await.map_err(refused)?;
    Ok(receipts.into_iter().map(outcome).collect())
}

fn outcome(receipt: EventReceipt) -> Outcome {
    let event_id = receipt.event_id.map(|id| id.to_string()).unwrap_or_default();
    let taken = |status, fault| Ok(Taken { event_id, status, fault });
    match receipt.status {
        Ok(EventStatus::Stored) => taken("stored", None),
        Ok(EventStatus::Duplicate) => taken("duplicate", None),
        Ok(EventStatus::Quarantined) => taken("quarantined", receipt.fault),
        Err(fault) => Err(fault.to_string()),
    }
}
