use ridealong_common::block::Block;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::rows::{HostRow, RequestRow, Resource};
use serde_json::json;

use ridealong_common::time::Timestamp;

use super::*;

fn requests(change: impl Fn(usize, &mut RequestRow)) -> Block {
    let row = |number| {
        let mut row = RequestRow {
            method: "GET".into(),
            route: "/".into(),
            path: "/".into(),
            status: Some(200),
            protocol: "HTTP/1.1",
            sample_weight: 1.0,
            ..RequestRow::default()
        };
        change(number, &mut row);
        row
    };
    RequestRow::block(&(0..5).map(row).collect::<Vec<_>>(), &Resource { service: "shop".into(), ..Resource::default() })
}

fn faults(table: Table, block: Block) -> Vec<(usize, &'static str, String)> {
    let faults = row_faults(&block.check(table).expect("readable"));
    faults.into_iter().map(|fault| (fault.row, fault.reason, fault.detail)).collect()
}

#[test]
fn sound_rows_have_no_fault() {
    assert_eq!(faults(Table::Requests, requests(|_, _| ())), []);
    let host = HostRow {
        timestamp: Timestamp(1),
        cpu_utilization: 1.0,
        memory_used_bytes: 1,
        memory_total_bytes: 2,
        disk_used_bytes: 0,
        disk_total_bytes: u64::MAX,
        load_1m: 0.0,
        load_5m: 0.0,
        load_15m: 0.0,
        swap_used_bytes: 0,
        network_received_bytes: 0,
        network_transmitted_bytes: 0,
    };
    let resource = Resource { service: "shop".into(), host: "a".into(), ..Resource::default() };
    assert_eq!(faults(Table::HostMetrics, HostRow::block(&[host], &resource)), []);
}

#[test]
fn each_faulty_row_is_named_with_its_column() {
    let block = requests(|row, request| match row {
        1 => request.status = Some(99),
        2 => request.method = " ".into(),
        3 => request.sample_weight = -1.0,
        4 => request.user_agent = Some("x".repeat(TEXT_BYTES_MAX + 1)),
        _ => {}
    });
    let found = faults(Table::Requests, block);
    assert_eq!(found[0], (1, "out_of_range", "status is 99, it must lie between 100 and 599".to_owned()));
    assert_eq!(found[1], (2, "missing_field", "method is empty: it must hold a text".to_owned()));
    assert_eq!(found[2], (3, "out_of_range", "sample_weight is -1, it must not be below 0".to_owned()));
    assert_eq!(found[3].2, "user_agent has 65537 bytes, at most 65536 are taken");
    assert_eq!(found.len(), 4);
}

#[test]
fn what_is_the_same_in_every_row_is_a_fault_of_every_row() {
    assert_eq!(faults(Table::Requests, requests(|_, request| request.route = "".into())).len(), 5);
    let negative = requests(|_, _| ()).amended(Block::of_rows(5).integers(requests::DURATION_US, [-1; 5].into_iter()));
    assert_eq!(faults(Table::Requests, negative).len(), 5);
}

#[test]
fn kinds_of_events_ask_for_their_properties() {
    let event = |event_type: &str, category: Option<&str>, properties: Value| {
        let json = json!({ "eventType": event_type, "eventCategory": category, "properties": properties });
        TrackedEvent::from_json(&json, &Defaults::default(), Timestamp(0)).expect("an event")
    };
    let rows = [
        event("timing", Some("performance"), json!({ "operation": "pay", "durationMs": 3 })),
        event("timing", None, json!({ "operation": "pay", "durationMs": -3 })),
        event("timing", Some("mine"), json!({})),
        event("interaction", None, json!({ "action": "click" })),
        event("exception", None, json!({ "message": "out of paper" })),
        event("exception", None, json!({})),
        event("order_placed", None, json!({})),
        event("api_request", None, json!({ "method": "GET", "path": "/", "status": 42 })),
    ];
    let found = faults(Table::Events, TrackedEvent::block(&rows));
    let found: Vec<_> = found.iter().map(|(row, reason, detail)| (*row, *reason, detail.as_str())).collect();
    assert_eq!(
        found,
        [
            (1, "out_of_range", "properties.durationMs must lie between 0 and the largest number"),
            (3, "missing_field", "properties.target is missing: on what, for example \"#buy\""),
            (5, "missing_field", "properties.name is missing: the error's name or its message"),
            (7, "out_of_range", "properties.status must lie between 100 and 599"),
        ]
    );
}
