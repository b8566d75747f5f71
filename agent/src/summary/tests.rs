use ridealong_common::ids::EventId;

use super::*;

fn request(micros: i64, route: &str, status: u16, duration_us: u64) -> RequestRow {
    RequestRow {
        event_id: EventId::from_u128(1),
        timestamp: Timestamp(micros),
        method: "GET".into(),
        route: route.into(),
        path: route.into(),
        status: Some(status),
        protocol: "HTTP/1.1",
        duration_us,
        ttfb_us: None,
        request_bytes: 1,
        response_bytes: 2,
        sample_weight: 1.0,
        ..RequestRow::default()
    }
}

fn summarised(rows: &[RequestRow]) -> Vec<SummaryRow> {
    let mut summing = Summing::default();
    rows.iter().for_each(|row| summing.add(&Counted::of_row(row)));
    summing.into_rows()
}

#[test]
fn requests_fall_into_their_interval_and_key() {
    let rows = [
        request(19_999_999, "/a", 200, 10),
        request(10_000_000, "/a", 200, 30),
        request(20_000_000, "/a", 200, 5),
        request(20_000_001, "/a", 503, 7),
        request(20_000_001, "/b", 200, 1),
    ];
    let summaries = summarised(&rows);
    let keys: Vec<_> = summaries.iter().map(|it| (it.timestamp.0, &*it.route, it.status, it.count)).collect();
    let expected = [
        (10_000_000, "/a", Some(200), 2),
        (20_000_000, "/a", Some(200), 1),
        (20_000_000, "/a", Some(503), 1),
        (20_000_000, "/b", Some(200), 1),
    ];
    assert_eq!(keys, expected);
    let first = &summaries[0];
    assert_eq!((first.duration_sum_us, first.duration_max_us, first.error_count), (40, 30, 0));
    assert_eq!((first.request_bytes, first.response_bytes, first.duration_sketch.count()), (2, 4, 2));
    assert_eq!(summaries[2].error_count, 1);
}

#[test]
fn times_before_1970_have_an_interval_too() {
    assert_eq!(summarised(&[request(-1, "/", 200, 1)])[0].timestamp, Timestamp(-10_000_000));
}

#[test]
fn the_last_minutes_are_kept_and_older_ones_go() {
    let minutes = LastMinutes::default();
    for interval in 0..100 {
        minutes.add(&summarised(&[request(interval * INTERVAL_US, "/", 200, 1_000)]));
    }
    assert_eq!(minutes.since(Timestamp(0))["/"].count, INTERVALS_KEPT as u64);
    assert_eq!(minutes.since(Timestamp(99 * INTERVAL_US))["/"].count, 1);
    assert!(minutes.since(Timestamp(200 * INTERVAL_US)).is_empty());
}

#[test]
fn late_summaries_find_their_interval() {
    let minutes = LastMinutes::default();
    for start in [20_000_000, 0, 10_000_000, 0] {
        minutes.add(&summarised(&[request(start, "/", 200, 1_000)]));
    }
    assert_eq!(minutes.since(Timestamp(0))["/"].count, 4);
    assert_eq!(minutes.since(Timestamp(10_000_001))["/"].count, 2);
}
