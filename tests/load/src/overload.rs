//! `overload`: far more than the aggregator can take.
//!
//! First connections that wait for their answers, twice: until log and memory are as full as they get, which a burst
//! would only fill, and then for the peak that can be sustained. Then bodies are sent at a multiple of that pace whether or not
//! the last ones were answered, over many connections; one that is put off is sent again when its turn comes. What is
//! acknowledged then is the goodput; meanwhile health is asked and memory watched; at the end SQL must find every
//! acknowledged row once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::batches::{Make, door, frames};
use crate::delivery::{Door, deliver, percentile};
use crate::frames::Encoded;
use crate::process::memory;
use crate::report::{Report, grouped, mebibytes};
use crate::target::{Target, Which, client};

/// Requests under way at once: what a machine full of agents would open.
const UNDER_WAY_MAX: usize = 1_000;
const HEALTH_EVERY: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    make: Make,
    /// How many times the peak is offered
    #[arg(long, value_name = "N", default_value_t = 10)]
    times: u64,
    /// How long it is offered, in seconds
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
}

#[derive(Default)]
struct Counts {
    offered: AtomicU64,
    acknowledged: AtomicU64,
    put_off: AtomicU64,
    /// Connections that broke: the body may or may not be stored.
    broken: AtomicU64,
}

struct Watched {
    health: Vec<Duration>,
    resident_peak: u64,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let last = service();
    let filling = frames(&options.make, &service()).await?;
    let peak_bodies = frames(&options.make, &service()).await?;
    let bodies: VecDeque<Encoded> = frames(&options.make, &last).await?.into_iter().flatten().collect();
    let target = options.which.start(binaries)?;
    let door = door(&target.url);
    let rows: u64 = peak_bodies.iter().flatten().map(|body| body.rows).sum();
    deliver(&door, filling, None).await?;
    let peak = deliver(&door, peak_bodies, None).await?;
    let peak_rate = rows as f64 / peak.took.as_secs_f64();
    let counts = Arc::new(Counts::default());
    let watched = watch(&target, Duration::from_secs(options.seconds));
    let offering = offer(&door, bodies, peak_rate * options.times as f64, options.seconds, counts.clone());
    let (watched, offered) = tokio::join!(watched, offering);
    let (watched, took) = (watched?, offered?.as_secs_f64());
    print(peak_rate, took, &counts, &watched);
    target.flush().await?;
    let table = options.make.kind.table().name();
    let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
    let broken = counts.broken.load(Ordering::Relaxed);
    found(&target, table, options.make.kind.service_column(), &last, acknowledged, broken).await
}

fn service() -> String {
    format!("load-{:08x}", fastrand::u32(..))
}

/// Sends bodies when they are due, until all are acknowledged or the time is over; how long it took.
async fn offer(
    door: &Door,
    bodies: VecDeque<Encoded>,
    rate: f64,
    seconds: u64,
    counts: Arc<Counts>,
) -> Result<Duration> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let bodies = Arc::new(Mutex::new(bodies));
    let (started, mut events) = (Instant::now(), 0_u64);
    let mut sending = JoinSet::new();
    loop {
        let due = started + Duration::from_secs_f64(events as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let next = bodies.lock().ok().and_then(|mut bodies| bodies.pop_front());
        let is_over = started.elapsed() > Duration::from_secs(seconds) || next.is_none() && sending.is_empty();
        if is_over {
            break;
        }
        while sending.try_join_next().is_some() {}
        let Some(body) = next else {
            // The last ones are under way.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        events += body.rows;
        counts.offered.fetch_add(body.rows, Ordering::Relaxed);
        // More than this no network of agents has under way either: the sender is put off before it sends.
        let Ok(permit) = Arc::clone(&under_way).try_acquire_owned() else {
            counts.put_off.fetch_add(body.rows, Ordering::Relaxed);
            again(&bodies, body);
            continue;
        };
        let (client, door, counts, bodies) = (client.clone(), door.clone(), counts.clone(), bodies.clone());
        sending.spawn(async move {
            let _permit = permit;
            if !send(&client, &door, &body, &counts).await {
                again(&bodies, body);
            }
        });
    }
    while sending.join_next().await.is_some() {}
    Ok(started.elapsed())
}

fn again(bodies: &Mutex<VecDeque<Encoded>>, body: Encoded) {
    if let Ok(mut bodies) = bodies.lock() {
        bodies.push_back(body);
    }
}

/// Whether it was acknowledged.
async fn send(client: &Client, door: &Door, body: &Encoded, counts: &Counts) -> bool {
    let request = client.post(&door.url).header(CONTENT_TYPE, door.media_type).body(body.bytes.clone());
    let answered = request.send().await.map(|answer| answer.status());
    let counter = match answered {
        Ok(StatusCode::OK) => &counts.acknowledged,
        Ok(_) => &counts.put_off,
        Err(_) => &counts.broken,
    };
    counter.fetch_add(body.rows, Ordering::Relaxed);
    matches!(answered, Ok(StatusCode::OK))
}

/// Asks for health and looks at memory all the while.
async fn watch(target: &Target, time: Duration) -> Result<Watched> {
    let client = client()?;
    let started = Instant::now();
    let mut watched = Watched { health: Vec::new(), resident_peak: 0 };
    while started.elapsed() < time {
        tokio::time::sleep(HEALTH_EVERY).await;
        let asked = Instant::now();
        let answer = client.get(format!("{}/healthz", target.url)).send().await?;
        ensure!(answer.status().is_success(), "health was answered {}", answer.status());
        watched.health.push(asked.elapsed());
        watched.resident_peak = memory(target.pid)?.resident_peak;
    }
    watched.health.sort_unstable();
    Ok(watched)
}

async fn found(
    target: &Target,
    table: &str,
    column: &str,
    service: &str,
    acknowledged: u64,
    broken: u64,
) -> Result<()> {
    let (rows, ids) = target.rows_and_ids(table, column, service).await?;
    ensure!(rows == ids, "{rows} rows have {ids} ids");
    // A body that was put off last may have been stored in part.
    ensure!(rows >= acknowledged, "{acknowledged} rows were acknowledged, SQL finds {rows}");
    let mut report = Report::new(&["check", "acknowledged", "unanswered", "found by SQL"]);
    report.row(vec!["every acknowledged row once".into(), grouped(acknowledged), grouped(broken), grouped(rows)]);
    report.print();
    Ok(())
}

fn print(peak: f64, took: f64, counts: &Counts, watched: &Watched) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let goodput = read(&counts.acknowledged) as f64 / took;
    let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let mut report = Report::new(&["measure", "value", "unit"]);
    let mut line = |name: &str, value: String, unit: &str| report.row(vec![name.into(), value, unit.into()]);
    line("sustained, senders that wait", grouped(peak as u64), "events/s");
    line("offered", grouped((read(&counts.offered) as f64 / took) as u64), "events/s");
    line("goodput", grouped(goodput as u64), "events/s");
    line("goodput / peak", format!("{:.2}", goodput / peak), "");
    line("put off", grouped(read(&counts.put_off)), "events");
    line("unanswered", grouped(read(&counts.broken)), "events");
    line("health p50", milliseconds(percentile(&watched.health, 50)), "ms");
    line("health p99", milliseconds(percentile(&watched.health, 99)), "ms");
    line("health, worst", milliseconds(percentile(&watched.health, 100)), "ms");
    line("aggregator's memory, peak", mebibytes(watched.resident_peak), "MiB");
    report.print();
}
