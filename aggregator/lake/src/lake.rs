//! The handle on the lake: opens what is there, starts the follower and the flusher, and answers for both.

mod existing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::execution::SessionStateBuilder;
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::prelude::{SessionConfig, SessionContext};
use ridealong_engine::datafusion_functions_json;
use ridealong_engine::deltalake::logstore::object_store::{Error as StoreError, ObjectStore};
use ridealong_model::jobs::JobFailure;
use ridealong_model::lake::{FlushError, Lake as LakePort, LakeStatus, TableStatus};
use ridealong_wal::{Position, Wal};
use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::compact;
use crate::delta::{Change, DeltaError, DeltaLog};
use crate::flush::{Answer, Flusher, Request, cold};
use crate::follow::follow;
use crate::hot::{HotTables, TableKey};
use crate::jobs;
use crate::mutations::{self, Mutations, MutationsError};
use crate::options::LakeOptions;
use crate::places::{PlaceError, Places};
use crate::snapshot::{ColdTable, HotMark, Newer, Snapshot};

/// Of a thread that evaluates conditions. Only what is used is taken from memory.
const STACK_BYTES: usize = 64 << 20;
/// Flush requests waiting at once.
const REQUESTS_MAX: usize = 64;
/// How long a stop tries to leave everything in Delta; what is not is in the log.
const CLOSING_FLUSH: Duration = Duration::from_secs(3);

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("cannot list what lies at {place}")]
    List { place: String, source: StoreError },
    #[error("cannot start the lake's threads")]
    Threads(#[source] std::io::Error),
    #[error("a place of tables cannot be opened")]
    Place(#[from] PlaceError),
    #[error("table {table} of tenant {tenant} lies in two places: move one of {} and {} away", places[0], places[1])]
    Twice { tenant: String, table: &'static str, places: [String; 2] },
    #[error("a table cannot be opened")]
    Table(#[from] DeltaError),
    #[error("{rows} rows of table {table} of {tenant} are in an archive, and none is given: give --archive as before")]
    NoArchive { tenant: String, table: &'static str, rows: u64 },
    #[error("what was deleted and corrected cannot be read")]
    Mutations(#[from] MutationsError),
}

/// The lake of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    pub(crate) shared: Arc<Shared>,
    owned: Arc<Mutex<Option<Owned>>>,
    pub(crate) worker: Handle,
    pub(crate) mutating: Handle,
    /// Of deletions and corrections at once.
    pub(crate) mutations_at_once: Arc<Semaphore>,
    /// Held while a job runs.
    pub(crate) one_job: Arc<tokio::sync::Mutex<()>>,
}

/// What follower, flusher and handle share.
pub(crate) struct Shared {
    pub options: LakeOptions,
    pub places: Arc<Places>,
    pub wal: Wal,
    pub tables: HotTables,
    pub mutations: Mutations,
    /// Up to where the log has been read into the tables.
    pub readable: watch::Sender<Position>,
    /// Bytes read of the log's segment that is being read.
    pub read_offset: AtomicU64,
    pub requests: mpsc::Sender<Request>,
    pub counters: Mutex<Counters>,
    /// Told when a table has many files.
    pub crowded: Notify,
    pub closing: CancellationToken,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub flushes: u64,
    pub flushes_failed: u64,
    /// Entries of the log that could not be read as rows. Always 0 unless ingest let something through.
    pub unreadable: u64,
    pub last_error: Option<String>,
    /// Why the log cannot be read on.
    pub log_error: Option<String>,
}

impl Shared {
    /// Whether the log is read up to `position` within `patience`.
    pub async fn reaches(&self, position: Position, patience: Duration) -> bool {
        let mut readable = self.readable.subscribe();
        let reading = async { readable.wait_for(|at| *at >= position).await.is_ok() };
        tokio::time::timeout(patience, reading).await.unwrap_or(false)
    }

    /// In which single files are read, wherever they lie.
    pub fn reading(&self) -> &SessionContext {
        let session = &self.mutations.session;
        for (url, store) in self.places.stores() {
            if let Ok(url) = ObjectStoreUrl::parse(url) {
                session.register_object_store(url.as_ref(), store);
            }
        }
        session
    }

    /// Commits files that were prepared, in place of others. The flusher does it, between two flushes; it fails, and
    /// nothing changes, when one of those to be removed is no longer in the table.
    pub async fn change(&self, key: &TableKey, change: Change) -> Result<(), JobFailure> {
        self.ask(Request::change(key.clone(), change)).await
    }

    /// Has the flusher do it.
    pub async fn ask(&self, (request, answer): (Request, Answer)) -> Result<(), JobFailure> {
        let closed = || JobFailure("the lake is closed".into());
        self.requests.send(request).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.map_err(JobFailure)
    }
}

struct Owned {
    runtime: Runtime,
    /// For work that can wait: its thread gives way to all others.
    jobs: Runtime,
    /// For deletions and corrections, which somebody waits for.
    mutating: Runtime,
    follower: thread::JoinHandle<()>,
}

impl Lake {
    /// Opens the tables under the root and begins to follow the log. Blocks; not to be called from a runtime's thread.
    pub fn open(options: LakeOptions, wal: Wal) -> Result<Self, OpenError> {
        let runtime = runtime_for("lake").map_err(OpenError::Threads)?;
        let tables = HotTables::default();
        let mutations = Mutations::open(Arc::clone(&options.journal), session(), wal.log_id())?;
        let places = Arc::new(Places::new(&options));
        let (logs, archives) = runtime.block_on(open_tables(&places, &wal, &tables, &mutations))?;
        // From the log's beginning, not from where the known tables end: a table whose rows were never flushed has no
        // Delta log yet, and nothing here knows of it. What a table has already is skipped row by row.
        let start = wal.oldest().before();
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let shared = Arc::new(Shared {
            options,
            places,
            wal,
            tables,
            mutations,
            readable: watch::Sender::new(Position(0)),
            read_offset: AtomicU64::new(0),
            requests,
            counters: Mutex::default(),
            crowded: Notify::new(),
            closing: CancellationToken::new(),
        });
        runtime.spawn(watched(Arc::clone(&shared), Flusher::new(Arc::clone(&shared), logs, archives).run(inbox)));
        let following = Arc::clone(&shared);
        let follower = thread::Builder::new()
            .name("lake-follower".into())
            .spawn(move || follow(&following, start))
            .map_err(OpenError::Threads)?;
        let jobs = jobs::runtime().map_err(OpenError::Threads)?;
        let mutating = runtime_for("lake-mutations").map_err(OpenError::Threads)?;
        let (worker, mutator) = (jobs.handle().clone(), mutating.handle().clone());
        let one_job = Arc::default();
        jobs.spawn(compact::relieve(Arc::clone(&shared), Arc::clone(&one_job)));
        let owned = Arc::new(Mutex::new(Some(Owned { runtime, jobs, mutating, follower })));
        Ok(Self { shared, owned, worker, mutating: mutator, mutations_at_once: mutations::at_once(), one_job })
    }

    /// The stores that files lie in, each by its root's URL.
    pub fn stores(&self) -> Vec<(String, Arc<dyn ObjectStore>)> {
        self.shared.places.stores()
    }

    /// The tables of a tenant with every row that was durable before the call, or None when the lake does not get there
    /// within `patience`.
    pub async fn pin(&self, tenant: &str, patience: Duration) -> Option<Snapshot> {
        let durable = self.shared.wal.durable();
        self.shared.reaches(durable, patience).await.then(|| self.shared.tables.pin(tenant))
    }

    /// A table as it is, without waiting for anything, and of its hot rows only what is new to the caller: who keeps what it
    /// made of them need not look at all of them again.
    pub fn newer(&self, tenant: &str, table: Table, seen: HotMark) -> Option<Newer> {
        self.shared.tables.newer(tenant, table, seen)
    }

    /// The files of all tables.
    pub fn files(&self) -> Vec<(Arc<str>, Table, Arc<ColdTable>)> {
        self.shared.tables.files()
    }

    /// Whether everything durable now becomes readable within `patience`.
    pub async fn caught_up(&self, patience: Duration) -> bool {
        self.shared.reaches(self.shared.wal.durable(), patience).await
    }

    /// Flushes for a while, then stops and joins the threads. Blocks; not to be called from a runtime's thread.
    pub fn close(&self) {
        let Some(owned) = self.owned.lock().take() else { return };
        let flush = owned.runtime.block_on(async { tokio::time::timeout(CLOSING_FLUSH, self.flush()).await });
        if !matches!(flush, Ok(Ok(()))) {
            tracing::warn!("the last rows were not flushed in time; the log has them");
        }
        self.shared.closing.cancel();
        owned.jobs.shutdown_background();
        owned.mutating.shutdown_background();
        if owned.follower.join().is_err() {
            tracing::error!("the lake's follower had panicked");
        }
        owned.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

#[async_trait]
impl LakePort for Lake {
    async fn flush(&self) -> Result<(), FlushError> {
        let durable = self.shared.wal.durable();
        let closed = || FlushError("the lake is closed".into());
        let (request, answer) = Request::flush(durable);
        self.shared.requests.send(request).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.map_err(FlushError)
    }

    fn unread_bytes(&self) -> u64 {
        let readable = *self.shared.readable.borrow();
        if readable >= self.shared.wal.durable() {
            return 0;
        }
        let read = self.shared.read_offset.load(Ordering::Relaxed);
        self.shared.wal.bytes_after(readable).saturating_sub(read)
    }

    fn status(&self) -> LakeStatus {
        let readable = *self.shared.readable.borrow();
        let tables: Vec<TableStatus> = self
            .shared
            .tables
            .fills()
            .into_iter()
            .map(|fill| TableStatus {
                tenant: fill.key.tenant.to_string(),
                table: fill.key.table.name(),
                hot_rows: fill.hot_rows as u64,
                cold_rows: fill.cold.rows(),
                dropped_rows: fill.cold.dropped,
                cold_bytes: fill.cold.bytes(),
                deleted: fill.cold.deleted,
                files: fill.cold.files.len() as u64,
                delta_version: fill.cold.version,
                oldest_hot_received_us: fill.oldest_hot_received_us,
                newest_us: fill.newest_us,
            })
            .collect();
        let counters = self.shared.counters.lock();
        LakeStatus {
            readable: readable.0,
            committed: self.shared.tables.committed(readable).0,
            hot_rows: tables.iter().map(|table| table.hot_rows).sum(),
            hot_bytes: self.shared.tables.hot_bytes() as u64,
            flushes: counters.flushes,
            flushes_failed: counters.flushes_failed,
            unreadable: counters.unreadable,
            last_error: counters.last_error.clone(),
            log_error: counters.log_error.clone(),
            tables,
        }
    }
}

/// Says so, for health and whoever reads the log, when the flusher ends before the lake is closed: nothing reaches Delta
/// any more.
async fn watched(shared: Arc<Shared>, flusher: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = tokio::spawn(flusher).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the flusher has ended; only a restart helps");
        shared.counters.lock().last_error = Some(format!("the flusher has ended, only a restart helps: {error}"));
    }
}

/// One thread. Conditions are evaluated on it, by recursion through what somebody wrote.
fn runtime_for(name: &str) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).thread_stack_size(STACK_BYTES).enable_all().build()
}

/// In which conditions are read and single files scanned.
fn session() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1).set_str("datafusion.sql_parser.dialect", "PostgreSQL");
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    if let Err(error) = datafusion_functions_json::register_all(&mut state) {
        tracing::warn!(error = &error as &dyn std::error::Error, "conditions cannot look into properties");
    }
    SessionContext::new_with_state(state)
}

type Logs = BTreeMap<TableKey, DeltaLog>;

/// Opens every table that there is, and the archives of those that have one.
async fn open_tables(
    places: &Arc<Places>,
    wal: &Wal,
    tables: &HotTables,
    mutations: &Mutations,
) -> Result<(Logs, Logs), OpenError> {
    let mut logs: Logs = existing::open(places, wal.log_id()).await?.into_iter().collect();
    let archives: Logs = existing::open_archives(places, wal.log_id()).await?.into_iter().collect();
    for key in archives.keys().filter(|key| !logs.contains_key(*key)).cloned().collect::<Vec<_>>() {
        let log = DeltaLog::open_or_make(&places.of(&key).await?, key.table, wal.log_id()).await?;
        logs.insert(key, log);
    }
    for (key, log) in &logs {
        let archive = archives.get(key);
        if archive.is_none() && log.gone().archived > 0 {
            let (tenant, rows) = (key.tenant.to_string(), log.gone().archived);
            return Err(OpenError::NoArchive { tenant, table: key.table.name(), rows });
        }
        tables.add(key.clone(), cold(log, archive)?, log.position().await?, mutations.changed(key));
    }
    Ok((logs, archives))
}

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
pub(crate) mod tests;
