//! Tunnels: bytes of one protocol never reach a service that has not switched to it, all of them do afterwards, and a
//! tunnel is one row.

use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_e2e::{Agent, Aggregator, Scripted, Wire, eventually};
use serde_json::json;

const NO_AGGREGATOR: &str = "http://127.0.0.1:9";
const PATIENCE: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(300);
const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: made-up/1\r\n\
                       X-Request-ID: tunnel\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: made-up/1\r\n\r\n";

/// A service that switches to a protocol in which everything comes back in capitals.
async fn shouting() -> Result<Scripted> {
    Scripted::start(|mut wire, _| async move {
        let head = wire.head().await?.context("no head")?;
        anyhow::ensure!(head.get("upgrade") == Some("made-up/1"), "{head:?}");
        let asks = head.all("connection").any(|value| value.eq_ignore_ascii_case("upgrade"));
        anyhow::ensure!(asks && wire.is_silent(QUIET).await, "bytes before the switch: {:?}", wire.unread());
        wire.send(SWITCH).await;
        loop {
            let said = wire.some().await?;
            if said.is_empty() {
                return Ok(());
            }
            wire.send(said.to_ascii_uppercase()).await;
        }
    })
    .await
}

async fn switched(agent: &Agent, early: &str) -> Result<Wire> {
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send(format!("{UPGRADE}{early}")).await;
    let answer = wire.response("GET").await?.context("no answer")?;
    assert_eq!(answer.head.status(), Some(101), "{answer:?}");
    assert_eq!(answer.head.get("upgrade"), Some("made-up/1"));
    Ok(wire)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_carries_both_ways_and_is_one_row() -> Result<()> {
    let service = shouting().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&service.url(), &aggregator.url(), &["--threads", "1"]).await?;
    let mut wire = switched(&agent, "").await?;
    wire.send("hello").await;
    assert_eq!(wire.exactly(5).await?, b"HELLO");
    let large = "x".repeat(3_000_000);
    wire.send(&large).await;
    assert_eq!(wire.exactly(large.len()).await?, large.to_ascii_uppercase().as_bytes());
    // No row before its end.
    agent.flush().await?;
    assert_eq!(aggregator.count("requests").await?, 0);
    wire.finish().await;
    assert!(wire.ends().await?, "the service's end is not passed on");
    let row = eventually("the tunnel's row", PATIENCE, async || {
        agent.flush().await.ok()?;
        aggregator.rows("SELECT * FROM requests").await.ok()?.pop()
    })
    .await;
    let bytes = 5 + large.len();
    for (column, expected) in [
        ("status", json!(101)),
        ("method", json!("GET")),
        ("path", json!("/chat")),
        ("request_id", json!("tunnel")),
        ("request_bytes", json!(bytes)),
        ("response_bytes", json!(bytes)),
        ("error", json!(null)),
    ] {
        assert_eq!(row[column], expected, "{column} in {row}");
    }
    assert!(row["duration_us"].as_i64() >= row["ttfb_us"].as_i64(), "{row}");
    assert_eq!(aggregator.count("requests").await?, 1);
    Ok(())
}

/// RUSTSEC-2026-0033: what a client sends with its offer is the service's only after its 101.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_sent_early_arrive_after_the_switch() -> Result<()> {
    let service = shouting().await?;
    let agent = Agent::start(&service.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let mut wire = switched(&agent, "early").await?;
    assert_eq!(wire.exactly(5).await?, b"EARLY");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_sends_with_its_101_arrives() -> Result<()> {
    let service = Scripted::start(|mut wire, _| async move {
        wire.head().await?;
        wire.send(format!("{SWITCH}welcome")).await;
        wire.ends().await?;
        Ok(())
    })
    .await?;
    let agent = Agent::start(&service.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let mut wire = switched(&agent, "").await?;
    assert_eq!(wire.exactly(7).await?, b"welcome");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_may_end_first() -> Result<()> {
    let service = Scripted::start(|mut wire, number| async move {
        wire.head().await?;
        wire.send(SWITCH).await;
        if number == 0 {
            wire.send("bye").await;
            wire.finish().await;
            // Its own direction is closed, the client's is not.
            anyhow::ensure!(wire.exactly(4).await? == b"late");
        } else {
            let said = wire.rest().await?;
            wire.send(said).await;
        }
        Ok(())
    })
    .await?;
    let agent = Agent::start(&service.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let mut wire = switched(&agent, "").await?;
    assert_eq!(wire.rest().await?, b"bye");
    wire.send("late").await;
    let mut wire = switched(&agent, "").await?;
    wire.send("all of it").await;
    wire.finish().await;
    assert_eq!(wire.rest().await?, b"all of it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_switch_hears_no_other_protocol() -> Result<()> {
    let service = Scripted::start(|mut wire, _| async move {
        let head = wire.head().await?.context("no head")?;
        wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        // Another request may follow; anything else may not.
        if !wire.ends_whenever().await? {
            let next = wire.head().await?.with_context(|| format!("{:?}", wire.unread()))?;
            anyhow::ensure!(next.first_line.ends_with(" HTTP/1.1"), "{next:?} after {head:?}");
        }
        Ok(())
    })
    .await?;
    let agent = Agent::start(&service.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send(format!("{UPGRADE}\x01\x02\x03 bytes of another protocol\r\n\r\n")).await;
    assert_eq!(wire.response("GET").await?.context("no answer")?.head.status(), Some(403));
    // Read as HTTP these bytes are no request.
    if let Some(answer) = wire.response("GET").await? {
        assert_eq!(answer.head.status(), Some(400));
    }
    assert!(wire.ends().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_tunnels_within_its_time() -> Result<()> {
    let service = shouting().await?;
    let mut agent = Agent::start(&service.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let mut wire = switched(&agent, "").await?;
    let (status, took) = agent.terminate().await?;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
    assert!(wire.rest().await?.is_empty());
    Ok(())
}
