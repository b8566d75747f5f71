use std::hash::RandomState;

use ridealong_common::table::Table;
use serde_json::json;

use super::*;
use crate::testing::{NOW_US, entry, summary, tracked};

fn request(metrics: &[Metric]) -> NumbersRequest {
    NumbersRequest {
        metrics: metrics.into(),
        scope: Scope::default(),
        interval: Duration::from_millis(250),
        is_message: true,
    }
}

fn value(shown: &Value, name: &str) -> Value {
    let metrics = shown["metrics"].as_array().expect("a list");
    metrics.iter().find(|metric| metric["name"] == name).expect("asked for")["value"].clone()
}

#[test]
fn every_metric_is_answered_from_what_came() {
    let mut window = TenantWindow::new(RandomState::new());
    let event = json!({ "eventType": "seen", "userId": "ada", "sessionId": "1" });
    let (seen, block) = entry(Table::Events, &tracked(&[event.clone(), event]), NOW_US);
    window.take(&seen, &block);
    let (requests, block) = entry(Table::RequestSummaries, &summary("shop", NOW_US, &[10, 20, 30, 2_000]), NOW_US);
    window.take(&requests, &block);
    let now_us = NOW_US + 500_000;
    let shown = shown(Some(&window), &request(Metric::ALL), now_us, i64::MIN);
    assert_eq!(shown["type"], "metrics");
    assert_eq!(shown["refreshInterval"], 250);
    assert_eq!(shown["timestamp"], Timestamp(now_us).to_string());
    for (name, expected) in [
        ("event_count", json!(2)),
        ("unique_users", json!(1)),
        ("unique_sessions", json!(1)),
        ("request_count", json!(4)),
        ("error_count", json!(1)),
        ("error_rate", json!(0.25)),
        ("latency_max", json!(2_000.0)),
        ("request_bytes", json!(40)),
        ("response_bytes", json!(400)),
        ("cpu_utilization", Value::Null),
    ] {
        assert_eq!(value(&shown, name), expected, "{name}");
    }
    // 59 whole seconds and half of the one that is running.
    assert_eq!(value(&shown, "requests_per_second"), json!(4.0 / 59.5));
    let median = value(&shown, "latency_p50").as_f64().expect("a number");
    assert!((19.8..=20.2).contains(&median), "{median}");
    assert_eq!(shown["metrics"].as_array().map(Vec::len), Some(Metric::ALL.len()));
}

#[test]
fn a_rate_counts_only_the_seconds_that_are_known() {
    let mut window = TenantWindow::new(RandomState::new());
    let event = json!({ "eventType": "seen" });
    let (seen, block) = entry(Table::Events, &tracked(&vec![event; 50]), NOW_US);
    window.take(&seen, &block);
    let shown = shown(Some(&window), &request(&[Metric::EventsPerSecond]), NOW_US + 5_000_000, NOW_US - 5_000_000);
    assert_eq!(value(&shown, "events_per_second"), json!(5.0));
    assert_eq!(shown["windowSeconds"], 10.0);
}

#[test]
fn what_is_empty_is_nought_and_what_is_unknown_null() {
    let shown = shown(None, &request(Metric::ALL), NOW_US, i64::MIN);
    for name in ["event_count", "unique_users", "request_count", "response_bytes"] {
        assert_eq!(value(&shown, name), 0, "{name}");
    }
    for name in ["error_rate", "latency_p99", "latency_max", "disk_utilization"] {
        assert_eq!(value(&shown, name), Value::Null, "{name}");
    }
}

#[test]
fn the_same_is_computed_once_in_a_tenth_of_a_second() {
    let (said, tenant) = (SharedNumbers::default(), Arc::from("acme"));
    let times = std::cell::Cell::new(0);
    let say_at = |tenant: &Arc<str>, request: &NumbersRequest, now_us, at_least| {
        said.say(tenant, request, Saying { now_us, read: Position(7), at_least: Position(at_least) }, || {
            times.set(times.get() + 1);
            json!(times.get())
        })
    };
    let say = |tenant: &Arc<str>, request: &NumbersRequest, now_us| say_at(tenant, request, now_us, 0);
    let one = request(&[Metric::EventCount]);
    for _ in 0..1_000 {
        assert_eq!(say(&tenant, &one, NOW_US), "1");
    }
    assert_eq!(say(&tenant, &one, NOW_US + SHARED_FOR_US), "2");
    assert_eq!(say(&tenant, &request(&[Metric::ErrorRate]), NOW_US + SHARED_FOR_US), "3");
    assert_eq!(say(&Arc::from("other"), &one, NOW_US + SHARED_FOR_US), "4", "another tenant's numbers are its own");
    assert_eq!(say_at(&tenant, &one, NOW_US + SHARED_FOR_US, 7), "2");
    assert_eq!(say_at(&tenant, &one, NOW_US + SHARED_FOR_US, 8), "5", "something was acknowledged since");
    said.forget(NOW_US + 3 * SHARED_FOR_US);
    assert!(said.written.lock().is_empty());
}
