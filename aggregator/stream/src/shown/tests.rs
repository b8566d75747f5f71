use ridealong_common::block::Block;
use ridealong_common::table::Table;
use serde_json::json;

use super::*;
use crate::testing::{NOW_US, entry, tracked};

fn written(block: &Block, row: usize) -> Value {
    let (entry, block) = entry(Table::Events, block, NOW_US);
    let event = Writer::new(LogId::from_bytes([0xab; 16]), &entry, &block).write(row);
    assert!(!event.json.contains(&b'\n'), "a line break would end the message");
    serde_json::from_slice(&event.json).expect("JSON")
}

#[test]
fn an_event_is_shown_as_it_was_sent() {
    let sent = json!({
        "eventId": "0191d7a0-0000-7000-8000-000000000001",
        "eventType": "order \"placed\"\n€",
        "eventCategory": "shop",
        "timestamp": "2026-11-20T08:15:30.123456Z",
        "userId": "ada", "anonymousId": "a1", "sessionId": "s1",
        "properties": { "total": 12.5, "text": "two\nlines", "deep": { "list": [1, null] } },
        "source": "web", "version": "1.2", "environment": "live", "schemaVersion": "3",
        "context": {
            "userAgent": "curl", "ipAddress": "10.0.0.1", "deviceType": "desktop", "platform": "linux",
            "referrer": "https://example.org/?a=\u{1}", "consent": { "analytics": true },
            "location": { "country": "DE", "region": "BE", "city": "Berlin", "latitude": 52.5, "longitude": -13.25 },
        },
    });
    let shown = written(&tracked(std::slice::from_ref(&sent)), 0);
    assert_eq!(shown["type"], "event");
    assert_eq!(shown["id"], "abababab-1-0");
    let mut event = shown["event"].clone();
    assert_eq!(event["receivedAt"], Timestamp(NOW_US).to_string());
    event.as_object_mut().expect("an object").remove("receivedAt");
    assert_eq!(event, sent);
}

#[test]
fn what_is_null_is_left_out_row_by_row() {
    let events =
        [json!({ "eventType": "a", "context": { "location": { "latitude": 1 } } }), json!({ "eventType": "b" })];
    let block = tracked(&events);
    assert_eq!(written(&block, 0)["event"]["context"], json!({ "location": { "latitude": 1.0 } }));
    let members: Vec<String> = written(&block, 1)["event"].as_object().expect("an object").keys().cloned().collect();
    assert_eq!(members, ["eventId", "eventType", "timestamp", "receivedAt"]);
}

#[test]
fn text_where_json_belongs_is_shown_as_text() {
    let plain = |properties: &str| {
        let block = Block::of_rows(1)
            .ids(events::EVENT_ID, std::iter::once(EventId::from_u128(1)))
            .growing(events::TIMESTAMP, std::iter::once(NOW_US))
            .texts(events::EVENT_TYPE, std::iter::once(Some("a")))
            .texts(events::PROPERTIES, std::iter::once(Some(properties)));
        written(&block, 0)["event"]["properties"].clone()
    };
    assert_eq!(plain("{\"a\":1},\"forged\":true"), json!("{\"a\":1},\"forged\":true"));
    assert_eq!(plain("{\n\"a\": 1\r\n}"), json!({ "a": 1 }));
    assert_eq!(plain(""), json!(""));
    let deep = "[".repeat(100_000);
    assert_eq!(plain(&deep), json!(deep));
}
