//! Starts that are killed while they replay, over and over, at moments that a printed seed chooses; and a start with a log
//! of which the lake has nothing.
//!
//! `RIDEALONG_REPLAY_KILLS` (30) and `RIDEALONG_REPLAY_SEED` (drawn, printed) choose how long and which moments.

use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use ridealong_common::ids::ProducerId;
use ridealong_e2e::{Aggregator, eventually, frames};

const KILLS: u64 = 30;
const ROWS: usize = 2_000;

#[allow(clippy::disallowed_methods, reason = "a test's length and seed are no configuration of the product")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test]
async fn a_start_killed_at_any_moment_changes_nothing() -> Result<()> {
    let seed = number("RIDEALONG_REPLAY_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number("RIDEALONG_REPLAY_KILLS").unwrap_or(KILLS);
    println!("RIDEALONG_REPLAY_SEED={seed} RIDEALONG_REPLAY_KILLS={kills}");
    let mut random = Rng::with_seed(seed);
    // Flushes while it replays, so that kills fall into commits and releases too.
    let mut aggregator = Aggregator::start(&["--flush-rows", "3000", "--flush-age", "300ms"]).await?;
    let producer = ProducerId::draw();
    let (mut sent, mut listened) = (0_u64, 0);
    for round in 0..kills {
        for _ in 0..random.u64(1..6) {
            let chunk = frames::requests_chunk(producer, sent, ROWS);
            sent += ROWS as u64;
            frames::send(aggregator.api(), frames::frame(sent, vec![chunk])).await?.expect(200);
        }
        aggregator.kill().await?;
        for _ in 0..random.u64(0..4) {
            aggregator.stumble(Duration::from_micros(random.u64(0..100_000))).await?;
            listened += u32::from(!aggregator_is_silent(&aggregator));
        }
        aggregator.restart().await?;
        if round % 3 == 0 {
            assert_eq!(
                aggregator.integers("SELECT count(*), count(distinct event_id) FROM requests").await?,
                [sent as i64, sent as i64]
            );
        }
    }
    println!("{kills} kills, {listened} of the starts between were up when they were killed");
    assert_eq!(aggregator.count("requests").await?, sent as i64);
    aggregator.flush().await?;
    let counts = aggregator.integers("SELECT count(*), count(distinct event_id) FROM requests").await?;
    assert_eq!(counts, [sent as i64, sent as i64]);
    let stats = aggregator.stats().await?;
    assert_eq!((&stats["missing"], &stats["conflicts"], &stats["duplicate"]), (&0.into(), &0.into(), &0.into()));
    Ok(())
}

/// Whether the start that was just killed had not come as far as to say where it listens.
fn aggregator_is_silent(aggregator: &Aggregator) -> bool {
    let printed = std::fs::read_to_string(aggregator.data().join("../ridealong-aggregator.stdout"));
    printed.unwrap_or_default().is_empty()
}

/// Nothing was ever flushed: it listens at once, says that it is not ready until it has read the log, and answers no query
/// with less than everything.
#[tokio::test]
async fn a_log_that_was_never_flushed_is_there_whole_or_not_yet() -> Result<()> {
    let mut aggregator = Aggregator::start(&["--flush-age", "24h"]).await?;
    let producer = ProducerId::draw();
    let (chunks, rows) = (100, 5_000);
    for at in 0..chunks {
        let first = (at * rows) as u64;
        let chunk = frames::requests_chunk(producer, first, rows);
        frames::send(aggregator.api(), frames::frame(first + rows as u64, vec![chunk])).await?.expect(200);
    }
    assert_eq!(aggregator.count("requests").await?, (chunks * rows) as i64);
    let before = aggregator.process().resident_peak_mib();
    aggregator.kill().await?;
    let started = Instant::now();
    aggregator.restart().await?;
    let listening = started.elapsed();
    let asked = aggregator
        .api()
        .post("/api/analytics/query", &serde_json::json!({ "sql": "SELECT count(*) FROM requests" }))
        .await?;
    match asked.status {
        200 => assert_eq!(
            asked.json()["data"][0].as_object().and_then(|row| row.values().next()?.as_u64()),
            Some((chunks * rows) as u64)
        ),
        _ => assert_eq!(asked.problem(503), "behind"),
    }
    let ready = eventually("it is ready", Duration::from_secs(60), || async {
        let answer = aggregator.api().get("/readyz").await.ok()?;
        (answer.status == 200).then(|| started.elapsed())
    })
    .await;
    assert_eq!(aggregator.count("requests").await?, (chunks * rows) as i64);
    let after = aggregator.process().resident_peak_mib();
    println!("listening after {listening:?}, ready after {ready:?}; peak {before:.0} MiB before, {after:.0} MiB after");
    Ok(())
}
