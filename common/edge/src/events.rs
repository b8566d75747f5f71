//! `/track` and `/batch-track` as both programs speak them: the shapes, not what happens to the events.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::json as read_json;
use crate::failure::Failure;
use ridealong_common::limits::BATCH_EVENTS_MAX;

/// What became of one event: its id and status, or what is wrong with it.
pub type Outcome = Result<(String, &'static str), String>;

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
        Ok((id, status)) => Ok(json!({ "eventId": id, "status": status })),
        Err(fault) => Err(Failure::new(400, "invalid-event", "Not an event", fault)),
    }
}

/// The answer to `/batch-track`: one result an event, in order.
pub fn batch_answer(outcomes: Vec<Outcome>) -> Value {
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let results: Vec<Value> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok((id, status)) => json!({ "eventId": id, "success": true, "status": status }),
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
