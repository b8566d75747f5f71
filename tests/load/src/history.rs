//! `history`: a data folder with days of requests and events that lie in the past, for queries to be measured on.
//!
//! The rows come in as agents send them: several services, several agents each, all in step with time. Then all is
//! flushed and merged, so that a query meets what a folder of that age has. The last day ends with the present hour.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use ridealong_common::time::Timestamp;
use serde_json::Value;

use crate::batches::door;
use crate::delivery::deliver;
use crate::frames::{Cut, Encoded, Kind, Times, of_producer};
use crate::report::{Report, grouped};
use crate::target::{Target, client};
use crate::workload;

const SERVICES: [&str; 4] = ["shop", "search", "payments", "accounts"];
/// Agents of each service that send requests, and as many that send events.
const AGENTS: u64 = 2;
const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// Between two looks at a job.
const PAUSE: Duration = Duration::from_millis(200);
/// Of ten rows, those that are requests.
const REQUESTS: u64 = 6;

#[derive(Args)]
pub struct Options {
    /// Folder for the data; it must not exist
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Rows of both tables together
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    rows: u64,
    /// Days that they cover
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    ensure!(!options.data.exists(), "{} exists already: name a new folder", options.data.display());
    let span_us = i64::from(options.days) * DAY_US;
    let now = Timestamp::now().micros();
    let start = Timestamp(now - now % HOUR_US - span_us);
    let requests = options.rows * REQUESTS / 10;
    let target = Target::start(Some(&options.data), &[], binaries)?;
    let mut report = Report::new(&["table", "rows", "took, s"]);
    for (kind, rows) in [(Kind::Requests, requests), (Kind::Events, options.rows - requests)] {
        let agents = SERVICES.len() as u64 * AGENTS;
        let times = Times::Past { start, gap_us: span_us as f64 * agents as f64 / rows as f64 };
        let bodies = frames(kind, rows, times, options.seed).await?;
        let delivered = deliver(&door(&target.url), bodies, None).await?;
        report.row(vec![kind.table().name().into(), grouped(rows), format!("{:.1}", delivered.took.as_secs_f64())]);
    }
    target.flush().await?;
    compact(&target).await?;
    report.print();
    Ok(())
}

/// What each agent of each service sends.
async fn frames(kind: Kind, rows: u64, times: Times, seed: u64) -> Result<Vec<Vec<Encoded>>> {
    let agents = SERVICES.len() as u64 * AGENTS;
    let lines = std::sync::Arc::new(workload::made_up(seed));
    let making = (0..agents).map(|agent| {
        let rows = rows / agents + u64::from(agent < rows % agents);
        let cut = Cut { kind, rows, rows_a_frame: 1_000, rows_a_chunk: 400, whole: true, times };
        let service = SERVICES[(agent / AGENTS) as usize];
        let lines = lines.clone();
        tokio::task::spawn_blocking(move || of_producer(cut, service, &lines, seed.wrapping_add(agent)))
    });
    let mut producers = Vec::new();
    for each in making.collect::<Vec<_>>() {
        producers.push(each.await??);
    }
    Ok(producers)
}

/// Runs the job until it says that its last run ended well; a long one is answered before its end.
async fn compact(target: &Target) -> Result<()> {
    let job = format!("{}/api/analytics/jobs/compact", target.url);
    let answer = client()?.post(format!("{job}/run")).send().await.context("cannot ask for compaction")?;
    ensure!(answer.status().is_success(), "compaction was answered {}", answer.status());
    loop {
        let status: Value = client()?.get(&job).send().await?.json().await?;
        match status["state"].as_str() {
            Some("idle") => return Ok(()),
            Some(_) => tokio::time::sleep(PAUSE).await,
            None => bail!("compaction is in no state: {status}"),
        }
    }
}
