//! One thread of the proxy: takes connections, keeps time for all of them, and ends them when told to.
//!
//! Timeouts are kept by one sweep over the thread's connections every 50 ms instead of a timer for each request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::connection::{Connection, Order};
use super::counters::{Counters, count};
use super::event_ids::EventIds;
use super::http1;
use super::http2::Links;
use super::options::{Limits, ProxyOptions};
use super::upstream::Upstream;
use crate::exchange::Record;

/// How often recorders are called to flush, and how exact timeouts are.
const TICK: Duration = Duration::from_millis(50);
/// Out of descriptors or memory: accepting again at once would only spin.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_ERROR_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Connections that were told to close need one turn each; this is for a scheduler that gives none.
const FORCED_CLOSE_WAIT: Duration = Duration::from_secs(1);
/// What one read may bring. One such buffer serves all connections of a thread.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Buffers for heads, kept for the next request.
const BUFFERS_MAX: usize = 64;
const BUFFER_BYTES: usize = 2 * 1024;
/// What grew larger is given back to the allocator.
const BUFFER_BYTES_KEPT_MAX: usize = 32 * 1024;
/// Threads for resolving the service's name, the only thing here that blocks.
const BLOCKING_THREADS_MAX: usize = 2;

#[derive(Clone, Copy, Debug)]
pub(super) enum Orders {
    Serve,
    Drain { until: Instant },
}

/// Everything that a thread is given.
pub(super) struct Seat {
    pub(super) listener: StdListener,
    pub(super) options: Arc<ProxyOptions>,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) limits: watch::Receiver<Limits>,
    pub(super) counters: Arc<Counters>,
    pub(super) recorder: Box<dyn FnOnce() -> Box<dyn Record> + Send>,
}

/// What the connections of one thread share.
pub(super) struct Worker {
    pub(super) options: Arc<ProxyOptions>,
    pub(super) counters: Arc<Counters>,
    pub(super) recorder: Box<dyn Record>,
    pub(super) upstream: Upstream,
    /// Its connections, when it speaks HTTP/2.
    pub(super) links: Links,
    /// Of the upstream, for requests that name no host.
    pub(super) authority: String,
    pub(super) event_ids: EventIds,
    pub(super) limits: RefCell<Limits>,
    /// Read into by whoever is polled; holds nothing between two polls.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// `Date` of now.
    pub(super) date: Cell<[u8; 29]>,
    buffers: RefCell<Vec<Vec<u8>>>,
    requests: Cell<usize>,
    /// The last tick: near enough for every timeout, and free to read.
    pub(super) coarse_now: Cell<Instant>,
    wall_clock: Cell<WallClock>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    connection_next: Cell<u64>,
    connection_ended: Notify,
}

/// Runs until drained, or until the proxy is dropped. Reports once whether it accepts.
pub(super) fn run(seat: Seat, started: SyncSender<io::Result<()>>) {
    let (runtime, listener) = match prepare(seat.listener) {
        Ok(ready) => ready,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let worker = Rc::new(Worker::new(seat.options, *seat.limits.borrow(), seat.counters, (seat.recorder)()));
    let _ = started.send(Ok(()));
    runtime.block_on(Rc::clone(&worker).work(listener, seat.orders, seat.limits));
    // Dropping the runtime drops whatever is left of its tasks, and each connection records its exchange when dropped.
    drop(runtime);
    worker.recorder.tick();
}

fn prepare(listener: StdListener) -> io::Result<(LocalRuntime, TcpListener)> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build_local(LocalOptions::default())?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}

impl Worker {
    fn new(options: Arc<ProxyOptions>, limits: Limits, counters: Arc<Counters>, recorder: Box<dyn Record>) -> Self {
        Self {
            upstream: Upstream::new(options.upstream.clone(), Arc::clone(&counters)),
            links: Links::default(),
            authority: options.upstream.authority(),
            options,
            counters,
            recorder,
            event_ids: EventIds::draw(),
            limits: RefCell::new(limits),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            date: Cell::new(date()),
            buffers: RefCell::new(Vec::new()),
            requests: Cell::new(0),
            coarse_now: Cell::new(Instant::now()),
            wall_clock: Cell::new(WallClock::read()),
            connections: RefCell::new(HashMap::new()),
            connection_next: Cell::new(0),
            connection_ended: Notify::new(),
        }
    }

    async fn work(
        self: Rc<Self>,
        listener: TcpListener,
        mut orders: watch::Receiver<Orders>,
        limits: watch::Receiver<Limits>,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_error_log = None;
        let until = loop {
            tokio::select! {
                biased;
                changed = orders.changed() => match (changed, *orders.borrow()) {
                    (Ok(()), Orders::Drain { until }) => break until,
                    (Ok(()), Orders::Serve) => {}
                    // The proxy was dropped: nobody waits for a drain.
                    (Err(_), _) => break Instant::now(),
                },
                accepted = self.accept(&listener) => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) => self.accept_failed(&error, &mut last_error_log).await,
                },
                _ = ticks.tick() => {
                    if limits.has_changed().unwrap_or(false) {
                        *self.limits.borrow_mut() = *limits.borrow();
                    }
                    self.tick();
                }
            }
        };
        self.take_waiting(listener);
        self.drain(until, &mut ticks).await;
    }

    /// The next connection, when there is room for one.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        if self.is_full() {
            count(&self.counters.accept_pauses);
        }
        while self.is_full() {
            self.connection_ended.notified().await;
        }
        listener.accept().await
    }

    /// Connections that the kernel has already taken for us: closing the socket would reset them.
    fn take_waiting(self: &Rc<Self>, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.take(stream, peer);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.connections.borrow().len() >= self.share(self.limits.borrow().connections_max)
    }

    /// This thread's part of a limit over all.
    fn share(&self, whole: usize) -> usize {
        whole.div_ceil(self.options.threads.get()).max(1)
    }

    fn take(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        count(&self.counters.connections_accepted);
        let number = self.connection_next.get();
        self.connection_next.set(number + 1);
        let connection = Rc::new(Connection::new(Rc::clone(self), number, peer));
        self.connections.borrow_mut().insert(number, Rc::clone(&connection));
        // Owned through the table above: a connection is told to end there, and leaves it when it has.
        tokio::task::spawn_local(http1::serve(connection, stream));
    }

    async fn accept_failed(&self, error: &io::Error, last_log: &mut Option<Instant>) {
        count(&self.counters.accept_errors);
        if last_log.is_none_or(|at| at.elapsed() >= ACCEPT_ERROR_LOG_INTERVAL) {
            *last_log = Some(Instant::now());
            tracing::warn!(%error, "could not accept a connection");
        }
        tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
    }

    fn tick(&self) {
        let now = Instant::now();
        self.coarse_now.set(now);
        self.wall_clock.set(WallClock::read());
        self.date.set(date());
        self.upstream.close_idle(now);
        let limits = *self.limits.borrow();
        self.links.sweep(now, &limits);
        for connection in self.connections.borrow().values() {
            connection.check_timeouts(now, &limits);
        }
        self.recorder.tick();
    }

    async fn drain(&self, until: Instant, ticks: &mut Interval) {
        self.order_all(Order::Finish);
        self.wait_for_all(until, ticks).await;
        let forced = self.connections.borrow().len();
        if forced > 0 {
            for _ in 0..forced {
                count(&self.counters.connections_forced);
            }
            tracing::warn!(connections = forced, "drain deadline passed, closing what is left");
            self.order_all(Order::Close);
            self.wait_for_all(Instant::now() + FORCED_CLOSE_WAIT, ticks).await;
        }
    }

    async fn wait_for_all(&self, until: Instant, ticks: &mut Interval) {
        while !self.connections.borrow().is_empty() && Instant::now() < until {
            tokio::select! {
                () = self.connection_ended.notified() => {}
                () = tokio::time::sleep_until(until.into()) => {}
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn order_all(&self, order: Order) {
        for connection in self.connections.borrow().values() {
            connection.order(order);
        }
    }

    pub(super) fn forget(&self, number: u64) {
        self.connections.borrow_mut().remove(&number);
        self.connection_ended.notify_one();
    }

    // ----- requests -----

    pub(super) fn is_overloaded(&self) -> bool {
        self.requests.get() >= self.share(self.limits.borrow().requests_max)
    }

    pub(super) fn request_began(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    pub(super) fn request_ended(&self) {
        self.requests.set(self.requests.get() - 1);
    }

    /// An empty buffer for a head.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    pub(super) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < BUFFERS_MAX && (1..=BUFFER_BYTES_KEPT_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    pub(super) fn wall_clock_us(&self, at: Instant) -> i64 {
        self.wall_clock.get().at_us(at)
    }
}

/// Now, as in `Date` (RFC 9110, 5.6.7).
fn date() -> [u8; 29] {
    let mut text = [b' '; 29];
    let now = httpdate::fmt_http_date(SystemTime::now());
    for (to, from) in text.iter_mut().zip(now.bytes()) {
        *to = from;
    }
    text
}

/// Ties the monotonic clock to the wall's: one reading a tick serves all requests until the next.
#[derive(Clone, Copy)]
struct WallClock {
    instant: Instant,
    unix_us: i64,
}

impl WallClock {
    fn read() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix_us: i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX) }
    }

    fn at_us(self, at: Instant) -> i64 {
        if at >= self.instant {
            self.unix_us.saturating_add_unsigned(elapsed_us(self.instant, at))
        } else {
            self.unix_us.saturating_sub_unsigned(elapsed_us(at, self.instant))
        }
    }
}

/// Whole microseconds, 0 when `to` is the earlier.
pub(super) fn elapsed_us(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}
