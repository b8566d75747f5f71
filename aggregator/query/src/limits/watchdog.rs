//! A thread outside the engine that looks after queries.
//!
//! It counts and reports work that goes on long after its query's end; when the program runs short of memory it ends the
//! query that holds most; and when no thread of the engine answers any more it puts new ones in their place. Work that
//! cannot be ended, a single call into a library, keeps its old thread and its slot until it is through.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ridealong_model::budget::Budget;
use tokio::runtime::{Builder, Handle, Runtime};

use super::permit::{Permits, Why};

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);
/// Work may go on for so long after its query's end before it is reported.
const OVERDUE: Duration = Duration::from_secs(3);
/// When no thread has answered for so long, all are stuck.
const STUCK: Duration = Duration::from_secs(5);
/// Of the program's memory, in percent, when the largest query is ended.
const MEMORY_CEILING: u64 = 95;
/// A query that holds less is not what takes the memory.
const HELD_BYTES_MIN: usize = 16 << 20;

/// How to make the engine's threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads {
    pub count: usize,
    pub stack_bytes: usize,
}

impl Threads {
    pub fn start(self) -> std::io::Result<Runtime> {
        Builder::new_multi_thread()
            .worker_threads(self.count)
            .thread_name("query")
            .thread_stack_size(self.stack_bytes)
            .enable_all()
            .build()
    }
}

#[derive(Debug)]
pub(crate) struct Watchdog {
    pub permits: Permits,
    threads: Threads,
    runtime: Mutex<Option<Runtime>>,
    budget: Arc<Budget>,
    overdue_now: AtomicUsize,
    overdue: AtomicU64,
    ended_for_memory: AtomicU64,
    replaced: AtomicUsize,
    closed: AtomicBool,
}

/// What it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub overdue_now: usize,
    pub overdue: u64,
    pub ended_for_memory: u64,
    pub threads_replaced: usize,
}

impl Watchdog {
    pub fn start(threads: Threads, budget: Arc<Budget>) -> std::io::Result<Arc<Self>> {
        let runtime = Mutex::new(Some(threads.start()?));
        let watchdog = Arc::new(Self {
            permits: Permits::default(),
            threads,
            runtime,
            budget,
            overdue_now: AtomicUsize::new(0),
            overdue: AtomicU64::new(0),
            ended_for_memory: AtomicU64::new(0),
            replaced: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let watched = Arc::downgrade(&watchdog);
        thread::Builder::new().name("query-watchdog".to_owned()).spawn(move || watch(&watched))?;
        Ok(watchdog)
    }

    /// Where queries run now; None when closed.
    pub fn handle(&self) -> Option<Handle> {
        self.runtime.lock().as_ref().map(|runtime| runtime.handle().clone())
    }

    pub fn seen(&self) -> Seen {
        Seen {
            overdue_now: self.overdue_now.load(Ordering::Relaxed),
            overdue: self.overdue.load(Ordering::Relaxed),
            ended_for_memory: self.ended_for_memory.load(Ordering::Relaxed),
            threads_replaced: self.replaced.load(Ordering::Relaxed),
        }
    }

    /// Abandons what runs. May be called from a runtime's thread.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.permits.held().iter().for_each(|permit| permit.revoke(Why::Left));
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }

    fn report_overdue(&self) {
        let mut overdue_now = 0;
        for permit in self.permits.held() {
            let Some(since) = permit.overdue().filter(|since| *since > OVERDUE) else { continue };
            overdue_now += 1;
            if permit.report() {
                self.overdue.fetch_add(1, Ordering::Relaxed);
                let after_ms = since.as_millis() as u64;
                tracing::warn!(query_id = permit.query_id, after_ms, "a query still works after its end");
            }
        }
        self.overdue_now.store(overdue_now, Ordering::Relaxed);
    }

    fn relieve_memory(&self) {
        let status = self.budget.status();
        if status.resident <= status.bytes_max / 100 * MEMORY_CEILING {
            return;
        }
        let held = self.permits.held();
        let running = held.iter().filter(|permit| permit.revoked().is_none());
        let Some(largest) = running.max_by_key(|permit| permit.reserved()) else { return };
        if largest.reserved() >= HELD_BYTES_MIN {
            largest.revoke(Why::Memory);
            self.ended_for_memory.fetch_add(1, Ordering::Relaxed);
            let (resident, bytes) = (status.resident, largest.reserved());
            tracing::warn!(query_id = largest.query_id, bytes, resident, "memory is short, the largest query is ended");
        }
    }

    fn replace_threads(&self) {
        let Ok(new) = self.threads.start() else { return };
        let old = {
            let mut runtime = self.runtime.lock();
            if self.closed.load(Ordering::Relaxed) {
                new.shutdown_background();
                return;
            }
            runtime.replace(new)
        };
        self.replaced.fetch_add(1, Ordering::Relaxed);
        tracing::error!(stuck_ms = STUCK.as_millis() as u64, "no thread for queries answers, others take their place");
        if let Some(old) = old {
            old.shutdown_background();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs as long as the engine.
fn watch(watched: &Weak<Watchdog>) {
    let (mut answered, mut asked) = (Arc::new(AtomicBool::new(true)), Instant::now());
    loop {
        thread::sleep(TICK);
        let Some(watchdog) = watched.upgrade().filter(|watchdog| !watchdog.closed.load(Ordering::Relaxed)) else {
            return;
        };
        watchdog.report_overdue();
        watchdog.relieve_memory();
        if answered.load(Ordering::Relaxed) {
            (answered, asked) = (Arc::new(AtomicBool::new(false)), Instant::now());
            let answer = Arc::clone(&answered);
            if let Some(handle) = watchdog.handle() {
                handle.spawn(async move { answer.store(true, Ordering::Relaxed) });
            }
        } else if asked.elapsed() > STUCK {
            // What is stuck keeps its slot, so slots bound how often this can be.
            watchdog.replace_threads();
            answered = Arc::new(AtomicBool::new(true));
        }
    }
}
