//! A real agent's part of the run: requests through its proxy, and events at its own API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_e2e::load::Shape;
use ridealong_e2e::{Agent, Api, Load, events};
use tokio::task::JoinHandle;

use crate::json::post;
use crate::sent::{Progress, Sent};

const CLIENTS: usize = 2;
const PAUSE: Duration = Duration::from_millis(10);
/// Events at the agent come in batches of so many.
const BATCH: usize = 5;

pub struct Service {
    load: Load,
    tracking: JoinHandle<Result<Sent>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Service {
    pub fn start(agent: &Agent, progress: &Arc<Progress>) -> Self {
        let load = Load::start(agent.proxy(), "long", &Shape::new(CLIENTS, PAUSE));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let tracking = tokio::spawn(track(Api::new(agent.api().url("")), stopped, Arc::clone(progress)));
        Self { load, tracking, stop }
    }

    pub async fn stop(self) -> Result<Sent> {
        self.stop.send_replace(true);
        self.load.stop().await?;
        self.tracking.await.context("a client panicked")?
    }
}

/// Each event until the agent acknowledges it; the agent sees to the rest.
async fn track(api: Api, stopped: tokio::sync::watch::Receiver<bool>, progress: Arc<Progress>) -> Result<Sent> {
    let mut sent = Sent::default();
    while !*stopped.borrow() && !progress.is_finished() {
        let (_, batch) = events::batch("long-agent", BATCH);
        sent.events += BATCH as u64;
        post(&api, "/api/analytics", &batch, &mut sent.retried).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(sent)
}
