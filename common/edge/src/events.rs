//! `/track` and `/batch-track` as both programs speak them: the shapes, not what happens to the events.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::json as read_json;
use crate::failure::Failure;
use ridealong_common::limits::BATCH_EVENTS_MAX;

/// What became of one event, or why it is none.
pub type Outcome = Result<Taken, String>;

/// An event that is durable.
#[derive(Debug)]
pub struct Taken {
    pub event_id: String,
    pub status: &'static str,
    /// What is wrong with it, when it was set aside.
    pub fault: Option<String>,
}

#[derive(Deserialize)]
struct Batch {
    events: Vec<Value>,
}

/// The events of a batch; more than [`BATCH_EVENTS_MAX`] are refused.
pub fn batch(bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let events = read_json::<Batch>(bytes)?.events;
    if events.len() > BATCH_EVENTS_MAX {
        let detail = format!("{} events in one batch, at most {BATCH_EVENTS_MAX} are taken", events.len());
        return Err(Failure::new(400, "too-many-events", "Too many events", detail));
    }
    Ok(events)
}

/// The answer to `/track`.
pub fn single_answer(outcome: Outcome) -> Result<Value, Failure> {
    match outcome {
        Ok(Taken { event_id, status, fault: None }) => Ok(json!({ "eventId": event_id, "status": status })),
        Ok(Taken { event_id, status, fault }) => Ok(json!({ "eventId": event_id, "status": status, "error": fault })),
        Err(fault) => Err(Failure::new(400, "invalid-event", "Not an event", fault)),
    }
}

/// The answer to `/batch-track`: one result an event, in order. One that was set aside is not successful.
pub fn batch_answer(outcomes: Vec<Outcome>) -> Value {
    let is_stored = |outcome: &&Outcome| outcome.as_ref().is_ok_and(|taken| taken.fault.is_none());
    let failed = outcomes.len() - outcomes.iter().filter(is_stored).count();
    let results: Vec<Value> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(Taken { event_id, status, fault: None }) => {
                json!({ "eventId": event_id, "success": true, "status": status })
            }
            Ok(Taken { event_id, status, fault }) => {
                json!({ "eventId": event_id, "success": false, "status": status, "error": fault })
            }
            Err(fault) => json!({ "eventId": null, "success": false, "status": "refused", "error": fault }),
        })
        .collect();
    json!({
        "totalEvents": results.len(),
        "successfulEvents": results.len() - failed,
        "failedEvents": failed,
        "results": results,
    })
}
