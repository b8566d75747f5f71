//! Clients that are slow on purpose (slowhttptest: heads, bodies and reading), while another one is served as ever. What
//! they cost is seen in the agent's memory; nothing is asserted about time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ridealong_e2e::{Agent, Upstream};
use tokio::process::Command;

/// Nobody listens there: rows stay in the spool.
const NO_AGGREGATOR: &str = "http://127.0.0.1:9";
const SLOW_CLIENTS: &str = "400";
const SECONDS: u64 = 8;
/// What the agent may take with all of them: what each sends or does not read is not kept for it.
const RESIDENT_MIB: f64 = 100.0;
const PAUSE: Duration = Duration::from_millis(20);

/// Runs slowhttptest with these options; meanwhile every request of a sound client is answered.
#[allow(clippy::print_stdout, reason = "a figure for whoever looks")]
async fn meanwhile_another_is_served(options: &[&str], path: &str) -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut agent = Agent::start(&upstream.url(), NO_AGGREGATOR, &[]).await?;
    let folder = tempfile::tempdir()?;
    let (seconds, url) = (SECONDS.to_string(), agent.proxy().url(path));
    let mut slow = Command::new("slowhttptest")
        .args(options)
        .args(["-c", SLOW_CLIENTS, "-r", "200", "-l", &seconds, "-p", "5", "-u", &url])
        .current_dir(folder.path())
        .stdout(std::fs::File::create(folder.path().join("said"))?)
        .kill_on_drop(true)
        .spawn()
        .context("slowhttptest cannot be started: install the Debian package slowhttptest")?;
    let (mut answered, started) = (0, Instant::now());
    while slow.try_wait()?.is_none() {
        agent.proxy().get(&format!("/items/{answered}")).await?.expect(200);
        answered += 1;
        assert!(started.elapsed() < Duration::from_secs(120), "slowhttptest does not end");
        tokio::time::sleep(PAUSE).await;
    }
    let said = std::fs::read_to_string(folder.path().join("said"))?;
    let peak = agent.process().resident_peak_mib();
    println!("{options:?}: {answered} answers, {peak:.1} MiB at most");
    assert!(said.contains("slow HTTP test status"), "{said}");
    assert!(answered > 0 && agent.process().lives());
    assert!(peak < RESIDENT_MIB, "{peak} MiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads() -> Result<()> {
    meanwhile_another_is_served(&["-H", "-i", "1", "-x", "24"], "/").await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies() -> Result<()> {
    meanwhile_another_is_served(&["-B", "-i", "1", "-s", "8192", "-x", "10"], "/").await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reading() -> Result<()> {
    meanwhile_another_is_served(&["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"], "/bytes/2000000")
        .await
}
