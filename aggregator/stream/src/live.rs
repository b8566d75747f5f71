//! The handle by which the rest of the program has the live numbers and events.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Position, Wal};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::channels::{Channels, RingLimits};
use crate::filter::EventFilter;
use crate::follow::follow;
use crate::interest::Interest;
use crate::mark::EventMark;
use crate::numbers::{NumbersRequest, Saying, SharedNumbers, shown};
use crate::replay::{Replay, Section};
use crate::viewer::{Events, Viewer, every};
use crate::window::TenantWindow;

/// Viewers that read again from the log at one time; others wait for their turn.
const REPLAYS_MAX: usize = 16;

/// Numbers that are asked for wait so long for the reader to have what was acknowledged before.
const BEHIND_WAIT_MAX: Duration = Duration::from_secs(2);

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Clone)]
pub struct LiveOptions {
    pub viewers_max: usize,
    pub ring: RingLimits,
    pub clock: Clock,
}

impl LiveOptions {
    pub fn new(viewers_max: usize) -> Self {
        Self { viewers_max, ring: RingLimits::default(), clock: Arc::new(Timestamp::now) }
    }
}

/// What a viewer wants to be told.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// With their interval; none when it wants no numbers.
    pub numbers: Option<NumbersRequest>,
    pub events: Option<WantedEvents>,
}

#[derive(Clone, Debug, Default)]
pub struct WantedEvents {
    pub filter: EventFilter,
    /// Goes on after it.
    pub after: Option<EventMark>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum SubscribeError {
    #[error("{0} viewers look already, as many as may (viewers-max); try again later")]
    Viewers(usize),
    #[error("viewers listen by as many different filters as may be; try again later")]
    Filters,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
    reader: Arc<Mutex<Option<JoinHandle<()>>>>,
}

pub(crate) struct Shared {
    pub wal: Wal,
    options: LiveOptions,
    pub windows: Mutex<HashMap<Arc<str>, TenantWindow>>,
    pub hasher: RandomState,
    said: SharedNumbers,
    pub channels: Arc<Channels>,
    viewers: Arc<Semaphore>,
    replays: Arc<Semaphore>,
    pub counts: Counts,
    /// Since when nothing is missing in the windows.
    pub covered_from_us: AtomicI64,
    /// Read up to here.
    pub position: watch::Sender<Position>,
    /// Why the log cannot be read on.
    pub log_error: Mutex<Option<String>>,
    pub interest: Interest,
    pub closing: CancellationToken,
    /// Viewers are sent away.
    pub dismissed: CancellationToken,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub events_shown: AtomicU64,
    pub events_missed: AtomicU64,
    /// Times that a viewer missed nobody knows how many.
    pub gaps: AtomicU64,
    pub refused: AtomicU64,
    pub unreadable: AtomicU64,
    pub late_requests: AtomicU64,
    pub unknown_hosts: AtomicU64,
}

/// How it is, counted where it happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveStatus {
    pub viewers: u64,
    pub viewers_max: u64,
    /// Viewers that were turned away, as there were too many.
    pub refused: u64,
    /// Filters that anybody listens by.
    pub channels: u64,
    /// Events told, each once for every viewer.
    pub events_shown: u64,
    /// Events that viewers were too slow for, and were told so.
    pub events_missed: u64,
    /// Times that a viewer was told that it missed nobody knows how many.
    pub gaps: u64,
    /// Requests that came when their time had left the window.
    pub late_requests: u64,
    /// Samples of hosts that there was no room for.
    pub unknown_hosts: u64,
    /// Entries of the log that could not be read.
    pub unreadable: u64,
    /// Log position up to which everything is in the numbers.
    pub position: u64,
    /// Age of the oldest acknowledged row that is not, ms; 0 while nobody looks.
    pub behind_ms: u64,
    pub log_error: Option<String>,
}

impl Live {
    /// Starts to follow the log.
    pub fn start(options: LiveOptions, wal: Wal) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            wal,
            windows: Mutex::default(),
            hasher: RandomState::new(),
            said: SharedNumbers::default(),
            channels: Arc::new(Channels::new(options.ring)),
            viewers: Arc::new(Semaphore::new(options.viewers_max)),
            replays: Arc::new(Semaphore::new(REPLAYS_MAX)),
            counts: Counts::default(),
            covered_from_us: AtomicI64::new(i64::MIN),
            position: watch::Sender::new(Position::NONE),
            log_error: Mutex::default(),
            interest: Interest::new(),
            closing: CancellationToken::new(),
            dismissed: CancellationToken::new(),
            options,
        });
        let following = Arc::clone(&shared);
        let reader = thread::Builder::new().name("live".to_owned()).spawn(move || follow(&following))?;
        Ok(Self { shared, reader: Arc::new(Mutex::new(Some(reader))) })
    }

    /// The numbers of this moment, JSON; what was acknowledged before the call is in them, unless the reader is behind.
    pub async fn numbers(&self, tenant: &TenantId, request: &NumbersRequest) -> Bytes {
        let durable = self.shared.wal.durable();
        self.shared.interest.note(self.shared.now_us());
        self.shared.has_read(durable, Instant::now() + BEHIND_WAIT_MAX).await;
        self.shared.say(&tenant.to_shared(), request, durable)
    }

    /// A new viewer. It is told of every event that becomes durable after this has returned. Called within a runtime.
    pub fn subscribe(&self, tenant: &TenantId, wanted: Wanted) -> Result<Viewer, SubscribeError> {
        let refused = |error| {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            error
        };
        let shared = Arc::clone(&self.shared);
        let place = Arc::clone(&shared.viewers).try_acquire_owned();
        let place = place.map_err(|_| refused(SubscribeError::Viewers(shared.options.viewers_max)))?;
        let tenant = tenant.to_shared();
        let events = wanted.events.map(|events| shared.events(&tenant, events)).transpose().map_err(refused)?;
        shared.interest.note(shared.now_us());
        let first = (shared.wal.durable(), Instant::now() + BEHIND_WAIT_MAX);
        let numbers = wanted.numbers.filter(|numbers| !numbers.metrics.is_empty()).map(|numbers| every(numbers, first));
        Ok(Viewer { shared, tenant, numbers, events, _place: place })
    }

    /// Sends all viewers away, and those to come.
    pub fn dismiss(&self) {
        self.shared.dismissed.cancel();
    }

    /// Returns when no viewer is left.
    pub async fn deserted(&self) {
        // Never closed.
        let _ = self.shared.viewers.acquire_many(self.shared.options.viewers_max as u32).await;
    }

    /// Stops following the log. Blocking.
    pub fn close(&self) {
        self.dismiss();
        self.shared.closing.cancel();
        self.shared.interest.wake();
        let reader = self.reader.lock().take();
        if reader.is_some_and(|reader| reader.join().is_err()) {
            tracing::error!("the thread of the live numbers had panicked");
        }
    }

    #[cfg(test)]
    pub(crate) fn is_dozing(&self) -> bool {
        self.shared.interest.is_dozing()
    }

    pub fn status(&self) -> LiveStatus {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &shared.counts;
        let viewers_max = shared.options.viewers_max as u64;
        let position = *shared.position.borrow();
        let oldest = shared.wal.oldest_stored_after(position);
        let oldest = oldest.filter(|_| !shared.interest.is_dozing());
        let behind_us = oldest.map_or(0, |oldest| (shared.now_us() - oldest).max(0));
        LiveStatus {
            viewers: shared.viewers() as u64,
            viewers_max,
            refused: count(&counts.refused),
            channels: shared.channels.count() as u64,
            events_shown: count(&counts.events_shown),
            events_missed: count(&counts.events_missed),
            gaps: count(&counts.gaps),
            late_requests: count(&counts.late_requests),
            unknown_hosts: count(&counts.unknown_hosts),
            unreadable: count(&counts.unreadable),
            position: position.0,
            behind_ms: behind_us as u64 / 1_000,
            log_error: shared.log_error.lock().clone(),
        }
    }
}

impl Shared {
    pub fn now_us(&self) -> i64 {
        (self.options.clock)().micros()
    }

    fn viewers(&self) -> usize {
        self.options.viewers_max - self.viewers.available_permits()
    }

    pub fn has_viewers(&self) -> bool {
        self.viewers() > 0
    }

    /// Waits until the numbers hold everything up to a position of the log; behind or not, at the deadline they are what is
    /// known.
    pub async fn has_read(&self, durable: Position, deadline: Instant) {
        let mut position = self.position.subscribe();
        let _ = timeout_at(deadline.into(), position.wait_for(|position| *position >= durable)).await;
    }

    /// What was said to another in this tenth of a second is said again, if the log had been read up to `at_least` by then.
    pub fn say(&self, tenant: &Arc<str>, request: &NumbersRequest, at_least: Position) -> Bytes {
        let now_us = self.now_us();
        let saying = Saying { now_us, read: *self.position.borrow(), at_least };
        let covered_from_us = self.covered_from_us.load(Ordering::Relaxed);
        self.said.say(tenant, request, saying, || {
            let windows = self.windows.lock();
            shown(windows.get(tenant), request, now_us, covered_from_us)
        })
    }

    /// Drops what is over. About once a second.
    pub fn forget(&self) {
        let now_us = self.now_us();
        self.said.forget(now_us);
        self.windows.lock().retain(|_, window| {
            window.forget(now_us);
            !window.is_idle(now_us)
        });
    }

    fn events(self: &Arc<Self>, tenant: &Arc<str>, wanted: WantedEvents) -> Result<Events, SubscribeError> {
        let WantedEvents { filter, after } = wanted;
        let listening = self.channels.listen(tenant, filter.clone(), || self.wal.durable());
        let listening = listening.map_err(|_| SubscribeError::Filters)?;
        let more = listening.channel.watch();
        let ring = listening.channel.ring.lock();
        let (end, until) = (ring.end(), ring.tail());
        let is_of_this_log = |after: &EventMark| after.is_of(self.wal.log_id());
        let resumed = after.filter(is_of_this_log).map(|after| (after.mark, ring.after(after.mark)));
        drop(ring);
        let (cursor, replay) = match resumed {
            Some((_, Some(cursor))) => (cursor, None),
            Some((after, None)) => {
                let section = Section { wal: self.wal.clone(), tenant: Arc::clone(tenant), filter, after, until };
                (end, Replay::new(section, Arc::clone(&self.replays)))
            }
            None => (end, None),
        };
        // A mark of another log: what was missed is not to be found here.
        let missed_unknown = after.is_some_and(|after| !is_of_this_log(&after));
        Ok(Events { listening, more, cursor, replay, missed_unknown })
    }
}
