//! `batches`: the aggregator's door for agents under load.
//!
//! All frames are made before the clock starts, so that little more than HTTP is left to do for this program, which runs
//! on the same machine. Every acknowledgement counted is durable; at the end SQL must find every row exactly once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use reqwest::Client;
use serde_json::{Value, json};

use crate::delivery::{Delivered, deliver};
use crate::frames::{Cut, Encoded, of_producer};
use crate::process::{Memory, Others, memory, processor_time};
use crate::program::Program;
use crate::report::{Report, grouped, mebibytes};
use crate::{access_log, workload};

#[derive(Args)]
pub struct Options {
    /// An aggregator that runs already; without it one is started on an empty folder
    #[arg(long, value_name = "URL", requires = "pid")]
    aggregator: Option<String>,
    /// Its process, to measure it
    #[arg(long, value_name = "PID", requires = "aggregator")]
    pid: Option<u32>,
    /// Folder for the data of an aggregator started here; without it one that goes afterwards
    #[arg(long, value_name = "DIR", conflicts_with = "aggregator")]
    data: Option<PathBuf>,
    /// Access log in the combined format to make rows from; without it they are made up
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Rows in all
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    rows: u64,
    /// Agents at once, each with its connection
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    connections: u64,
    /// Rows of one frame
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(1..))]
    frame_rows: u64,
    /// Rows of one chunk; the agent's are 400
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    chunk_rows: u64,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What is measured about the aggregator.
struct Target {
    url: String,
    pid: u32,
    /// What was started here, with its folder.
    _started: Option<(Program, tempfile::TempDir)>,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let service = format!("load-{:08x}", fastrand::u32(..));
    let producers = frames(&options, &service).await?;
    let sizes = Sizes::of(&producers);
    let target = target(&options, binaries)?;
    let (before, others) = (processor_time(target.pid)?, Others::now()?);
    let ours_before = processor_time(std::process::id())?;
    let delivered = deliver(&target.url, producers).await?;
    let taken = processor_time(target.pid)? - before;
    let ours = processor_time(std::process::id())? - ours_before;
    let others = others.since(taken + ours)?;
    let at_end = memory(target.pid)?;
    let flush = flush(&target.url).await?;
    let flushed = processor_time(target.pid)? - before;
    print(&sizes, &delivered, &Costs { taken, flushed, flush, ours, others, at_end, after: memory(target.pid)? });
    verify(&target.url, &service, sizes.rows).await
}

struct Sizes {
    rows: u64,
    frames: u64,
    bytes: u64,
}

impl Sizes {
    fn of(producers: &[Vec<Encoded>]) -> Self {
        let frames = || producers.iter().flatten();
        Self {
            rows: frames().map(|frame| frame.rows).sum(),
            frames: frames().count() as u64,
            bytes: frames().map(|frame| frame.bytes.len() as u64).sum(),
        }
    }
}

struct Costs {
    taken: Duration,
    flushed: Duration,
    flush: Duration,
    ours: Duration,
    others: f64,
    at_end: Memory,
    after: Memory,
}

async fn frames(options: &Options, service: &str) -> Result<Vec<Vec<Encoded>>> {
    let lines = match &options.log {
        Some(file) => access_log::read(file)?,
        None => workload::made_up(options.seed),
    };
    let lines = std::sync::Arc::new(lines);
    let connections = options.connections;
    let mut making = Vec::new();
    for at in 0..connections {
        // What does not divide goes to the first ones.
        let rows = options.rows / connections + u64::from(at < options.rows % connections);
        let cut = Cut { rows, rows_a_frame: options.frame_rows, rows_a_chunk: options.chunk_rows };
        let (lines, service, seed) = (lines.clone(), service.to_owned(), options.seed.wrapping_add(at));
        making.push(tokio::task::spawn_blocking(move || of_producer(cut, &service, &lines, seed)));
    }
    let mut producers = Vec::new();
    for each in making {
        producers.push(each.await??);
    }
    Ok(producers)
}

fn target(options: &Options, binaries: &Path) -> Result<Target> {
    if let (Some(url), Some(pid)) = (&options.aggregator, options.pid) {
        return Ok(Target { url: url.trim_end_matches('/').to_owned(), pid, _started: None });
    }
    let folder = tempfile::Builder::new().prefix("ridealong-load-").tempdir().context("cannot make a folder")?;
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", &data.to_string_lossy()];
    let log = folder.path().join("aggregator.log");
    let program = Program::start(&binaries.join("ridealong-aggregator"), &arguments, &log)?;
    let url = program.addresses[0].clone();
    Ok(Target { url, pid: program.pid(), _started: Some((program, folder)) })
}

async fn flush(url: &str) -> Result<Duration> {
    let started = Instant::now();
    let answer = Client::builder().no_proxy().build()?.post(format!("{url}/api/analytics/flush")).send().await?;
    ensure!(answer.status().is_success(), "the flush was answered {}", answer.status());
    Ok(started.elapsed())
}

/// Every row exactly once.
async fn verify(url: &str, service: &str, rows: u64) -> Result<()> {
    let sql =
        format!("select count(*) as n, count(distinct event_id) as ids from requests where service = '{service}'");
    let body = json!({ "sql": sql, "timeoutMs": 30_000 });
    let client = Client::builder().no_proxy().build()?;
    let answer: Value = client.post(format!("{url}/api/analytics/query")).json(&body).send().await?.json().await?;
    let row = &answer["data"][0];
    let (found, ids) = (row["n"].as_u64(), row["ids"].as_u64());
    if (found, ids) != (Some(rows), Some(rows)) {
        bail!("{rows} rows were acknowledged, SQL finds {answer}");
    }
    let mut report = Report::new(&["check", "acknowledged", "found by SQL", "distinct ids"]);
    report.row(vec!["every row once".into(), grouped(rows), grouped(rows), grouped(rows)]);
    report.print();
    Ok(())
}

fn print(sizes: &Sizes, delivered: &Delivered, costs: &Costs) {
    let rows = sizes.rows as f64;
    let a_million = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e6 / rows);
    let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let mut report = Report::new(&["measure", "value", "unit"]);
    let mut line = |name: &str, value: String, unit: &str| report.row(vec![name.into(), value, unit.into()]);
    line("rows", grouped(sizes.rows), "");
    line("frames", grouped(sizes.frames), "");
    line("wire", format!("{:.1}", sizes.bytes as f64 / rows), "bytes a row");
    line("throughput", grouped((rows / delivered.took.as_secs_f64()) as u64), "rows/s");
    line("took", format!("{:.2}", delivered.took.as_secs_f64()), "s");
    line("acknowledged p50", milliseconds(delivered.percentile(50)), "ms");
    line("acknowledged p99", milliseconds(delivered.percentile(99)), "ms");
    line("acknowledged max", milliseconds(delivered.percentile(100)), "ms");
    line("put off (429, 503)", grouped(delivered.put_off), "");
    line("aggregator, until acknowledged", a_million(costs.taken), "CPU-s a million");
    line("aggregator, until in Delta", a_million(costs.flushed), "CPU-s a million");
    line("last flush", milliseconds(costs.flush), "ms");
    line("aggregator's memory at the end", mebibytes(costs.at_end.resident), "MiB");
    line("aggregator's memory, flushed", mebibytes(costs.after.resident), "MiB");
    line("aggregator's memory, peak", mebibytes(costs.after.resident_peak), "MiB");
    line("this program", a_million(costs.ours), "CPU-s a million");
    line("other programs", format!("{:.0}", costs.others * 100.0), "% of the machine");
    report.print();
}
