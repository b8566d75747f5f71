//! How soon an event is in SQL: single events beside the load, each looked for as soon as it is acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::StatusCode;
use ridealong_common::ids::EventId;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::target::client;

const EVERY: Duration = Duration::from_millis(100);
const PUT_OFF: Duration = Duration::from_millis(5);

/// From sending an event to the answer of a query that has it, sorted.
#[derive(Default)]
pub struct Freshness {
    pub found_after: Vec<Duration>,
    /// Events or queries answered 429 or 503 and sent again; their wait is in the times.
    pub put_off: u64,
}

pub struct Prober {
    stop: oneshot::Sender<()>,
    probing: JoinHandle<Result<Freshness>>,
}

impl Prober {
    pub fn start(url: String) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, probing: tokio::spawn(probe(url, stopped)) }
    }

    pub async fn stop(self) -> Result<Freshness> {
        // It may have failed and gone.
        let _ = self.stop.send(());
        self.probing.await.context("the prober panicked")?
    }
}

async fn probe(url: String, mut stopped: oneshot::Receiver<()>) -> Result<Freshness> {
    let client = client()?;
    let mut freshness = Freshness::default();
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        every.tick().await;
        let id = EventId::draw().to_string();
        let sent = Instant::now();
        let event = json!({ "eventId": id, "eventType": "probe", "source": "freshness" });
        freshness.put_off += post(&client, &format!("{url}/api/analytics/track"), &event).await?.1;
        let query = json!({ "sql": "select event_type from events where event_id = $1", "params": [id] });
        let (answer, put_off) = post(&client, &format!("{url}/api/analytics/query"), &query).await?;
        ensure!(answer["data"][0]["event_type"] == "probe", "an acknowledged event is not in SQL: {answer}");
        freshness.put_off += put_off;
        freshness.found_after.push(sent.elapsed());
    }
    freshness.found_after.sort_unstable();
    Ok(freshness)
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> Result<(Value, u64)> {
    let mut put_off = 0;
    loop {
        let answer = client.post(url).json(body).send().await?;
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            put_off += 1;
            tokio::time::sleep(PUT_OFF).await;
            continue;
        }
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{url} answered {status}: {text}");
        }
        return Ok((serde_json::from_str(&text)?, put_off));
    }
}
