//! `/events/{eventId}`: one event, to be read, corrected (`PATCH`, a merge patch of RFC 7396) or deleted. A correction or
//! deletion is in every answer begun after it; the files follow within minutes.

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
use serde_json::{Map, Value, json};

use crate::failure::{unanswered, unchanged};
use crate::services::Services;

/// Columns at the root of an event, those below `context`, and those below its `location`, each with its name outside.
const ROOT: [(&str, &str); 14] = [
    ("event_id", "eventId"),
    ("event_type", "eventType"),
    ("event_category", "eventCategory"),
    ("timestamp", "timestamp"),
    ("received_at", "receivedAt"),
    ("user_id", "userId"),
    ("anonymous_id", "anonymousId"),
    ("session_id", "sessionId"),
    ("properties", "properties"),
    ("source", "source"),
    ("version", "version"),
    ("environment", "environment"),
    ("schema_version", "schemaVersion"),
    ("corrections", "corrections"),
];
const CONTEXT: [(&str, &str); 6] = [
    ("user_agent", "userAgent"),
    ("ip_address", "ipAddress"),
    ("device_type", "deviceType"),
    ("platform", "platform"),
    ("referrer", "referrer"),
    ("consent", "consent"),
];
const LOCATION: [(&str, &str); 5] = [
    ("country", "country"),
    ("region", "region"),
    ("city", "city"),
    ("latitude", "latitude"),
    ("longitude", "longitude"),
];
/// Stored as the text of a JSON object or list.
const JSON: [&str; 3] = ["properties", "consent", "corrections"];

pub(crate) async fn get(State(services): State<Services>, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    Ok(Json(found(&services, &id).await?))
}

pub(crate) async fn patch(
    State(services): State<Services>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let held = services.bodies.read(&headers, body, EVENT_BYTES_MAX).await?;
    let change: Map<String, Value> = read_json(&held.bytes)?;
    let event = found(&services, &id).await?;
    let values = amended(&event, &change)
        .map_err(|error| Failure::new(400, "invalid-change", "The event cannot be changed so", error.to_string()))?;
    if values.is_empty() {
        return Ok(Json(event));
    }
    mutate(&services, &id, MutationChange::Set(values)).await?;
    Ok(Json(found(&services, &id).await?))
}

pub(crate) async fn delete(State(services): State<Services>, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let id = mutate(&services, &id, MutationChange::Delete).await?;
    Ok(Json(json!({ "eventId": id.to_string(), "status": "deleted" })))
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
async fn found(services: &Services, id: &str) -> Result<Value, Failure> {
    let columns = [&ROOT[..], &CONTEXT[..], &LOCATION[..]].concat();
    let columns: Vec<String> = columns.iter().map(|(column, _)| format!("\"{column}\"")).collect();
    let sql = format!("SELECT {} FROM events WHERE event_id = $1 LIMIT 1", columns.join(", "));
    let request = QueryRequest::new(sql).param(EventId::from_caller(id).to_string());
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    let unread = |error: serde_json::Error| Failure::new(500, "query-failed", "Query failed", error.to_string());
    let mut rows: Vec<Map<String, Value>> = serde_json::from_slice(&answer.rows_json).map_err(unread)?;
    rows.pop().map(shown).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> Failure {
    let id: String = id.chars().take(80).collect();
    Failure::new(404, "no-such-event", "No such event", format!("no event {id:?} is stored"))
}

fn shown(mut row: Map<String, Value>) -> Value {
    let mut taken = |names: &[(&str, &str)]| -> Map<String, Value> {
        let present = names.iter().filter_map(|(column, name)| {
            let value = row.remove(*column).filter(|value| !value.is_null())?;
            let parsed = value.as_str().filter(|_| JSON.contains(column)).map(serde_json::from_str);
            Some(((*name).to_owned(), parsed.and_then(Result::ok).unwrap_or(value)))
        });
        present.collect()
    };
    let (mut root, mut context, location) = (taken(&ROOT), taken(&CONTEXT), taken(&LOCATION));
    if !location.is_empty() {
        context.insert("location".to_owned(), Value::Object(location));
    }
    if !context.is_empty() {
        root.insert("context".to_owned(), Value::Object(context));
    }
    Value::Object(root)
}
