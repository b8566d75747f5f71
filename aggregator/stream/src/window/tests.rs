use std::collections::HashSet;

use ridealong_common::rows::{HostRow, Resource};
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::testing::{NOW_US, entry, summary, tracked};

fn event(user: Option<&str>, session: &str, source: &str) -> Value {
    json!({ "eventType": "seen", "userId": user, "sessionId": session, "source": source })
}

fn take_at(window: &mut TenantWindow, table: Table, block: &ridealong_common::block::Block, received_at_us: i64) {
    let (entry, block) = entry(table, block, received_at_us);
    window.take(&entry, &block);
}

fn window() -> TenantWindow {
    TenantWindow::new(RandomState::new())
}

fn service(name: &str) -> Scope {
    Scope { service: Some(name.into()), environment: None }
}

fn counts(window: &TenantWindow, scope: &Scope, now_us: i64) -> [u64; 3] {
    let found = window.of(scope, now_us).expect("there was room");
    [found.sums().events, found.users().count, found.sessions().count]
}

#[test]
fn events_count_when_they_came_for_all_and_for_their_service() {
    let mut window = window();
    let events = [
        event(Some("ada"), "1", "shop"),
        event(Some("ada"), "2", "search"),
        event(Some("bob"), "2", "shop"),
        event(None, "3", "shop"),
    ];
    take_at(&mut window, Table::Events, &tracked(&events), NOW_US);
    assert_eq!(counts(&window, &Scope::default(), NOW_US), [4, 2, 3]);
    take_at(&mut window, Table::Events, &tracked(&events[..1]), NOW_US + 30 * SECOND_US);
    assert_eq!(counts(&window, &Scope::default(), NOW_US + 31 * SECOND_US), [5, 2, 3]);
    assert_eq!(counts(&window, &service("shop"), NOW_US + 31 * SECOND_US), [4, 2, 3]);
    assert_eq!(counts(&window, &service("search"), NOW_US + 31 * SECOND_US), [1, 1, 1]);
    assert_eq!(counts(&window, &service("nobody"), NOW_US + 31 * SECOND_US), [0, 0, 0]);
    // The first four have left the window.
    assert_eq!(counts(&window, &Scope::default(), NOW_US + 60 * SECOND_US), [1, 1, 1]);
    window.forget(NOW_US + 91 * SECOND_US);
    assert_eq!(counts(&window, &Scope::default(), NOW_US + 91 * SECOND_US), [0, 0, 0]);
    assert!(window.is_idle(NOW_US + 91 * SECOND_US));
}

#[test]
fn repeats_and_what_was_set_aside_do_not_count() {
    let mut window = window();
    let block = tracked(&[event(Some("ada"), "1", "shop"), event(Some("bob"), "2", "shop")]);
    let (mut entry, block) = entry(Table::Events, &block, NOW_US);
    entry.skipped_rows = vec![0];
    window.take(&entry, &block);
    assert_eq!(counts(&window, &Scope::default(), NOW_US), [1, 1, 1]);
}

#[test]
fn requests_count_when_they_happened_and_late_ones_not() {
    let mut window = window();
    // Ten seconds that are not over; others that ended 25 s ago; others that were over a minute ago.
    take_at(&mut window, Table::RequestSummaries, &summary("shop", NOW_US - 2 * SECOND_US, &[10, 20, 1_000]), NOW_US);
    take_at(&mut window, Table::RequestSummaries, &summary("shop", NOW_US - 35 * SECOND_US, &[40]), NOW_US);
    take_at(&mut window, Table::RequestSummaries, &summary("shop", NOW_US - 3_600 * SECOND_US, &[1; 9]), NOW_US);
    assert_eq!(window.late_requests, 9);
    let sums = |now_us: i64| window.of(&service("shop"), now_us).expect("known").sums();
    let expected =
        Sums { events: 0, requests: 4, errors: 1, request_bytes: 40, response_bytes: 400, latency_max_us: 1_000_000 };
    assert_eq!(sums(NOW_US), expected);
    assert_eq!(sums(NOW_US + 40 * SECOND_US).requests, 3);
    let latencies = window.of(&Scope::default(), NOW_US).expect("known").latencies();
    let median = latencies.quantile(0.5).expect("four");
    assert!((19_000.0..21_000.0).contains(&median), "{median}");
}

#[test]
fn a_clock_ahead_of_ours_counts_as_now() {
    let mut window = window();
    take_at(&mut window, Table::RequestSummaries, &summary("shop", NOW_US + 3_600 * SECOND_US, &[10]), NOW_US);
    assert_eq!(window.of(&Scope::default(), NOW_US).expect("known").sums().requests, 1);
}

#[test]
fn hosts_are_there_with_their_newest_sample() {
    let mut window = window();
    let row = HostRow {
        timestamp: Timestamp(NOW_US),
        cpu_utilization: 0.25,
        memory_used_bytes: 3,
        memory_total_bytes: 4,
        disk_used_bytes: 1,
        disk_total_bytes: 2,
        load_1m: 0.0,
        load_5m: 0.0,
        load_15m: 0.0,
        swap_used_bytes: 0,
        network_received_bytes: 0,
        network_transmitted_bytes: 0,
    };
    let resource = Resource { service: "shop".to_owned(), host: "one".to_owned(), ..Resource::default() };
    take_at(&mut window, Table::HostMetrics, &HostRow::block(&[row], &resource), NOW_US);
    let found = window.utilization(&service("shop"), NOW_US).expect("a host");
    assert_eq!((found.cpu, found.memory, found.disk), (0.25, Some(0.75), Some(0.5)));
    assert!(window.utilization(&service("other"), NOW_US).is_none());
}

#[test]
fn services_are_bounded_and_what_cannot_be_known_is_not_said() {
    let mut window = window();
    let events: Vec<Value> = (0..SCOPES_MAX + 5).map(|at| event(None, "1", &format!("service-{at}"))).collect();
    take_at(&mut window, Table::Events, &tracked(&events), NOW_US);
    assert_eq!(window.scopes.len(), SCOPES_MAX);
    assert!(window.of(&service("service-1"), NOW_US).is_none(), "some were left out, nobody knows which");
    assert_eq!(counts(&window, &Scope::default(), NOW_US)[0], events.len() as u64);
    // A minute later there is room.
    let later = NOW_US + 61 * SECOND_US;
    take_at(&mut window, Table::Events, &tracked(&events[..3]), later);
    assert_eq!(counts(&window, &service("service-1"), later)[0], 1);
}

#[test]
fn many_users_are_told_as_an_estimate() {
    let mut window = window();
    let mut users = HashSet::new();
    for batch in 0..40 {
        let events: Vec<Value> = (0..1_000).map(|at| event(Some(&format!("user-{batch}-{at}")), "1", "shop")).collect();
        users.extend(events.iter().map(|event| event["userId"].to_string()));
        take_at(&mut window, Table::Events, &tracked(&events), NOW_US + batch * SECOND_US);
    }
    let found = window.of(&Scope::default(), NOW_US + 40 * SECOND_US).expect("known").users();
    assert!(found.is_estimate);
    // Five standard errors of 8,192 kept.
    assert!(found.count.abs_diff(users.len() as u64) < 40_000 / 15, "{found:?}");
}
