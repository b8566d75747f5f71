//! Promise 5: a query begun after a 2xx sees the row, once; under load, while flushes never stop and the aggregator is killed
//! again and again. Each writer asks for its own row after each acknowledgement.
//!
//! There is no compaction yet; when there is, it belongs among what goes on meanwhile.

#![allow(clippy::print_stdout, reason = "what a test measured is shown with it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use ridealong_common::ids::ProducerId;
use ridealong_e2e::frames::{events_chunk, frame, send};
use ridealong_e2e::ledger::assert_balanced;
use ridealong_e2e::{Aggregator, Api, events};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const WRITERS: u64 = 3;
const KILLS: usize = 5;
const BETWEEN_KILLS: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(5);
/// A query that is not answered within this is one of an aggregator that is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// Answers 503 to queries: a promise that is kept by refusing would be none.
const REFUSED_ONE_IN: u64 = 50;

#[derive(Clone, Copy, Debug)]
enum Door {
    Track,
    BatchTrack,
    Frames,
}

/// What one writer saw.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: u64,
    rows: u64,
    looks: u64,
    /// Queries answered 503, and asked again.
    refused: u64,
    /// Queries without an answer, since the aggregator was killed.
    unanswered: u64,
}

struct Writer {
    api: Api,
    door: Door,
    producer: ProducerId,
    next: u64,
    random: Rng,
    seen: Seen,
}

impl Writer {
    fn new(url: &str, door: Door, seed: u64) -> Self {
        let (api, random) = (Api::new(url), Rng::with_seed(seed));
        Self { api, door, producer: ProducerId::draw(), next: 0, random, seen: Seen::default() }
    }

    async fn run(mut self, stop: Arc<AtomicBool>) -> Result<Seen> {
        while !stop.load(Ordering::Relaxed) {
            let count = match self.door {
                Door::Track => 1,
                Door::BatchTrack | Door::Frames => self.random.usize(1..20),
            };
            let (ids, batch) = events::batch("own", count);
            self.write(&batch).await?;
            self.seen.acknowledged += 1;
            self.seen.rows += count as u64;
            self.look(&ids).await?;
        }
        Ok(self.seen)
    }

    /// Until it is acknowledged.
    async fn write(&mut self, batch: &Value) -> Result<()> {
        let count = batch["events"].as_array().map_or(0, Vec::len) as u64;
        let framed = frame(self.next + count, vec![events_chunk(self.producer, self.next, batch)?]);
        loop {
            let answer = match self.door {
                Door::Track => self.api.post("/api/analytics/track", &batch["events"][0]).await,
                Door::BatchTrack => self.api.post("/api/analytics/batch-track", batch).await,
                Door::Frames => send(&self.api, framed.clone()).await,
            };
            match answer {
                Ok(answer) if answer.status < 300 => break,
                Ok(answer) => anyhow::ensure!([429, 503].contains(&answer.status), answer.text()),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.next += count;
        Ok(())
    }

    /// The rows are there, each once; whoever answers 200 must show them.
    async fn look(&mut self, ids: &[String]) -> Result<()> {
        let started = Instant::now();
        let listed = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
        let sql = format!("SELECT event_id FROM events WHERE event_id IN ({listed}) ORDER BY 1");
        let mut expected = ids.to_vec();
        expected.sort();
        loop {
            self.seen.looks += 1;
            match self.api.post("/api/analytics/query", &json!({ "sql": sql })).await {
                Ok(answer) if answer.status == 503 => self.seen.refused += 1,
                Ok(answer) => {
                    let answer = answer.expect(200).json();
                    let rows = answer["data"].as_array().context("no rows")?;
                    let found: Vec<_> = rows.iter().filter_map(|row| row["event_id"].as_str()).collect();
                    assert_eq!(found, expected, "{:?}: acknowledged, and not in the next answer", self.door);
                    return Ok(());
                }
                Err(_) => self.seen.unanswered += 1,
            }
            anyhow::ensure!(started.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_every_answer_begun_after_it() -> Result<()> {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    // A flush as often as they can be.
    let mut aggregator = Aggregator::start(&["--flush-rows", "20", "--flush-age", "100ms"]).await?;
    let stop = Arc::<AtomicBool>::default();
    let mut writers = JoinSet::new();
    for at in 0..WRITERS {
        for door in [Door::Track, Door::BatchTrack, Door::Frames] {
            let writer = Writer::new(&aggregator.url(), door, seed ^ at);
            writers.spawn(writer.run(Arc::clone(&stop)));
        }
    }
    let mut flushes = 0;
    for _ in 0..KILLS {
        tokio::time::sleep(BETWEEN_KILLS.mul_f64(0.5 + random.f64())).await;
        flushes += aggregator.stats().await?["lake"]["flushes"].as_u64().unwrap_or(0);
        aggregator.kill().await?;
        aggregator.restart().await?;
    }
    tokio::time::sleep(BETWEEN_KILLS).await;
    flushes += aggregator.stats().await?["lake"]["flushes"].as_u64().unwrap_or(0);
    stop.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    while let Some(seen) = writers.join_next().await {
        let seen = seen.context("a writer panicked")??;
        all.acknowledged += seen.acknowledged;
        all.rows += seen.rows;
        all.looks += seen.looks;
        all.refused += seen.refused;
        all.unanswered += seen.unanswered;
    }
    println!("{all:?} over {KILLS} kills and {flushes} flushes");
    assert!(flushes > 10, "{flushes} flushes are too few to prove anything");
    assert!(all.refused * REFUSED_ONE_IN <= all.looks - all.unanswered, "refused too often: {all:?}");
    let found = aggregator.integers("SELECT count(*), count(DISTINCT event_id) FROM events").await?;
    assert_eq!(found, [all.rows as i64; 2]);
    assert_balanced(&aggregator).await
}
