//! Starting, stopping, refusing to start, and saying how one is.

use std::time::{Duration, Instant};

use anyhow::Result;
use ridealong_e2e::load::Shape;
use ridealong_e2e::process::run;
use ridealong_e2e::{Agent, Aggregator, Api, Load, Upstream, events, eventually, free_address};
use serde_json::json;

const AGENT: &str = "ridealong-agent";
const AGGREGATOR: &str = "ridealong-aggregator";
/// The contract's.
const STOP: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn both_say_how_they_are() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;
    for _ in 0..20 {
        agent.proxy().get("/things/5").await?.expect(200);
    }
    agent.proxy().get("/status/500").await?.expect(500);
    let (_, event) = events::event("seen");
    aggregator.api().post("/api/analytics/track", &event).await?.expect(202);
    agent.flush().await?;
    for (name, api) in [("agent", agent.api()), ("aggregator", aggregator.api())] {
        assert_eq!(api.get("/healthz").await?.expect(200).text(), "ok\n");
        assert_eq!(api.get("/readyz").await?.expect(200).text(), "ready\n");
        let health = api.get("/api/analytics/health").await?.expect(200).json();
        assert!(["ok", "degraded"].contains(&health["status"].as_str().unwrap_or_default()), "{name}: {health}");
        for check in health["checks"].as_array().into_iter().flatten() {
            assert!(check["name"].is_string() && check["status"].is_string() && check["threshold"].is_string());
        }
        let performance = api.get("/api/analytics/performance?route=/things/{id}").await?.expect(200).json();
        let route = &performance["routes"][0];
        assert_eq!((&route["service"], &route["route"]), (&json!("shop"), &json!("/things/{id}")), "{name}");
        assert_eq!((&route["count"], &route["errorRate"]), (&json!(20), &json!(0.0)), "{name}: {route}");
        let times = ["p50", "p90", "p95", "p99", "max"].map(|time| route[time].as_f64().unwrap_or(-1.0));
        // A percentile is within 1 % of the truth, so it may lie above the maximum by that.
        assert!(times[0] > 0.0 && times.windows(2).all(|pair| pair[0] <= pair[1] * 1.02), "{name}: {times:?}");
        let metrics = api.get("/metrics").await?.expect(200);
        assert!(metrics.headers["content-type"].to_str()?.starts_with("text/plain"));
        assert!(metrics.text().lines().all(|line| line.starts_with('#') || line.split(' ').count() == 2), "{name}");
        api.get("/api/analytics/stats").await?.expect(200);
        assert_eq!(api.get("/nothing/here").await?.problem(404), "no-such-path");
        assert_eq!(api.get("/api/analytics/track").await?.problem(405), "no-such-method", "{name}");
    }
    let errors = aggregator.api().get("/api/analytics/performance?route=/status/{id}&window=1m").await?.json();
    assert_eq!(errors["routes"][0]["errorRate"], json!(1.0));
    eventually("hosts in /performance", Duration::from_secs(20), async || {
        let all = aggregator.api().get("/api/analytics/performance").await.ok()?.json();
        all["hosts"][0]["memoryTotalBytes"].as_i64()
    })
    .await;
    let recent = aggregator.api().get("/api/analytics/recent?type=seen").await?.expect(200).json();
    assert_eq!(recent["events"][0]["eventId"], event["eventId"]);
    assert_eq!(recent["events"][0]["properties"], event["properties"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_rebinds_its_name_is_kept_out() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    for api in [agent.api(), aggregator.api()] {
        for path in ["/api/analytics/stats", "/healthz", "/nothing"] {
            let request = api.client().get(api.url(path)).header("host", "rebound.example.com");
            assert_eq!(api.send(request).await?.problem(403), "host-not-loopback");
        }
        let request = api.client().get(api.url("/healthz")).header("host", "localhost:8600");
        api.send(request).await?.expect(200);
    }
    // The service behind the proxy may have any name.
    let request = agent.proxy().client().get(agent.proxy().url("/")).header("host", "shop.example.com");
    agent.proxy().send(request).await?.expect(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_on_one_folder_are_one_too_many() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    let folder = tempfile::tempdir()?;
    let data = aggregator.data().display().to_string();
    let second = run(AGGREGATOR, folder.path(), &["serve", "--data", &data, "--listen", "127.0.0.1:0"], &[]).await?;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another aggregator runs on") && second.stderr.contains(&data), "{second:?}");
    let (spool, url) = (agent.spool().display().to_string(), upstream.url());
    let anywhere = ["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
    let arguments = [&["run", "--service", "shop", "--upstream", &url, "--spool", &spool], &anywhere[..]].concat();
    let second = run(AGENT, folder.path(), &arguments, &[]).await?;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another agent uses the spool") && second.stderr.contains(&spool), "{second:?}");
    // A port that is taken is said as clearly.
    let address = aggregator.url().replace("http://", "");
    let second = run(AGGREGATOR, folder.path(), &["serve", "--listen", &address], &[]).await?;
    assert!(second.code == Some(1) && second.stderr.contains(&format!("cannot listen on {address}")), "{second:?}");
    // The first ones never noticed.
    agent.proxy().get("/").await?.expect(200);
    agent.flush().await?;
    assert_eq!(aggregator.count("requests").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_told_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listen = ["--listen", "everywhere", "--spool-max", "1KiB", "--upstream", "ftp://x"];
    let ended = run(AGENT, folder.path(), &[&["run"], &listen[..]].concat(), &[]).await?;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    for key in ["listen (flag)", "spool-max", "upstream", "service"] {
        assert!(ended.stderr.contains(key), "{key} is not in: {}", ended.stderr);
    }
    let file = folder.path().join("aggregator.toml");
    std::fs::write(&file, "flush-rows = 0\nflush-agee = \"5m\"\n")?;
    let path = file.display().to_string();
    let ended = run(AGGREGATOR, folder.path(), &["serve", "--config", &path], &[]).await?;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(
        ended.stderr.contains("aggregator.toml:2") && ended.stderr.contains("did you mean flush-age?"),
        "{ended:?}"
    );
    let environment = [("RIDEALONG_AGGREGATOR_LISTEN", "0.0.0.0:8600"), ("RIDEALONG_AGGREGATOR_LISTENN", "1")];
    let ended = run(AGGREGATOR, folder.path(), &["check"], &environment).await?;
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("RIDEALONG_AGGREGATOR_LISTEN"), "{ended:?}");
    for program in [AGENT, AGGREGATOR] {
        for arguments in [&["run", "--no-such-flag"][..], &["serve", "--no-such-flag"], &["dance"], &[]] {
            assert_eq!(run(program, folder.path(), arguments, &[]).await?.code, Some(2), "{program} {arguments:?}");
        }
        assert_eq!(run(program, folder.path(), &["--version"], &[]).await?.code, Some(0));
    }
    assert_eq!(run(AGGREGATOR, folder.path(), &["check"], &[]).await?.code, Some(0));
    assert!(run(AGGREGATOR, folder.path(), &["config"], &[]).await?.stdout.contains("flush-age"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_both_in_time_under_load() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::start(&[]).await?;
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    let load = Load::start(agent.proxy(), "stop", &Shape::new(8, Duration::ZERO));
    eventually("1,000 answers", Duration::from_secs(30), async || (load.answered() > 1_000).then_some(())).await;
    // A request that takes longer than a drain waits must not hold anything up.
    let (proxy, slow) = (agent.proxy().clone(), "/slow/20000");
    let slow = tokio::spawn(async move { proxy.get(slow).await.map(|answer| answer.status) });
    eventually("it is under way", Duration::from_secs(30), async || {
        (agent.proxy().get("/").await.ok()?.status == 200).then_some(())
    })
    .await;
    let (status, took) = agent.terminate().await?;
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    let served: u64 = load.stop().await?.iter().filter(|done| done.status == Some(200)).count() as u64;
    assert!(slow.await?.is_err(), "its connection was cut");
    // What was answered is delivered or in the spool: the next start has it.
    agent.restart().await?;
    agent.flush().await?;
    let found = aggregator.count("requests WHERE status = 200 AND request_id IS NOT NULL").await? as u64;
    assert_eq!(found, served);
    let (status, took) = aggregator.terminate().await?;
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_stops_in_time_without_an_aggregator() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut agent = Agent::start(&upstream.url(), &format!("http://{}", free_address()?), &[]).await?;
    for _ in 0..50 {
        agent.proxy().get("/").await?.expect(200);
    }
    let (status, took) = agent.terminate().await?;
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    let started = Instant::now();
    agent.restart().await?;
    assert!(started.elapsed() < Duration::from_secs(4), "it accepts after {:?}", started.elapsed());
    let carried = eventually("the old spool", Duration::from_secs(10), async || {
        Some(agent.books().await.ok()?.carried_over).filter(|rows| *rows > 0)
    });
    assert!(carried.await >= 50, "50 requests and their summary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_stops_in_time_with_idle_and_slow_callers() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let (_, batch) = events::batch("many", 5_000);
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    let slow = Api::new(aggregator.url());
    let slow = tokio::spawn(async move {
        let sql = "SELECT count(*) FROM events a, events b, events c WHERE a.properties < b.properties || c.properties";
        slow.post("/api/analytics/query", &json!({ "sql": sql, "timeoutMs": 30_000 })).await.is_ok()
    });
    aggregator.api().get("/healthz").await?.expect(200);
    let (status, took) = aggregator.terminate().await?;
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    slow.abort();
    aggregator.restart().await?;
    assert_eq!(aggregator.count("events").await?, 5_000);
    Ok(())
}
