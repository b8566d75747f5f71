use serde_json::json;

use super::*;
use crate::table::Table;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

fn read(value: Value) -> Result<TrackedEvent, EventFault> {
    TrackedEvent::from_json(&value, &Defaults { source: Some("shop".into()), ..Defaults::default() }, NOW)
}

#[test]
fn only_the_type_is_required_and_the_rest_is_filled() {
    let event = read(json!({ "eventType": "order_placed" })).expect("valid");
    assert_eq!(event.timestamp, NOW);
    assert_eq!(event.source.as_deref(), Some("shop"));
    assert_ne!(event.event_id, read(json!({ "eventType": "order_placed" })).expect("valid").event_id);
}

#[test]
fn null_counts_as_missing() {
    let event = read(json!({ "eventType": "a", "eventId": null, "timestamp": null, "userId": null, "context": null }));
    assert_eq!(event.expect("valid").timestamp, NOW);
}

#[test]
fn camel_and_snake_case_mean_the_same() {
    let camel = json!({ "eventType": "a", "eventId": "x", "userId": "u", "schemaVersion": 3, "source": "app",
        "context": { "userAgent": "curl", "location": { "country": "NZ", "latitude": -41.3 } } });
    let snake = json!({ "event_type": "a", "event_id": "x", "user_id": "u", "schema_version": 3, "source": "app",
        "context": { "user_agent": "curl", "location": { "country": "NZ", "latitude": -41.3 } } });
    let event = read(camel).expect("valid");
    assert_eq!(event.context.latitude, Some(-41.3));
    assert_eq!(event.schema_version.as_deref(), Some("3"));
    assert_eq!(event, read(snake).expect("valid"));
}

#[test]
fn an_id_that_is_no_uuid_becomes_the_uuid_v5_of_it() {
    let id = |text: &str| read(json!({ "eventType": "a", "eventId": text })).expect("valid").event_id.to_string();
    assert_eq!(id("0190C0DE-0000-7000-8000-000000000001"), "0190c0de-0000-7000-8000-000000000001");
    // python3: uuid.uuid5(uuid.NAMESPACE_URL, "order-1")
    assert_eq!(id("order-1"), "48414203-5358-51fa-9611-1b3e449287f3");
}

#[test]
fn faults_name_the_field_and_what_it_should_be() {
    let fault = |value| read(value).expect_err("a fault").to_string();
    assert_eq!(fault(json!([])), "an event must be a JSON object, this is an array");
    assert!(fault(json!({})).starts_with("eventType is missing"));
    assert!(fault(json!({ "eventType": "" })).starts_with("eventType is missing"));
    assert_eq!(fault(json!({ "eventType": 7 })), "eventType must be a text, this is a number");
    assert_eq!(
        fault(json!({ "eventType": "a", "context": { "userAgent": [] } })),
        "context.userAgent must be a text, this is an array"
    );
    assert!(fault(json!({ "eventType": "a", "timestamp": "soon" })).starts_with("timestamp must be RFC 3339"));
    assert!(fault(json!({ "eventType": "a", "userId": "x".repeat(9_000) })).starts_with("userId has 9000 bytes"));
    assert_eq!(fault(json!({ "eventType": "a", "properties": 1 })), "properties must be an object, this is a number");
}

#[test]
fn properties_may_nest_32_levels_and_no_more() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(read(json!({ "eventType": "a", "properties": nested(32) })).is_ok());
    let fault = read(json!({ "eventType": "a", "properties": nested(33) })).expect_err("too deep");
    assert_eq!(fault, EventFault::TooDeep { field: "properties".into() });
}

#[test]
fn a_block_of_events_passes_its_own_check() {
    let full = json!({ "eventType": "a", "properties": { "total": 12.5 }, "context": { "consent": { "analytics": true },
        "location": { "latitude": 1.5, "longitude": 2.5 } } });
    let rows = [read(full).expect("valid"), read(json!({ "eventType": "b" })).expect("valid")];
    assert_eq!(TrackedEvent::block(&rows).check(Table::Events).expect("valid").rows(), 2);
}
