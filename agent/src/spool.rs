//! The spool: the agent's only memory of what is not yet delivered. Nothing else in the program names sled.
//!
//! On disk:
//!
//! ```text
//! {folder}/lock            held by the running agent
//! {folder}/bulk/{n}/       a sled database, n = 20 digits: ordinary requests, host samples
//! {folder}/kept/{n}/       the same for tracked events, errors and summaries, which go last when space runs out
//! {folder}/damaged/        what could not be read, put aside
//! ```
//!
//! In a database: key = number of the value in its row, 8 bytes big-endian; value = one encoded
//! [`Chunk`](ridealong_common::chunk::Chunk) of about 16 KiB. Databases are small and stand in a row: the newest is
//! written, the oldest read, a drained one deleted, so that neither memory nor disk stay taken after an outage.
//!
//! One thread owns every database: sled deadlocks between threads under load. Rows come to it through a bounded queue; it
//! gathers them, writes, and flushes once for all (a blocking flush whose result is looked at; sled's own flusher is off).
//!
//! What a returned [`Spool::append`] means: the events are on the disk, fsynced. What [`Spool::offer`] means: the rows
//! will be, within [`GATHER`] and one fsync, unless the books say that they were dropped.

mod database;
mod group;
mod keeper;
mod row;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::TrackedEvent;
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::{HostRow, RequestRow, Resource};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::background;
use crate::books::{Books, reason};
use crate::summary::{LastMinutes, Tally};
use keeper::Keeper;
pub use row::ChunkKey;

/// How long rows are gathered before they are written, when nobody waits for them.
pub const GATHER: Duration = Duration::from_millis(100);
/// Groups waiting for the spool: 128 times at most 512 requests, some 40 MiB.
const QUEUE_MAX: usize = 128;
/// How long events wait for the disk; then their caller is told, and they may be on it or not.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stop waits for the spool's thread.
const CLOSING: Duration = Duration::from_secs(1);
const CLOSING_LOOK: Duration = Duration::from_millis(1);
/// Rows of one group commit, those that are only counted included.
const COMMIT_ROWS_MAX: usize = 16_384;

#[derive(Clone, Debug)]
pub struct SpoolOptions {
    pub folder: PathBuf,
    /// Bytes on disk, sled's own included.
    pub bytes_max: u64,
    pub producer: ProducerId,
    pub resource: Resource,
}

/// Rows that may be dropped when the spool cannot take them.
#[derive(Debug)]
pub enum SpoolRows {
    Requests(Requests),
    Host(HostRow),
}

/// What one recorder gathered. Both parts are summarised; the rows are stored as well.
#[derive(Debug, Default)]
pub struct Requests {
    pub rows: Vec<RequestRow>,
    pub sampled_out: Vec<Tally>,
}

impl Requests {
    /// Room for so many rows; those sampled out take theirs when there are any.
    pub fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), sampled_out: Vec::new() }
    }

    pub fn exchanges(&self) -> u64 {
        (self.rows.len() + self.sampled_out.len()) as u64
    }
}

/// Chunks of one producer on their way to the aggregator; they stay in the spool until they are acknowledged.
#[derive(Debug)]
pub struct Parcel {
    pub producer: ProducerId,
    /// Numbers that the producer has handed out, as far as this agent knows.
    pub announced: u64,
    pub chunks: Vec<Chunk>,
    pub keys: Vec<ChunkKey>,
}

impl Parcel {
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.count)).sum()
    }
}

/// How the spool is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpoolStatus {
    pub disk_bytes: u64,
    pub disk_bytes_max: u64,
    pub databases: u64,
    pub chunks: u64,
    /// Numbers of values: written so far, and delivered up to.
    pub bulk: Progress,
    pub kept: Progress,
    pub commits: u64,
    pub damaged_databases: u64,
    /// The last failure to write, until a write succeeds again.
    pub failing: Option<String>,
}

/// How far one row of databases is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub written_to: u64,
    /// Everything below it is delivered or given up. Equal to `written_to` when nothing is left.
    pub delivered_to: u64,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("cannot make the spool folder {folder}")]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("another agent uses the spool {0}; give this one its own --spool")]
    InUse(PathBuf),
    #[error("cannot start the spool's thread")]
    Thread(#[source] std::io::Error),
}

/// Why events were not taken. They are not in the spool and never will be delivered, unless `Failed`, where they may be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    #[error("too much waits for the spool")]
    Busy,
    #[error("the spool is full")]
    Full,
    #[error("the spool cannot be written: {0}")]
    Failed(String),
    #[error("the agent is stopping")]
    Closed,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Spool {
    queue: SyncSender<Command>,
    books: Arc<Books>,
    status: watch::Receiver<SpoolStatus>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

pub(crate) enum Command {
    Rows(SpoolRows),
    Events {
        events: Vec<TrackedEvent>,
        answer: oneshot::Sender<Result<(), AppendError>>,
    },
    /// Writes what is gathered now.
    Commit {
        done: oneshot::Sender<()>,
    },
    Next {
        bytes_max: usize,
        answer: oneshot::Sender<Option<Parcel>>,
    },
    Acknowledge {
        keys: Vec<ChunkKey>,
        rows: u64,
    },
    /// The aggregator will never take these.
    Discard {
        keys: Vec<ChunkKey>,
        rows: u64,
    },
    Close,
}

impl Spool {
    /// Locks the folder and starts the thread, which then looks through what an earlier start left.
    pub fn open(options: SpoolOptions, books: Arc<Books>, last_minutes: Arc<LastMinutes>) -> Result<Self, OpenError> {
        let lock = row::lock(&options.folder)?;
        let (queue, inbox) = sync_channel(QUEUE_MAX);
        let (tell, status) = watch::channel(SpoolStatus::default());
        let keeper_books = Arc::clone(&books);
        let thread = std::thread::Builder::new().name("spool".into()).spawn(move || {
            background::stand_back();
            let _lock = lock;
            serve(Keeper::new(options, keeper_books, last_minutes, tell), &inbox);
        });
        let thread = Arc::new(Mutex::new(Some(thread.map_err(OpenError::Thread)?)));
        Ok(Self { queue, books, status, thread })
    }

    /// Hands rows over without waiting; when the queue is full they are dropped and counted.
    pub fn offer(&self, rows: SpoolRows) {
        let (count, exchanges) = match &rows {
            SpoolRows::Requests(requests) => (requests.rows.len() as u64, requests.exchanges()),
            SpoolRows::Host(_) => (1, 0),
        };
        if self.queue.try_send(Command::Rows(rows)).is_err() {
            self.books.dropped(reason::QUEUE_FULL, count);
            self.books.uncounted(exchanges);
        }
    }

    /// Returns once the events are on the disk. Cancelled, they may or may not be.
    pub async fn append(&self, events: Vec<TrackedEvent>) -> Result<(), AppendError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Command::Events { events, answer }).map_err(|error| match error {
            TrySendError::Full(_) => AppendError::Busy,
            TrySendError::Disconnected(_) => AppendError::Closed,
        })?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answer) => answer.unwrap_or(Err(AppendError::Closed)),
            Err(_) => Err(AppendError::Failed("the disk does not answer".into())),
        }
    }

    /// The oldest chunks, about `bytes_max` as stored; None when there are none.
    pub async fn next(&self, bytes_max: usize) -> Option<Parcel> {
        self.ask(|answer| Command::Next { bytes_max, answer }).await.flatten()
    }

    /// Returns once everything offered before is on the disk.
    pub async fn commit(&self) {
        self.ask(|done| Command::Commit { done }).await;
    }

    /// Forgets what the aggregator holds.
    pub async fn acknowledge(&self, keys: Vec<ChunkKey>, rows: u64) {
        self.tell(Command::Acknowledge { keys, rows }).await;
    }

    /// Forgets what the aggregator will never take, and counts it.
    pub async fn discard(&self, keys: Vec<ChunkKey>, rows: u64) {
        self.tell(Command::Discard { keys, rows }).await;
    }

    pub fn status(&self) -> SpoolStatus {
        let mut status = self.status.borrow().clone();
        if self.thread.lock().as_ref().is_some_and(JoinHandle::is_finished) {
            status.failing = Some("the spool's thread has ended".into());
        }
        status
    }

    /// Changes whenever something was written or delivered.
    pub fn watch(&self) -> watch::Receiver<SpoolStatus> {
        self.status.clone()
    }

    /// Writes what waits, then ends the thread. Blocks.
    pub fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        let deadline = Instant::now() + CLOSING;
        let mut told = false;
        while !thread.is_finished() && Instant::now() < deadline {
            told = told || !matches!(self.queue.try_send(Command::Close), Err(TrySendError::Full(_)));
            std::thread::sleep(CLOSING_LOOK);
        }
        if !thread.is_finished() {
            tracing::error!("the spool's disk does not answer, its thread is left behind");
        } else if thread.join().is_err() {
            tracing::error!("the spool's thread had panicked");
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(command(answer)).await;
        answered.await.ok()
    }

    /// Waits for room in the queue; only the shipper and a flush call this, never a proxy thread.
    async fn tell(&self, mut command: Command) {
        const PAUSE: Duration = Duration::from_millis(5);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(command) {
            command = back;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The thread's loop: gathers until somebody waits, enough is there or [`GATHER`] is over; then commits.
fn serve(mut keeper: Keeper, inbox: &Receiver<Command>) {
    let mut due: Option<Instant> = None;
    loop {
        let wait = due.map_or(GATHER, |due| due.saturating_duration_since(Instant::now()));
        let received = inbox.recv_timeout(wait);
        let mut closing = matches!(received, Err(RecvTimeoutError::Disconnected));
        let mut urgent = false;
        let mut command = received.ok();
        while let Some(next) = command {
            match next {
                Command::Close => closing = true,
                other => urgent |= keeper.take(other),
            }
            command = if keeper.gathered_rows() < COMMIT_ROWS_MAX { inbox.try_recv().ok() } else { None };
        }
        if keeper.gathered_rows() > 0 {
            due.get_or_insert_with(|| Instant::now() + GATHER);
        }
        let over = due.is_some_and(|due| due <= Instant::now());
        if urgent || over || closing || keeper.gathered_rows() >= COMMIT_ROWS_MAX {
            keeper.commit();
            due = None;
        }
        if closing {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
