//! Whether there is room for one more: asked before a body is read, so that a refusal costs next to nothing.
//!
//! Three things put senders off: memory that runs short, a lake that has fallen behind the log, since what is acknowledged
//! must be readable soon, and a log near its limit. A short wait in line comes first, in which a sender who waits for its
//! answers slows down to the pace of the lake without ever being refused; past it, or when too many wait, the answer is
//! "busy, try again".

use std::sync::Arc;
use std::time::Duration;

use ridealong_model::budget::{Account, Budget, Share};
use ridealong_model::lake::Lake;
use ridealong_wal::Wal;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use crate::refusal::Refusal;

/// Acknowledged and not yet readable: what the lake reads in about a tenth of a second on one processor.
const UNREAD_BYTES_MAX: u64 = 16 << 20;
/// What a body takes besides itself while it is expanded, checked and waiting for the log, as a multiple of its bytes.
const WORK_FACTOR: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(2);
/// Bodies that wait at once. More than this is no hesitation of the lake but more than the machine can take.
const WAITING_MAX: usize = 256;

/// Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    budget: Arc<Budget>,
    lake: Arc<dyn Lake>,
    wal: Wal,
    line: Arc<Line>,
}

/// Those who wait, in the order in which they came: only the first looks for room.
struct Line {
    places: Semaphore,
    first: Mutex<()>,
}

impl Admission {
    pub fn new(budget: Arc<Budget>, lake: Arc<dyn Lake>, wal: Wal) -> Self {
        let line = Line { places: Semaphore::new(WAITING_MAX), first: Mutex::new(()) };
        Self { budget, lake, wal, line: Arc::new(line) }
    }

    /// Takes room for a body of at most so many bytes, to be held until it has been answered.
    pub async fn enter(&self, body_bytes: u64) -> Result<Share, Refusal> {
        let bytes = body_bytes.saturating_mul(WORK_FACTOR);
        let nobody_waits = self.line.places.available_permits() == WAITING_MAX;
        let admitted = match nobody_waits.then(|| self.try_enter(bytes)).flatten() {
            Some(share) => Some(share),
            None => self.wait(bytes).await,
        };
        if admitted.is_none() {
            self.budget.count_refusal();
        }
        admitted.ok_or(Refusal::Busy)
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    async fn wait(&self, bytes: u64) -> Option<Share> {
        let _place = self.line.places.try_acquire().ok()?;
        let until = Instant::now() + PATIENCE;
        let _first = timeout_at(until, self.line.first.lock()).await.ok()?;
        loop {
            if let Some(share) = self.try_enter(bytes) {
                return Some(share);
            }
            if Instant::now() >= until {
                return None;
            }
            sleep(LOOK).await;
        }
    }

    fn try_enter(&self, bytes: u64) -> Option<Share> {
        // What is being worked on will be in the log soon: a body that the log refuses was expanded in vain.
        let logged_soon = self.wal.bytes() + self.budget.status().ingest + bytes;
        if logged_soon > self.wal.options().log_bytes_max || self.lake.unread_bytes() > UNREAD_BYTES_MAX {
            return None;
        }
        self.budget.try_take(Account::Ingest, bytes)
    }
}

#[cfg(test)]
mod tests;
