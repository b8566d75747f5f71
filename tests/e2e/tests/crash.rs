//! Killed at any moment: both programs, with SIGKILL, alternately, under load. Every acknowledged event is there once; no
//! request is there twice; of the requests only those are missing that ended right before a kill of the agent. Starts of
//! the aggregator are killed too, while they replay.
//!
//! `RIDEALONG_CRASH_KILLS` (12) and `RIDEALONG_CRASH_SEED` (drawn, printed) choose how long and which moments.

#![allow(clippy::print_stdout, reason = "what a test measured is shown with it")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use ridealong_e2e::load::{Done, Shape};
use ridealong_e2e::{Agent, Aggregator, Api, Load, Upstream, events};
use serde_json::json;
use tokio::task::JoinSet;

const KILLS: u64 = 12;
/// Rows reach the disk within 200 ms; the rest is for the client, which notes the time of its answer.
const LAST_INTERVAL: Duration = Duration::from_millis(250);

#[allow(clippy::disallowed_methods, reason = "a test's length and seed are no configuration of the product")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Event ids by what their client knows: acknowledged or not.
#[derive(Default)]
struct Tracked {
    acknowledged: Vec<String>,
    unknown: Vec<String>,
}

/// Posts events, one or a batch at a time; none is sent a second time.
async fn track(api: Api, path: &'static str, size: usize, stop: Arc<AtomicBool>) -> Result<Tracked> {
    let mut tracked = Tracked::default();
    while !stop.load(Ordering::Relaxed) {
        let (ids, body) = if size > 1 {
            events::batch("crash", size)
        } else {
            let (id, event) = events::event("crash");
            (vec![id], event)
        };
        match api.post(path, &body).await {
            Ok(answer) if answer.status < 300 => tracked.acknowledged.extend(ids),
            Ok(answer) => {
                anyhow::ensure!([429, 503].contains(&answer.status), "{}: {}", answer.status, answer.text());
                tracked.unknown.extend(ids);
            }
            Err(_) => tracked.unknown.extend(ids),
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    Ok(tracked)
}

/// One kill of the agent: since when it ran, and the times between which it was killed.
struct Kill {
    up: Instant,
    before: Instant,
    after: Instant,
}

/// Kills and restarts; the kills of the agent.
async fn kill_alternately(
    kills: u64,
    random: &mut Rng,
    agent: &mut Agent,
    aggregator: &mut Aggregator,
) -> Result<Vec<Kill>> {
    let (mut agent_kills, mut up) = (Vec::new(), Instant::now());
    for at in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.u64(50..800))).await;
        if at % 3 == 1 {
            // Right into a flush, which is answered or not.
            let api = aggregator.api().clone();
            tokio::spawn(async move { api.post("/api/analytics/flush", &json!({})).await.is_ok() });
            tokio::time::sleep(Duration::from_millis(random.u64(0..60))).await;
        }
        let before = Instant::now();
        if at % 2 == 0 {
            agent.kill().await?;
            agent_kills.push(Kill { up, before, after: Instant::now() });
            agent.restart().await.with_context(|| format!("agent, kill {at}"))?;
            up = Instant::now();
        } else {
            aggregator.kill().await?;
            // Killed again while it recovers, once or twice or not at all.
            for _ in 0..random.u64(0..3) {
                aggregator.stumble(Duration::from_micros(random.u64(0..200_000))).await?;
            }
            aggregator.restart().await.with_context(|| format!("aggregator, kill {at}"))?;
        }
    }
    Ok(agent_kills)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_or_doubled() -> Result<()> {
    let seed = number("RIDEALONG_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number("RIDEALONG_CRASH_KILLS").unwrap_or(KILLS);
    println!("RIDEALONG_CRASH_SEED={seed} RIDEALONG_CRASH_KILLS={kills}");
    let mut random = Rng::with_seed(seed);
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::start(&["--flush-rows", "1500", "--flush-age", "1s"]).await?;
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;

    let load = Load::start(agent.proxy(), "crash", &Shape::new(4, Duration::from_millis(3)));
    let stop = Arc::<AtomicBool>::default();
    let mut trackers = JoinSet::new();
    for (api, path, size) in [
        (agent.api(), "/api/analytics/track", 1),
        (agent.api(), "/api/analytics/batch-track", 7),
        (aggregator.api(), "/api/analytics/track", 1),
        (aggregator.api(), "/api/analytics/batch-track", 7),
    ] {
        // Their own connections.
        trackers.spawn(track(Api::new(api.url("")), path, size, Arc::clone(&stop)));
    }
    let agent_kills = kill_alternately(kills, &mut random, &mut agent, &mut aggregator).await?;
    stop.store(true, Ordering::Relaxed);
    let requests = load.stop().await?;
    let mut tracked = Tracked::default();
    while let Some(more) = trackers.join_next().await {
        let more = more.context("a client panicked")??;
        tracked.acknowledged.extend(more.acknowledged);
        tracked.unknown.extend(more.unknown);
    }
    agent.flush().await?;
    aggregator.flush().await?;

    assert_books(&agent, &aggregator).await?;
    assert_events_once(&aggregator, &tracked).await?;
    assert_users(&aggregator).await?;
    assert_requests(&aggregator, &upstream, &requests, &agent_kills).await?;
    Ok(())
}

async fn assert_books(agent: &Agent, aggregator: &Aggregator) -> Result<()> {
    let spool = agent.stats().await?["spool"].clone();
    assert!(spool["damagedDatabases"] == 0 && !agent.spool().join("damaged").exists(), "{spool}");
    agent.books().await?.assert_balanced();
    let stats = aggregator.stats().await?;
    println!("stored {}, duplicate {}, missing {}", stats["stored"], stats["duplicate"], stats["missing"]);
    assert_eq!(stats["conflicts"], 0, "{stats}");
    for table in stats["tables"].as_array().into_iter().flatten() {
        let name = table["table"].as_str().context("a table without a name")?;
        // The agent's samples of its host go on meanwhile: what SQL finds lies between the books before and after.
        let found = aggregator.count(name).await?;
        let later = aggregator.stats().await?;
        let stored = |stats: &serde_json::Value| {
            let tables = stats["tables"].as_array().into_iter().flatten();
            tables.filter(|table| table["table"] == name).find_map(|table| table["stored"].as_i64())
        };
        let possible = table["stored"].as_i64()..=stored(&later);
        assert!(possible.contains(&Some(found)), "{name}: {possible:?} acknowledged, {found} in SQL");
    }
    Ok(())
}

async fn assert_events_once(aggregator: &Aggregator, tracked: &Tracked) -> Result<()> {
    let ids = aggregator.column("events", "event_id").await?;
    let found: HashSet<&String> = ids.iter().collect();
    assert_eq!(found.len(), ids.len(), "events are there twice");
    let lost: Vec<&String> = tracked.acknowledged.iter().filter(|id| !found.contains(id)).collect();
    assert!(lost.is_empty(), "{} acknowledged events are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let known: HashSet<&String> = tracked.acknowledged.iter().chain(&tracked.unknown).collect();
    assert!(found.is_subset(&known), "events that nobody sent");
    let (acknowledged, unknown) = (tracked.acknowledged.len(), tracked.unknown.len());
    println!("events: {acknowledged} acknowledged, {unknown} not, {} found", ids.len());
    Ok(())
}

/// What was derived from events while they came, against the events themselves.
async fn assert_users(aggregator: &Aggregator) -> Result<()> {
    let compared = "SELECT count(*), count(*) FILTER (WHERE (e.n IS DISTINCT FROM u.event_count)
            OR (e.first IS DISTINCT FROM u.first_seen) OR (e.last IS DISTINCT FROM u.last_seen))
        FROM (SELECT user_id, count(*) AS n, min(timestamp) AS first, max(timestamp) AS last FROM events GROUP BY 1) e
        FULL JOIN users u ON e.user_id = u.user_id";
    let [users, differing] = aggregator.integers(compared).await?[..] else { anyhow::bail!("two columns") };
    println!("users: {users}, {differing} differ from their events");
    assert!(users > 0 && differing == 0);
    Ok(())
}

async fn assert_requests(
    aggregator: &Aggregator,
    upstream: &Upstream,
    requests: &[Done],
    agent_kills: &[Kill],
) -> Result<()> {
    let event_ids = aggregator.column("requests", "event_id").await?;
    assert_eq!(event_ids.iter().collect::<HashSet<_>>().len(), event_ids.len(), "an event_id is there twice");
    let ids = aggregator.column("requests", "request_id").await?;
    let found: HashSet<&String> = ids.iter().collect();
    assert_eq!(found.len(), ids.len(), "a request_id is there twice");
    assert_eq!(ids.len(), event_ids.len(), "each of these requests had an id of its own");

    let served: HashMap<String, u32> = upstream.served();
    let complete: Vec<&Done> = requests.iter().filter(|done| done.status == Some(200)).collect();
    assert!(complete.iter().all(|done| served.contains_key(&done.id)), "answered without being served");
    let missing: Vec<&&Done> = complete.iter().filter(|done| !found.contains(&done.id)).collect();
    let mut ages = Vec::new();
    for done in &missing {
        let next = agent_kills.iter().find(|kill| done.finished <= kill.after);
        let kill = next.with_context(|| format!("{done:?} is lost, and no kill of the agent came after it"))?;
        let age = kill.before.saturating_duration_since(done.finished);
        if age > LAST_INTERVAL {
            println!("{} is lost, {age:?} before a kill, {:?} after a start", done.id, kill.before - kill.up);
        }
        ages.push(age);
    }
    let oldest = ages.iter().max().copied().unwrap_or_default();
    println!(
        "requests: {} complete, {} found; {} lost at {} kills of the agent, the oldest {oldest:?} before",
        complete.len(),
        ids.len(),
        missing.len(),
        agent_kills.len()
    );
    assert!(oldest <= LAST_INTERVAL, "a request that ended {oldest:?} before a kill is lost");
    Ok(())
}
