//! `GET /recent`: the newest events, `?limit&type&service`.

use axum::Json;
use axum::extract::State;
use ridealong_model::query::{QueryRequest, ROWS_MAX};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::unanswered;
use crate::services::Services;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
const _: () = assert!(LIMIT_MAX <= ROWS_MAX);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    limit: Option<usize>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    service: Option<String>,
}

pub(crate) async fn recent(
    State(services): State<Services>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Value>, Failure> {
    let limit = filter.limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MAX {
        let detail = format!("limit must lie between 1 and {LIMIT_MAX}");
        return Err(Failure::new(400, "invalid-parameter", "Parameter is not valid", detail));
    }
    let mut request = QueryRequest { rows_max: limit, ..QueryRequest::new("") };
    let mut conditions = Vec::new();
    for (column, value) in [("event_type", filter.event_type), ("source", filter.service)] {
        if let Some(value) = value {
            request = request.param(value);
            conditions.push(format!("{column} = ${}", request.params.len()));
        }
    }
    let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    request.sql = format!(
        r#"SELECT event_id AS "eventId", event_type AS "eventType", event_category AS "eventCategory", timestamp,
                  received_at AS "receivedAt", source, version, environment, user_id AS "userId",
                  anonymous_id AS "anonymousId", session_id AS "sessionId", properties
           FROM events WHERE {condition} ORDER BY timestamp DESC LIMIT {limit}"#
    );
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&answer.rows_json).unwrap_or_default();
    Ok(Json(json!({ "events": rows.into_iter().map(with_properties).collect::<Vec<_>>() })))
}

/// Properties are stored as text and shown as the object they are.
fn with_properties(mut row: Map<String, Value>) -> Map<String, Value> {
    let object = row.get("properties").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    if let Some(object) = object {
        row.insert("properties".into(), object);
    }
    row
}
