//! Posting what was made beforehand, as agents do: each connection sends its next body when the last one is acknowledged;
//! with a pace, not before its time. Latency under a pace counts from when a body was due, so that a stall is not hidden.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};

use crate::frames::Encoded;

const TIMEOUT: Duration = Duration::from_secs(60);
/// After a 429 or 503; Retry-After says a second, but a load generator wants to know at once.
const PUT_OFF: Duration = Duration::from_millis(20);

/// Where bodies go and how the answer says how many events were stored.
#[derive(Clone)]
pub struct Door {
    pub url: String,
    pub media_type: &'static str,
    /// The numbers in the answer that are the body's events together.
    pub stored: &'static [&'static str],
}

/// How it went.
pub struct Delivered {
    pub took: Duration,
    /// From sending a body to its acknowledgement, sorted.
    pub acknowledged_after: Vec<Duration>,
    /// Answers 429 and 503: the body was sent again.
    pub put_off: u64,
}

/// One connection for each list of bodies. `rate` is in events a second over all of them.
pub async fn deliver(door: &Door, bodies: Vec<Vec<Encoded>>, rate: Option<u64>) -> Result<Delivered> {
    // Made before the clock starts: each takes milliseconds.
    let clients = bodies.iter().map(|_| client()).collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    let connections = bodies.len() as f64;
    let pace = rate.map(|rate| Pace { started, events_a_second: rate as f64 / connections });
    // Side by side, not all at one moment.
    let connections = bodies.into_iter().zip(clients).enumerate().map(|(at, (bodies, client))| {
        let pace = pace.map(|pace| pace.behind(at as f64 / connections, bodies.first().map_or(0, |body| body.rows)));
        connection(client, door.clone(), bodies, pace)
    });
    let results = try_join_all(connections).await?;
    let took = started.elapsed();
    let put_off = results.iter().map(|(_, put_off)| put_off).sum();
    let mut acknowledged_after: Vec<Duration> = results.into_iter().flat_map(|(times, _)| times).collect();
    acknowledged_after.sort_unstable();
    Ok(Delivered { took, acknowledged_after, put_off })
}

#[derive(Clone, Copy)]
struct Pace {
    started: Instant,
    events_a_second: f64,
}

impl Pace {
    /// Later by a part of the time that a body has.
    fn behind(self, part: f64, body_rows: u64) -> Self {
        let later = Duration::from_secs_f64(part * body_rows as f64 / self.events_a_second);
        Self { started: self.started + later, ..self }
    }

    /// When a body is due that comes after so many events.
    fn due(&self, events: u64) -> Instant {
        self.started + Duration::from_secs_f64(events as f64 / self.events_a_second)
    }
}

fn client() -> Result<Client> {
    Ok(Client::builder().no_proxy().timeout(TIMEOUT).pool_max_idle_per_host(1).build()?)
}

async fn connection(
    client: Client,
    door: Door,
    bodies: Vec<Encoded>,
    pace: Option<Pace>,
) -> Result<(Vec<Duration>, u64)> {
    let mut times = Vec::with_capacity(bodies.len());
    let (mut put_off, mut events) = (0, 0);
    for body in bodies {
        let due = pace.map_or_else(Instant::now, |pace| pace.due(events));
        tokio::time::sleep_until(due.into()).await;
        put_off += until_acknowledged(&client, &door, &body).await?;
        times.push(due.elapsed());
        events += body.rows;
    }
    Ok((times, put_off))
}

/// How often it was put off.
async fn until_acknowledged(client: &Client, door: &Door, body: &Encoded) -> Result<u64> {
    let mut put_off = 0;
    loop {
        let request = client.post(&door.url).header(CONTENT_TYPE, door.media_type).body(body.bytes.clone());
        let answer = request.send().await.context("cannot deliver a body")?;
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            put_off += 1;
            tokio::time::sleep(PUT_OFF).await;
            continue;
        }
        let text = answer.text().await.context("cannot read an acknowledgement")?;
        ensure!(status.is_success(), "a body was answered {status}: {text}");
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        // A body that was put off may have been stored in part: the rest of it is new, that part a duplicate.
        let stored: u64 = door.stored.iter().filter_map(|name| answer[name].as_u64()).sum();
        ensure!(stored == body.rows, "a body of {} events was answered {:.400}", body.rows, text);
        return Ok(put_off);
    }
}

impl Delivered {
    pub fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.acknowledged_after, percent)
    }
}

/// Of sorted times.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}
