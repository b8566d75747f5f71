//! One client's connection: what it waits for, since when, and what it was told from outside.
//!
//! ```text
//!            first byte                head parsed
//!   Idle ─────────────────► Head ─────────────────► Busy ──┐
//!    ▲                                                     │ last byte of the response written
//!    └─────────────────────────────────────────────────────┘
//!   Busy ── switched ──► Tunnel      any ── ended while the client still sends ──► Lingering
//! ```
//! No timer runs for any of it: the worker's sweep looks at every connection each tick and wakes those whose time is up.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::counters::count;
use super::fault::Fault;
use super::http1::request_head::Peer;
use super::http2::Clocks;
use super::options::Limits;
use super::worker::Worker;

/// How long we go on reading (and discarding) what nobody wants, so that the client gets to read our answer.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) number: u64,
    pub(super) peer: Peer,
    accepted: Instant,
    phase: Cell<Phase>,
    order: Cell<Order>,
    pub(super) waits: Waits,
    /// Of exchanges that run side by side.
    pub(super) streams: Clocks,
    expired: Cell<Option<Fault>>,
    waker: RefCell<Option<Waker>>,
}

/// From the outside to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Serve,
    /// End after the request at hand, at once if there is none.
    Finish,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle {
        since: Instant,
    },
    Head {
        first_byte: Instant,
    },
    Busy {
        first_byte: Instant,
    },
    Tunnel {
        active: Instant,
    },
    Lingering {
        since: Instant,
    },
    /// Each exchange has its own clock.
    Streams,
}

/// What an exchange waits for, since when. Set with the worker's coarse time.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// For bytes of the request's body.
    pub(super) request: Rate,
    /// For the client to take the response.
    pub(super) response: Rate,
    /// For the response's head.
    pub(super) head_since: Cell<Option<Instant>>,
    /// For more of the response's body.
    pub(super) body_since: Cell<Option<Instant>>,
    /// Since when the client has nothing more to say.
    pub(super) half_closed_since: Cell<Option<Instant>>,
}

/// Bytes moved while we wait for the client, over a window that begins with the wait.
#[derive(Debug, Default)]
pub(super) struct Rate {
    since: Cell<Option<Instant>>,
    bytes: Cell<u64>,
}

impl Rate {
    /// The client is waited for.
    pub(super) fn wait(&self, now: Instant) {
        if self.since.get().is_none() {
            self.since.set(Some(now));
            self.bytes.set(0);
        }
    }

    /// It is not: the next wait begins a new window.
    pub(super) fn stop(&self) {
        self.since.set(None);
    }

    /// For how long the client has been waited for.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.since.get().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn moved(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    fn is_too_slow(&self, now: Instant, limits: &Limits) -> bool {
        let Some(since) = self.since.get() else { return false };
        let waited = now.saturating_duration_since(since);
        if waited < limits.client_rate_window {
            return false;
        }
        let least = limits.client_rate_min as f64 * waited.as_secs_f64();
        let too_slow = (self.bytes.get() as f64) < least;
        self.since.set(Some(now));
        self.bytes.set(0);
        too_slow
    }
}

impl Waits {
    fn clear(&self) {
        self.request.stop();
        self.response.stop();
        self.head_since.set(None);
        self.body_since.set(None);
        self.half_closed_since.set(None);
    }

    /// What has taken too long.
    pub(super) fn overdue(&self, now: Instant, limits: &Limits) -> Option<Fault> {
        let past = |since: &Cell<Option<Instant>>, limit: Option<Duration>| matches!((since.get(), limit), (Some(since), Some(limit)) if now.saturating_duration_since(since) >= limit);
        if past(&self.head_since, limits.response_timeout) {
            return Some(Fault::ResponseTimeout);
        }
        if past(&self.body_since, limits.response_idle_timeout) {
            return Some(Fault::ResponseIdleTimeout);
        }
        if past(&self.half_closed_since, limits.half_close_timeout) {
            return Some(Fault::ClientDisconnect);
        }
        if self.request.is_too_slow(now, limits) {
            return Some(Fault::RequestBodyTimeout);
        }
        self.response.is_too_slow(now, limits).then_some(Fault::ClientTimeout)
    }
}

impl Connection {
    pub(super) fn new(worker: Rc<Worker>, number: u64, peer: SocketAddr) -> Self {
        let since = Instant::now();
        Self {
            peer: Peer::new(peer.ip(), &worker.options.trusted),
            worker,
            number,
            accepted: since,
            phase: Cell::new(Phase::Idle { since }),
            order: Cell::new(Order::Serve),
            waits: Waits::default(),
            streams: Clocks::default(),
            expired: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    // ----- orders and time -----

    /// Orders only grow stricter.
    pub(super) fn order(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            self.wake();
            self.streams.wake_all();
        }
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.order.get() >= Order::Finish
    }

    pub(super) fn is_closing(&self) -> bool {
        self.order.get() == Order::Close
    }

    /// Looks whether its time is up.
    pub(super) fn check_timeouts(&self, now: Instant, limits: &Limits) {
        let past = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        if limits.connection_age_max.is_some_and(|limit| past(self.accepted, limit)) {
            self.order(Order::Finish);
        }
        match self.phase.get() {
            Phase::Idle { since } if past(since, limits.client_idle_timeout) => self.order(Order::Finish),
            Phase::Head { first_byte } if past(first_byte, limits.header_read_timeout) => {
                if self.expired.replace(Some(Fault::RequestTimeout)).is_none() {
                    count(&self.worker.counters.head_timeouts);
                }
                self.wake();
            }
            Phase::Lingering { since } if past(since, LINGER) => self.order(Order::Close),
            Phase::Tunnel { active } if limits.tunnel_idle_timeout.is_some_and(|limit| past(active, limit)) => {
                self.order(Order::Close);
            }
            Phase::Busy { first_byte } => {
                let whole = limits.request_timeout.is_some_and(|limit| past(first_byte, limit));
                let overdue = if whole { Some(Fault::RequestTimeout) } else { self.waits.overdue(now, limits) };
                if let Some(fault) = overdue {
                    self.expired.set(Some(fault));
                    self.wake();
                }
            }
            Phase::Idle { .. } | Phase::Head { .. } | Phase::Lingering { .. } | Phase::Tunnel { .. } => {}
            Phase::Streams => self.streams.check(now, limits),
        }
    }

    /// What took too long, once.
    pub(super) fn take_expired(&self) -> Option<Fault> {
        self.expired.take()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.expired.set(None);
        self.waits.clear();
    }

    /// Whoever polls for this connection, so that the sweep can wake it.
    pub(super) fn remember_waker(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
