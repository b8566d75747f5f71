//! Rows on their way from memory to Delta tables, and through restarts: never one twice, never one missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Result;
use ridealong_common::ids::ProducerId;
use ridealong_e2e::frames::{frame, requests_chunk, send};
use ridealong_e2e::load::Shape;
use ridealong_e2e::{Agent, Aggregator, Api, Load, Upstream, events, eventually};
use serde_json::json;
use tokio::task::JoinSet;

const QUERIES: usize = 1_000;

/// Posts batches until it is told to stop; counts events before they are sent and once they are acknowledged.
async fn ingest(api: Api, stop: Arc<AtomicBool>, [begun, acknowledged]: [Arc<AtomicI64>; 2]) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        let count = fastrand::usize(1..20);
        begun.fetch_add(count as i64, Ordering::SeqCst);
        let (_, batch) = events::batch("flow", count);
        api.post("/api/analytics/batch-track", &batch).await?.expect(200);
        acknowledged.fetch_add(count as i64, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn flush(api: Api, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        api.post("/api/analytics/flush", &json!({})).await?.expect(200);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..300))).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_queries_see_each_row_once_while_rows_come_and_move() -> Result<()> {
    let aggregator = Aggregator::start(&["--flush-rows", "500", "--flush-age", "1s"]).await?;
    let (stop, begun, acknowledged) = (Arc::<AtomicBool>::default(), Arc::default(), Arc::default());
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let counters = [Arc::clone(&begun), Arc::clone(&acknowledged)];
        tasks.spawn(ingest(aggregator.api().clone(), Arc::clone(&stop), counters));
    }
    tasks.spawn(flush(aggregator.api().clone(), Arc::clone(&stop)));
    let mut last = 0;
    for query in 0..QUERIES {
        let at_least = acknowledged.load(Ordering::SeqCst).max(last);
        let sql = "SELECT count(*), count(distinct event_id) FROM events";
        let counts = aggregator.integers(if query % 3 == 0 { sql } else { "SELECT count(*) FROM events" }).await?;
        let at_most = begun.load(Ordering::SeqCst);
        assert!((at_least..=at_most).contains(&counts[0]), "query {query}: {at_least} ≤ {} ≤ {at_most}", counts[0]);
        assert!(counts.iter().all(|count| *count == counts[0]), "query {query}: rows and ids {counts:?}");
        last = counts[0];
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let all = acknowledged.load(Ordering::SeqCst);
    assert_eq!(aggregator.integers("SELECT count(*), count(distinct event_id) FROM events").await?, [all, all]);
    aggregator.flush().await?;
    assert_eq!(aggregator.integers("SELECT count(*), count(distinct event_id) FROM events").await?, [all, all]);
    let stats = aggregator.stats().await?;
    assert_eq!((&stats["stored"], &stats["lake"]["hotRows"]), (&json!(all), &json!(0)), "{stats}");
    println!("{all} events, {} flushes, {QUERIES} queries", stats["lake"]["flushes"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let mut expected = Vec::new();
    let everything = "SELECT event_id, timestamp, received_at, event_type, user_id, properties FROM events ORDER BY 1";
    for (round, kills) in [(0, false), (1, true), (2, false), (3, true), (4, true)] {
        let (ids, batch) = events::batch("kept", 300);
        aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
        expected.extend(ids);
        if round % 2 == 1 {
            // Now some rows are in Delta, and more follow that are in the log only.
            aggregator.flush().await?;
            let (ids, batch) = events::batch("kept", 50);
            aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
            expected.extend(ids);
        }
        let before = aggregator.rows(everything).await?;
        if kills {
            aggregator.kill().await?
        } else {
            assert!(aggregator.terminate().await?.0.success())
        }
        aggregator.restart().await?;
        assert_eq!(aggregator.rows(everything).await?, before, "round {round}");
    }
    let mut found = aggregator.column("events", "event_id").await?;
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    // The ids are remembered over restarts, too.
    let repeat = json!({ "eventType": "kept", "eventId": expected[0] });
    let answer = aggregator.api().post("/api/analytics/track", &repeat).await?.expect(202).json();
    assert_eq!(answer["status"], "duplicate");
    assert_eq!(aggregator.stats().await?["stored"], json!(expected.len()));
    Ok(())
}

/// A table that was never flushed holds the log for itself, though another's rows of the same time are in Delta.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_not_yet_in_delta_survives_a_kill() -> Result<()> {
    let mut aggregator = Aggregator::start(&["--flush-rows", "40"]).await?;
    let requests = frame(10, vec![requests_chunk(ProducerId::draw(), 0, 10)]);
    send(aggregator.api(), requests).await?.expect(200);
    let (_, batch) = events::batch("many", 50);
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    eventually("the events alone are flushed", Duration::from_secs(30), async || {
        let tables = aggregator.stats().await.ok()?["lake"]["tables"].clone();
        let hot = |name: &str| tables.as_array()?.iter().find(|table| table["table"] == name)?["hotRows"].as_u64();
        (hot("events") == Some(0) && hot("requests") == Some(10)).then_some(())
    })
    .await;
    for _ in 0..2 {
        aggregator.kill().await?;
        aggregator.restart().await?;
        assert_eq!((aggregator.count("events").await?, aggregator.count("requests").await?), (50, 10));
    }
    aggregator.flush().await?;
    assert_eq!((aggregator.count("events").await?, aggregator.count("requests").await?), (50, 10));
    Ok(())
}

/// `/flush` of the agent: what was answered to a client before the call is found by SQL after it, whatever comes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_of_the_agent_delivers_all_that_came_before_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;
    // Many routes: many rows of summaries, which are delivered before ordinary requests.
    let shape = Shape::new(6, Duration::ZERO).path(|n| format!("/route-{}", (n * 7) % 400));
    let load = Load::start(agent.proxy(), "flush", &shape);
    for round in 1..=12 {
        let target = round * 700;
        eventually("more answers", Duration::from_secs(60), async || (load.answered() > target).then_some(())).await;
        let answered = load.answered() as i64;
        agent.flush().await?;
        let found = aggregator.count("requests").await?;
        assert!(found >= answered, "round {round}: {answered} were answered before the flush, {found} found after it");
    }
    let sent = load.stop().await?.len() as i64;
    agent.flush().await?;
    assert_eq!(aggregator.count("requests").await?, sent);
    Ok(())
}
