//! Delivering frames as agents do: each connection sends its next frame when the last one is acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use ridealong_common::frame::MEDIA_TYPE;

use crate::frames::Encoded;

const TIMEOUT: Duration = Duration::from_secs(60);

/// How it went.
pub struct Delivered {
    pub took: Duration,
    /// From sending a frame to its acknowledgement, sorted.
    pub acknowledged_after: Vec<Duration>,
    /// Answers 429 and 503: the frame was sent again.
    pub put_off: u64,
}

/// One producer a connection.
pub async fn deliver(aggregator: &str, producers: Vec<Vec<Encoded>>) -> Result<Delivered> {
    let url = format!("{aggregator}/v1/batches");
    let started = Instant::now();
    let connections = producers.into_iter().map(|frames| connection(url.clone(), frames));
    let results = try_join_all(connections).await?;
    let took = started.elapsed();
    let put_off = results.iter().map(|(_, put_off)| put_off).sum();
    let mut acknowledged_after: Vec<Duration> = results.into_iter().flat_map(|(times, _)| times).collect();
    acknowledged_after.sort_unstable();
    Ok(Delivered { took, acknowledged_after, put_off })
}

async fn connection(url: String, frames: Vec<Encoded>) -> Result<(Vec<Duration>, u64)> {
    let client = Client::builder().no_proxy().timeout(TIMEOUT).pool_max_idle_per_host(1).build()?;
    let mut times = Vec::with_capacity(frames.len());
    let mut put_off = 0;
    for frame in frames {
        let sent = Instant::now();
        loop {
            let request = client.post(&url).header(CONTENT_TYPE, MEDIA_TYPE).body(frame.bytes.clone());
            let answer = request.send().await.context("cannot deliver a batch")?;
            let status = answer.status();
            if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                put_off += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let text = answer.text().await.context("cannot read an acknowledgement")?;
            ensure!(status == StatusCode::OK, "a batch was answered {status}: {text}");
            let stored = serde_json::from_str::<serde_json::Value>(&text)?["stored"].as_u64();
            ensure!(stored == Some(frame.rows), "a batch of {} rows was answered {text}", frame.rows);
            break;
        }
        times.push(sent.elapsed());
    }
    Ok((times, put_off))
}

impl Delivered {
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.acknowledged_after.len() * percent / 100).min(self.acknowledged_after.len().saturating_sub(1));
        self.acknowledged_after.get(at).copied().unwrap_or_default()
    }
}
