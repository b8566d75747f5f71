//! What each exchange of a connection waits for, when several run on it at once. The worker's sweep looks here, through the
//! connection, so that no exchange has a timer of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::super::connection::{Connection, Waits};
use super::super::fault::Fault;
use super::super::options::Limits;

pub(super) struct Clock {
    pub(super) waits: Waits,
    first_byte: Instant,
    expired: Cell<Option<Fault>>,
    waker: RefCell<Option<Waker>>,
}

/// The clocks of a connection's exchanges. Costs nothing while there are none.
#[derive(Default)]
pub(in crate::proxy) struct Clocks {
    running: RefCell<Vec<Rc<Clock>>>,
}

/// A clock for as long as its exchange runs.
pub(super) struct Running<'a> {
    connection: &'a Connection,
    clock: Rc<Clock>,
}

impl Clock {
    /// What took too long, once.
    pub(super) fn take_expired(&self) -> Option<Fault> {
        self.expired.take()
    }

    /// Whoever polls for this exchange, so that the sweep can wake it.
    pub(super) fn remember_waker(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    fn check(&self, now: Instant, limits: &Limits) {
        let is_past = |limit| now.saturating_duration_since(self.first_byte) >= limit;
        let whole = limits.request_timeout.is_some_and(is_past);
        let overdue = if whole { Some(Fault::RequestTimeout) } else { self.waits.overdue(now, limits) };
        if overdue.is_some() {
            self.expired.set(overdue);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Clocks {
    pub(in crate::proxy) fn check(&self, now: Instant, limits: &Limits) {
        for clock in &*self.running.borrow() {
            clock.check(now, limits);
        }
    }

    /// Something changed for all of them.
    pub(in crate::proxy) fn wake_all(&self) {
        for clock in &*self.running.borrow() {
            clock.wake();
        }
    }
}

impl<'a> Running<'a> {
    pub(super) fn start(connection: &'a Connection, first_byte: Instant) -> Self {
        let clock =
            Rc::new(Clock { waits: Waits::default(), first_byte, expired: Cell::new(None), waker: RefCell::new(None) });
        connection.streams.running.borrow_mut().push(Rc::clone(&clock));
        Self { connection, clock }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.connection.streams.running.borrow_mut();
        // As many as a connection has streams: few enough to look through.
        if let Some(at) = running.iter().position(|clock| Rc::ptr_eq(clock, &self.clock)) {
            running.swap_remove(at);
        }
    }
}
