//! What waits for the writer: first in, first out, bounded by bytes.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::entry::{Appended, NewEntry};

/// Why an append was not acknowledged. Except where it says so, the entry is not in the log and never will be. An entry
/// that may have happened is never both lost and acknowledged: sent again, it is stored or found to be a duplicate.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// The caller's fault; the same entry will always be refused.
    #[error("the entry is refused: {0}")]
    Invalid(&'static str),
    /// Too much waits already; try again later.
    #[error("too much waits to be written")]
    Busy,
    /// No room on the disk; goes on by itself when there is.
    #[error("the disk of the log is full")]
    Full { may_have_happened: bool },
    /// The log is as large as it may be; goes on by itself when the lake has taken more of it.
    #[error("the log holds {bytes_max} bytes, which is its limit, and waits for the lake to take more of it")]
    LogFull { bytes_max: u64 },
    /// Writing or syncing failed.
    #[error("the entry could not be made durable: {cause}")]
    NotDurable { cause: String, may_have_happened: bool },
    /// An earlier failure could not be repaired yet; each append tries again.
    #[error("the log cannot be written at present: {cause}")]
    Unavailable { cause: String },
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Full { may_have_happened } | Self::NotDurable { may_have_happened, .. } => *may_have_happened,
            Self::Invalid(_) | Self::Busy | Self::LogFull { .. } | Self::Unavailable { .. } | Self::Closed => false,
        }
    }
}

pub(crate) type Answer = Result<Appended, AppendError>;

/// One entry and who waits for it.
pub(crate) struct Job {
    pub entry: NewEntry,
    reply: oneshot::Sender<Answer>,
    bytes: usize,
}

impl Job {
    pub fn new(entry: NewEntry) -> (Self, oneshot::Receiver<Answer>) {
        /// What an entry occupies besides its payload and ids, roughly.
        const OVERHEAD_BYTES: usize = 256;
        let ids = entry.event_ids.as_ref().map_or(0, Vec::len);
        let bytes = OVERHEAD_BYTES + entry.payload.len() + ids * 16;
        let (reply, answer) = oneshot::channel();
        (Self { entry, reply, bytes }, answer)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nobody may be waiting any more: what was decided holds all the same.
    pub fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }
}

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), bytes_max }
    }

    /// Takes any one job when empty, so that an entry larger than the queue is slow and not impossible.
    pub fn push(&self, job: Job) -> Result<(), AppendError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        if !waiting.jobs.is_empty() && waiting.bytes + job.bytes > self.bytes_max {
            return Err(AppendError::Busy);
        }
        waiting.bytes += job.bytes;
        waiting.jobs.push_back(job);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for work and moves up to `bytes_max` of it, at least one job, into `group`; false when closed and drained.
    pub fn take(&self, bytes_max: usize, group: &mut Vec<Job>) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return false;
            }
            self.arrived.wait(&mut waiting);
        }
        let mut bytes = 0;
        while let Some(job) = waiting.jobs.front() {
            bytes += job.bytes;
            if bytes > bytes_max && !group.is_empty() {
                break;
            }
            group.extend(waiting.jobs.pop_front());
        }
        waiting.bytes -= group.iter().map(Job::bytes).sum::<usize>();
        true
    }

    /// Nothing more comes in; what waits is still taken.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Drops what waits; there is none after an orderly close.
    pub fn abandon(&self) {
        let jobs = std::mem::take(&mut self.waiting.lock().jobs);
        drop(jobs);
    }
}
