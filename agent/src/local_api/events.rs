//! `POST /track`, `POST /batch-track`: answered once the events are in the spool. `GET /recent`: the last of them.

use std::collections::VecDeque;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use ridealong_common::event::TrackedEvent;
use ridealong_common::limits::{BATCH_BYTES_MAX, EVENT_BYTES_MAX};
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;
use ridealong_edge::events::{Outcome, Taken, batch, batch_answer, single_answer};
use ridealong_edge::parameters::Parameters;
use serde::Deserialize;
use serde_json::{Value, json};

use super::LocalServices;
use crate::spool::AppendError;

/// Events shown by `/recent`.
const RECENT_MAX: usize = 100;

/// The last events, for `/recent`.
#[derive(Debug, Default)]
pub struct Recent {
    events: Mutex<VecDeque<TrackedEvent>>,
}

impl Recent {
    fn add(&self, events: Vec<TrackedEvent>) {
        let mut last = self.events.lock();
        last.extend(events);
        let surplus = last.len().saturating_sub(RECENT_MAX);
        last.drain(..surplus);
    }
}

pub(super) async fn track(
    State(services): State<LocalServices>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let held = services.bodies.read(&headers, body, EVENT_BYTES_MAX).await?;
    let outcome = spool(&services, &[read_json(&held.bytes)?]).await?.pop();
    let Some(outcome) = outcome else { unreachable!("one event has one outcome") };
    Ok((StatusCode::ACCEPTED, Json(single_answer(outcome)?)))
}

pub(super) async fn batch_track(
    State(services): State<LocalServices>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let held = services.bodies.read(&headers, body, BATCH_BYTES_MAX).await?;
    Ok(Json(batch_answer(spool(&services, &batch(&held.bytes)?).await?)))
}

async fn spool(services: &LocalServices, values: &[Value]) -> Result<Vec<Outcome>, Failure> {
    let now = Timestamp::now();
    let read: Vec<_> = values.iter().map(|value| TrackedEvent::from_json(value, &services.defaults, now)).collect();
    let valid: Vec<TrackedEvent> = read.iter().filter_map(|event| event.as_ref().ok().cloned()).collect();
    if !valid.is_empty() {
        services.spool.append(valid.clone()).await.map_err(not_taken)?;
        services.recent.add(valid);
    }
    let outcomes = read.into_iter().map(|event| match event {
        Ok(event) => Ok(Taken { event_id: event.event_id.to_string(), status: "spooled", fault: None }),
        Err(fault) => Err(fault.to_string()),
    });
    Ok(outcomes.collect())
}

fn not_taken(error: AppendError) -> Failure {
    let detail = error.to_string();
    match error {
        AppendError::Busy => Failure::new(429, "busy", "Too much at once", detail).again(),
        AppendError::Full => Failure::unavailable("spool-full", detail),
        AppendError::Failed(_) => Failure::unavailable("spool-failed", detail),
        AppendError::Closed => Failure::unavailable("stopping", detail),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    limit: Option<usize>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    service: Option<String>,
}

pub(super) async fn recent(
    State(services): State<LocalServices>,
    Parameters(filter): Parameters<Filter>,
) -> Json<Value> {
    let events = services.recent.events.lock();
    let wanted = |event: &&TrackedEvent| {
        filter.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
            && filter.service.as_deref().is_none_or(|wanted| event.source.as_deref() == Some(wanted))
    };
    let shown = events.iter().rev().filter(wanted).take(filter.limit.unwrap_or(RECENT_MAX)).map(shown);
    Json(json!({ "events": shown.collect::<Vec<_>>() }))
}

fn shown(event: &TrackedEvent) -> Value {
    let properties = event.properties.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "eventId": event.event_id.to_string(),
        "eventType": event.event_type,
        "eventCategory": event.event_category,
        "timestamp": event.timestamp.to_string(),
        "source": event.source,
        "userId": event.user_id,
        "sessionId": event.session_id,
        "properties": properties,
    })
}
