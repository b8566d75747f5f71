//! A log, a lake and metrics over them, on a folder that goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ridealong_common::event::TrackedEvent;
use ridealong_common::ids::EventId;
use ridealong_common::rows::{RequestRow, Resource, SummaryRow};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_lake::{Lake, LakeOptions, Place};
use ridealong_model::budget::Budget;
use ridealong_model::metrics::{MetricsAnswer, MetricsEngine, MetricsRequest, Moment};
use ridealong_model::mutation::{Mutate, MutationChange, MutationRequest};
use ridealong_model::tenant::TenantId;
use ridealong_wal::disk::RealDisk;
use ridealong_wal::{NewEntry, Wal, WalOptions};
use tokio::runtime::Runtime;

use super::model::{Event, SERVICES, Summary};
use crate::{Metrics, MetricsOptions};

pub struct Sandbox {
    folder: tempfile::TempDir,
    runtime: Runtime,
    wal: Wal,
    pub lake: Lake,
    pub metrics: Metrics,
}

/// Of the last hour.
pub fn request(metrics: &[&str]) -> MetricsRequest {
    MetricsRequest {
        metrics: metrics.iter().map(ToString::to_string).collect(),
        dimensions: Vec::new(),
        filters: Vec::new(),
        from: Moment::Ago(Duration::from_secs(3_600)),
        to: Moment::Ago(Duration::ZERO),
        granularity: None,
        cache_ttl: None,
    }
}

impl Sandbox {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let (wal, lake, metrics) = open(folder.path());
        Self { folder, runtime, wal, lake, metrics }
    }

    pub fn restart(&mut self) {
        self.stop();
        (self.wal, self.lake, self.metrics) = open(self.folder.path());
    }

    fn stop(&self) {
        self.metrics.close();
        self.lake.close();
        self.wal.close();
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn ask(&self, request: MetricsRequest) -> MetricsAnswer {
        let text = format!("{request:?}");
        let answer = self.block_on(self.metrics.answer(&TenantId::default_tenant(), request));
        answer.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub fn track(&self, events: &[Event]) {
        let rows: Vec<TrackedEvent> = events.iter().map(Event::tracked).collect();
        self.append(Table::Events, rows.len(), TrackedEvent::block(&rows).encode().expect("encodes"));
    }

    pub fn summarise(&self, summaries: &[Summary]) {
        for (number, service) in SERVICES.iter().enumerate() {
            let of_service = summaries.iter().filter(|summary| usize::from(summary.service) == number);
            let rows: Vec<SummaryRow> = of_service.map(Summary::row).collect();
            if !rows.is_empty() {
                let resource = Resource { service: (*service).to_owned(), ..Resource::default() };
                let block = SummaryRow::block(&rows, &resource).encode().expect("encodes");
                self.append(Table::RequestSummaries, rows.len(), block);
            }
        }
    }

    /// Path, status, µs, weight.
    pub fn requests(&self, requests: &[(&str, u16, u64, f64)], at: i64) {
        let row = |(path, status, duration_us, sample_weight): &(&str, u16, u64, f64)| RequestRow {
            event_id: EventId::draw(),
            timestamp: Timestamp(at),
            method: "GET".into(),
            path: (*path).to_owned(),
            status: Some(*status),
            protocol: "HTTP/1.1",
            duration_us: *duration_us,
            sample_weight: *sample_weight,
            ..RequestRow::default()
        };
        let rows: Vec<RequestRow> = requests.iter().map(row).collect();
        let block = RequestRow::block(&rows, &Resource::default()).encode().expect("encodes");
        self.append(Table::Requests, rows.len(), block);
    }

    fn append(&self, table: Table, rows: usize, payload: Vec<u8>) {
        let entry = NewEntry {
            tenant: Arc::from("default"),
            table,
            received_at_us: 1_700_000_000_000_000,
            numbers: None,
            announced: 0,
            rows: rows as u32,
            event_ids: None,
            quarantined_rows: Vec::new(),
            in_place_of_events: false,
            payload: payload.into(),
        };
        self.block_on(self.wal.append(entry)).expect("appended");
    }

    pub fn mutate(&self, condition: &str, change: MutationChange) {
        let tenant = TenantId::default_tenant();
        let condition = condition.to_owned();
        let request = MutationRequest { tenant, table: Table::Events, condition, change, dry_run: false };
        self.block_on(self.lake.mutate(request)).expect("mutated");
    }

    /// The rollups on the disk.
    pub fn stored(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("rollups")).expect("a folder");
        let files = entries.flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "rollup")).collect()
    }

    /// Until every file with families has its rollups, and there are no others.
    pub fn wait_for_rollups(&self) {
        let files = || {
            let tables = self.lake.files();
            let of_families = tables.iter().filter(|(_, table, _)| crate::cells::family::TABLES.contains(table));
            of_families.map(|(_, _, cold)| cold.files.len()).sum::<usize>()
        };
        self.wait_until("each file has rollups", || self.stored().len() == files());
    }

    pub fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open(folder: &Path) -> (Wal, Lake, Metrics) {
    let (wal, _) = Wal::open(WalOptions::new(folder.join("log"))).expect("a log");
    let journal = Arc::new(RealDisk::new(&folder.join("journal")).expect("a folder"));
    let options = LakeOptions::new(Place::folder(folder.join("lake")), journal);
    let lake = Lake::open(options, wal.clone()).expect("a lake");
    let options = MetricsOptions {
        threads: 2,
        memory_bytes: 64 << 20,
        disk: Arc::new(RealDisk::new(&folder.join("rollups")).expect("a folder")),
        budget: Budget::new(u64::MAX),
    };
    let metrics = Metrics::start(lake.clone(), options).expect("metrics");
    (wal, lake, metrics)
}
