//! The whole of it on a real log.

use std::sync::Arc;
use std::time::Duration;

use ridealong_common::table::Table;
use ridealong_model::tenant::TenantId;
use serde_json::{Value, json};

use crate::testing::{Log, ManualClock, new_entry, summary, tracked};
use crate::{
    EventFilter, EventMark, Live, LiveOptions, Metric, NumbersRequest, RingLimits, Said, Scope, SubscribeError, Viewer,
    Wanted, WantedEvents,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a name")
}

fn options(clock: &ManualClock) -> LiveOptions {
    LiveOptions { clock: clock.clock(), ..LiveOptions::new(3) }
}

fn events_of(filter: EventFilter, after: Option<EventMark>) -> Wanted {
    Wanted { numbers: None, events: Some(WantedEvents { filter, after }) }
}

fn all() -> EventFilter {
    EventFilter::default()
}

fn of_type(name: &str) -> EventFilter {
    EventFilter { event_type: Some(name.into()), ..all() }
}

/// Events with these numbers, in one entry, durable when it returns.
async fn append(log: &Log, tenant: &str, numbers: std::ops::Range<u64>, at_us: i64) {
    let event = |number: u64| {
        let kind = if number.is_multiple_of(2) { "even" } else { "odd" };
        json!({ "eventType": kind, "userId": "ada", "properties": { "number": number } })
    };
    let block = tracked(&numbers.map(event).collect::<Vec<_>>());
    log.wal.append(new_entry(tenant, Table::Events, &block, at_us)).await.expect("durable");
}

/// What a viewer is told until it was shown the event of this number: numbers of events, and counts missed as negative.
async fn until(viewer: &mut Viewer, last: u64) -> (Vec<i64>, EventMark) {
    let mut told = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, viewer.next()).await.expect("something is said") {
            Said::Events(events) => {
                for event in events {
                    let shown: Value = serde_json::from_slice(&event.json).expect("JSON");
                    let number = shown["event"]["properties"]["number"].as_u64().expect("a number");
                    told.push(number as i64);
                    if number == last {
                        return (told, event.id);
                    }
                }
            }
            Said::Missed(json) => {
                let missed: Value = serde_json::from_slice(&json).expect("JSON");
                told.push(-missed["count"].as_i64().unwrap_or(1_000_000));
            }
            said => panic!("{said:?}"),
        }
    }
}

async fn numbers(live: &Live, metrics: &[Metric]) -> Vec<Value> {
    let request = NumbersRequest {
        metrics: metrics.into(),
        scope: Scope::default(),
        interval: Duration::from_secs(1),
        is_message: false,
    };
    let shown: Value = serde_json::from_slice(&live.numbers(&acme(), &request).await).expect("JSON");
    shown["metrics"].as_array().expect("a list").iter().map(|metric| metric["value"].clone()).collect()
}

/// Looks again until the numbers are these; each look is in a tenth of a second of its own.
async fn until_numbers(live: &Live, clock: &ManualClock, metrics: &[Metric], expected: &[Value]) {
    for _ in 0..400 {
        if numbers(live, metrics).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        clock.advance(100_000);
    }
    panic!("{:?} is never {expected:?}", numbers(live, metrics).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_durable_after_the_subscription_is_shown_once_in_order() {
    let (log, clock) = (Log::open(), ManualClock::new());
    append(&log, "acme", 0..5, clock.now_us()).await;
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    let mut everything = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    let mut odd = live.subscribe(&acme(), events_of(of_type("odd"), None)).expect("room");
    append(&log, "other", 100..105, clock.now_us()).await;
    for begin in (5..50).step_by(5) {
        append(&log, "acme", begin..begin + 5, clock.now_us()).await;
    }
    assert_eq!(until(&mut everything, 49).await.0, (5..50).collect::<Vec<_>>());
    assert_eq!(until(&mut odd, 49).await.0, (5..50).step_by(2).collect::<Vec<_>>());
    live.close();
}

/// The clock stands, so all looks are in the same tenth of a second.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_numbers_that_are_asked_for_after_it() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    for number in 0..200 {
        append(&log, "acme", number..number + 1, clock.now_us()).await;
        assert_eq!(numbers(&live, &[Metric::EventCount]).await, [json!(number + 1)]);
    }
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_learns_how_many_it_missed_and_slows_nobody() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let ring = RingLimits { events_max: 10, ..RingLimits::default() };
    let live = Live::start(LiveOptions { ring, ..options(&clock) }, log.wal.clone()).expect("a thread");
    let mut slow = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    let mut fast = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    for number in 0..100 {
        append(&log, "acme", number..number + 1, clock.now_us()).await;
        assert_eq!(until(&mut fast, number).await.0, [number as i64]);
    }
    let expected: Vec<i64> = std::iter::once(-90).chain(90..100).collect();
    assert_eq!(until(&mut slow, 99).await.0, expected);
    let status = live.status();
    assert_eq!((status.events_missed, status.events_shown, status.viewers), (90, 110, 2));
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_goes_on_where_it_was_from_ring_or_log() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let ring = RingLimits { events_max: 10, ..RingLimits::default() };
    let live = Live::start(LiveOptions { ring, ..options(&clock) }, log.wal.clone()).expect("a thread");
    let mut viewer = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    append(&log, "acme", 0..4, clock.now_us()).await;
    let (_, second) = until(&mut viewer, 1).await;
    // Still in the ring: the rest of the same entry.
    let mut again = live.subscribe(&acme(), events_of(all(), Some(second))).expect("room");
    assert_eq!(until(&mut again, 3).await.0, [2, 3]);
    drop((viewer, again));
    for begin in (4..400).step_by(4) {
        append(&log, "acme", begin..begin + 4, clock.now_us()).await;
    }
    // Nobody listened: from the log, then from the ring, without a seam.
    let mut odd = live.subscribe(&acme(), events_of(of_type("odd"), Some(second))).expect("room");
    append(&log, "acme", 400..404, clock.now_us()).await;
    assert_eq!(until(&mut odd, 403).await.0, (3..404).step_by(2).collect::<Vec<_>>());
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_neither_place_nor_numbers() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    let mut viewer = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    append(&log, "acme", 0..3, clock.now_us()).await;
    let (_, last) = until(&mut viewer, 2).await;
    append(&log, "acme", 3..6, clock.now_us()).await;
    let block = summary("shop", clock.now_us(), &[5, 10]);
    log.wal.append(new_entry("acme", Table::RequestSummaries, &block, clock.now_us())).await.expect("durable");
    drop(viewer);
    live.close();
    drop(live);
    clock.advance(10_000_000);
    let log = log.reopen();
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    let metrics = [Metric::EventCount, Metric::RequestCount, Metric::UniqueUsers];
    until_numbers(&live, &clock, &metrics, &[json!(6), json!(2), json!(1)]).await;
    let mut viewer = live.subscribe(&acme(), events_of(all(), Some(last))).expect("room");
    append(&log, "acme", 6..8, clock.now_us()).await;
    assert_eq!(until(&mut viewer, 7).await.0, [3, 4, 5, 6, 7]);
    // A minute later the first six are no news.
    clock.advance(55_000_000);
    live.close();
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    until_numbers(&live, &clock, &metrics, &[json!(2), json!(0), json!(1)]).await;
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_another_log_is_answered_with_a_gap() {
    let (log, other, clock) = (Log::open(), Log::open(), ManualClock::new());
    let live = Live::start(options(&clock), other.wal.clone()).expect("a thread");
    let mut viewer = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    append(&other, "acme", 0..1, clock.now_us()).await;
    let (_, mark) = until(&mut viewer, 0).await;
    live.close();
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    let mut viewer = live.subscribe(&acme(), events_of(all(), Some(mark))).expect("room");
    append(&log, "acme", 7..8, clock.now_us()).await;
    assert_eq!(until(&mut viewer, 7).await.0, [-1_000_000, 7]);
    assert_eq!(live.status().gaps, 1);
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_bounded_and_leave_their_place_to_others() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    let join = || live.subscribe(&acme(), events_of(all(), None));
    let mut viewers: Vec<Viewer> = (0..3).map(|_| join().expect("room")).collect();
    assert_eq!(join().err(), Some(SubscribeError::Viewers(3)));
    viewers.pop();
    viewers.push(join().expect("room"));
    assert_eq!((live.status().viewers, live.status().refused, live.status().channels), (3, 1, 1));
    live.dismiss();
    for mut viewer in viewers {
        assert!(matches!(viewer.next().await, Said::Over));
    }
    tokio::time::timeout(PATIENCE, live.deserted()).await.expect("all have gone");
    assert_eq!(live.status().channels, 0);
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_at_once_and_then_each_interval_beside_events() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    let numbers = NumbersRequest {
        metrics: Arc::from([Metric::EventCount]),
        scope: Scope::default(),
        interval: Duration::from_millis(100),
        is_message: true,
    };
    let wanted = Wanted { numbers: Some(numbers), ..events_of(all(), None) };
    let mut viewer = live.subscribe(&acme(), wanted).expect("room");
    append(&log, "acme", 0..2, clock.now_us()).await;
    let (mut seen, mut count) = (0, Value::Null);
    for _ in 0..400 {
        match tokio::time::timeout(PATIENCE, viewer.next()).await.expect("something is said") {
            Said::Events(events) => seen += events.len(),
            Said::Numbers(json) => {
                let shown: Value = serde_json::from_slice(&json).expect("JSON");
                count = shown["metrics"][0]["value"].clone();
                clock.advance(100_000);
            }
            said => panic!("{said:?}"),
        }
        if seen == 2 && count == 2 {
            live.close();
            return;
        }
    }
    panic!("{seen} events, and the last number was {count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_know_the_last_minute_says_what_its_numbers_cover() {
    let (log, clock) = (Log::open(), ManualClock::new());
    append(&log, "acme", 0..3, clock.now_us()).await;
    clock.advance(10_000_000);
    let log = log.reopen();
    append(&log, "acme", 3..5, clock.now_us()).await;
    log.wal.release(log.wal.durable().before()).expect("removed");
    assert_eq!(log.wal.oldest(), log.wal.durable(), "the first three are gone");
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    until_numbers(&live, &clock, &[Metric::EventCount], &[json!(2)]).await;
    let request = NumbersRequest {
        metrics: Arc::from([Metric::EventsPerSecond]),
        scope: Scope::default(),
        interval: Duration::from_secs(1),
        is_message: false,
    };
    let shown: Value = serde_json::from_slice(&live.numbers(&acme(), &request).await).expect("JSON");
    let seconds = shown["windowSeconds"].as_f64().expect("a number");
    assert!(seconds < 10.0, "{seconds}: more is claimed than the log has");
    clock.advance(70_000_000);
    let shown: Value = serde_json::from_slice(&live.numbers(&acme(), &request).await).expect("JSON");
    assert!(shown["windowSeconds"].as_f64() > Some(58.0), "a minute later it is whole");
    live.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_looks_nothing_is_read_and_who_comes_back_finds_the_last_minute() {
    let (log, clock) = (Log::open(), ManualClock::new());
    let live = Live::start(options(&clock), log.wal.clone()).expect("a thread");
    append(&log, "acme", 0..3, clock.now_us()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((live.status().position, live.status().behind_ms), (0, 0), "nobody has asked yet");
    assert_eq!(numbers(&live, &[Metric::EventCount]).await, [json!(3)]);
    let read = live.status().position;
    // Ten minutes without a question; some came in the last of them.
    clock.advance(540_000_000);
    tokio::time::timeout(PATIENCE, async {
        while live.status().position != read || !live.is_dozing() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it dozes");
    append(&log, "acme", 3..8, clock.now_us()).await;
    clock.advance(70_000_000);
    append(&log, "acme", 8..10, clock.now_us()).await;
    assert_eq!(live.status().position, read);
    let mut viewer = live.subscribe(&acme(), events_of(all(), None)).expect("room");
    append(&log, "acme", 10..12, clock.now_us()).await;
    assert_eq!(until(&mut viewer, 11).await.0, [10, 11]);
    assert_eq!(numbers(&live, &[Metric::EventCount]).await, [json!(4)]);
    live.close();
}
