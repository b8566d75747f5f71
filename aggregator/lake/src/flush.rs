//! The flusher: one task that moves hot rows into Delta when they are many, large or old, or when it is asked to, and
//! then lets the log go that is no longer needed.
//!
//! It alone commits, so whoever changes tables otherwise prepares the files and asks it. After an error it does not guess:
//! the table is read again, and if it shows that the commit had happened, only the hand-over is left to do.

mod moves;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ridealong_common::table::Table;
use ridealong_model::budget::Account;
use ridealong_model::mutation::MutationError;
use ridealong_wal::Position;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::compact::FILES_CROWDED;
use crate::delta::{Change, DeltaError, DeltaLog};
use crate::hot::{Fill, Flushable, TableKey};
use crate::lake::Shared;
use crate::mutations::{self, Anew, Begin, begin};
use crate::places::PlaceError;
use crate::visits;

pub(crate) use moves::cold;

/// How often the flusher looks whether something is due.
const LOOK: Duration = Duration::from_millis(500);
/// How long a request waits for the follower to have read what it asks for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Short of memory, fewer hot rows than this are not worth a file.
const PIECE_BYTES_MIN: usize = 8 << 20;
/// After a failed flush, before the next try.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What the flusher is asked, and where the answer goes.
pub(crate) struct Request {
    what: What,
    answer: oneshot::Sender<Result<(), String>>,
}

enum What {
    /// That everything up to a log position lie in Delta.
    Flush(Position),
    /// That a table change, at once in Delta and for queries.
    Change(TableKey, Change),
    /// That files go to the archive, where copies of them lie already.
    Archive(TableKey, Vec<String>),
    /// That files go for good, wherever they lie.
    Drop(TableKey, Vec<String>),
    Begin(Box<Begin>),
    Anew(Box<Anew>),
}

pub(crate) type Answer = oneshot::Receiver<Result<(), String>>;

impl Request {
    pub fn flush(up_to: Position) -> (Self, Answer) {
        Self::new(What::Flush(up_to))
    }

    pub fn change(key: TableKey, change: Change) -> (Self, Answer) {
        Self::new(What::Change(key, change))
    }

    pub fn archive(key: TableKey, names: Vec<String>) -> (Self, Answer) {
        Self::new(What::Archive(key, names))
    }

    pub fn drop(key: TableKey, names: Vec<String>) -> (Self, Answer) {
        Self::new(What::Drop(key, names))
    }

    /// What is asked here has a way of its own for the answer.
    pub fn begin(begin: Begin) -> Self {
        Self::new(What::Begin(Box::new(begin))).0
    }

    pub fn anew(anew: Anew) -> Self {
        Self::new(What::Anew(Box::new(anew))).0
    }

    fn new(what: What) -> (Self, Answer) {
        let (answer, answered) = oneshot::channel();
        (Self { what, answer }, answered)
    }
}

#[derive(Debug, Error)]
enum FlushFailure {
    #[error(transparent)]
    Delta(#[from] DeltaError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("the log cannot let go of what the lake has: {0}")]
    Release(String),
    #[error("the log has not been read up to position {0} in time")]
    Behind(Position),
    #[error("rows of {file} in table {table} have been deleted or corrected meanwhile")]
    Mutated { table: &'static str, file: String },
    #[error("{0} tenants have tables, which is the limit")]
    Tenants(usize),
    #[error("there is no archive: give --archive")]
    NoArchive,
}

pub(crate) struct Flusher {
    shared: Arc<Shared>,
    logs: BTreeMap<TableKey, DeltaLog>,
    /// Of those tables that have one.
    archives: BTreeMap<TableKey, DeltaLog>,
}

impl Flusher {
    pub fn new(
        shared: Arc<Shared>,
        logs: BTreeMap<TableKey, DeltaLog>,
        archives: BTreeMap<TableKey, DeltaLog>,
    ) -> Self {
        Self { shared, logs, archives }
    }

    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = self.shared.closing.clone();
        loop {
            tokio::select! {
                _ = look.tick() => {
                    match self.flush_due().await {
                        // More may be due already: a backlog is worked off without a pause.
                        Ok(true) => look.reset_immediately(),
                        Ok(false) => {}
                        Err(_) => tokio::time::sleep(PAUSE_AFTER_FAILURE).await,
                    }
                }
                Some(request) = requests.recv() => {
                    let done = match request.what {
                        What::Flush(up_to) => self.flush_up_to(up_to).await,
                        What::Change(key, change) => self.change(&key, change).await,
                        What::Archive(key, names) => self.archive(&key, &names).await,
                        What::Drop(key, names) => self.drop_files(&key, &names).await,
                        What::Begin(asked) => self.begin(*asked).await,
                        What::Anew(asked) => self.anew(*asked).await,
                    };
                    // Whoever asked may have gone.
                    let _ = request.answer.send(done.map_err(|error| with_causes(&error)));
                }
                () = closing.cancelled() => return,
            }
        }
    }

    /// One flush for each table that is due; whether there was any.
    async fn flush_due(&mut self) -> Result<bool, FlushFailure> {
        let mut due: Vec<TableKey> =
            self.shared.tables.fills().into_iter().filter(|fill| self.is_due(fill)).map(|fill| fill.key).collect();
        if due.is_empty() && self.memory_is_short() {
            due.extend(self.shared.tables.largest(PIECE_BYTES_MIN));
        }
        if due.is_empty() && self.log_is_long() {
            due.extend(self.shared.tables.furthest_behind());
        }
        let any = !due.is_empty();
        for key in due {
            self.flush(&key).await?;
            self.release().await?;
        }
        Ok(any)
    }

    /// A table with few rows would keep the whole log until they are old; at half its limit they go.
    fn log_is_long(&self) -> bool {
        let wal = &self.shared.wal;
        let committed = self.shared.tables.committed(*self.shared.readable.borrow());
        wal.bytes_after(committed) > wal.options().log_bytes_max / 2
    }

    /// Senders are put off, or will be: rows that are not due yet go too.
    fn memory_is_short(&self) -> bool {
        !self.shared.options.budget.has_room(Account::Ingest, self.shared.options.flush_bytes as u64)
    }

    fn is_due(&self, fill: &Fill) -> bool {
        let options = &self.shared.options;
        fill.hot_rows >= options.flush_rows
            || fill.hot_bytes >= options.flush_bytes
            || fill.hot_since.is_some_and(|since| since.elapsed() >= options.flush_age)
    }

    async fn flush_up_to(&mut self, up_to: Position) -> Result<(), FlushFailure> {
        if !self.shared.reaches(up_to, PATIENCE).await {
            return Err(FlushFailure::Behind(up_to));
        }
        for fill in self.shared.tables.fills() {
            while self.shared.tables.is_hot(&fill.key, up_to) {
                self.flush(&fill.key).await?;
            }
        }
        self.release().await
    }

    /// Puts a mutation in force.
    async fn begin(&mut self, asked: Begin) -> Result<(), FlushFailure> {
        match self.make_certain(&asked.key).await {
            Ok(()) => begin(&self.shared, asked).await,
            // Whoever asked may have gone.
            Err(error) => drop(asked.answer.send(Err(MutationError::Failed(with_causes(&error))))),
        }
        Ok(())
    }

    /// After a commit that failed and may still arrive: sees to it that it does not, or takes over what it has brought,
    /// before anything else is done to the table.
    async fn make_certain(&mut self, key: &TableKey) -> Result<(), FlushFailure> {
        if let Some(archive) = self.archives.get_mut(key).filter(|log| log.is_uncertain()) {
            archive.make_certain().await?;
            self.show(key)?;
        }
        let Some(log) = self.logs.get_mut(key).filter(|log| log.is_uncertain()) else { return Ok(()) };
        log.make_certain().await?;
        let found = log.position().await?;
        // With its archive: otherwise queries would lose sight of it.
        if !self.shared.tables.settle(key, self.cold(key)?, found) {
            return Err(DeltaError::Overtaken { table: key.table.name(), found }.into());
        }
        Ok(())
    }

    /// Commits what somebody has prepared.
    async fn change(&mut self, key: &TableKey, change: Change) -> Result<(), FlushFailure> {
        self.make_certain(key).await?;
        let cold = self.shared.tables.cold(key);
        let removed = || cold.files.iter().filter(|file| change.removed.contains(&file.name));
        let is_archived = removed().any(|file| file.archived);
        let mutated = removed().find(|file| !change.may_remove(file));
        self.log(key).await?;
        let log = if is_archived { self.archives.get_mut(key) } else { self.logs.get_mut(key) };
        let Some(log) = log else { unreachable!("a file lies in a table that is open") };
        if let Some(file) = mutated {
            let added: Vec<String> = change.added.iter().map(|file| file.path.clone()).collect();
            log.discard(&added).await;
            return Err(FlushFailure::Mutated { table: key.table.name(), file: file.name.clone() });
        }
        log.commit_surely(change).await?;
        self.show(key)
    }

    async fn anew(&mut self, mut asked: Anew) -> Result<(), FlushFailure> {
        let (shared, key) = (Arc::clone(&self.shared), asked.key());
        let opened = match self.make_certain(&key).await {
            Ok(()) => self.log(&key).await.map(drop),
            Err(error) => Err(error),
        };
        let done = match (opened, self.logs.get_mut(&key)) {
            (Ok(()), Some(log)) => mutations::commit(&shared, log, self.archives.get_mut(&key), &mut asked).await,
            (Err(error), _) => Err(with_causes(&error)),
            (Ok(()), None) => unreachable!("opened above"),
        };
        // Whoever asked may have gone.
        let _ = asked.answer.send(done);
        Ok(())
    }

    /// Flushes one table, and counts how it went.
    async fn flush(&mut self, key: &TableKey) -> Result<(), FlushFailure> {
        let done = self.try_flush(key).await;
        let mut counters = self.shared.counters.lock();
        match &done {
            Ok(()) => {
                counters.flushes += 1;
                counters.last_error = None;
            }
            Err(error) => {
                tracing::error!(table = key.table.name(), error = error as &dyn std::error::Error, "flush failed");
                counters.flushes_failed += 1;
                counters.last_error = Some(with_causes(error));
            }
        }
        done
    }

    async fn try_flush(&mut self, key: &TableKey) -> Result<(), FlushFailure> {
        self.make_certain(key).await?;
        // A backlog goes in pieces, each a commit.
        let bytes_max = self.shared.options.flush_bytes;
        let Some(Flushable { mut batches, up_to }) = self.shared.tables.flushable(key, bytes_max) else {
            return Ok(());
        };
        if key.table == Table::Visits {
            batches =
                vec![visits::merged(&batches).map_err(|source| DeltaError::Rows { table: key.table.name(), source })?];
        }
        let shared = Arc::clone(&self.shared);
        let log = self.log(key).await?;
        if let Err(error) = log.append(&batches, up_to).await {
            log.look_again().await?;
            if log.position().await? != up_to {
                return Err(error.into());
            }
        }
        let cold = self.cold(key)?;
        if cold.files.iter().filter(|file| !file.archived).count() > FILES_CROWDED {
            shared.crowded.notify_one();
        }
        shared.tables.swap(key, cold, up_to);
        shared.options.budget.hold(Account::HotRows, shared.tables.hot_bytes() as u64);
        Ok(())
    }

    async fn log(&mut self, key: &TableKey) -> Result<&mut DeltaLog, FlushFailure> {
        if !self.logs.contains_key(key) {
            let options = &self.shared.options;
            let tenants = self.shared.tables.tenants();
            if tenants > options.tenants_max {
                return Err(FlushFailure::Tenants(tenants));
            }
            let place = self.shared.places.of(key).await?;
            let log = DeltaLog::open_or_make(&place, key.table, self.shared.wal.log_id()).await?;
            self.logs.insert(key.clone(), log);
        }
        let Some(log) = self.logs.get_mut(key) else { unreachable!("inserted above") };
        Ok(log)
    }

    /// Lets the log go up to where every table is in Delta.
    async fn release(&self) -> Result<(), FlushFailure> {
        let readable = *self.shared.readable.borrow();
        let position = self.shared.tables.committed(readable);
        let wal = self.shared.wal.clone();
        let released = tokio::task::spawn_blocking(move || wal.release(position)).await;
        match released {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(FlushFailure::Release(with_causes(&error))),
            Err(error) => Err(FlushFailure::Release(error.to_string())),
        }
    }
}

/// An error with what caused it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
