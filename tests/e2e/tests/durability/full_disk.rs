//! The disk runs full under load: what is not taken is answered 503 with Retry-After, queries go on, health says that it is
//! failing, and when there is room again everything goes on by itself. Nothing that was acknowledged is lost.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ridealong_e2e::{Aggregator, events, eventually};

const DISK_MIB: u64 = 64;

/// A small file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, and why, when it cannot be mounted here.
    fn mount(at: &Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(at).context("no folder to mount on")?;
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Some(Self(at.to_owned()))),
            Ok(output) => {
                println!("NOT RUN: a tmpfs cannot be mounted here: {}", String::from_utf8_lossy(&output.stderr));
                Ok(None)
            }
            Err(error) => {
                println!("NOT RUN: mount cannot be run: {error}");
                Ok(None)
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the program may still have files open. Nothing is left to do if it fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[derive(Default)]
struct Sent {
    acknowledged: Vec<String>,
    unknown: Vec<String>,
}

impl Sent {
    /// One batch; whether it was taken.
    async fn send(&mut self, aggregator: &Aggregator) -> Result<bool> {
        let (ids, batch) = events::batch("full", 200);
        let answer = aggregator.api().post("/api/analytics/batch-track", &batch).await?;
        if answer.status == 200 {
            self.acknowledged.extend(ids);
            return Ok(true);
        }
        answer.problem(503);
        let retry: u64 = answer.headers["retry-after"].to_str()?.parse()?;
        ensure!((1..=60).contains(&retry), "Retry-After {retry}");
        self.unknown.extend(ids);
        Ok(false)
    }

    async fn assert_there(&self, aggregator: &Aggregator) -> Result<()> {
        let found = aggregator.column("events", "event_id").await?;
        let distinct: HashSet<&String> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "events are there twice");
        assert!(self.acknowledged.iter().all(|id| distinct.contains(id)), "acknowledged events are lost");
        let known: HashSet<&String> = self.acknowledged.iter().chain(&self.unknown).collect();
        assert!(distinct.is_subset(&known), "events that nobody sent");
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_puts_senders_off_and_nothing_else() -> Result<()> {
    let mut aggregator = Aggregator::absent(&["--flush-age", "1s"])?;
    let data = aggregator.data();
    let Some(_disk) = SmallDisk::mount(&data)? else { return Ok(()) };
    aggregator.restart().await?;
    let mut sent = Sent::default();
    for _ in 0..5 {
        ensure!(sent.send(&aggregator).await?, "refused with room to spare");
    }

    // Somebody else fills the disk, all but a little.
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![1; (DISK_MIB as usize - 3) << 20]).context("cannot fill the disk")?;
    let mut refused = 0;
    for _ in 0..2_000 {
        refused += u32::from(!sent.send(&aggregator).await?);
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk never ran full");
    let health = aggregator.api().get("/api/analytics/health").await?.expect(503).json();
    assert_eq!(health["status"], "failing", "{health}");
    sent.assert_there(&aggregator).await?;
    aggregator.stats().await?;
    println!("{} events acknowledged, then full", sent.acknowledged.len());

    std::fs::remove_file(&ballast).context("cannot make room")?;
    for _ in 0..5 {
        ensure!(sent.send(&aggregator).await?, "refused though there is room again");
    }
    eventually("health is good again", Duration::from_secs(60), || async {
        let answer = aggregator.api().get("/api/analytics/health").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    sent.assert_there(&aggregator).await?;
    aggregator.flush().await?;
    sent.assert_there(&aggregator).await?;

    // The same with a kill while it is full: it starts on a full disk too, and answers.
    std::fs::write(&ballast, vec![1; (DISK_MIB as usize - 3) << 20]).or_else(|error| {
        // As much as goes is enough.
        (error.kind() == std::io::ErrorKind::StorageFull).then_some(()).ok_or(error)
    })?;
    while sent.send(&aggregator).await? {}
    aggregator.kill().await?;
    aggregator.restart().await?;
    sent.assert_there(&aggregator).await?;
    std::fs::remove_file(&ballast).context("cannot make room")?;
    ensure!(sent.send(&aggregator).await?, "refused though there is room again");
    aggregator.flush().await?;
    sent.assert_there(&aggregator).await
}
