//! What happened to connections, counted where it happens. Nothing on a request's usual way touches these.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Counters {
    pub(super) connections_accepted: AtomicU64,
    pub(super) connections_forced: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    /// Times that a thread stopped accepting because its share of connections was in use.
    pub(super) accept_pauses: AtomicU64,
    pub(super) heads_refused: AtomicU64,
    pub(super) head_timeouts: AtomicU64,
    pub(super) upstream_connections: AtomicU64,
    pub(super) upstream_retries: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountersSnapshot {
    pub connections_accepted: u64,
    pub connections_forced: u64,
    pub accept_errors: u64,
    pub accept_pauses: u64,
    /// Heads that did not parse: answered 400, 414 or 431, and not recorded.
    pub heads_refused: u64,
    pub head_timeouts: u64,
    pub upstream_connections: u64,
    pub upstream_retries: u64,
}

impl Counters {
    pub fn snapshot(&self) -> CountersSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CountersSnapshot {
            connections_accepted: read(&self.connections_accepted),
            connections_forced: read(&self.connections_forced),
            accept_errors: read(&self.accept_errors),
            accept_pauses: read(&self.accept_pauses),
            heads_refused: read(&self.heads_refused),
            head_timeouts: read(&self.head_timeouts),
            upstream_connections: read(&self.upstream_connections),
            upstream_retries: read(&self.upstream_retries),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
