//! What the handle, the writer's thread and the followers have in common.
//!
//! Locks are taken in this order and mostly alone: checkpoint, followers, ledger, segments, progress, the keeper's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::entry::{LogId, Position};
use crate::keeper::Keeper;
use crate::ledger::Ledger;
use crate::options::WalOptions;
use crate::queue::{AppendError, Queue};
use crate::registered::Followers;
use crate::segment::Segment;

pub(crate) struct Shared {
    pub options: WalOptions,
    pub disk: Arc<dyn Disk>,
    pub log: LogId,
    pub queue: Queue,
    pub checkpoint: Mutex<Checkpoint>,
    pub ledger: Mutex<Ledger>,
    /// Oldest first, never empty; the last is being written.
    pub segments: RwLock<Vec<Segment>>,
    pub failed_syncs: AtomicU64,
    /// Entries refused because the log is as large as it may be.
    pub refused_log_full: AtomicU64,
    /// The last group could not be written, since when and why.
    pub refusing: Mutex<Option<(Instant, AppendError)>>,
    /// Bytes of records since the last checkpoint.
    pub bytes_since_checkpoint: AtomicU64,
    /// Files of the checkpoint.
    pub checkpoint_bytes: AtomicU64,
    pub keeper: Keeper,
    pub followers: Mutex<Followers>,
    progress: Mutex<Progress>,
    moved: Condvar,
    durable: watch::Sender<Position>,
}

struct Progress {
    durable: Position,
    closed: bool,
}

/// Why a wait for new records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is something to read.
    New,
    TimedOut,
    /// The log is closed and there is nothing more.
    Closed,
}

/// What [`Shared::new`] takes over from a start.
pub(crate) struct Parts {
    pub options: WalOptions,
    pub disk: Arc<dyn Disk>,
    pub log: LogId,
    pub checkpoint: Checkpoint,
    pub ledger: Ledger,
    pub segments: Vec<Segment>,
    pub bytes_replayed: u64,
}

impl Shared {
    pub fn new(parts: Parts) -> Self {
        let durable = parts.ledger.position();
        Self {
            checkpoint_bytes: AtomicU64::new(parts.checkpoint.bytes()),
            keeper: Keeper::new(parts.options.checkpoint_bytes),
            followers: Mutex::default(),
            queue: Queue::new(parts.options.queue_bytes_max),
            options: parts.options,
            disk: parts.disk,
            log: parts.log,
            checkpoint: Mutex::new(parts.checkpoint),
            ledger: Mutex::new(parts.ledger),
            segments: RwLock::new(parts.segments),
            failed_syncs: AtomicU64::new(0),
            refused_log_full: AtomicU64::new(0),
            refusing: Mutex::new(None),
            bytes_since_checkpoint: AtomicU64::new(parts.bytes_replayed),
            progress: Mutex::new(Progress { durable, closed: false }),
            moved: Condvar::new(),
            durable: watch::Sender::new(durable),
        }
    }

    pub fn durable(&self) -> Position {
        self.progress.lock().durable
    }

    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    /// Records up to `position` are durable and accounted for, and the last segment is `bytes` long.
    pub fn publish(&self, position: Position, bytes: u64) {
        if let Some(tail) = self.segments.write().last_mut() {
            let grown = bytes - tail.bytes;
            tail.bytes = bytes;
            let since = self.bytes_since_checkpoint.fetch_add(grown, Ordering::Relaxed) + grown;
            self.keeper.has_grown(since);
        }
        let mut progress = self.progress.lock();
        assert!(position >= progress.durable, "what was durable stays durable");
        progress.durable = position;
        drop(progress);
        self.moved.notify_all();
        self.durable.send_replace(position);
    }

    /// All segments together.
    pub fn bytes(&self) -> u64 {
        self.segments.read().iter().map(|segment| segment.bytes).sum()
    }

    /// Of the segments that hold something after `position`.
    pub fn bytes_after(&self, position: Position) -> u64 {
        let segments = self.segments.read();
        let from = segments.partition_point(|segment| segment.first <= position.next()).saturating_sub(1);
        segments[from..].iter().map(|segment| segment.bytes).sum()
    }

    /// A segment without records is the one to write now; it may take the place of another such.
    pub fn rolled(&self, segment: Segment) {
        let mut segments = self.segments.write();
        segments.retain(|each| each.first != segment.first);
        segments.push(segment);
    }

    /// The segment that has, or will have, the record of a position; Err with the oldest position if it was removed.
    pub fn segment_of(&self, position: Position) -> Result<Segment, Position> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.first <= position);
        let oldest = segments.first().map_or(position, |segment| segment.first);
        after.checked_sub(1).map(|place| segments[place]).ok_or(oldest)
    }

    /// Nothing more will become durable.
    pub fn stopped(&self) {
        self.progress.lock().closed = true;
        self.moved.notify_all();
    }

    /// Blocks until something after `position` is durable.
    pub fn wait(&self, position: Position, deadline: Instant) -> Wake {
        let mut progress = self.progress.lock();
        loop {
            if progress.durable > position {
                return Wake::New;
            }
            if progress.closed {
                return Wake::Closed;
            }
            if self.moved.wait_until(&mut progress, deadline).timed_out() {
                return if progress.durable > position { Wake::New } else { Wake::TimedOut };
            }
        }
    }

    /// A group could not be written.
    pub fn refused(&self, at: Instant, why: &AppendError) {
        *self.refusing.lock() = Some((at, why.clone()));
    }

    /// A group was written.
    pub fn accepted(&self) {
        *self.refusing.lock() = None;
    }

    pub fn sync_failed(&self) {
        self.failed_syncs.fetch_add(1, Ordering::Relaxed);
    }
}
