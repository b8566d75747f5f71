//! A stored event and a change of it: the event as it would be is read and validated like one that arrives, and the columns
//! in which it then differs are what is to be set.

use ridealong_common::block::{Block, Cell, CheckedBlock};
use ridealong_common::event::{Defaults, EventFault, TrackedEvent};
use ridealong_common::table::{Column, ColumnKind, Table, events};
use ridealong_common::time::Timestamp;
use ridealong_model::query::Param;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::validate::kind_fault;

/// What may stand in a change.
const FIELDS: [&str; 11] = [
    "userId",
    "anonymousId",
    "sessionId",
    "eventType",
    "eventCategory",
    "properties",
    "context",
    "source",
    "version",
    "environment",
    "schemaVersion",
];

#[derive(Debug, Error)]
pub enum AmendError {
    #[error("{field:?} cannot be changed; there are: {}", FIELDS.join(", "))]
    Field { field: String },
    #[error(transparent)]
    Fault(#[from] EventFault),
    #[error("the event as it stands cannot be read: {0}")]
    Stored(String),
}

/// The columns that a change sets, with their new values. `event` is as it stands, in the shape of the JSON doors;
/// `change` is merged into it as RFC 7396 says: null takes a field away, objects are merged.
pub fn amended(event: &Value, change: &Map<String, Value>) -> Result<Vec<(String, Param)>, AmendError> {
    if let Some(unknown) = change.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(AmendError::Field { field: unknown.chars().take(80).collect() });
    }
    let mut changed = event.clone();
    merge(&mut changed, &Value::Object(change.clone()));
    let before = block_of(event)?;
    let after = block_of(&changed)?;
    let differ = Table::Events.columns().iter().filter(|column| is_settable(column));
    let differ = differ.filter(|column| before.cell(0, column.id) != after.cell(0, column.id));
    Ok(differ.map(|column| (column.name.to_owned(), param(&after, column))).collect())
}

/// RFC 7396.
fn merge(into: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(into) = into else { return };
    for (key, value) in change {
        match value {
            Value::Null => drop(into.remove(key)),
            value => merge(into.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

fn block_of(event: &Value) -> Result<CheckedBlock, AmendError> {
    let read = TrackedEvent::from_json(event, &Defaults::default(), Timestamp::now())?;
    let properties = event.get("properties").and_then(Value::as_object);
    if let Some(fault) = kind_fault(&read.event_type, read.event_category.as_deref(), properties) {
        return Err(fault.into());
    }
    let stored = |error: &dyn std::error::Error| AmendError::Stored(error.to_string());
    let block = TrackedEvent::block(&[read]).encode().map_err(|error| stored(&error))?;
    let block = Block::decode(&block).map_err(|error| stored(&error))?;
    block.check(Table::Events).map_err(|error| stored(&error))
}

fn is_settable(column: &Column) -> bool {
    !matches!(column.kind, ColumnKind::Id | ColumnKind::Time) && column.id != events::CORRECTIONS
}

fn param(block: &CheckedBlock, column: &Column) -> Param {
    match block.cell(0, column.id) {
        Cell::Text(text) => Param::Text(text.to_owned()),
        Cell::Integer(value) if column.kind == ColumnKind::Boolean => Param::Boolean(value == 1),
        Cell::Integer(value) => Param::Integer(value),
        Cell::Float(value) => Param::Float(value),
        Cell::Null | Cell::Id(_) | Cell::Bytes(_) => Param::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "eventId": "00000000-0000-7000-8000-000000000001",
            "eventType": "purchase",
            "timestamp": "2026-11-21T10:00:00Z",
            "userId": "u1",
            "properties": { "a": 1, "b": { "c": 2 } },
            "context": { "platform": "web", "location": { "country": "NL", "latitude": 1.5 } },
        })
    }

    fn set(change: Value) -> Result<Vec<(String, Param)>, String> {
        let change = change.as_object().expect("an object").clone();
        amended(&event(), &change).map_err(|error| error.to_string())
    }

    fn text(column: &str, value: &str) -> (String, Param) {
        (column.to_owned(), Param::Text(value.to_owned()))
    }

    #[test]
    fn what_differs_is_set_and_nothing_else() {
        assert_eq!(set(json!({})), Ok(vec![]));
        assert_eq!(set(json!({ "userId": "u1" })), Ok(vec![]));
        assert_eq!(set(json!({ "userId": "u2" })), Ok(vec![text("user_id", "u2")]));
        assert_eq!(set(json!({ "userId": null })), Ok(vec![("user_id".to_owned(), Param::Null)]));
        assert_eq!(
            set(json!({ "properties": { "a": null, "b": { "d": 3 } } })),
            Ok(vec![text("properties", r#"{"b":{"c":2,"d":3}}"#)])
        );
        assert_eq!(set(json!({ "context": { "location": { "country": "BE" } } })), Ok(vec![text("country", "BE")]));
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (change, expected) in [
            (json!({ "eventId": "x" }), "\"eventId\" cannot be changed"),
            (json!({ "timestamp": "2026-01-01T00:00:00Z" }), "cannot be changed"),
            (json!({ "nothing": 1 }), "cannot be changed"),
            (json!({ "userId": 7 }), "userId"),
            (json!({ "eventType": null }), "eventType"),
            (json!({ "properties": [1] }), "properties"),
        ] {
            let error = set(change.clone()).expect_err("refused");
            assert!(error.contains(expected), "{change}: {error}");
        }
    }
}
