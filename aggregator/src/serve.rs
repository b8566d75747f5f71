//! `serve`: starts the parts in order, waits for a signal, stops them in reverse. Wires everything, contains no logic.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ridealong_api::{Disk, Limits, Services, router};
use ridealong_catalog::Catalog;
use ridealong_edge::body::Bodies;
use ridealong_enrich::Places;
use ridealong_ingest::{Admission, Enricher, Ingest};
use ridealong_jobs::{Jobs, Schedule};
use ridealong_lake::{Lake, LakeOptions, Place};
use ridealong_model::budget::Budget;
use ridealong_model::jobs::Job;
use ridealong_model::location::Location;
use ridealong_query::{Engine, EngineOptions, Exporter};
use ridealong_rollup::{Metrics, MetricsOptions};
use ridealong_stream::{Live, LiveOptions};
use ridealong_wal::disk::RealDisk;
use ridealong_wal::{OpenError, Wal, WalOptions};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::lock::FolderLock;
use crate::{logging, memory};

/// A stop lets requests end within this, then ends without them.
const DRAIN: Duration = Duration::from_millis(1_500);
/// Longer than the longest query, so that its own timeout speaks first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const BACKLOG: u32 = 1_024;
/// Bodies that are read or worked on at one moment: 32 batches of the largest size.
const BODIES_BYTES_MAX: usize = 256 << 20;

pub fn serve(config: Config, unknown_variables: &[String], salvage: bool) -> Result<()> {
    logging::start(&config.log_level, config.log_json)?;
    for variable in unknown_variables {
        tracing::warn!(variable, "unknown environment variable, ignored");
    }
    let started = Instant::now();
    let _lock = FolderLock::take(&config.data.folder)?;
    let data = config.data.folder.canonicalize().context("cannot find the data folder")?;
    let catalog = start_catalog(&data)?;
    let enricher = start_enricher(&config)?;
    let wal = start_wal(&config, &data, salvage)?;
    let budget = Budget::new(config.memory_max.bytes());
    memory::watch(Arc::clone(&budget))?;
    let lake = start_lake(&config, &data, &wal, &budget, &catalog)?;
    let jobs = start_jobs(&config, &data, &lake)?;
    let metrics = Arc::new(start_metrics(&config, &data, &lake, &budget)?);
    let ingest = Ingest::new(wal.clone(), catalog.clone(), enricher.clone());
    let live = start_live(&config, &wal)?;
    let engine = start_engine(&config, &lake, &budget)?;
    let engine = engine.with_ledger(Arc::new(ingest.clone())).with_segments(Arc::new(catalog.clone()));
    let engine = Arc::new(engine.with_jobs(Arc::new(jobs.clone())));
    let services = Services {
        ingest,
        catalog,
        segment_check: Arc::clone(&engine) as _,
        admission: Admission::new(budget, Arc::new(lake.clone()), wal.clone()),
        engine: Arc::clone(&engine) as _,
        export: Arc::new(Exporter::new(Arc::clone(&engine))),
        metrics: Arc::clone(&metrics) as _,
        lake: Arc::new(lake.clone()),
        mutate: Arc::new(lake.clone()),
        jobs: jobs.clone(),
        live: live.clone(),
        has_archive: config.archive.is_some(),
        disk: disk(&data),
        bodies: Bodies::new(BODIES_BYTES_MAX),
        limits: Limits { request_timeout: REQUEST_TIMEOUT },
        started,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("http")
        .enable_all()
        .build()
        .context("cannot start the threads of the API")?;
    let scheduled = runtime.spawn(jobs.run());
    let served = runtime.block_on(serve_http(&config, services, &live, started));
    // Not waited for: a job may be killed at any point.
    scheduled.abort();
    runtime.shutdown_timeout(Duration::from_millis(200));
    live.close();
    metrics.close();
    engine.close();
    lake.close();
    wal.close();
    tracing::info!("stopped");
    served
}

pub(crate) fn start_wal(config: &Config, data: &Path, salvage: bool) -> Result<Wal> {
    let mut options = WalOptions::new(data.join("log"));
    options.ids_max = config.ids_max as usize;
    options.ids_window = config.ids_window;
    options.log_bytes_max = config.log_max.bytes();
    if salvage {
        let salvaged = Wal::salvage(&options).context("cannot salvage the write-ahead log")?;
        tracing::warn!(
            parts = salvaged.parts.len(),
            records_lost = salvaged.records_lost,
            checkpoint_lost = salvaged.checkpoint_lost,
            "log salvaged, what was set aside is in its folder salvaged"
        );
    }
    let (wal, report) = Wal::open(options).map_err(|error| {
        let hint = match &error {
            OpenError::Damaged { .. } | OpenError::Missing { .. } => "cannot open the write-ahead log; restore the \
                file from a backup, or start once with --salvage, which copies what is damaged to log/salvaged and goes \
                on without it",
            _ => "cannot open the write-ahead log",
        };
        anyhow::Error::new(error).context(hint)
    })?;
    tracing::info!(
        log = %report.log_id,
        position = report.durable.0,
        records = report.records,
        bytes = report.bytes,
        cut_bytes = report.cut_bytes,
        "log opened"
    );
    Ok(wal)
}

pub(crate) fn start_catalog(data: &Path) -> Result<Catalog> {
    let disk = RealDisk::new(&data.join("catalog")).context("cannot make the catalog's folder")?;
    Catalog::open(Arc::new(disk)).context("cannot open the catalog")
}

pub(crate) fn start_enricher(config: &Config) -> Result<Enricher> {
    let places = match &config.geo_file {
        Some(file) => Places::open(file).context("cannot use geo-file")?,
        None => Places::default(),
    };
    let enricher = Enricher::new(places);
    let preparing = enricher.clone();
    thread::Builder::new()
        .name("user-agents".to_owned())
        .spawn(move || preparing.prepare())
        .context("cannot start a thread")?;
    Ok(enricher)
}

pub(crate) fn start_lake(
    config: &Config,
    data: &Path,
    wal: &Wal,
    budget: &Arc<Budget>,
    catalog: &Catalog,
) -> Result<Lake> {
    let place = match &config.data.bucket {
        Some(url) => Place::bucket(url).with_context(|| format!("cannot keep tables at {url}"))?,
        None => Place::folder(data.join("lake")),
    };
    let journal = RealDisk::new(&data.join("mutations")).context("cannot make the folder of mutations")?;
    let mut options = LakeOptions::new(place, Arc::new(journal));
    options.locations = Arc::new(catalog.clone());
    options.flush_age = config.flush_age;
    options.flush_rows = config.flush_rows as usize;
    options.flush_bytes = config.flush_memory.bytes() as usize;
    options.hot_bytes_max = config.hot_memory.bytes() as usize;
    options.budget = Arc::clone(budget);
    options.archive = config.archive.as_deref().map(archive).transpose()?;
    options.retention = Arc::new(catalog.clone());
    options.vacuum_after = config.vacuum_after;
    Lake::open(options, wal.clone()).context("cannot open the lake")
}

/// Where old days go.
fn archive(place: &str) -> Result<Place> {
    if place.contains("://") {
        return match Location::parse(place) {
            Ok(Location::Bucket(url)) => {
                Place::bucket(&url).with_context(|| format!("cannot keep the archive at {url}"))
            }
            Ok(Location::Folder(_)) => bail!("archive must be a folder or s3://BUCKET/PREFIX, this is {place}"),
            Err(problem) => bail!("archive {place:?} {problem}"),
        };
    }
    let folder = Path::new(place);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the archive {}", folder.display()))?;
    Ok(Place::folder(folder.canonicalize().context("cannot find the archive")?))
}

fn start_jobs(config: &Config, data: &Path, lake: &Lake) -> Result<Jobs> {
    let every = [
        (Job::Compact, config.compact_every),
        (Job::Rewrite, config.rewrite_every),
        (Job::Archive, config.retain_every),
        (Job::Retain, config.retain_every),
        (Job::Vacuum, config.vacuum_every),
    ];
    let schedule = Schedule(every.into_iter().filter(|(_, every)| !every.is_zero()).collect());
    let disk = RealDisk::new(data).context("cannot find the data folder")?;
    Ok(Jobs::open(Arc::new(lake.clone()), &schedule, Arc::new(disk)))
}

fn start_live(config: &Config, wal: &Wal) -> Result<Live> {
    let options = LiveOptions::new(config.viewers_max as usize);
    Live::start(options, wal.clone()).context("cannot start the live numbers")
}

pub(crate) fn start_engine(config: &Config, lake: &Lake, budget: &Arc<Budget>) -> Result<Engine> {
    let options = EngineOptions {
        threads: config.query_threads,
        memory_bytes: config.query_memory.bytes() as usize,
        budget: Arc::clone(budget),
        queries_max: config.queries_max as usize,
    };
    let engine = Engine::start(lake.clone(), options).context("cannot start the query engine")?;
    let one = config.query_memory_each.min(config.query_memory).bytes() as usize;
    Ok(engine.with_query_memory(one).with_cache(config.query_cache.bytes()))
}

fn start_metrics(config: &Config, data: &Path, lake: &Lake, budget: &Arc<Budget>) -> Result<Metrics> {
    let disk = RealDisk::new(&data.join("rollups")).context("cannot make the folder of rollups")?;
    let options = MetricsOptions {
        threads: config.query_threads,
        memory_bytes: config.rollup_memory.bytes(),
        disk: Arc::new(disk),
        budget: Arc::clone(budget),
    };
    Metrics::start(lake.clone(), options).context("cannot start the threads for metrics")
}

fn disk(data: &Path) -> Disk {
    let data = data.to_owned();
    Disk(Arc::new(move || fs4::statvfs(&data).map(|stats| (stats.available_space(), stats.total_space()))))
}

async fn serve_http(config: &Config, services: Services, live: &Live, started: Instant) -> Result<()> {
    let listener = listen(config.listen).with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr().context("cannot read the address listened on")?;
    announce(address, config, started);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router(services)).with_graceful_shutdown(async {
        // A dropped sender means the same.
        let _ = stopped.await;
    });
    let serving = tokio::spawn(serving.into_future());
    stop_signal().await?;
    tracing::info!("stopping");
    drop(stop);
    live.dismiss();
    let drained = async { tokio::join!(serving, live.deserted()).0 };
    match tokio::time::timeout(DRAIN, drained).await {
        Ok(done) => done.context("the API ended early")?.context("the API failed"),
        Err(_) => {
            tracing::warn!("some requests did not end in time and were cut");
            Ok(())
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[allow(clippy::print_stdout, reason = "the one line that tells a person or a script where to look")]
fn announce(address: SocketAddr, config: &Config, started: Instant) {
    println!("ridealong-aggregator listening on http://{address}");
    tracing::info!(
        %address,
        data = %config.data.folder.display(),
        tables = config.data.bucket.as_ref().map(|url| url.as_str()),
        start_ms = started.elapsed().as_millis() as u64,
        log_max_mib = config.log_max.bytes() >> 20,
        flush_age = ?config.flush_age,
        flush_memory_mib = config.flush_memory.bytes() >> 20,
        memory_mib = config.memory_max.bytes() >> 20,
        hot_memory_mib = config.hot_memory.bytes() >> 20,
        query_memory_mib = config.query_memory.bytes() >> 20,
        query_memory_each_mib = config.query_memory_each.bytes() >> 20,
        query_cache_mib = config.query_cache.bytes() >> 20,
        query_threads = config.query_threads,
        queries_max = config.queries_max,
        ids_max = config.ids_max,
        "ready"
    );
}

async fn stop_signal() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
