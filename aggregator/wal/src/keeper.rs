//! The thread that writes a checkpoint whenever the log has grown by so much since the last one, whatever the lake does:
//! a start replays no more than that, and what came while the checkpoint was written. Appends wait only while pointers to
//! what the ledger holds are copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::release::checkpoint;
use crate::shared::Shared;

pub(crate) struct Keeper {
    bytes: u64,
    /// Bytes of records since the last checkpoint at which the next one is due.
    due_at: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_due: bool,
    is_closed: bool,
}

impl Keeper {
    pub fn new(bytes: u64) -> Self {
        Self { bytes, due_at: AtomicU64::new(bytes), state: Mutex::default(), changed: Condvar::new() }
    }

    /// There are so many bytes of records since the last checkpoint.
    pub fn has_grown(&self, since: u64) {
        if since >= self.due_at.load(Ordering::Relaxed) {
            self.state.lock().is_due = true;
            self.changed.notify_one();
        }
    }

    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.is_due && !state.is_closed {
            self.changed.wait(&mut state);
        }
        state.is_due = false;
        !state.is_closed
    }
}

pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let shared = shared.clone();
    // What was replayed may have been much.
    shared.keeper.has_grown(shared.bytes_since_checkpoint.load(Ordering::Relaxed));
    thread::Builder::new().name("wal-checkpoint".to_owned()).spawn(move || {
        while shared.keeper.wait() {
            let keeper = &shared.keeper;
            match checkpoint(&shared) {
                Ok(()) => keeper.due_at.store(keeper.bytes, Ordering::Relaxed),
                Err(error) => {
                    // Not with every group, and not never: once the log has grown by as much again.
                    let since = shared.bytes_since_checkpoint.load(Ordering::Relaxed);
                    keeper.due_at.store(since.saturating_add(keeper.bytes), Ordering::Relaxed);
                    tracing::error!(error = &error as &dyn std::error::Error, since, "a start will replay more");
                }
            }
        }
    })
}

#[cfg(test)]
mod tests;
