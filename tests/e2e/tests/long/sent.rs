//! What was sent and acknowledged, and how far the run is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rows of one part: few enough to count distinct ids of.
const PART_ROWS: u64 = 250_000;

/// What one sender knows to be stored, since all of it was acknowledged.
#[derive(Debug, Default)]
pub struct Sent {
    /// Different rows, by table.
    pub requests: u64,
    pub events: u64,
    /// Numbers handed out: a repeat under its old numbers adds nothing.
    pub announced: u64,
    /// Rows sent again after they had been acknowledged: at least so many are duplicates.
    pub again: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    pub producers: u64,
}

impl Sent {
    pub fn add(&mut self, other: Sent) {
        self.requests += other.requests;
        self.events += other.events;
        self.announced += other.announced;
        self.again += other.again;
        self.retried += other.retried;
        self.producers += other.producers;
    }
}

/// How many different rows were taken on by senders; they go on as far as the disturbances have come, so that these are
/// spread over the whole run.
pub struct Progress {
    events: u64,
    disturbances: u64,
    taken: AtomicU64,
    disturbed: AtomicU64,
    finished: AtomicBool,
    started: Instant,
}

impl Progress {
    pub fn new(events: u64, disturbances: u64) -> Self {
        let (taken, disturbed, finished) = Default::default();
        Self { events, disturbances, taken, disturbed, finished, started: Instant::now() }
    }

    /// Takes on up to `rows`; the part that they belong to, and how many. None when all are taken.
    pub async fn take(&self, rows: u64) -> Option<(u64, u64)> {
        loop {
            let taken = self.taken.load(Ordering::Relaxed);
            if taken >= self.events {
                return None;
            }
            if taken < self.allowed() {
                let rows = rows.min(self.events - taken);
                if self.taken.compare_exchange(taken, taken + rows, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return Some((taken / PART_ROWS, rows));
                }
            } else {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Whether senders wait for the next disturbance.
    pub fn waits(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.allowed()
    }

    fn allowed(&self) -> u64 {
        self.events * self.disturbed.load(Ordering::Relaxed) / self.disturbances
    }

    /// One more disturbance, and the rows that go with it.
    pub fn allow(&self) {
        self.disturbed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// A line every few seconds.
pub async fn tell(progress: std::sync::Arc<Progress>) {
    let mut next = Duration::from_secs(5);
    while !progress.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if progress.started.elapsed() >= next {
            next = progress.started.elapsed() + Duration::from_secs(5);
            println!(
                "{:>5} s: {} of {} rows, {} of {} disturbances",
                progress.started.elapsed().as_secs(),
                progress.taken.load(Ordering::Relaxed),
                progress.events,
                progress.disturbed.load(Ordering::Relaxed),
                progress.disturbances
            );
        }
    }
}
