//! The service's side: a thread's pool of connections, and sending one request over one of them.
//!
//! A kept connection may be closed by the service just when we use it. Nothing is wrong then, so the request goes out once
//! more, over a new connection, if it was never written, or if it has no body and repeating it changes nothing.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::connection::{BUFFER_BYTES_MAX, Connection};
use super::counters::{Counters, count};
use super::fault::Fault;
use super::options::{ProxyOptions, UpstreamAddress};
use super::worker::elapsed_us;

/// Kept connections of one thread.
const IDLE_CONNECTIONS_MAX: usize = 1024;

pub(super) struct Upstream {
    address: UpstreamAddress,
    /// The address as `Host`, for requests that came without one.
    pub(super) authority: HeaderValue,
    connect_timeout: Duration,
    idle_timeout: Duration,
    preserve_header_case: bool,
    counters: Arc<Counters>,
    /// The last used is at the end, and the next used: a few connections are kept warm, the rest time out.
    idle: RefCell<Vec<Idle>>,
}

/// A connection that carries one exchange. Dropping it closes the connection.
pub(super) struct Lease {
    sender: SendRequest<RequestBody>,
}

struct Idle {
    lease: Lease,
    since: Instant,
}

/// What became of sending a request over one connection.
enum Failed {
    /// It can be sent again, over a new connection.
    Returned(Box<Request<RequestBody>>),
    For(Fault),
}

impl Upstream {
    pub(super) fn new(options: &ProxyOptions, counters: Arc<Counters>) -> Self {
        let authority = HeaderValue::try_from(options.upstream.to_string());
        Self {
            address: options.upstream.clone(),
            authority: authority.unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            connect_timeout: options.connect_timeout,
            idle_timeout: options.upstream_idle_timeout,
            preserve_header_case: options.preserve_header_case,
            counters,
            idle: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn close_idle(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let expired = idle.iter().take_while(|idle| now.saturating_duration_since(idle.since) >= self.idle_timeout);
        let expired = expired.count();
        idle.drain(..expired);
        idle.retain(|idle| !idle.lease.sender.is_closed());
    }

    /// Keeps a connection whose response was read to its end, unless it is closing or still sending.
    pub(super) fn give_back(&self, lease: Lease, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if lease.sender.is_ready() && idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(Idle { lease, since: now });
        }
    }

    fn take(&self, now: Instant) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { lease, since }) = idle.pop() {
            if lease.sender.is_ready() && now.saturating_duration_since(since) < self.idle_timeout {
                return Some(lease);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Lease, Fault> {
        let connecting = TcpStream::connect((self.address.host.as_str(), self.address.port));
        let stream = match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(connect_fault(&error)),
            Err(_) => return Err(Fault::UpstreamConnectTimeout),
        };
        let _ = stream.set_nodelay(true);
        count(&self.counters.upstream_connections);
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(self.preserve_header_case)
            .title_case_headers(true)
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Fault::UpstreamConnectFailed)?;
        // Owned through its sender: it ends when the lease is dropped, and then has nobody to report to.
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Lease { sender })
    }
}

/// Sends one request and waits for the response's head. Cancelling it closes the upstream connection.
pub(super) async fn send(
    connection: &Rc<Connection>,
    number: u64,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Fault> {
    let upstream = &connection.worker.upstream;
    let mut request = request;
    if let Some(lease) = upstream.take(connection.worker.coarse_now.get()) {
        match send_over(lease, connection, number, request, true).await {
            Ok(answered) => return Ok(answered),
            Err(Failed::For(fault)) => return Err(fault),
            Err(Failed::Returned(returned)) => request = *returned,
        }
        count(&upstream.counters.upstream_retries);
    }
    let lease = upstream.connect().await?;
    connection.with_exchange(number, |exchange, first_byte| {
        exchange.upstream_connected_us = Some(elapsed_us(first_byte, Instant::now()));
    });
    match send_over(lease, connection, number, request, false).await {
        Ok(answered) => Ok(answered),
        Err(Failed::For(fault)) => Err(fault),
        Err(Failed::Returned(_)) => Err(Fault::UpstreamReset),
    }
}

async fn send_over(
    mut lease: Lease,
    connection: &Rc<Connection>,
    number: u64,
    request: Request<RequestBody>,
    is_reused: bool,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let can_repeat = is_reused && request.body().is_end_stream() && is_repeatable(request.method());
    let copy = can_repeat.then(|| Copy::of(&request));
    connection.await_response();
    let sent = {
        let mut sending = pin!(lease.sender.try_send_request(request));
        poll_fn(|context| {
            if connection.is_response_overdue() {
                return Poll::Ready(None);
            }
            sending.as_mut().poll(context).map(Some)
        })
        .await
    };
    connection.stop_awaiting_response();
    let mut failed = match sent {
        Some(Ok(response)) => return Ok((response, lease)),
        Some(Err(failed)) => failed,
        None => return Err(Failed::For(Fault::ResponseTimeout)),
    };
    if let Some(unsent) = failed.take_message() {
        return Err(Failed::Returned(Box::new(unsent)));
    }
    match copy {
        Some(copy) if !failed.error().is_parse() => {
            Err(Failed::Returned(Box::new(copy.into_request(connection, number))))
        }
        _ => Err(Failed::For(response_fault(failed.error()))),
    }
}

/// What it takes to send a request without a body again. A list and not a map: hardly any copy is ever needed, so making
/// one has to be cheap. It leaves out how the names were capitalised.
struct Copy {
    method: Method,
    target: Uri,
    lines: Vec<(HeaderName, HeaderValue)>,
}

impl Copy {
    fn of(request: &Request<RequestBody>) -> Self {
        let lines = request.headers().iter().map(|(name, value)| (name.clone(), value.clone()));
        Self { method: request.method().clone(), target: request.uri().clone(), lines: lines.collect() }
    }

    fn into_request(self, connection: &Rc<Connection>, number: u64) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::none(Rc::clone(connection), number));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        for (name, value) in self.lines {
            request.headers_mut().append(name, value);
        }
        request
    }
}

fn connect_fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::UpstreamConnectRefused,
        io::ErrorKind::TimedOut => Fault::UpstreamConnectTimeout,
        _ => Fault::UpstreamConnectFailed,
    }
}

fn response_fault(error: &hyper::Error) -> Fault {
    if error.is_parse() { Fault::UpstreamInvalid } else { Fault::UpstreamReset }
}

/// Whether sending a request again cannot do more than sending it once did.
fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
