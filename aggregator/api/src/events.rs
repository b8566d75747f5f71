//! Stored events. [`list`] has `GET /events`, [`counts`] `GET /events/stats`, [`stored`] the shape in which all answers show
//! an event; here is `/events/{eventId}`: one event, to be read, corrected (`PATCH`, a merge patch of RFC 7396) or deleted. A correction or
//! deletion is in every answer begun after it; the files follow within minutes.

pub(crate) mod counts;
pub(crate) mod list;
pub(crate) mod stored;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use ridealong_common::ids::EventId;
use ridealong_common::limits::EVENT_BYTES_MAX;
use ridealong_common::table::Table;
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;
use ridealong_ingest::amended;
use ridealong_model::mutation::{MutationChange, MutationRequest};
use ridealong_model::query::QueryRequest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::description::problems::{Fails, JsonBody, Mutation, Patch, StoredEvent as ById, Tables};
use crate::description::shapes::EventChange;
use crate::failure::{unanswered, unchanged};
use crate::services::Services;

use self::stored::StoredEvent;

/// Reads one event
#[utoipa::path(get, path = "/events/{eventId}", operation_id = "getEvent", tag = "events",
    params(("eventId" = String, Path, description = "As it was sent, or the UUID it became", example = "order-4711")),
    responses((status = 200, body = StoredEvent, description = "The event"), Fails<(ById, Tables)>))]
pub(crate) async fn get(
    State(services): State<Services>,
    Path(id): Path<String>,
) -> Result<Json<StoredEvent>, Failure> {
    Ok(Json(found(&services, &id).await?))
}

/// Corrects one event
///
/// A merge patch (RFC 7396): null takes a member away, objects are merged. The result is validated like an event that comes in. The
/// answer is the event as it then stands; every answer begun afterwards has the correction.
#[utoipa::path(patch, path = "/events/{eventId}", operation_id = "changeEvent", tag = "events",
    params(("eventId" = String, Path, description = "As it was sent, or the UUID it became", example = "order-4711")),
    request_body(content = EventChange, content_type = "application/json"),
    responses((status = 200, body = StoredEvent, description = "As it stands"), Fails<(ById, JsonBody, Patch, (Tables, Mutation))>))]
pub(crate) async fn patch(
    State(services): State<Services>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<StoredEvent>, Failure> {
    let held = services.bodies.read(&headers, body, EVENT_BYTES_MAX).await?;
    let change: Map<String, Value> = read_json(&held.bytes)?;
    let event = found(&services, &id).await?;
    let values = amended(&json!(event), &change)
        .map_err(|error| Failure::new(400, "invalid-change", "The event cannot be changed so", error.to_string()))?;
    if values.is_empty() {
        return Ok(Json(event));
    }
    mutate(&services, &id, MutationChange::Set(values)).await?;
    Ok(Json(found(&services, &id).await?))
}

/// Deletes one event
///
/// It is in no answer begun afterwards. Its id stays known, so that it is not stored again.
#[utoipa::path(delete, path = "/events/{eventId}", operation_id = "deleteEvent", tag = "events",
    params(("eventId" = String, Path, description = "As it was sent, or the UUID it became", example = "order-4711")),
    responses((status = 200, body = Deleted, description = "Deleted"), Fails<(ById, Mutation)>))]
pub(crate) async fn delete(State(services): State<Services>, Path(id): Path<String>) -> Result<Json<Deleted>, Failure> {
    let id = mutate(&services, &id, MutationChange::Delete).await?;
    Ok(Json(Deleted { event_id: id.to_string(), status: "deleted" }))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    #[schema(format = "uuid")]
    event_id: String,
    #[schema(example = "deleted")]
    status: &'static str,
}

async fn mutate(services: &Services, id: &str, change: MutationChange) -> Result<EventId, Failure> {
    let event_id = EventId::from_caller(id);
    let request = MutationRequest {
        tenant: services.tenant(),
        table: Table::Events,
        condition: format!("event_id = '{event_id}'"),
        change,
        dry_run: false,
    };
    match services.mutate.mutate(request).await.map_err(unchanged)?.rows {
        0 => Err(missing(id)),
        _ => Ok(event_id),
    }
}

/// The event as it stands.
async fn found(services: &Services, id: &str) -> Result<StoredEvent, Failure> {
    let sql = format!("SELECT {} FROM events WHERE event_id = $1 LIMIT 1", stored::COLUMNS);
    let request = QueryRequest::new(sql).param(EventId::from_caller(id).to_string());
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    stored::rows(&answer)?.pop().map(StoredEvent::from).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> Failure {
    let id: String = id.chars().take(80).collect();
    Failure::new(404, "no-such-event", "No such event", format!("no event {id:?} is stored"))
}
