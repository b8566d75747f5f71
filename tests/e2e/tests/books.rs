//! The books of both sides against SQL, to the row: after errors, after repeats, with gaps and with a conflict.

use std::time::{Duration, Instant};

use anyhow::Result;
use ridealong_common::ids::ProducerId;
use ridealong_e2e::exposition;
use ridealong_e2e::frames::{events_chunk, frame, requests_chunk, send};
use ridealong_e2e::ledger::{TABLES, assert_balanced, lasting, sum};
use ridealong_e2e::load::Shape;
use ridealong_e2e::{Agent, Aggregator, Api, Load, Upstream, events, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the aggregator says it stored equals what SQL finds, table by table, and all of its books balance.
async fn assert_stored_is_found(aggregator: &Aggregator) -> Result<Value> {
    assert_balanced(aggregator).await?;
    // An agent's own metrics go on coming: look until none came between the books and the counts.
    let (stats, found) = eventually("books and counts of one moment", PATIENCE, async || {
        let stats = aggregator.stats().await.ok()?;
        let mut found = Vec::new();
        for table in TABLES {
            found.push((table, aggregator.count(table).await.ok()?));
        }
        (aggregator.stats().await.ok()?["stored"] == stats["stored"]).then_some((stats, found))
    })
    .await;
    for (table, found) in found {
        let entries = stats["tables"].as_array().into_iter().flatten();
        let stored: i64 = entries.filter(|entry| entry["table"] == table).filter_map(|it| it["stored"].as_i64()).sum();
        assert_eq!(stored, found, "{table}: {stats}");
    }
    Ok(stats)
}

async fn end(aggregator: &mut Aggregator, kill: bool) -> Result<()> {
    match kill {
        true => aggregator.kill().await,
        false => aggregator.terminate().await.map(|_| ()),
    }
}

/// A client that leaves before it has its answer.
async fn leave_early(agent: &Agent, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(agent.proxy_address()).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).await?;
    if path.starts_with("/bytes") {
        let mut begin = [0; 1_000];
        stream.read_exact(&mut begin).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_after_load_with_errors() -> Result<()> {
    let mut upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&["--flush-rows", "2000"]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;
    let shape = Shape::new(6, Duration::from_millis(1)).path(|n| match n % 20 {
        0 => "/status/500".into(),
        1 => "/status/404".into(),
        // The body's end is missing: the client sees it broken off.
        2 => "/broken".into(),
        n => format!("/items/{n}"),
    });
    let load = Load::start(agent.proxy(), "errors", &shape);
    let more = async |count: u64| {
        let target = load.answered() + count;
        eventually("more answers", PATIENCE, async || (load.answered() > target).then_some(())).await;
    };
    more(1_000).await;
    upstream.stop().await;
    more(300).await;
    upstream.restart()?;
    more(1_000).await;
    let sent = load.stop().await?;
    for _ in 0..10 {
        leave_early(&agent, "/slow/3000").await?;
        leave_early(&agent, "/bytes/50000000").await?;
    }
    let (_, batch) = events::batch("agent", 30);
    agent.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    eventually("the broken ones are recorded", PATIENCE, async || {
        agent.flush().await.ok()?;
        (aggregator.count("requests").await.ok()? >= sent.len() as i64 + 20).then_some(())
    })
    .await;
    let books = agent.books().await?;
    books.assert_balanced();
    assert_eq!((books.dropped, books.carried_over), (0, 0));

    assert_eq!(aggregator.count("requests").await?, sent.len() as i64 + 20);
    let of = |status: Option<u16>| sent.iter().filter(|done| done.status == status).count() as i64;
    for status in [404, 502] {
        assert!(of(Some(status)) > 0, "none was answered {status}");
        assert_eq!(aggregator.count(&format!("requests WHERE status = {status}")).await?, of(Some(status)), "{status}");
    }
    // What broke off at the service: no complete answer for the client, a row with the reason for us.
    assert!(of(None) > 0);
    let broken = "requests WHERE request_id IS NOT NULL AND status = 200 AND error IS NOT NULL";
    assert_eq!(aggregator.count(broken).await?, of(None));
    assert_eq!(aggregator.count("requests WHERE status = 502 AND error IS NULL").await?, 0);
    assert_eq!(aggregator.count("requests WHERE error = 'client_disconnect'").await?, 20);
    let errors = aggregator.count("requests WHERE status >= 500 OR error IS NOT NULL").await?;
    let summed = aggregator.integers("SELECT sum(error_count), sum(count) FROM request_summaries").await?;
    assert_eq!(summed, [errors, sent.len() as i64 + 20]);

    assert_stored_is_found(&aggregator).await?;
    // The agent's own metrics go on coming, and what is kept is sent apart from what is bulk: a number may be on its way.
    let (books, stats) = eventually("a moment in which nothing is on its way", PATIENCE, async || {
        agent.flush().await.ok()?;
        let books = agent.books().await.ok()?;
        let stats = aggregator.stats().await.ok()?;
        let settled = books.acknowledged == books.produced && agent.books().await.ok()? == books;
        (settled && stats["announced"].as_u64() == Some(books.produced)).then_some((books, stats))
    })
    .await;
    assert_eq!(stats["stored"].as_u64(), Some(books.acknowledged), "{stats}");
    for zero in ["duplicate", "missing", "conflicts", "quarantined"] {
        assert_eq!(stats[zero], 0, "{zero}: {stats}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_is_acknowledged_and_not_stored_again() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let producer = ProducerId::draw();
    let sent = frame(25, vec![requests_chunk(producer, 0, 10), requests_chunk(producer, 10, 15)]);
    for (round, stored) in [(0, 25), (1, 0), (2, 0), (3, 0)] {
        let receipt = send(aggregator.api(), sent.clone()).await?.expect(200).json();
        assert_eq!((&receipt["producer"], &receipt["storedTo"]), (&json!(producer.to_string()), &json!(25)));
        assert_eq!((&receipt["stored"], &receipt["duplicate"]), (&json!(stored), &json!(25 - stored)), "{round}");
        assert_eq!(aggregator.count("requests").await?, 25);
        match round {
            1 => aggregator.flush().await?,
            2 => {
                aggregator.kill().await?;
                aggregator.restart().await?;
            }
            _ => {}
        }
    }
    // Half known, half new: only the new is stored.
    let more = frame(30, vec![requests_chunk(producer, 25, 5)]);
    assert_eq!(send(aggregator.api(), more).await?.expect(200).json()["stored"], 5);
    let stats = assert_stored_is_found(&aggregator).await?;
    assert_eq!((&stats["stored"], &stats["duplicate"], &stats["missing"]), (&json!(30), &json!(75), &json!(0)));
    assert_eq!(stats["conflicts"], 0, "the same content is no conflict");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_named_and_closed_by_what_arrives_late() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let producer = ProducerId::draw();
    let sent = frame(40, vec![requests_chunk(producer, 0, 10), requests_chunk(producer, 20, 10)]);
    send(aggregator.api(), sent).await?.expect(200);
    for restarts in [false, true] {
        if restarts {
            aggregator.kill().await?;
            aggregator.restart().await?;
        }
        let stats = aggregator.stats().await?;
        assert_eq!(sum(&aggregator, "outcome = 'missing'").await?, 20);
        let books = &stats["producers"][0];
        assert_eq!(books["producer"], json!(producer.to_string()));
        assert_eq!((&books["announced"], &books["received"], &books["missing"]), (&json!(40), &json!(20), &json!(20)));
        assert_eq!(books["missingRanges"], json!([[10, 20], [30, 40]]), "{stats}");
        assert_eq!((&stats["announced"], &stats["stored"], &stats["missing"]), (&json!(40), &json!(20), &json!(20)));
    }
    send(aggregator.api(), frame(40, vec![requests_chunk(producer, 12, 4)])).await?.expect(200);
    let ranges = aggregator.stats().await?["producers"][0]["missingRanges"].clone();
    assert_eq!(ranges, json!([[10, 12], [16, 20], [30, 40]]));
    send(aggregator.api(), frame(40, vec![requests_chunk(producer, 30, 10)])).await?.expect(200);
    // These overlap what is held: only the rows of the gaps are stored.
    let receipt = send(aggregator.api(), frame(40, vec![requests_chunk(producer, 5, 20)])).await?.expect(200).json();
    assert_eq!((&receipt["stored"], &receipt["duplicate"]), (&json!(6), &json!(14)), "{receipt}");
    let stats = assert_stored_is_found(&aggregator).await?;
    assert_eq!((&stats["stored"], &stats["missing"]), (&json!(40), &json!(0)), "{stats}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_under_the_same_numbers_is_an_alarm() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let producer = ProducerId::draw();
    send(aggregator.api(), frame(10, vec![requests_chunk(producer, 0, 10)])).await?.expect(200);
    assert_eq!(aggregator.stats().await?["conflicts"], 0);
    let first = aggregator.column("requests", "event_id").await?;
    // Other ids, other times.
    send(aggregator.api(), frame(10, vec![requests_chunk(producer, 0, 10)])).await?.expect(200);
    let stats = assert_stored_is_found(&aggregator).await?;
    assert_eq!((&stats["conflicts"], &stats["duplicate"]), (&json!(1), &json!(10)), "{stats}");
    assert_eq!(aggregator.column("requests", "event_id").await?, first, "what came first stays");
    let alarms = &stats["producers"][0]["conflicts"];
    assert_eq!((&alarms["count"], &alarms["first"]["numbers"]), (&json!(1), &json!([0, 10])), "{stats}");
    // Another producer may use the same numbers.
    send(aggregator.api(), frame(10, vec![requests_chunk(ProducerId::draw(), 0, 10)])).await?.expect(200);
    assert_eq!(aggregator.stats().await?["conflicts"], 1);
    assert_eq!(aggregator.count("requests").await?, 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_are_counted_apart() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let (_, mut batch) = events::batch("some", 10);
    for at in [1, 4, 7] {
        batch["events"][at] = json!({ "eventType": 5 });
    }
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    aggregator.api().post("/api/analytics/track", &json!("no event")).await?.problem(400);
    send(aggregator.api(), "no frame").await?.problem(400);
    let stats = assert_stored_is_found(&aggregator).await?;
    assert_eq!((&stats["stored"], &stats["duplicate"]), (&json!(7), &json!(7)));
    assert_eq!(stats["refused"], json!({ "frames": 1, "events": 7 }));
    assert_eq!(stats["sinceStart"]["jsonEvents"], 21);
    let refused = |of| format!("outcome = 'refused' AND {of}");
    assert_eq!(sum(&aggregator, &refused("unit = 'rows' AND door = 'events' AND reason = 'invalid'")).await?, 7);
    assert_eq!(sum(&aggregator, &refused("unit = 'batches' AND door = 'batches'")).await?, 1);
    assert_eq!(sum(&aggregator, "outcome = 'received'").await?, 21);
    Ok(())
}

/// An id counts in a frame and at the JSON door alike: each row is in the books once, by who sent it and as what.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_by_number_and_by_id_are_told_apart_across_restarts() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let producer = ProducerId::draw();
    let (_, batch) = events::batch("both", 10);
    let first = frame(10, vec![events_chunk(producer, 0, &batch)?]);
    send(aggregator.api(), first.clone()).await?.expect(200);
    send(aggregator.api(), first).await?.expect(200);
    // The same events under other numbers, and by themselves.
    send(aggregator.api(), frame(20, vec![events_chunk(producer, 10, &batch)?])).await?.expect(200);
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    let mut before = Vec::new();
    for kill in [true, false, true] {
        let stats = assert_stored_is_found(&aggregator).await?;
        let of = &stats["producers"][0];
        let counts = ["announced", "received", "stored", "duplicateByNumber", "duplicateByEventId", "missing"];
        assert_eq!(counts.map(|name| of[name].as_u64().unwrap_or(99)), [20, 20, 10, 10, 10, 0], "{stats}");
        assert_eq!(stats["tables"][0]["unnumbered"]["duplicateByEventId"], 10, "{stats}");
        assert_eq!(aggregator.count("events").await?, 10);
        let now = lasting(&aggregator).await?;
        assert!(before.is_empty() || before == now, "{before:?} became {now:?}");
        before = now;
        aggregator.flush().await?;
        end(&mut aggregator, kill).await?;
        aggregator.restart().await?;
    }
    Ok(())
}

/// Ids are remembered as long as the budget allows, across every kind of end; what is forgotten early is said.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_exact_within_the_budget_across_restarts() -> Result<()> {
    let mut aggregator = Aggregator::start(&["--ids-max", "1000"]).await?;
    let send = async |aggregator: &Aggregator, batch: &Value| -> Result<(i64, i64)> {
        let answer = aggregator.api().post("/api/analytics/batch-track", batch).await?.expect(200).json();
        let statuses: Vec<_> = answer["results"].as_array().into_iter().flatten().map(|it| &it["status"]).collect();
        let of = |name: &str| statuses.iter().filter(|status| **status == name).count() as i64;
        Ok((of("stored"), of("duplicate")))
    };
    let batches: Vec<Value> = (0..10).map(|_| events::batch("budget", 100).1).collect();
    for (at, batch) in batches.iter().enumerate() {
        assert_eq!(send(&aggregator, batch).await?, (100, 0));
        if at == 4 {
            // A checkpoint holds the first half, the log's records the second.
            aggregator.flush().await?;
            end(&mut aggregator, false).await?;
            aggregator.restart().await?;
        }
    }
    for round in 0..3 {
        for batch in &batches {
            assert_eq!(send(&aggregator, batch).await?, (0, 100), "round {round}");
        }
        let ids = &aggregator.stats().await?["log"]["eventIds"];
        assert_eq!((&ids["remembered"], &ids["rememberedMax"]), (&json!(1_000), &json!(1_000)), "{ids}");
        assert_eq!((&ids["forgottenEarly"], &ids["windowSeconds"]), (&json!(0), &json!(7 * 24 * 3_600)), "{ids}");
        end(&mut aggregator, round == 0).await?;
        aggregator.restart().await?;
    }
    // One more batch: the oldest hundred go, the others stay, and that outlives a kill.
    assert_eq!(send(&aggregator, &events::batch("budget", 100).1).await?, (100, 0));
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(aggregator.stats().await?["log"]["eventIds"]["forgottenEarly"], 100);
    for batch in &batches[1..] {
        assert_eq!(send(&aggregator, batch).await?, (0, 100));
    }
    assert_eq!(send(&aggregator, &batches[0]).await?, (100, 0), "past the budget it is stored again, as said");
    assert_balanced(&aggregator).await
}

/// The window's edge, by the aggregator's own clock.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_forgotten_when_the_window_is_over_and_not_before() -> Result<()> {
    let mut aggregator = Aggregator::start(&["--ids-window", "5s"]).await?;
    let (_, batch) = events::batch("window", 50);
    let api = aggregator.api().clone();
    let post = async |api: &Api| -> Result<Value> {
        Ok(api.post("/api/analytics/batch-track", &batch).await?.expect(200).json()["results"][0]["status"].clone())
    };
    let at = Instant::now();
    assert_eq!(post(&api).await?, "stored");
    aggregator.kill().await?;
    aggregator.restart().await?;
    let again = post(&api).await?;
    if at.elapsed() < Duration::from_secs(4) {
        assert_eq!(again, "duplicate", "within the window");
    }
    // A repeat does not make the window longer.
    eventually("forgotten", Duration::from_secs(30), async || {
        let status = post(&api).await.ok()?;
        (status == "stored").then_some(())
    })
    .await;
    assert!(at.elapsed() >= Duration::from_secs(5), "forgotten after {:?}", at.elapsed());
    assert_eq!(aggregator.stats().await?["log"]["eventIds"]["forgottenEarly"], 0);
    assert_eq!(aggregator.count("events").await?, 100);
    assert_balanced(&aggregator).await
}

/// Prometheus' own rules: a family is described once, before its samples, and a counter's name ends in `_total`.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_stats_say() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let (_, batch) = events::batch("measured", 10);
    for _ in 0..2 {
        aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    }
    send(aggregator.api(), frame(9, vec![requests_chunk(ProducerId::draw(), 0, 5)])).await?.expect(200);
    send(aggregator.api(), "no frame").await?.problem(400);
    let text = aggregator.api().get("/metrics").await?.expect(200).text();
    let found = exposition::read(&text)?;
    let value = |name: &str| found.get(name).copied().unwrap_or(-1.0);
    for (name, expected) in [
        (r#"ridealong_rows_stored_total{tenant="default",table="events"}"#, 10.0),
        (r#"ridealong_rows_duplicate_total{tenant="default",table="events"}"#, 10.0),
        (r#"ridealong_rows_stored_total{tenant="default",table="requests"}"#, 5.0),
        ("ridealong_rows_announced_total", 9.0),
        ("ridealong_rows_missing", 4.0),
        (r#"ridealong_door_batches_refused_total{tenant="default",door="batches",reason="malformed"}"#, 1.0),
        (r#"ridealong_door_rows_received_total{tenant="default",door="events"}"#, 20.0),
    ] {
        assert_eq!(value(name), expected, "{name}: {text}");
    }
    assert!(value("ridealong_lag_readable_seconds") >= 0.0, "{text}");
    Ok(())
}

/// By receipt: nothing is behind once it is flushed. By event time: as old as the newest event says.
#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_by_receipt_and_by_event_time() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let nothing = aggregator.stats().await?["lag"].clone();
    assert_eq!((&nothing["readableMs"], &nothing["committedMs"]), (&json!(0), &json!(0)), "{nothing}");
    let event = json!({ "eventType": "old", "timestamp": "2020-01-01T00:00:00Z" });
    aggregator.api().post("/api/analytics/track", &event).await?.expect(202);
    assert_eq!(aggregator.count("events").await?, 1);
    let uncommitted = async || {
        let lag = aggregator.stats().await.ok()?["lag"].clone();
        (lag["readableMs"] == 0 && lag["committedMs"].as_u64()? > 0).then_some(())
    };
    eventually("read, and not in Delta", PATIENCE, uncommitted).await;
    aggregator.flush().await?;
    for restarted in [false, true] {
        if restarted {
            aggregator.kill().await?;
            aggregator.restart().await?;
            assert_eq!(aggregator.count("events").await?, 1);
        }
        let stats = aggregator.stats().await?;
        assert_eq!(stats["lag"]["committedMs"], 0, "{stats}");
        let events =
            |list: &Value| list.as_array().and_then(|all| all.iter().find(|it| it["table"] == "events").cloned());
        let lag = events(&stats["lag"]["tables"]).unwrap_or_default();
        let years = lag["eventTimeMs"].as_u64().unwrap_or(0) / (365 * 24 * 3_600 * 1_000);
        assert!(years >= 5, "{stats}");
        let newest = events(&stats["lake"]["tables"]).unwrap_or_default()["newestTimestamp"].clone();
        assert!(newest.as_str().is_some_and(|newest| newest.starts_with("2020-01-01T00:00:00")), "{stats}");
    }
    Ok(())
}
