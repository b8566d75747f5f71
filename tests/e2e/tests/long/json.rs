//! Senders of JSON events, singly and in batches, a fifth of them again under the same ids.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use ridealong_e2e::{Api, events};
use serde_json::{Value, json};

use crate::sent::{Progress, Sent};

const BATCH_MAX: u64 = 60;
const PAUSE: Duration = Duration::from_millis(20);

pub async fn send_events(api: Api, at: u64, seed: u64, progress: Arc<Progress>) -> Result<Sent> {
    let mut random = Rng::with_seed(seed);
    let mut sent = Sent::default();
    loop {
        // One sender sends single events now and then.
        let wanted = if at == 0 && random.u8(..4) == 0 { 1 } else { random.u64(1..BATCH_MAX) };
        let Some((part, count)) = progress.take(wanted).await else { return Ok(sent) };
        let (_, batch) = events::batch(&format!("long-{part}"), count as usize);
        sent.events += count;
        post(&api, "/api/analytics", &batch, &mut sent.retried).await?;
        if random.u8(..4) == 0 {
            sent.again += count;
            post(&api, "/api/analytics", &batch, &mut sent.retried).await?;
        }
    }
}

/// A batch of one is sent as a single event. Until it is acknowledged, and each of its events with it.
pub async fn post(api: &Api, base: &str, batch: &Value, retried: &mut u64) -> Result<()> {
    let events = batch["events"].as_array().map_or(&[][..], Vec::as_slice);
    loop {
        let answer = match events {
            [single] => api.post(&format!("{base}/track"), single).await,
            _ => api.post(&format!("{base}/batch-track"), batch).await,
        };
        match answer {
            Ok(answer) if answer.status == 202 => return Ok(()),
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.json()["successfulEvents"], json!(events.len()), "{}", answer.text());
                return Ok(());
            }
            Ok(answer) => anyhow::ensure!([429, 503].contains(&answer.status), answer.text()),
            Err(_) => {}
        }
        *retried += 1;
        tokio::time::sleep(PAUSE).await;
    }
}
