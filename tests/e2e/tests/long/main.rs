//! The long run: many rows from many senders, a fifth of them sent twice, over a network that cuts connections, while both
//! programs are killed and the log's disk runs full. At the end the books balance to the row, and SQL agrees with them.
//!
//! `RIDEALONG_LONG_EVENTS` (200,000) and `RIDEALONG_LONG_SEED` (drawn, printed) choose how much and which.

#![allow(clippy::print_stdout, reason = "what a test measured is shown with it")]

mod agents;
mod disturbance;
mod frames;
mod json;
mod sent;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use ridealong_e2e::{Agent, Aggregator, Api, Cutter, Tmpfs, Upstream};
use tokio::task::JoinSet;

use agents::Service;
use disturbance::{Sandbox, disturb};
use sent::{Progress, Sent};

const EVENTS: u64 = 200_000;
/// One disturbance for so many rows, and at least so many of them.
const ROWS_A_DISTURBANCE: u64 = 100_000;
const DISTURBANCES_MIN: u64 = 15;
const FRAME_SENDERS: u64 = 3;
const JSON_SENDERS: u64 = 2;
/// One connection in so many breaks by itself.
const CUT_ONE_IN: u64 = 6;
/// The log's disk. What Delta holds leaves the log, so it stays far below.
const LOG_DISK: &str = "size=400m";

#[allow(clippy::disallowed_methods, reason = "a test's length and seed are no configuration of the product")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_to_the_row_after_a_long_run_of_faults() -> Result<()> {
    let seed = number("RIDEALONG_LONG_SEED").unwrap_or_else(|| fastrand::u64(..));
    let events = number("RIDEALONG_LONG_EVENTS").unwrap_or(EVENTS);
    println!("RIDEALONG_LONG_SEED={seed} RIDEALONG_LONG_EVENTS={events}");
    let mut random = Rng::with_seed(seed);
    let disturbances = (events / ROWS_A_DISTURBANCE).max(DISTURBANCES_MIN);
    let progress = Arc::new(Progress::new(events, disturbances));

    let flush_rows = (events / 20).to_string();
    let mut aggregator = Aggregator::absent(&["--flush-rows", &flush_rows, "--flush-age", "2s"])?;
    let log = aggregator.data().join("log");
    std::fs::create_dir_all(&log).context("no folder for the log")?;
    let disk = Tmpfs::mount(&log, LOG_DISK).ok();
    if disk.is_none() {
        println!("no tmpfs can be mounted here: the disk never runs full");
    }
    aggregator.restart().await?;
    let network = Cutter::start(aggregator.address(), CUT_ONE_IN, random.u64(..)).await?;
    let upstream = Upstream::start().await?;
    let agent = Agent::start(&upstream.url(), &network.url(), &["--host-interval", "1s"]).await?;
    let service = Service::start(&agent, &progress);

    let mut senders: JoinSet<Result<Sent>> = JoinSet::new();
    for at in 0..FRAME_SENDERS {
        senders.spawn(frames::send_frames(Api::new(network.url()), at, random.u64(..), Arc::clone(&progress)));
    }
    for at in 0..JSON_SENDERS {
        senders.spawn(json::send_events(Api::new(network.url()), at, random.u64(..), Arc::clone(&progress)));
    }
    let watching = tokio::spawn(verdict::watch(Api::new(aggregator.url()), Arc::clone(&progress)));
    let telling = tokio::spawn(sent::tell(Arc::clone(&progress)));

    let started = Instant::now();
    let mut sandbox = Sandbox { aggregator, agent, network, disk };
    disturb(&mut sandbox, &mut random, disturbances, &progress).await?;
    let mut sent = Sent::default();
    while let Some(more) = senders.join_next().await {
        sent.add(more.context("a sender panicked")??);
    }
    sent.add(service.stop().await?);
    progress.finish();
    let looks = watching.await.context("the watcher panicked")?;
    telling.await.context("the teller panicked")?;
    println!("sent in {:?}, {} connections cut; {looks:?}", started.elapsed(), sandbox.network.cuts());
    verdict::assert_all(&mut sandbox, &sent, Duration::from_secs(120)).await
}
