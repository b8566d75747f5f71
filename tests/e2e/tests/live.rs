//! Live numbers and events over real sockets.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use ridealong_e2e::live::{Closed, EventSource, Viewer};
use ridealong_e2e::{Agent, Aggregator, Upstream, events, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// What is promised of a stop.
const STOP: Duration = Duration::from_secs(5);
/// Close code of RFC 6455: the server goes away; a message is too big.
const AWAY: u16 = 1001;
const TOO_BIG: u16 = 1009;

async fn track(aggregator: &Aggregator, event: &Value) -> Result<String> {
    let answer = aggregator.api().post("/api/analytics/track", event).await?.expect(202).json();
    Ok(answer["eventId"].as_str().unwrap_or_default().to_owned())
}

/// Events of 8 KB with consecutive numbers, more than the ring and the sockets hold together when all were sent.
async fn large(aggregator: &Aggregator, first: u64, count: u64) -> Result<()> {
    let padding = "x".repeat(8_000);
    let event = |at| json!({ "eventType": "large", "properties": { "number": first + at, "padding": padding } });
    let body = json!({ "events": (0..count).map(event).collect::<Vec<Value>>() });
    aggregator.api().post("/api/analytics/batch-track", &body).await?.expect(200);
    Ok(())
}

async fn realtime(aggregator: &Aggregator, query: &str) -> Result<Value> {
    Ok(aggregator.api().get(&format!("/api/analytics/realtime?{query}")).await?.expect(200).json())
}

fn value(answer: &Value, name: &str) -> Value {
    let metrics = answer["metrics"].as_array().expect("a list");
    metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("no {name}: {answer}"))["value"]
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_acknowledged_after_the_101_is_pushed() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    for _ in 0..50 {
        // Nothing happens between the 101 and the event.
        let mut viewer = Viewer::join(&aggregator.url(), "events=true&metrics=").await?;
        let sent = json!({ "eventType": "probe", "properties": { "a": [1, "ö"] }, "context": { "platform": "web" } });
        let id = track(&aggregator, &sent).await?;
        let message = viewer.next_of("event").await?;
        assert_eq!(message["event"]["eventId"], id.as_str());
        assert_eq!(message["event"]["properties"], sent["properties"]);
        // The same as the event itself.
        let stored = aggregator.api().get(&format!("/api/analytics/events/{id}")).await?.expect(200).json();
        assert_eq!(message["event"], stored);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_once_in_order_to_all_who_want_them() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let url = aggregator.url();
    let mut all = Viewer::join(&url, "events=true").await?;
    let mut orders = Viewer::join(&url, "events=true&metrics=&type=order&service=shop").await?;
    let mut stream = EventSource::open(&url, "events=true&metrics=&userId=user-7", None).await?;
    for batch in 0..20 {
        let event = |at: usize| {
            let number = batch * 25 + at;
            json!({
                "eventType": if number.is_multiple_of(3) { "order" } else { "view" },
                "source": if number.is_multiple_of(2) { "shop" } else { "search" },
                "userId": format!("user-{}", number % 10),
                "properties": { "number": number },
            })
        };
        let body = json!({ "events": (0..25).map(event).collect::<Vec<_>>() });
        aggregator.api().post("/api/analytics/batch-track", &body).await?.expect(200);
    }
    let number = |message: &Value| message["event"]["properties"]["number"].as_u64().expect("a number");
    for expected in 0..500 {
        assert_eq!(number(&all.next_of("event").await?), expected);
    }
    for expected in (0..500).step_by(6) {
        assert_eq!(number(&orders.next_of("event").await?), expected);
    }
    for expected in (7..500).step_by(10) {
        let message = stream.next().await?.expect("not over");
        assert_eq!(number(&message), expected);
        assert_eq!(stream.last_id.as_deref(), message["id"].as_str());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_doors_tell_the_same_numbers_and_these_are_right() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let upstream = Upstream::start().await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;
    let (_, batch) = events::batch("seen", 40);
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    // Sent again: repeats are not counted.
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    let users: HashSet<&str> =
        batch["events"].as_array().expect("a list").iter().filter_map(|event| event["userId"].as_str()).collect();
    for _ in 0..25 {
        agent.proxy().get("/thing").await?.expect(200);
    }
    let complete = || async {
        let answer = realtime(&aggregator, "").await.ok()?;
        let is_whole = value(&answer, "request_count") == 25
            && value(&answer, "event_count") == 40
            && value(&answer, "cpu_utilization").is_number();
        is_whole.then_some(answer)
    };
    let answer = eventually("all numbers", PATIENCE, complete).await;
    assert_eq!(value(&answer, "unique_users"), users.len());
    assert_eq!((value(&answer, "error_count"), value(&answer, "error_rate")), (json!(0), json!(0.0)));
    assert_eq!((&answer["refreshInterval"], answer.get("type")), (&json!(1_000), None));
    let latency = |name| value(&answer, name).as_f64().expect("a number");
    assert!(latency("latency_p50") > 0.0 && latency("latency_p50") <= latency("latency_max") * 1.011);
    for metric in answer["metrics"].as_array().expect("a list") {
        assert!(metric["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{metric}");
    }
    let names = "metrics=event_count,request_count,unique_users&interval=100ms";
    let pushed = Viewer::join(&aggregator.url(), names).await?.next_of("metrics").await?;
    let streamed = EventSource::open(&aggregator.url(), names, None).await?.next().await?.expect("not over");
    for message in [pushed, streamed] {
        assert_eq!((&message["type"], &message["refreshInterval"]), (&json!("metrics"), &json!(100)));
        for (name, expected) in [("event_count", 40), ("request_count", 25), ("unique_users", users.len())] {
            assert_eq!(value(&message, name), expected, "{name}");
        }
    }
    // One service's own.
    let none = realtime(&aggregator, "names=event_count,request_count&service=nobody").await?;
    assert_eq!((value(&none, "event_count"), value(&none, "request_count")), (json!(0), json!(0)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_goes_on_where_it_was_over_a_kill() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let query = "events=true&metrics=";
    let mut viewer = Viewer::join(&aggregator.url(), query).await?;
    let mut stream = EventSource::open(&aggregator.url(), query, None).await?;
    let first = track(&aggregator, &json!({ "eventType": "first" })).await?;
    let message = viewer.next_of("event").await?;
    assert_eq!(message["event"]["eventId"], first.as_str());
    stream.next().await?.expect("not over");
    let (id, last_id) = (message["id"].as_str().expect("an id").to_owned(), stream.last_id.clone());
    assert_eq!(Some(id.as_str()), last_id.as_deref());
    drop((viewer, stream));
    let mut missed = Vec::new();
    for at in 0..30 {
        missed.push(track(&aggregator, &json!({ "eventType": "missed", "userId": format!("user-{at}") })).await?);
    }
    let before = realtime(&aggregator, "names=event_count,unique_users").await?;
    aggregator.kill().await?;
    aggregator.restart().await?;
    let mut viewer = Viewer::join(&aggregator.url(), &format!("{query}&after={id}")).await?;
    let mut stream = EventSource::open(&aggregator.url(), query, last_id.as_deref()).await?;
    missed.push(track(&aggregator, &json!({ "eventType": "after" })).await?);
    for expected in &missed {
        assert_eq!(viewer.next_of("event").await?["event"]["eventId"], expected.as_str());
        assert_eq!(stream.next().await?.expect("not over")["event"]["eventId"], expected.as_str());
    }
    // The numbers of the last minute were read from the log again.
    assert_eq!(value(&before, "event_count"), 31);
    let after = realtime(&aggregator, "names=event_count,unique_users").await?;
    assert_eq!((value(&after, "event_count"), value(&after, "unique_users")), (json!(32), json!(30)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_does_not_read_slows_nobody_and_is_told() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let query = "events=true&metrics=";
    let mut slow = Viewer::join(&aggregator.url(), query).await?;
    let mut fast = Viewer::join(&aggregator.url(), query).await?;
    let mut sent: u64 = 0;
    for _ in 0..24 {
        large(&aggregator, sent, 150).await?;
        for at in 0..150 {
            assert_eq!(fast.next_of("event").await?["event"]["properties"]["number"], sent + at);
        }
        sent += 150;
    }
    let (mut next, mut missed) = (0, 0);
    while next < sent {
        match slow.next().await?.expect("open") {
            message if message["type"] == "missed" => {
                let count = message["count"].as_u64().expect("known");
                missed += count;
                next += count;
            }
            message => {
                assert_eq!(message["event"]["properties"]["number"], next);
                next += 1;
            }
        }
    }
    assert!(missed > 0, "the slow viewer kept up");
    let text = aggregator.api().get("/metrics").await?.expect(200).text();
    let samples = ridealong_e2e::exposition::read(&text)?;
    assert_eq!(samples["ridealong_live_events_missed_total"], missed as f64);
    assert_eq!(samples["ridealong_live_viewers"], 2.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_viewers_away_and_does_not_wait_for_them() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let mut viewers = Vec::new();
    for _ in 0..20 {
        viewers.push(Viewer::join(&aggregator.url(), "events=true&type=none&interval=60s").await?);
    }
    let mut stream = EventSource::open(&aggregator.url(), "interval=60s", None).await?;
    stream.next().await?.expect("the first numbers");
    // Two that take nothing any more.
    let _stuck = Viewer::join(&aggregator.url(), "events=true").await?;
    let _stuck_too = EventSource::open(&aggregator.url(), "events=true", None).await?;
    for batch in 0..24 {
        large(&aggregator, batch * 150, 150).await?;
    }
    let (status, took) = aggregator.terminate().await?;
    assert!(status.success());
    assert!(took < STOP, "stopped after {took:?}");
    for viewer in &mut viewers {
        assert!(viewer.next().await?.is_ok(), "the first numbers");
        assert_eq!(viewer.next().await?, Err(Closed(Some(AWAY))));
    }
    assert_eq!(stream.next().await?, None, "it ends, and does not break");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_bounded_and_strangers_kept_out() -> Result<()> {
    let aggregator = Aggregator::start(&["--viewers-max", "3"]).await?;
    let url = aggregator.url();
    let path = "/api/analytics/live";
    // A page of another host.
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example"] {
        assert_eq!(Viewer::refused(&url, "", &[("origin", origin)]).await?, 403, "{origin}");
        let request = aggregator.api().client().get(format!("{url}{path}/stream")).header("origin", origin);
        assert_eq!(aggregator.api().send(request).await?.problem(403), "foreign-origin");
    }
    // What is not understood.
    let mistyped = aggregator.api().get(&format!("{path}/stream?metrics=event_cuont")).await?;
    assert!(mistyped.text().contains("did you mean event_count?"), "{}", mistyped.text());
    assert_eq!(mistyped.problem(400), "no-such-metric");
    assert_eq!(aggregator.api().get("/api/analytics/realtime?names=x").await?.problem(400), "no-such-metric");
    for query in ["interval=1ms", "events=maybe", "what=1", "type=a", "events=true&after=x"] {
        assert_eq!(aggregator.api().get(&format!("{path}/stream?{query}")).await?.problem(400), "invalid-parameter");
        assert_eq!(Viewer::refused(&url, query, &[]).await?, 400, "{query}");
    }
    assert_eq!(aggregator.api().get(path).await?.problem(400), "not-a-websocket");
    // As many as may; one that leaves makes room.
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(Viewer::join(&url, "").await?);
    }
    let refused = aggregator.api().get(&format!("{path}/stream")).await?;
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(refused.problem(503), "too-many-viewers");
    assert_eq!(Viewer::refused(&url, "", &[]).await?, 503);
    drop(viewers.pop());
    let mut viewer =
        eventually("room for another", PATIENCE, || async { Viewer::join(&url, "interval=60s").await.ok() }).await;
    // One that says too much.
    viewer.next_of("metrics").await?;
    viewer.send(100_000).await?;
    assert_eq!(viewer.next().await?, Err(Closed(Some(TOO_BIG))));
    Ok(())
}
