//! What goes wrong, one thing after the other, in an order that the seed chooses.

use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use ridealong_e2e::{Agent, Aggregator, Cutter, Tmpfs, eventually};
use serde_json::json;

use crate::sent::Progress;

const PATIENCE: Duration = Duration::from_secs(120);

pub struct Sandbox {
    pub aggregator: Aggregator,
    pub agent: Agent,
    pub network: Cutter,
    /// The disk of the log, where one can be mounted.
    pub disk: Option<Tmpfs>,
}

#[derive(Clone, Copy, Debug)]
enum Disturbance {
    KillAggregator,
    KillAggregatorInFlush,
    KillAgent,
    StopAggregator,
    CutConnections,
    FillDisk,
    FillDiskAndKill,
}

impl Disturbance {
    const ALL: [Self; 7] = [
        Self::KillAggregator,
        Self::KillAgent,
        Self::FillDisk,
        Self::CutConnections,
        Self::KillAggregatorInFlush,
        Self::FillDiskAndKill,
        Self::StopAggregator,
    ];
}

/// Every kind once before any comes again.
pub async fn disturb(sandbox: &mut Sandbox, random: &mut Rng, count: u64, progress: &Progress) -> Result<()> {
    let mut kinds = Vec::new();
    for at in 0..count {
        if kinds.is_empty() {
            kinds = Disturbance::ALL.to_vec();
            random.shuffle(&mut kinds);
        }
        let Some(kind) = kinds.pop() else { continue };
        // In the middle of the rows that are allowed now.
        progress.allow();
        tokio::time::sleep(Duration::from_millis(random.u64(0..50))).await;
        sandbox.suffer(kind, random).await.with_context(|| format!("disturbance {at}, {kind:?}"))?;
        eventually("senders go on", PATIENCE, async || progress.waits().then_some(())).await;
    }
    Ok(())
}

impl Sandbox {
    async fn suffer(&mut self, kind: Disturbance, random: &mut Rng) -> Result<()> {
        match kind {
            Disturbance::KillAggregator => self.kill_aggregator().await,
            Disturbance::KillAggregatorInFlush => {
                let api = self.aggregator.api().clone();
                tokio::spawn(async move { api.post("/api/analytics/flush", &json!({})).await.is_ok() });
                tokio::time::sleep(Duration::from_millis(random.u64(0..100))).await;
                self.kill_aggregator().await
            }
            Disturbance::KillAgent => {
                self.agent.kill().await?;
                self.agent.restart().await
            }
            Disturbance::StopAggregator => {
                let (status, _) = self.aggregator.terminate().await?;
                anyhow::ensure!(status.success(), "a stop ended with {status}");
                self.aggregator.restart().await
            }
            Disturbance::CutConnections => {
                for _ in 0..10 {
                    self.network.sever();
                    tokio::time::sleep(Duration::from_millis(random.u64(1..50))).await;
                }
                Ok(())
            }
            Disturbance::FillDisk => {
                let Some(disk) = &self.disk else { return Ok(()) };
                let _ballast = disk.fill()?;
                tokio::time::sleep(Duration::from_millis(random.u64(200..1_500))).await;
                Ok(())
            }
            Disturbance::FillDiskAndKill => {
                if let Some(disk) = &self.disk {
                    let _ballast = disk.fill()?;
                    tokio::time::sleep(Duration::from_millis(random.u64(50..500))).await;
                    self.aggregator.kill().await?;
                } else {
                    self.aggregator.kill().await?;
                }
                self.aggregator.restart().await
            }
        }
    }

    async fn kill_aggregator(&mut self) -> Result<()> {
        self.aggregator.kill().await?;
        self.aggregator.restart().await
    }
}
