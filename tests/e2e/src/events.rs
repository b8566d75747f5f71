//! Tracked events as callers send them, each under an id of its own, and what became of them.

use serde_json::{Value, json};
use uuid::Uuid;

/// A new event and its id.
pub fn event(kind: &str) -> (String, Value) {
    let id = Uuid::new_v4().to_string();
    let event = json!({
        "eventId": id,
        "eventType": kind,
        "userId": format!("user-{}", fastrand::u32(..1_000)),
        "properties": { "plan": "pro", "amount": fastrand::u32(..10_000) },
    });
    (id, event)
}

/// A batch of new events and their ids.
pub fn batch(kind: &str, count: usize) -> (Vec<String>, Value) {
    let (ids, events): (Vec<_>, Vec<_>) = std::iter::repeat_with(|| event(kind)).take(count).unzip();
    (ids, json!({ "events": events }))
}

/// Objects in objects, `levels` deep.
pub fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({ "a": inner }))
}
