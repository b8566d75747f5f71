//! An exchange under way. Whoever holds it records it exactly once: by closing it, or by losing it.

use std::rc::Rc;
use std::time::Instant;

use super::fault::Fault;
use super::worker::{Worker, elapsed_us};
use crate::exchange::Exchange;

pub(super) struct OpenExchange {
    /// Empty once recorded.
    exchange: Option<Box<Exchange>>,
    worker: Rc<Worker>,
    first_byte: Instant,
}

impl OpenExchange {
    pub(super) fn new(worker: Rc<Worker>, first_byte: Instant, exchange: Box<Exchange>) -> Self {
        worker.request_began();
        Self { exchange: Some(exchange), worker, first_byte }
    }

    pub(super) fn first_byte(&self) -> Instant {
        self.first_byte
    }

    /// Microseconds since the first byte.
    pub(super) fn elapsed_us(&self, at: Instant) -> u64 {
        elapsed_us(self.first_byte, at)
    }

    pub(super) fn get(&self) -> &Exchange {
        self.exchange.as_deref().expect("it is taken out only by closing, which consumes this")
    }

    pub(super) fn get_mut(&mut self) -> &mut Exchange {
        self.exchange.as_deref_mut().expect("it is taken out only by closing, which consumes this")
    }

    /// Notes why it failed; what failed first is what is recorded.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.get_mut().error.get_or_insert(fault.id());
    }

    /// It ended at `now`, well or not.
    pub(super) fn close(mut self, now: Instant) {
        self.record(now);
    }

    fn record(&mut self, now: Instant) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.duration_us = elapsed_us(self.first_byte, now);
            self.worker.request_ended();
            self.worker.recorder.record(*exchange);
        }
    }
}

/// Whoever served it was dropped, which only the end of the proxy does.
impl Drop for OpenExchange {
    fn drop(&mut self) {
        if self.exchange.is_some() {
            self.fail(Fault::Shutdown);
            self.record(Instant::now());
        }
    }
}
