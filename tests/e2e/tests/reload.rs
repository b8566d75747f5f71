//! Settings change while the agent runs: by SIGHUP and over its own API, without touching a connection.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use ridealong_e2e::{Agent, Aggregator, Upstream, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

async fn setting(agent: &Agent, key: &str) -> Result<Value> {
    Ok(agent.api().get("/api/analytics/config").await?.expect(200).json()[key].clone())
}

/// The status line of an answer over a connection that stays.
async fn ask(stream: &mut TcpStream, path: &str) -> Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await?;
    let mut bytes = vec![0; 64 << 10];
    let length = stream.read(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_file_again_and_connections_go_on() -> Result<()> {
    let upstream = Upstream::start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, "uri-bytes-max = '8KiB'\n")?;
    let mut agent =
        Agent::start(&upstream.url(), "http://127.0.0.1:1", &["--config", &file.display().to_string()]).await?;
    let mut stream = TcpStream::connect(agent.proxy_address()).await?;
    let long = format!("/{}", "x".repeat(4000));
    assert!(ask(&mut stream, &long).await?.starts_with("HTTP/1.1 200"));

    let hang_up = |agent: &mut Agent| -> Result<()> {
        assert!(Command::new("kill").args(["-HUP", &agent.process().id().to_string()]).status()?.success());
        Ok(())
    };
    std::fs::write(&file, "uri-bytes-max = 'much'\n")?;
    hang_up(&mut agent)?;
    eventually("the fault is logged", PATIENCE, || {
        std::future::ready(agent.process().stderr().contains("not reloaded").then_some(()))
    })
    .await;
    assert_eq!(setting(&agent, "uri-bytes-max").await?["value"], "8KiB");

    std::fs::write(&file, "uri-bytes-max = '1KiB'\nhost-interval = '7s'\n")?;
    hang_up(&mut agent)?;
    eventually("the new limit", PATIENCE, async || {
        let value = setting(&agent, "uri-bytes-max").await.ok()?;
        (value["value"] == "1KiB").then_some(())
    })
    .await;
    assert_eq!(setting(&agent, "host-interval").await?["value"], "10s", "it waits for a restart, and the log says so");
    assert!(agent.process().stderr().contains("host-interval"));
    // Each thread takes the new limits with its next tick.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(ask(&mut stream, "/short").await?.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut stream, &long).await?.starts_with("HTTP/1.1 414"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_changes_holds_until_it_is_taken_back() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &["--sample", "1"]).await?;
    let put = async |agent: &Agent, body: Value| {
        let request = agent.api().client().put(agent.api().url("/api/analytics/config")).json(&body);
        agent.api().send(request).await
    };
    put(&agent, json!({ "sample": 0, "connectionsMax": 500 })).await?.expect(200);
    assert_eq!(setting(&agent, "connections-max").await?["value"], "500");
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        agent.proxy().get("/a").await?.expect(200);
    }
    agent.flush().await?;
    let rows = aggregator.rows("SELECT count(*) AS n FROM requests").await?;
    let counted = aggregator.rows("SELECT sum(count) AS n FROM request_summaries").await?;
    assert_eq!((&rows[0]["n"], &counted[0]["n"]), (&json!(0), &json!(20)));

    let wrong = put(&agent, json!({ "sample": 2, "slow": "5s" })).await?;
    assert!(wrong.problem(400).ends_with("invalid-setting"));
    let unknown = put(&agent, json!({ "smaple": 1, "listen": "127.0.0.1:1" })).await?.expect(400).text();
    assert!(unknown.contains("did you mean sample") && unknown.contains("listen changes only at a start"), "{unknown}");
    assert_eq!(setting(&agent, "slow").await?["value"], "1s");

    agent.terminate().await?;
    agent.restart().await?;
    assert_eq!(
        setting(&agent, "sample").await?,
        json!({ "value": "0", "origin": "changed while running", "live": true,
                "help": "Share of ordinary requests that become rows, 0 to 1; counts stay exact at any rate" })
    );
    put(&agent, json!({ "sample": null })).await?.expect(200);
    assert_eq!(setting(&agent, "sample").await?["origin"], "flag");
    Ok(())
}
