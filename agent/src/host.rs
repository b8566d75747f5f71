//! Samples of the host. The only module that names sysinfo.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ridealong_common::rows::HostRow;
use ridealong_common::time::Timestamp;
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};
use tokio_util::sync::CancellationToken;

use crate::books::Books;
use crate::spool::{Spool, SpoolRows};

/// The first sample comes this soon, so that a new host is seen at once; a CPU share needs two looks.
const FIRST: Duration = Duration::from_secs(1);

/// The name of this host.
pub fn name() -> String {
    System::host_name().unwrap_or_else(|_| "localhost".into())
}

/// Looks at the host when asked to.
pub struct HostSampler {
    system: System,
    disks: Disks,
    networks: Networks,
    /// A folder on the disk that is sampled.
    folder: PathBuf,
}

impl HostSampler {
    pub fn new(folder: &Path) -> Result<Self, sysinfo::Error> {
        let kind = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::everything());
        Ok(Self {
            system: System::new_with_specifics(kind)?,
            disks: Disks::new_with_refreshed_list()?,
            networks: Networks::new_with_refreshed_list()?,
            folder: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
        })
    }

    /// One sample; the CPU share is that since the sample before.
    pub fn sample(&mut self) -> Result<HostRow, sysinfo::Error> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.disks.refresh(false);
        self.networks.refresh(false);
        let load = System::load_average()?;
        let (disk_total, disk_free) = self.disk();
        let networks = self.networks.iter().filter(|(name, _)| *name != "lo");
        let (received, transmitted) = networks.fold((0, 0), |(received, transmitted), (_, data)| {
            (received + data.total_received(), transmitted + data.total_transmitted())
        });
        Ok(HostRow {
            timestamp: Timestamp::now(),
            cpu_utilization: f64::from(self.system.global_cpu_usage()).clamp(0.0, 100.0) / 100.0,
            memory_used_bytes: self.system.used_memory(),
            memory_total_bytes: self.system.total_memory(),
            disk_used_bytes: disk_total.saturating_sub(disk_free),
            disk_total_bytes: disk_total,
            load_1m: load.one,
            load_5m: load.five,
            load_15m: load.fifteen,
            swap_used_bytes: self.system.used_swap(),
            network_received_bytes: received,
            network_transmitted_bytes: transmitted,
        })
    }

    /// Total and available bytes of the disk that holds the folder: the one mounted nearest above it.
    fn disk(&self) -> (u64, u64) {
        let above = self.disks.iter().filter(|disk| self.folder.starts_with(disk.mount_point()));
        let nearest = above.max_by_key(|disk| disk.mount_point().as_os_str().len());
        nearest.map_or((0, 0), |disk| (disk.total_space(), disk.available_space()))
    }
}

/// Samples until it is told to stop.
pub async fn run(mut sampler: HostSampler, interval: Duration, spool: Spool, books: &Books, stop: CancellationToken) {
    let mut pause = FIRST.min(interval);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = interval;
        // Some files under /proc are slow to read on large hosts: not on the thread that answers.
        let sampled = tokio::task::spawn_blocking(move || {
            let row = sampler.sample();
            (sampler, row)
        });
        let Ok((back, row)) = sampled.await else {
            tracing::error!("sampling the host panicked, no more samples are taken");
            return;
        };
        sampler = back;
        match row {
            Ok(row) => {
                books.produced(1);
                spool.offer(SpoolRows::Host(row));
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "host not sampled"),
        }
    }
}
