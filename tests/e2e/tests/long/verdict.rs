//! Whether the books balance: at every moment of the run, at its end, and after more ends of the programs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_e2e::ledger::{agree_now, assert_balanced, lasting, sum};
use ridealong_e2e::{Aggregator, Api, eventually};

use crate::disturbance::Sandbox;
use crate::sent::{Progress, Sent};

/// What a watcher saw while the run was on.
#[derive(Debug, Default)]
pub struct Looks {
    pub agreed: u64,
    /// Answered 503: rows were not readable in time, or too many asked.
    pub unavailable: u64,
    pub unanswered: u64,
}

/// Asks again and again, in one query, what the books say and what the tables hold.
pub async fn watch(api: Api, progress: Arc<Progress>) -> Looks {
    let mut looks = Looks::default();
    while !progress.is_finished() {
        match agree_now(&api).await {
            None => looks.unanswered += 1,
            Some(answer) if answer.status == 503 => looks.unavailable += 1,
            Some(answer) => {
                let answer = answer.expect(200).json();
                assert_eq!(answer["data"], serde_json::json!([]), "the books differ from the tables");
                looks.agreed += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    looks
}

pub async fn assert_all(sandbox: &mut Sandbox, sent: &Sent, patience: Duration) -> Result<()> {
    let agent = &sandbox.agent;
    eventually("the agent's spool is empty", patience, async || {
        agent.flush().await.ok()?;
        agent.books().await.ok().filter(|books| books.pending == 0)
    })
    .await
    .assert_balanced();
    // From now on nothing new comes, not even a sample of the host.
    sandbox.agent.terminate().await?;
    sandbox.aggregator.flush().await?;
    let before = assert_now(&sandbox.aggregator, sent).await?;
    for kill in [true, false] {
        match kill {
            true => sandbox.aggregator.kill().await?,
            false => drop(sandbox.aggregator.terminate().await.map(|_| ())?),
        }
        sandbox.aggregator.restart().await?;
        let after = assert_now(&sandbox.aggregator, sent).await?;
        assert_eq!(before, after, "a restart changed the books");
    }
    Ok(())
}

async fn assert_now(aggregator: &Aggregator, sent: &Sent) -> Result<Vec<serde_json::Value>> {
    assert_balanced(aggregator).await?;
    let stats = aggregator.stats().await?;
    assert_eq!(stats["conflicts"], 0, "{stats}");
    assert_missing(&stats, sent);
    assert_eq!(stats["log"]["eventIds"]["forgottenEarly"], 0, "the run is larger than the budget of ids");
    assert_eq!(stats["lake"]["unreadable"], 0, "{stats}");

    // To the row: what was sent is what is stored, each once.
    let requests = distinct(aggregator, "requests", "service", "service LIKE 'long-%'").await?;
    assert_eq!(requests, [sent.requests; 2], "requests, distinct and all");
    let events = distinct(aggregator, "events", "event_type", "true").await?;
    assert_eq!(events, [sent.events; 2], "events, distinct and all");
    assert_eq!(sum(aggregator, "outcome = 'stored' AND table_name = 'events'").await?, sent.events);
    let proxied = distinct(aggregator, "requests", "service", "service NOT LIKE 'long-%'").await?;
    assert_eq!(proxied[0], proxied[1], "requests through the proxy");
    assert_eq!(sum(aggregator, "outcome = 'stored' AND table_name = 'requests'").await?, sent.requests + proxied[0]);

    let announced = sum(aggregator, "outcome = 'announced'").await?;
    let duplicate = sum(aggregator, "outcome = 'duplicate'").await?;
    let by_id = sum(aggregator, "outcome = 'duplicate' AND reason = 'event_id'").await?;
    println!(
        "{} requests and {} events sent by {} producers and at the JSON door, {} rows of them again, {} attempts more; {} \
        requests through the proxy; {announced} announced by all, {duplicate} duplicate ({by_id} by id)",
        sent.requests,
        sent.events,
        sent.producers.len(),
        sent.again,
        sent.retried,
        proxied[0]
    );
    let rows = aggregator.rows("SELECT producer, count FROM system.ledger WHERE outcome = 'announced'").await?;
    let told = |row: &serde_json::Value| Some((row["producer"].as_str()?.to_owned(), row["count"].as_u64()?));
    let told: BTreeMap<String, u64> = rows.iter().filter_map(told).collect();
    for (producer, numbers) in &sent.producers {
        assert_eq!(told.get(producer), Some(numbers), "{producer}");
    }
    assert!(duplicate >= sent.again, "{duplicate} duplicates of at least {}", sent.again);
    lasting(aggregator).await
}

/// Nothing that was acknowledged to anybody is missing. An agent that is killed between the syncs of its two databases has
/// numbered rows of proxied requests, which nobody waits for, that never reached the disk: they are missing by name.
fn assert_missing(stats: &serde_json::Value, sent: &Sent) {
    let mut missing = 0;
    for producer in stats["producers"].as_array().into_iter().flatten() {
        let of_producer = producer["missing"].as_u64().unwrap_or(0);
        let ranges = producer["missingRanges"].as_array().into_iter().flatten();
        let named: u64 =
            ranges.map(|range| range[1].as_u64().unwrap_or(0).saturating_sub(range[0].as_u64().unwrap_or(0))).sum();
        assert_eq!(of_producer, named, "every gap has its name: {producer}");
        let is_agent = producer["producer"].as_str().is_some_and(|id| !sent.producers.contains_key(id));
        assert!(of_producer == 0 || is_agent, "{producer}");
        missing += of_producer;
    }
    assert_eq!(stats["missing"], missing, "{stats}");
}

/// Rows and distinct ids, counted part by part: all at once would take more memory than queries have.
async fn distinct(aggregator: &Aggregator, table: &str, part: &str, of: &str) -> Result<[u64; 2]> {
    let parts = aggregator.rows(&format!("SELECT DISTINCT {part} AS part FROM {table} WHERE {of}")).await?;
    let mut sums = [0, 0];
    for row in &parts {
        let name = row["part"].as_str().context("a part without a name")?;
        let sql = format!("SELECT count(*), count(DISTINCT event_id) FROM {table} WHERE {part} = '{name}'");
        let counts = aggregator.integers(&sql).await?;
        sums = [sums[0] + counts[0] as u64, sums[1] + counts[1] as u64];
    }
    Ok(sums)
}
