//! Whether there is room for one more: asked before a body is read, so that a refusal costs next to nothing.
//!
//! Two things put senders off: memory that runs short, and a lake that has fallen behind the log, since what is
//! acknowledged must be readable soon. A short wait comes first, in which a sender who waits for its answers slows down to
//! the pace of the lake without ever being refused; past it, or when too many wait, the answer is "busy, try again".

use std::sync::Arc;
use std::time::Duration;

use ridealong_model::budget::{Account, Budget, Share};
use ridealong_model::lake::Lake;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::refusal::Refusal;

/// Acknowledged and not yet readable: what the lake reads in about a tenth of a second on one processor.
const UNREAD_BYTES_MAX: u64 = 16 << 20;
/// What a body takes besides itself while it is expanded, checked and waiting for the log, as a multiple of its bytes.
const WORK_FACTOR: u64 = 8;
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(2);
/// Bodies that wait at once. More than this is no hesitation of the lake but more than the machine can take.
const WAITING_MAX: usize = 64;

/// Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    budget: Arc<Budget>,
    lake: Arc<dyn Lake>,
    waiting: Arc<Semaphore>,
}

impl Admission {
    pub fn new(budget: Arc<Budget>, lake: Arc<dyn Lake>) -> Self {
        Self { budget, lake, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Takes room for a body of at most so many bytes, to be held until it has been answered.
    pub async fn enter(&self, body_bytes: u64) -> Result<Share, Refusal> {
        let bytes = body_bytes.saturating_mul(WORK_FACTOR);
        if let Some(share) = self.try_enter(bytes) {
            return Ok(share);
        }
        if let Ok(_waiting) = self.waiting.try_acquire() {
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                tokio::time::sleep(LOOK).await;
                if let Some(share) = self.try_enter(bytes) {
                    return Ok(share);
                }
            }
        }
        self.budget.count_refusal();
        Err(Refusal::Busy)
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn try_enter(&self, bytes: u64) -> Option<Share> {
        if self.lake.unread_bytes() > UNREAD_BYTES_MAX {
            return None;
        }
        self.budget.try_take(Account::Ingest, bytes)
    }
}

#[cfg(test)]
mod tests;
