//! `metrics`: how soon `POST /metrics` answers over days of data: with rollups on the disk only, in memory, and the same
//! question again; while nothing comes in and while events do.
//!
//! Times are those of this program, HTTP and JSON included.

mod dashboards;
mod days;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures::future::try_join_all;
use reqwest::Client;
use ridealong_common::time::Timestamp;
use serde_json::Value;

use self::dashboards::{Dashboard, Range};
use self::days::Days;
use crate::batches::door;
use crate::delivery::{deliver, percentile};
use crate::process::{Others, memory, processor_time};
use crate::report::{Report, grouped, mebibytes};
use crate::target::{Target, client};

/// How long the rollups of what was made may take.
const ROLLUPS: Duration = Duration::from_secs(900);

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    days: Days,
    /// Questions of each phase
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    questions: u64,
    /// Dashboards asking at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    clients: u64,
    /// Events a second that come in during the last phase; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rate: u64,
    /// Folder for the data, which stays, and is used as it is when it is there; without it one that goes afterwards
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Further flags for the aggregator, such as --with=--rollup-memory=64MiB
    #[arg(long = "with", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// One answer.
struct Asked {
    dashboard: &'static str,
    source: String,
    took: Duration,
    cache_hit: bool,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("ridealong-metrics-").tempdir().context("cannot make a folder")?;
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let end = options.days.end(&data)?;
    if !data.join("made").is_file() {
        fill(&options, &data, end, binaries).await?;
    }
    // Started anew, so that nothing is in memory yet.
    let target = Target::start(Some(&data), &options.flags, binaries)?;
    let range = Range { start: end - options.days.micros(), end };
    let mut report =
        Report::new(&["phase, dashboard", "source", "answers", "hits", "p50 ms", "p95 ms", "p99 ms", "max ms"]);
    let mut costs = Report::new(&["phase", "questions/s", "CPU-ms a question", "others", "resident MiB"]);
    let mut phase = Phase { target: &target, report: &mut report, costs: &mut costs };
    let mut random = fastrand::Rng::with_seed(options.days.seed);
    let all = Dashboard::all();
    let once: Vec<_> = all.iter().map(|dashboard| dashboard.ask(&mut random, range)).collect();
    phase.run("cold", vec![once]).await?;
    let mut varied = |clients: u64| -> Vec<Vec<(&'static str, Value)>> {
        let of_one = |random: &mut fastrand::Rng| {
            let draw = |_| all[random.usize(0..all.len())].ask(random, range);
            (0..options.questions / clients).map(draw).collect()
        };
        (0..clients).map(|_| of_one(&mut random)).collect()
    };
    phase.run("first", varied(1)).await?;
    phase.run("warm", varied(1)).await?;
    phase.run("warm, at once", varied(options.clients)).await?;
    let questions = varied(options.clients);
    let few = |of_one: &Vec<(&'static str, Value)>| of_one.iter().take(all.len()).cloned().collect::<Vec<_>>();
    let same = questions.iter().map(|of_one| few(of_one).into_iter().cycle().take(8 * all.len()).collect()).collect();
    phase.run("the same again", same).await?;
    if options.rate > 0 {
        let coming = days::coming(options.days.seed, options.rate);
        let delivering = tokio::spawn({
            let (door, rate) = (door(&target.url), options.rate);
            async move { deliver(&door, coming?, Some(rate)).await }
        });
        // Some hot rows first.
        tokio::time::sleep(Duration::from_secs(5)).await;
        phase.run("with events coming", varied(options.clients)).await?;
        let newest = Range { start: range.start, end: Timestamp::now().micros() };
        let of_now: Vec<_> = (0..options.clients)
            .map(|_| {
                let draw = |_| all[random.usize(0..all.len())].ask_newest(newest);
                (0..options.questions / options.clients).map(draw).collect()
            })
            .collect();
        phase.run("of the newest, with events coming", of_now).await?;
        delivering.abort();
    }
    report.print();
    costs.print();
    Ok(())
}

/// Makes the data, stores it as it would lie after some time, and waits for its rollups.
async fn fill(options: &Options, data: &Path, end: i64, binaries: &Path) -> Result<()> {
    let target = Target::start(Some(data), &options.flags, binaries)?;
    let mut report = Report::new(&["made", "rows", "seconds"]);
    for (name, rows, bodies) in [
        ("events", options.days.events, options.days.event_frames(end)?),
        ("request_summaries", options.days.summaries(), options.days.summary_frames(end)?),
    ] {
        let started = Instant::now();
        deliver(&door(&target.url), bodies, None).await?;
        report.row(vec![name.into(), grouped(rows), format!("{:.1}", started.elapsed().as_secs_f64())]);
    }
    let started = Instant::now();
    target.flush().await?;
    let client = client()?;
    client.post(format!("{}/api/analytics/jobs/compact/run", target.url)).send().await?.error_for_status()?;
    report.row(vec!["flushed and compacted".into(), String::new(), format!("{:.1}", started.elapsed().as_secs_f64())]);
    let (started, before) = (Instant::now(), processor_time(target.pid)?);
    let bytes = rollups(&client, &target, data).await?;
    let took = processor_time(target.pid)? - before;
    report.row(vec![
        format!("rollups: {} MiB, {:.1} CPU-s", mebibytes(bytes), took.as_secs_f64()),
        String::new(),
        format!("{:.1}", started.elapsed().as_secs_f64()),
    ]);
    report.print();
    std::fs::write(data.join("made"), end.to_string()).context("cannot note what was made")
}

/// Waits until each file has its rollups; how many bytes these are.
async fn rollups(client: &Client, target: &Target, data: &Path) -> Result<u64> {
    let started = Instant::now();
    loop {
        let stats: Value = client.get(format!("{}/api/analytics/stats", target.url)).send().await?.json().await?;
        let tables = stats["lake"]["tables"].as_array().context("/stats names no tables")?;
        let with_rollups = ["events", "request_summaries", "host_metrics"];
        let of_them = tables.iter().filter(|table| with_rollups.iter().any(|name| table["table"] == *name));
        let files: u64 = of_them.filter_map(|table| table["files"].as_u64()).sum();
        let stored: Vec<_> = std::fs::read_dir(data.join("rollups"))?.flatten().collect();
        let stored: Vec<_> =
            stored.iter().filter(|entry| entry.path().extension().is_some_and(|it| it == "rollup")).collect();
        if stored.len() as u64 == files {
            return Ok(stored.iter().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum());
        }
        ensure!(started.elapsed() < ROLLUPS, "{} of {files} files have rollups after {ROLLUPS:?}", stored.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Asks and notes.
struct Phase<'a> {
    target: &'a Target,
    report: &'a mut Report,
    costs: &'a mut Report,
}

impl Phase<'_> {
    async fn run(&mut self, name: &str, questions: Vec<Vec<(&'static str, Value)>>) -> Result<()> {
        let (others, before, started) = (Others::now()?, processor_time(self.target.pid)?, Instant::now());
        let ours = processor_time(std::process::id())?;
        let asking = questions.into_iter().map(|questions| ask(self.target.url.clone(), questions));
        let asked: Vec<Asked> = try_join_all(asking).await?.into_iter().flatten().collect();
        let took = started.elapsed().as_secs_f64();
        let cost = processor_time(self.target.pid)? - before;
        let ours = processor_time(std::process::id())? - ours;
        let mut by_dashboard: BTreeMap<(&str, &str), Vec<&Asked>> = BTreeMap::new();
        for each in &asked {
            by_dashboard.entry(("all", "")).or_default().push(each);
            by_dashboard.entry((each.dashboard, &each.source)).or_default().push(each);
        }
        for ((dashboard, source), asked) in by_dashboard {
            let mut times: Vec<Duration> = asked.iter().map(|each| each.took).collect();
            times.sort_unstable();
            let hits = asked.iter().filter(|each| each.cache_hit).count();
            let shown = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
            self.report.row(vec![
                format!("{name}: {dashboard}"),
                source.to_owned(),
                times.len().to_string(),
                hits.to_string(),
                shown(percentile(&times, 50)),
                shown(percentile(&times, 95)),
                shown(percentile(&times, 99)),
                shown(times.last().copied().unwrap_or_default()),
            ]);
        }
        self.costs.row(vec![
            name.to_owned(),
            format!("{:.0}", asked.len() as f64 / took),
            format!("{:.2}", cost.as_secs_f64() * 1e3 / asked.len() as f64),
            format!("{:.0} %", others.since(cost + ours)? * 100.0),
            mebibytes(memory(self.target.pid)?.resident),
        ]);
        Ok(())
    }
}

async fn ask(url: String, questions: Vec<(&'static str, Value)>) -> Result<Vec<Asked>> {
    let (client, url) = (client()?, format!("{url}/api/analytics/metrics"));
    let mut asked = Vec::with_capacity(questions.len());
    for (dashboard, body) in questions {
        let body = body.to_string();
        let started = Instant::now();
        let answer = client.post(&url).body(body.clone()).send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        let took = started.elapsed();
        ensure!(status.is_success(), "{body} was answered {status}: {}", String::from_utf8_lossy(&bytes));
        let answer: Value = serde_json::from_slice(&bytes)?;
        let metadata = &answer["metadata"];
        ensure!(metadata["totalRows"].as_u64() > Some(0), "{body} found nothing");
        let source = metadata["dataSource"].as_str().unwrap_or_default().to_owned();
        asked.push(Asked { dashboard, source, took, cache_hit: metadata["cacheHit"] == true });
    }
    Ok(asked)
}
