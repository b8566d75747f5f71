//! The loop that runs jobs, and the handle on it.

use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_common::time::Timestamp;
use ridealong_model::jobs::{Job, JobFailure, JobStatus, JobsSource, LastRun, Outcome, Worker};
use ridealong_wal::disk::Disk;
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::board::{Board, Next, Schedule};
use crate::kept;

/// Callers who wait for runs at one moment.
const WAITERS_MAX: usize = 64;

/// Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    worker: Arc<dyn Worker>,
    disk: Arc<dyn Disk>,
    board: Mutex<Board>,
    asked: Notify,
}

/// Gets the run that was asked for when it has ended. Nothing ends when it is dropped.
pub type Answer = oneshot::Receiver<LastRun>;

#[derive(Debug, Error)]
#[error("{WAITERS_MAX} wait for jobs already")]
pub struct TooMany;

impl Jobs {
    /// With what is known from before. Blocking (reads a small file). Nothing runs before [`Jobs::run`].
    pub fn open(worker: Arc<dyn Worker>, schedule: &Schedule, disk: Arc<dyn Disk>) -> Self {
        let board = Board::new(schedule, kept::read(&*disk), Instant::now());
        Self { inner: Arc::new(Inner { worker, disk, board: Mutex::new(board), asked: Notify::new() }) }
    }

    /// Runs what is due, one at a time, for ever. To be called once. Cancelled, it leaves a job that runs to its worker:
    /// each may be killed at any point.
    pub async fn run(self) {
        loop {
            let asked = self.inner.asked.notified();
            let next = self.inner.board.lock().next(Instant::now());
            match next {
                Next::Run(job) => self.run_one(job).await,
                // Whichever comes first.
                Next::At(due) => drop(tokio::time::timeout_at(due, asked).await),
                Next::WhenAsked => asked.await,
            }
        }
    }

    /// A run that begins after this call.
    pub fn ask(&self, job: Job) -> Result<Answer, TooMany> {
        let (waiter, answer) = oneshot::channel();
        let mut board = self.inner.board.lock();
        if board.waiting() >= WAITERS_MAX {
            return Err(TooMany);
        }
        board.ask(job, waiter);
        drop(board);
        self.inner.asked.notify_one();
        Ok(answer)
    }

    pub fn status(&self, job: Job) -> Option<JobStatus> {
        self.jobs().into_iter().find(|status| status.job == job)
    }

    async fn run_one(&self, job: Job) {
        self.inner.board.lock().begin(job, Instant::now(), Timestamp::now().micros());
        let worker = Arc::clone(&self.inner.worker);
        // In a task of its own: a panic in it is a failure, and the loop goes on.
        let ran = tokio::spawn(async move { worker.run(job).await }).await;
        let result = ran.unwrap_or_else(|error| Err(JobFailure(format!("it ended early: {error}"))));
        tell(job, &result);
        let (run, waiters) = self.inner.board.lock().end(job, Timestamp::now().micros(), result);
        // Kept before it is answered, so that what was answered is known after a restart.
        self.keep().await;
        for waiter in waiters {
            // Whoever asked may have gone.
            let _ = waiter.send(run.clone());
        }
    }

    async fn keep(&self) {
        let inner = Arc::clone(&self.inner);
        let kept = tokio::task::spawn_blocking(move || {
            let counts = inner.board.lock().counts();
            kept::write(&*inner.disk, &counts)
        });
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(%error, "the jobs' last results could not be kept; they are lost at a restart");
        }
    }
}

impl JobsSource for Jobs {
    fn jobs(&self) -> Vec<JobStatus> {
        self.inner.board.lock().statuses(Instant::now(), Timestamp::now().micros())
    }
}

fn tell(job: Job, result: &Result<Outcome, JobFailure>) {
    match result {
        Ok(outcome) if *outcome == Outcome::default() => tracing::debug!(%job, "nothing to do"),
        Ok(outcome) => tracing::info!(%job, %outcome, "job done"),
        Err(error) => tracing::error!(%job, %error, "job failed"),
    }
}

#[cfg(test)]
mod tests;
