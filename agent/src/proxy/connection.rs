//! One client's connection: which request it is at, since when, and the record of it.
//!
//! ```text
//!            first byte                head parsed
//!   Idle ─────────────────► Head ─────────────────► Busy ──┐
//!    ▲                                                     │ last byte of the response written
//!    └─────────────────────────────────────────────────────┘
//!   any ── the connection ends while the client still sends ──► Lingering
//! ```
//! The exchange lives here, and not with the request or the response, because its end is a write to the client's socket or
//! the loss of that socket. Whoever takes it out records it: it can be taken once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Version};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::client_io::ClientIo;
use super::counters::count;
use super::fault::Fault;
use super::service;
use super::worker::{Worker, elapsed_us};
use crate::exchange::Exchange;

/// The largest request or response head, and the most that is buffered of a body in each direction.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long we go on reading (and discarding) a body that nobody wants, so that the client gets to read our answer.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    number: u64,
    /// The peer's address as it is appended to `X-Forwarded-For`.
    pub(super) peer_ip: HeaderValue,
    phase: Cell<Phase>,
    order: Cell<Order>,
    /// Whether the current request's body may still arrive.
    request_open: Cell<bool>,
    /// Whether hyper has taken the whole response; its last bytes may still be in hyper's buffer.
    response_taken: Cell<bool>,
    /// Since when the service owes us a response's head.
    awaiting_since: Cell<Option<Instant>>,
    response_overdue: Cell<bool>,
    /// Whether the end of the connection must not look like the end of a response.
    reset_on_close: Cell<bool>,
    request_number: Cell<u64>,
    current: RefCell<Option<Current>>,
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
enum Phase {
    Idle { since: Instant },
    Head { first_byte: Instant },
    Busy,
    Lingering { since: Instant },
}

/// The exchange at hand.
struct Current {
    exchange: Exchange,
    first_byte: Instant,
}

/// Serves one connection to its end. Cancelling it closes the connection and records the exchange at hand.
pub(super) async fn serve(connection: Rc<Connection>, stream: TcpStream) {
    // Leaves the worker's table and records what is unfinished, however this future ends.
    let _leaving = Leaving(Rc::clone(&connection));
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&connection)));
    let handler = service_fn({
        let connection = Rc::clone(&connection);
        move |request| {
            let number = connection.begin(&request);
            service::answer(Rc::clone(&connection), number, request)
        }
    });
    // No `pipeline_flush`: it lifts hyper's limit on what is buffered for a slow client, and holds back a response while
    // the client has sent a part of its next request. No `header_read_timeout` either: it is a timer for each request and
    // runs while the connection is idle; the worker's sweep tells a slow head from an idle connection.
    let mut http = http1::Builder::new();
    http.preserve_header_case(connection.worker.options.preserve_header_case)
        .title_case_headers(true)
        .half_close(connection.worker.options.half_close)
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES_MAX);
    let mut serving = pin!(http.serve_connection(io, handler));

    let mut finishing = false;
    let ended = poll_fn(|context| {
        connection.remember_waker(context);
        if connection.order.get() == Order::Close {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(ended) = serving.as_mut().poll(context) {
            return Poll::Ready(ended);
        }
        // A request whose first bytes are here is let in: hyper would drop it.
        if connection.order.get() == Order::Finish && !finishing && !connection.is_reading_head() {
            finishing = true;
            serving.as_mut().graceful_shutdown();
            return serving.as_mut().poll(context);
        }
        Poll::Pending
    })
    .await;
    if let Err(error) = ended {
        connection.ended_with(&error);
    }
}

impl Connection {
    pub(super) fn new(worker: Rc<Worker>, number: u64, peer: SocketAddr) -> Self {
        let since = Instant::now();
        Self {
            worker,
            number,
            peer_ip: HeaderValue::try_from(peer.ip().to_canonical().to_string()).expect("an address is plain ASCII"),
            phase: Cell::new(Phase::Idle { since }),
            order: Cell::new(Order::Serve),
            request_open: Cell::new(false),
            response_taken: Cell::new(false),
            awaiting_since: Cell::new(None),
            response_overdue: Cell::new(false),
            reset_on_close: Cell::new(false),
            request_number: Cell::new(0),
            current: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    // ----- orders and time -----

    /// Orders only grow stricter.
    pub(super) fn order(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            self.wake();
        }
    }

    pub(super) fn check_timeouts(&self, now: Instant) {
        let options = &self.worker.options;
        let past = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        match self.phase.get() {
            Phase::Idle { since } if past(since, options.client_idle_timeout) => {
                // With a body still open hyper would wait for it.
                self.order(if self.request_open.get() { Order::Close } else { Order::Finish });
            }
            Phase::Head { first_byte } if past(first_byte, options.header_read_timeout) => {
                count(&self.worker.counters.head_timeouts);
                self.order(Order::Close);
            }
            Phase::Lingering { since } if past(since, LINGER) => self.order(Order::Close),
            Phase::Idle { .. } | Phase::Head { .. } | Phase::Busy | Phase::Lingering { .. } => {}
        }
        if let (Some(limit), Some(since)) = (options.response_timeout, self.awaiting_since.get())
            && past(since, limit)
            && !self.response_overdue.replace(true)
        {
            self.wake();
        }
    }

    fn remember_waker(&self, context: &Context<'_>) {
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

    fn is_reading_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Head { .. })
    }

    // ----- what the socket saw -----

    /// Bytes arrived. They begin a request unless they belong to the one at hand.
    pub(super) fn bytes_read(&self) {
        if matches!(self.phase.get(), Phase::Idle { .. }) && !self.request_open.get() {
            self.phase.set(Phase::Head { first_byte: Instant::now() });
        }
    }

    /// Everything that hyper wrote so far is with the kernel.
    pub(super) fn flushed(&self) {
        if self.response_taken.get() {
            self.finish();
        }
    }

    /// Whether the client may still be sending while the connection ends: a body that nobody wants, or a head that is none.
    pub(super) fn lingers(&self) -> bool {
        match self.phase.get() {
            Phase::Lingering { .. } => true,
            Phase::Idle { .. } | Phase::Busy if !self.request_open.get() => false,
            Phase::Idle { .. } | Phase::Busy | Phase::Head { .. } => {
                self.phase.set(Phase::Lingering { since: self.worker.coarse_now.get() });
                true
            }
        }
    }

    pub(super) fn resets_on_close(&self) -> bool {
        self.reset_on_close.get()
    }

    // ----- the exchange at hand -----

    /// A head was parsed. Returns the number by which its bodies refer to it.
    fn begin(&self, request: &Request<Incoming>) -> u64 {
        // The last response may still be in hyper's buffer when the next, pipelined request comes: close its record now.
        if self.response_taken.get() {
            self.finish();
        }
        let first_byte = match self.phase.get() {
            Phase::Head { first_byte } => first_byte,
            // It was read together with the request before it: its head is the first we see of it.
            Phase::Idle { .. } | Phase::Busy | Phase::Lingering { .. } => Instant::now(),
        };
        self.phase.set(Phase::Busy);
        self.request_open.set(!request.body().is_end_stream());
        self.request_number.set(self.request_number.get() + 1);
        let exchange = self.new_exchange(request, first_byte);
        *self.current.borrow_mut() = Some(Current { exchange, first_byte });
        self.request_number.get()
    }

    fn new_exchange(&self, request: &Request<Incoming>, first_byte: Instant) -> Exchange {
        let started_at_us = self.worker.wall_clock_us(first_byte);
        Exchange {
            event_id: self.worker.event_ids.make(started_at_us),
            started_at_us,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: None,
            host: None,
            protocol: if request.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            client: None,
            status: None,
            duration_us: 0,
            ttfb_us: None,
            request_complete_us: None,
            upstream_connected_us: None,
            response_complete_us: None,
            overhead_us: None,
            request_bytes: 0,
            response_bytes: 0,
            error: None,
            grpc_status: None,
            request_id: None,
            trace_id: None,
            do_not_track: None,
            global_privacy_control: None,
            headers: Vec::new(),
        }
    }

    /// Reads or changes the exchange at hand. `number` must be what `begin` returned: a body that outlives its exchange
    /// must not touch the next.
    pub(super) fn with_exchange<T>(&self, number: u64, change: impl FnOnce(&mut Exchange, Instant) -> T) -> Option<T> {
        if self.request_number.get() != number {
            return None;
        }
        let mut current = self.current.borrow_mut();
        current.as_mut().map(|current| change(&mut current.exchange, current.first_byte))
    }

    /// Notes why the exchange failed; what failed first is what is recorded.
    pub(super) fn fail(&self, number: u64, fault: Fault) {
        self.with_exchange(number, |exchange, _| {
            exchange.error.get_or_insert(fault.id());
        });
    }

    pub(super) fn request_complete(&self, number: u64) {
        let now = Instant::now();
        self.with_exchange(number, |exchange, first_byte| {
            exchange.request_complete_us = Some(elapsed_us(first_byte, now));
        });
        if self.request_number.get() == number {
            self.request_open.set(false);
        }
    }

    /// The whole response is in hyper's hands. It is recorded once written.
    pub(super) fn response_taken(&self, number: u64) {
        if self.request_number.get() == number {
            self.response_taken.set(true);
        }
    }

    /// From now on the service is expected to answer.
    pub(super) fn await_response(&self) {
        self.awaiting_since.set(Some(self.worker.coarse_now.get()));
    }

    /// The request still makes progress, so the service may take its time.
    pub(super) fn request_progressed(&self, number: u64) {
        if self.request_number.get() == number && self.awaiting_since.get().is_some() {
            self.await_response();
        }
    }

    /// Whether the service's time was over; ends the waiting.
    pub(super) fn stop_awaiting_response(&self) -> bool {
        self.awaiting_since.set(None);
        self.response_overdue.replace(false)
    }

    pub(super) fn is_response_overdue(&self) -> bool {
        self.response_overdue.get()
    }

    /// The response's end is the connection's: if it breaks off, the client must not take that for its end.
    pub(super) fn reset_unless_complete(&self) {
        self.reset_on_close.set(true);
    }

    fn finish(&self) {
        let now = Instant::now();
        self.response_taken.set(false);
        self.reset_on_close.set(false);
        self.phase.set(Phase::Idle { since: now });
        self.record(now);
    }

    fn record(&self, now: Instant) {
        let current = self.current.borrow_mut().take();
        if let Some(Current { mut exchange, first_byte }) = current {
            exchange.duration_us = elapsed_us(first_byte, now);
            self.worker.recorder.record(exchange);
        }
    }

    /// The connection is gone. Its exchange, if any, was not completed.
    fn abandon(&self) {
        let fault = if self.order.get() == Order::Close { Fault::Shutdown } else { Fault::ClientDisconnect };
        self.fail(self.request_number.get(), fault);
        self.record(Instant::now());
    }

    fn ended_with(&self, error: &hyper::Error) {
        if error.is_parse() {
            count(&self.worker.counters.heads_refused);
        }
        tracing::debug!(peer = ?self.peer_ip, %error, "connection ended");
    }
}

struct Leaving(Rc<Connection>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.abandon();
        self.0.worker.forget(self.0.number);
    }
}
