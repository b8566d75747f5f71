//! A thread's connections to a service that speaks HTTP/2: few, each shared by many requests.
//!
//! A connection takes new requests until the service says that it goes, breaks off, or is found to be silent. A further one
//! is opened when all are as full as the service allows. Whoever needs one while another is being opened waits for that:
//! a burst of requests opens as many connections as it needs, not one each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::super::fault::Fault;
use super::super::options::Limits;
use super::super::stream::Stream;
use super::super::upstream::Upstream;
use super::{SEND_BUFFER_BYTES_MAX, SERVICE_CONNECTION_WINDOW_BYTES, SERVICE_STREAM_WINDOW_BYTES, STREAMS_MAX};

/// Connections of one thread. With 128 requests on each this is beyond what a thread carries; more would wait in line.
const LINKS_MAX: usize = 16;
/// Requests that wait on a new connection for the service's settings, which come at once. To send more than they turn out
/// to allow would have some refused.
const STREAMS_BEFORE_SETTINGS: usize = 100;

#[derive(Default)]
pub(in crate::proxy) struct Links {
    links: RefCell<Vec<Rc<Link>>>,
    is_opening: Cell<bool>,
    /// Told to those who wait for the one who opens a connection.
    opened: Notify,
    /// So that those who waited for an attempt that failed do not each try again.
    failed: Cell<Option<(Instant, Fault)>>,
    /// Each moves one connection's frames.
    drivers: RefCell<JoinSet<()>>,
}

struct Link {
    requests: SendRequest<Bytes>,
    streams: Cell<usize>,
    is_used: Cell<bool>,
    retired: Rc<Cell<bool>>,
    idle_since: Cell<Instant>,
}

/// One stream's place on a connection.
pub(super) struct Lease {
    link: Rc<Link>,
    /// Whether the connection carried requests before, and may have been closed since.
    pub(super) is_reused: bool,
}

impl Links {
    /// Forgets the connections that are of no use, and those that nobody used for a while.
    pub(in crate::proxy) fn sweep(&self, now: Instant, limits: &Limits) {
        let is_idle = |link: &Link| {
            link.streams.get() == 0
                && now.saturating_duration_since(link.idle_since.get()) >= limits.upstream_idle_timeout
        };
        self.links.borrow_mut().retain(|link| !link.retired.get() && !is_idle(link));
        while self.drivers.borrow_mut().try_join_next().is_some() {}
    }

    /// A place on a connection that has room, or on the next one. Cancelling it lets another open one.
    pub(super) async fn lease(&self, upstream: &Upstream, limits: Limits) -> Result<Lease, Fault> {
        let asked = Instant::now();
        loop {
            if let Some(link) = self.with_room() {
                return Ok(Lease::new(link));
            }
            if !self.is_opening.get() {
                let _opening = Opening::begin(self);
                let opened = self.open(upstream, limits).await;
                if let Err(fault) = opened {
                    self.failed.set(Some((Instant::now(), fault)));
                }
                return opened.map(Lease::new);
            }
            // All at once: in a line, those who waited would be overtaken by everyone who comes later.
            self.opened.notified().await;
            if let Some((at, fault)) = self.failed.get()
                && at >= asked
            {
                return Err(fault);
            }
        }
    }

    /// The fullest connection with room, so that those not needed fall idle; when no more may be opened, the emptiest.
    fn with_room(&self) -> Option<Rc<Link>> {
        let mut links = self.links.borrow_mut();
        links.retain(|link| !link.retired.get());
        let with_room = links.iter().filter(|link| link.streams.get() < link.streams_max());
        let chosen = with_room.max_by_key(|link| link.streams.get());
        let is_full = links.len() >= LINKS_MAX;
        chosen.or_else(|| links.iter().filter(|_| is_full).min_by_key(|link| link.streams.get())).map(Rc::clone)
    }

    async fn open(&self, upstream: &Upstream, limits: Limits) -> Result<Rc<Link>, Fault> {
        let stream = upstream.connect(limits.connect_timeout).await?;
        let (requests, connection) =
            builder(&limits).handshake::<Stream, Bytes>(stream).await.map_err(|_| Fault::UpstreamConnectFailed)?;
        let retired = Rc::new(Cell::new(false));
        self.drivers.borrow_mut().spawn_local({
            let retired = Rc::clone(&retired);
            async move {
                // Each stream learns of the error by itself.
                let _ = connection.await;
                retired.set(true);
            }
        });
        let idle_since = Cell::new(Instant::now());
        let link = Rc::new(Link { requests, streams: Cell::new(0), is_used: Cell::new(false), retired, idle_since });
        self.links.borrow_mut().push(Rc::clone(&link));
        Ok(link)
    }
}

/// Held by the one who opens a connection.
struct Opening<'a>(&'a Links);

impl<'a> Opening<'a> {
    fn begin(links: &'a Links) -> Self {
        links.is_opening.set(true);
        Self(links)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.is_opening.set(false);
        self.0.opened.notify_waiters();
    }
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(SERVICE_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(SERVICE_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(header_bytes(limits))
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        // A reset that crosses a response is our clients' doing, not the service's: it ends no connection.
        .reset_stream_duration(Duration::from_secs(1));
    builder
}

pub(super) fn header_bytes(limits: &Limits) -> u32 {
    u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX)
}

impl Link {
    fn streams_max(&self) -> usize {
        match self.requests.current_max_send_streams() {
            0 => STREAMS_BEFORE_SETTINGS,
            allowed => allowed.min(STREAMS_MAX as usize),
        }
    }
}

impl Lease {
    fn new(link: Rc<Link>) -> Self {
        let is_reused = link.is_used.replace(true);
        link.streams.set(link.streams.get() + 1);
        Self { link, is_reused }
    }

    pub(super) fn requests(&self) -> SendRequest<Bytes> {
        self.link.requests.clone()
    }

    pub(super) fn retire(&self) {
        self.link.retired.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
        self.link.idle_since.set(Instant::now());
    }
}
