//! The handle by which the rest of the program has the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::books::{Books, TenantBooks};
use crate::disk::{Disk, RealDisk};
use crate::entry::{Appended, LogId, NewEntry, Position};
use crate::follower::Follower;
use crate::keeper;
use crate::ledger::{Limits, TenantMoment};
use crate::options::{Clock, WalOptions};
use crate::queue::{Answer, AppendError, Job};
use crate::record::{PAYLOAD_BYTES_MAX, ROWS_MAX, TENANT_BYTES_MAX};
use crate::recovery::{OpenError, RecoveryReport, Salvaged, recover, salvage};
use crate::registered::{FollowerBudget, RegisterError, Registered, Saved};
use crate::release::{ReleaseError, release};
use crate::shared::{Parts, Shared};
use crate::writer::Writer;

/// How long the books say that a group could not be written, when no later one tells.
const REFUSING_IS_NEWS: Duration = Duration::from_secs(30);

/// Cheap to clone. The log closes with [`Wal::close`] or with the last clone.
#[derive(Clone)]
pub struct Wal {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Opens the log in the folder of the options, or begins one there: recovers, then accepts appends. Blocking. The
    /// caller sees to it that nobody else has the folder.
    pub fn open(options: WalOptions) -> Result<(Wal, RecoveryReport), OpenError> {
        let disk = RealDisk::new(&options.folder).map_err(|source| OpenError::io("create", ".", source))?;
        Self::open_on(options, Arc::new(disk), Arc::new(Instant::now))
    }

    /// Makes a damaged log one that can be opened: sets aside what is damaged, in the folder `salvaged` within the log's,
    /// and gives up the positions that were there. To be called before [`Wal::open`], when that has refused. Blocking.
    pub fn salvage(options: &WalOptions) -> Result<Salvaged, OpenError> {
        let fail = |source| OpenError::io("create", ".", source);
        let disk = RealDisk::new(&options.folder).map_err(fail)?;
        let aside = RealDisk::new(&options.folder.join("salvaged")).map_err(fail)?;
        salvage(&disk, &aside, limits(options))
    }

    /// [`Wal::open`] on any disk and by any clock.
    pub fn open_on(options: WalOptions, disk: Arc<dyn Disk>, clock: Clock) -> Result<(Wal, RecoveryReport), OpenError> {
        let recovered = recover(&*disk, limits(&options))?;
        let shared = Arc::new(Shared::new(Parts {
            options,
            disk,
            log: recovered.report.log_id,
            checkpoint: recovered.checkpoint,
            ledger: recovered.ledger,
            segments: recovered.segments,
            bytes_replayed: recovered.bytes_replayed,
        }));
        let keeper = keeper::start(&shared).map_err(|source| OpenError::Thread { source })?;
        let writer = Writer::new(shared.clone(), clock, recovered.tail);
        let writer = thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread { source })?;
        let handle = Handle { shared, writer: Mutex::new(Some(writer)), keeper: Mutex::new(Some(keeper)) };
        Ok((Wal { handle: Arc::new(handle) }, recovered.report))
    }

    /// Stores the rows of an entry that are not there yet; answered when that is durable, and so is what they repeat.
    ///
    /// Dropping the future before its first poll does nothing; afterwards the entry is decided and written all the same.
    pub async fn append(&self, entry: NewEntry) -> Result<Appended, AppendError> {
        let stopped = |_| AppendError::NotDurable { cause: "the writer stopped".to_owned(), may_have_happened: true };
        self.submit(entry)?.await.map_err(stopped)?
    }

    /// Queues an entry now, in the order of the calls; the answer comes later.
    pub(crate) fn submit(&self, entry: NewEntry) -> Result<oneshot::Receiver<Answer>, AppendError> {
        check(&entry).map_err(AppendError::Invalid)?;
        let (job, answer) = Job::new(entry);
        self.shared().queue.push(job)?;
        Ok(answer)
    }

    /// The last durable position; 0 when there is none.
    pub fn durable(&self) -> Position {
        self.shared().durable()
    }

    /// The position of the oldest record that is not released, or will be when there is one.
    pub fn oldest(&self) -> Position {
        self.shared().segments.read().first().map_or(Position::NONE, |segment| segment.first)
    }

    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.shared().subscribe()
    }

    /// Reads on from `after`, which is not returned again.
    pub fn follow(&self, after: Position) -> Follower {
        Follower::new(self.shared().clone(), after)
    }

    /// A follower that goes on where it was when it last saved, and that may hold the log back within its budget; with
    /// what it saved. Blocking.
    pub fn register(&self, name: &str, budget: FollowerBudget) -> Result<(Registered, Option<Saved>), RegisterError> {
        Registered::new(self.shared(), name, budget)
    }

    pub fn log_id(&self) -> LogId {
        self.shared().log
    }

    /// The lake has everything up to `position`: what the log need not keep is removed. Blocking (syncs files).
    pub fn release(&self, position: Position) -> Result<(), ReleaseError> {
        release(self.shared(), position)
    }

    /// Bytes of all segments; the limit is in the options.
    pub fn bytes(&self) -> u64 {
        self.shared().bytes()
    }

    /// Bytes of the segments that a reader who stands at `position` has not read to their end.
    pub fn bytes_after(&self, position: Position) -> u64 {
        self.shared().bytes_after(position)
    }

    pub fn options(&self) -> &WalOptions {
        &self.shared().options
    }

    /// The books of one moment. Blocking, for milliseconds when producers are many.
    pub fn books(&self) -> Books {
        let shared = self.shared();
        let moment = shared.ledger.lock().moment();
        let mut books = Books::default();
        moment.write_books(&mut books);
        books.failed_syncs = shared.failed_syncs.load(Ordering::Relaxed);
        books.refused_log_full = shared.refused_log_full.load(Ordering::Relaxed);
        books.refusing = shared
            .refusing
            .lock()
            .as_ref()
            .and_then(|(since, why)| (since.elapsed() < REFUSING_IS_NEWS).then(|| why.to_string()));
        books.followers = shared.followers.lock().books(shared);
        books.segments = shared.segments.read().len() as u64;
        books.bytes = shared.bytes();
        books.bytes_max = shared.options.log_bytes_max;
        books.bytes_to_replay = shared.bytes_since_checkpoint.load(Ordering::Relaxed);
        books.bytes_on_disk = books.bytes + shared.checkpoint_bytes.load(Ordering::Relaxed);
        books
    }

    /// A tenant's books as of a position a little while ago, or of now when that is yet to come; None when it is too long
    /// ago. Blocking, as [`Wal::books`].
    pub fn tenant_books(&self, tenant: &str, position: Position) -> Option<TenantBooks> {
        let moment = self.shared().ledger.lock().tenant_moment(tenant, position);
        moment.map(TenantMoment::books)
    }

    /// When the oldest stored row after `position` was received; None when there is none.
    pub fn oldest_stored_after(&self, position: Position) -> Option<i64> {
        self.shared().ledger.lock().oldest_stored_after(position)
    }

    /// Writes and answers what is queued, then stops; later appends are refused. Blocking.
    pub fn close(&self) {
        self.handle.close();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl Handle {
    fn close(&self) {
        self.shared.queue.close();
        let writer = self.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread of the log's writer had panicked");
        }
        self.shared.keeper.close();
        let keeper = self.keeper.lock().take();
        if keeper.is_some_and(|keeper| keeper.join().is_err()) {
            tracing::error!("the thread of the log's checkpoints had panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

fn limits(options: &WalOptions) -> Limits {
    Limits {
        ids_max: options.ids_max,
        ids_window: options.ids_window,
        producers_max: options.producers_max,
        intervals_max: options.intervals_max,
    }
}

/// What is wrong with an entry whatever the log holds.
fn check(entry: &NewEntry) -> Result<(), &'static str> {
    let ids = entry.event_ids.as_ref().map(Vec::len);
    if entry.tenant.is_empty() || entry.tenant.len() > TENANT_BYTES_MAX {
        Err("the tenant's name is empty or too long")
    } else if entry.rows == 0 || entry.rows > ROWS_MAX {
        Err("no rows or too many")
    } else if ids.is_some_and(|ids| ids != entry.rows as usize) {
        Err("not one event id a row")
    } else if !entry.quarantined_rows.is_sorted_by(|a, b| a < b)
        || entry.quarantined_rows.last().is_some_and(|row| *row >= entry.rows)
    {
        Err("the quarantined rows are not rows in ascending order")
    } else if entry.payload.len() > PAYLOAD_BYTES_MAX {
        Err("the payload is too large")
    } else if entry.numbers.is_some_and(|numbers| numbers.first.checked_add(u64::from(entry.rows)).is_none()) {
        Err("the numbers are too large")
    } else {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
