//! On real input: nginx as the service, `wrk` as its clients, and nginx's own access log as the truth.

use std::collections::HashSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ridealong_e2e::{Agent, Aggregator, Api, eventually, free_address};
use tokio::process::{Child, Command};

const SECONDS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(5);

#[allow(clippy::disallowed_methods, reason = "a test's length is no configuration of the product")]
fn seconds() -> u64 {
    std::env::var("RIDEALONG_WRK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS)
}

/// nginx as one process in the foreground (a worker would outlive a killed master), in a folder of its own.
fn start_nginx(folder: &Path, address: &str) -> Result<Child> {
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;
         events {{ worker_connections 4096; }}
         http {{
           log_format ids '$status $http_x_request_id';
           access_log access.log ids;
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
           scgi_temp_path scgi;
           keepalive_requests 1000000;
           server {{
             listen {address};
             location / {{ return 200 \"hello hello hello\\n\"; }}
             location /fail {{ return 503; }}
           }}
         }}"
    );
    std::fs::write(folder.join("nginx.conf"), configuration)?;
    let folder_text = format!("{}/", folder.display());
    Command::new("nginx")
        .args(["-p", &folder_text, "-c", "nginx.conf", "-e", "error.log"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("nginx cannot be started: install the Debian package nginx-light")
}

/// What nginx logged: the number of its lines, and the request ids in them.
fn logged(folder: &Path) -> Result<(usize, HashSet<String>)> {
    let text = std::fs::read_to_string(folder.join("access.log"))?;
    let ids = text.lines().filter_map(|line| line.split(' ').nth(1)).filter(|id| *id != "-");
    Ok((text.lines().count(), ids.map(str::to_owned).collect()))
}

/// `wrk` cuts its connections when its time is over: rows of requests that the agent had read and not yet passed on. They
/// are in no log of nginx, and rightly in ours, with the reason.
async fn never_passed_on(aggregator: &Aggregator, ids: &HashSet<String>) -> Result<usize> {
    let left = "requests WHERE error = 'client_disconnect' AND status IS NULL";
    let rows = aggregator.rows(&format!("SELECT event_id FROM {left}")).await?;
    Ok(rows.iter().filter(|row| !row["event_id"].as_str().is_some_and(|id| ids.contains(id))).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_logs_as_many_responses_as_sql_counts() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("ridealong-nginx-").tempdir()?;
    let address = free_address()?.to_string();
    let mut nginx = start_nginx(folder.path(), &address)?;
    let url = format!("http://{address}");
    let direct = Api::new(url.clone());
    eventually("nginx answers", PATIENCE, async || direct.get("/ready").await.ok()).await;
    let (before, _) = logged(folder.path())?;
    let aggregator = Aggregator::start(&["--flush-rows", "50000"]).await?;
    let agent = Agent::start(&url, &aggregator.url(), &[]).await?;
    agent.proxy().get("/fail").await?.expect(503);

    let duration = format!("-d{}s", seconds());
    let arguments = ["-t1", "-c32", &duration, "--latency", &agent.proxy().url("/items/42")];
    let wrk = Command::new("wrk").args(arguments).output().await;
    let wrk = wrk.context("wrk cannot be started: install the Debian package wrk")?;
    println!("{}", String::from_utf8_lossy(&wrk.stdout));
    assert!(wrk.status.success());
    agent.flush().await?;
    // What wrk cut off at its end may be under way for a moment yet.
    let counts = async || -> Result<[usize; 4]> {
        agent.flush().await?;
        let (lines, ids) = logged(folder.path())?;
        let rows = aggregator.count("requests").await? as usize;
        Ok([rows - never_passed_on(&aggregator, &ids).await?, lines - before, rows, ids.len()])
    };
    let started = Instant::now();
    let [passed_on, lines, rows, ids] = loop {
        let counts = counts().await?;
        if counts[0] == counts[1] || started.elapsed() > SETTLED {
            break counts;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let statuses = "SELECT status, error, count(*) AS n FROM requests GROUP BY 1, 2 ORDER BY 1, 2";
    println!("{:?}", aggregator.rows(statuses).await?);
    println!("{rows} rows, {passed_on} of requests that were passed on; {lines} lines, {ids} ids in nginx's log");
    assert_eq!(passed_on, lines, "rows against lines of nginx's access log");
    assert_eq!(ids, lines, "each line has its own id");
    let once = aggregator.integers("SELECT count(distinct event_id) FROM requests").await?[0];
    assert_eq!(once as usize, rows);
    let summed = aggregator.integers("SELECT sum(count) FROM request_summaries").await?[0];
    assert_eq!(summed as usize, rows);
    agent.books().await?.assert_balanced();
    nginx.kill().await?;
    Ok(())
}
