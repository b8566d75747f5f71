//! `run`: starts the parts in order, waits for a signal, stops them in reverse. Wires everything, contains no logic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ridealong_common::event::Defaults;
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::Resource;
use ridealong_common::settings::Layered;
use ridealong_edge::body::Bodies;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::background;
use crate::books::Books;
use crate::config::Config;
use crate::host::{self, HostSampler};
use crate::live::{Gather, Live};
use crate::local_api::{LocalServices, router, serve};
use crate::privacy::{ClientAddress, Privacy, Salt};
use crate::proxy::{Proxy, ProxyOptions, RunningProxy};
use crate::recorder::{Recorder, Recording};
use crate::route::RouteTable;
use crate::sampling::SamplingHandle;
use crate::shipper::Shipper;
use crate::spool::{Spool, SpoolOptions};
use crate::summary::LastMinutes;

/// After the proxy has drained, a stop waits this long for the last rows to be delivered; what is not stays in the spool.
const LAST_DELIVERY: Duration = Duration::from_millis(1_000);
/// Then this long for answers of the own API that are under way.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
const BACKLOG: u32 = 256;
/// Bodies of the own API that are read at one moment.
const BODIES_BYTES_MAX: usize = 32 << 20;

/// `layered` is what `config` was made of; `gather` reads it again, without changes.
pub fn run(config: &Config, layered: Layered, gather: Box<Gather>) -> Result<()> {
    for variable in &layered.unknown_variables {
        tracing::warn!(variable, "unknown environment variable, ignored");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_name("control")
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    let starting = Agent::start(config, layered, gather)?;
    // The proxy's threads run by now, at the priority they were born with.
    background::stand_back();
    runtime.block_on(async { starting.await?.until_stopped().await })
}

/// Everything that runs.
struct Agent {
    proxy: RunningProxy,
    spool: Spool,
    books: Arc<Books>,
    tasks: JoinSet<()>,
    stop_delivery: CancellationToken,
    stop_rest: CancellationToken,
    live: Live,
    stopping: Arc<AtomicBool>,
    drain_timeout: Duration,
}

impl Agent {
    fn start(config: &Config, layered: Layered, gather: Box<Gather>) -> Result<impl Future<Output = Result<Self>>> {
        let started = Instant::now();
        let producer = ProducerId::draw();
        let books = Arc::new(Books::default());
        let last_minutes = Arc::new(LastMinutes::default());
        let resource = resource(config);
        let options = SpoolOptions {
            folder: config.spool.clone(),
            bytes_max: config.spool_max.bytes(),
            producer,
            resource: resource.clone(),
        };
        let spool =
            Spool::open(options, Arc::clone(&books), Arc::clone(&last_minutes)).context("cannot open the spool")?;
        let recording = recording(config, &spool, &books)?;
        let sampling = recording.sampling.clone();
        let proxy = start_proxy(config, recording)?;
        let live = Live::new(gather, layered, &config.spool, proxy.limits(), sampling);
        let stopping = Arc::new(AtomicBool::new(false));
        let defaults =
            Defaults { source: Some(resource.service), version: resource.version, environment: resource.environment };
        let config = config.clone();
        Ok(async move {
            let (stop_delivery, stop_rest) = (CancellationToken::new(), CancellationToken::new());
            let mut tasks = JoinSet::new();
            let shipper = Shipper::new(spool.clone(), &config.aggregator, config.spool.join("refused"))?;
            let services = LocalServices {
                producer,
                spool: spool.clone(),
                books: Arc::clone(&books),
                shipper: shipper.status(),
                proxy: proxy.counters(),
                live: live.clone(),
                stopping: Arc::clone(&stopping),
                last_minutes,
                defaults: Arc::new(defaults),
                recent: Arc::default(),
                bodies: Bodies::new(BODIES_BYTES_MAX),
                started,
            };
            let api = start_api(&config, services, &mut tasks, &stop_rest)?;
            tasks.spawn(shipper.run(stop_delivery.clone()));
            let sampler = HostSampler::new(&config.spool).context("cannot sample this host")?;
            let (spool_, books_, stop) = (spool.clone(), Arc::clone(&books), stop_rest.clone());
            tasks.spawn(async move { host::run(sampler, config.host_interval, spool_, &books_, stop).await });
            announce(&proxy, api, producer, started);
            let drain_timeout = config.drain_timeout;
            Ok(Self { proxy, spool, books, tasks, stop_delivery, stop_rest, live, stopping, drain_timeout })
        })
    }

    async fn until_stopped(self) -> Result<()> {
        let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let mut stop = std::pin::pin!(stop_signal());
        loop {
            tokio::select! {
                stopped = &mut stop => break stopped?,
                _ = hang_up.recv() => reload(&self.live),
            }
        }
        tracing::info!("stopping");
        self.stopping.store(true, Ordering::Relaxed);
        self.stop().await;
        Ok(())
    }

    /// Requests first, then their rows to disk, then what can be delivered.
    async fn stop(mut self) {
        let drained = self.proxy.drain(self.drain_timeout).await;
        if drained.connections_forced > 0 {
            tracing::warn!(connections = drained.connections_forced, "connections cut at the deadline");
        }
        self.spool.commit().await;
        let delivered = async {
            while self.books.snapshot().pending > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(LAST_DELIVERY, delivered).await.is_err() {
            tracing::info!(rows = self.books.snapshot().pending, "left in the spool for the next start");
        }
        self.stop_delivery.cancel();
        self.stop_rest.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_ANSWERS, ended).await;
        self.tasks.shutdown().await;
        let spool = self.spool;
        // The thread may be in an fsync; the control thread has nothing else to do by now.
        spool.close();
        tracing::info!("stopped");
    }
}

/// Reads the configuration again; one that is invalid changes nothing.
fn reload(live: &Live) {
    match live.reload() {
        Ok(waiting) if waiting.is_empty() => tracing::info!("configuration reloaded"),
        Ok(waiting) => tracing::warn!(keys = waiting.join(","), "configuration reloaded; these wait for a restart"),
        Err(faults) => tracing::error!(%faults, "configuration not reloaded, the old one holds"),
    }
}

fn resource(config: &Config) -> Resource {
    Resource {
        service: config.service.clone(),
        version: config.service_version.clone(),
        environment: config.environment.clone(),
        host: host::name(),
    }
}

/// After the spool, which makes and locks the folder.
fn recording(config: &Config, spool: &Spool, books: &Arc<Books>) -> Result<Recording> {
    let salt = match config.privacy.client_address {
        ClientAddress::Hashed => Salt::of_folder(&config.spool)?,
        _ => Salt::draw(),
    };
    Ok(Recording {
        spool: spool.clone(),
        books: Arc::clone(books),
        routes: Arc::new(RouteTable::new(config.routes.clone())),
        privacy: Arc::new(Privacy::new(config.privacy.clone(), salt)),
        sampling: SamplingHandle::new(config.sampling),
    })
}

fn start_proxy(config: &Config, recording: Recording) -> Result<RunningProxy> {
    let mut options = ProxyOptions::new(config.listen, config.upstream.clone());
    options.threads = config.threads.unwrap_or(options.threads);
    options.limits = config.limits;
    options.trusted = config.trusted.clone();
    options.allow_connect = config.allow_connect;
    options.capture = config.privacy.capture();
    Proxy::start(options, move |_| Box::new(Recorder::new(&recording))).context("cannot start the proxy")
}

fn start_api(
    config: &Config,
    services: LocalServices,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<SocketAddr> {
    let listener = listen(config.api_listen).with_context(|| format!("cannot listen on {}", config.api_listen))?;
    let address = listener.local_addr().context("cannot read the address listened on")?;
    tasks.spawn(serve(listener, router(services), stop.clone()));
    Ok(address)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[allow(clippy::print_stdout, reason = "the one line that tells a person or a script where to look")]
fn announce(proxy: &RunningProxy, api: SocketAddr, producer: ProducerId, started: Instant) {
    let address = proxy.local_addr();
    println!("ridealong-agent listening on http://{address}, own API on http://{api}");
    tracing::info!(%address, %api, %producer, start_ms = started.elapsed().as_millis() as u64, "ready");
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
