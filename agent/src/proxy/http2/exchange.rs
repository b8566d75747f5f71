//! One request from its head to its record: over which connection it goes, whether it goes once more, and what the client
//! gets when nothing comes of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use h2::Reason;
use http::Method;

use super::super::connection::{Connection, Phase};
use super::super::counters::count;
use super::super::fault::Fault;
use super::super::http1::client::Client;
use super::super::http1::exchanges::Outcome;
use super::super::http1::relay::Overhead;
use super::super::http1::request::{Request, is_repeatable};
use super::super::open::OpenExchange;
use super::bridge::{Bridge, End, Ends};
use super::clock::{Clock, Running};
use super::opened::{Opened, ServiceHead};
use super::plain::{Framed, PlainClient, PlainService};
use super::request::translate;
use super::response;
use super::sides::{Broken, ClientSide};
use super::stream_client::StreamClient;
use super::stream_service::StreamService;
use super::upload::Upload;

/// Why there is no whole response.
struct Failure {
    fault: Fault,
    /// Whether its head is with the client.
    answered: bool,
    /// What the service said when it broke off this exchange alone.
    reason: Option<Reason>,
}

impl Failure {
    fn unanswered(fault: Fault) -> Self {
        Self { fault, answered: false, reason: None }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::unanswered(fault)
    }
}

/// What an exchange is made with, whatever its sides speak.
struct Frame<'a> {
    connection: &'a Connection,
    clock: &'a Clock,
    open: &'a mut OpenExchange,
    upload: Upload,
    overhead: Overhead,
    /// Sending it again cannot do more than sending it once did.
    is_repeatable: bool,
}

/// Serves one stream to its end, and says whether the client cancelled it. Cancelling it resets the stream and records the exchange.
pub(super) async fn of_stream(connection: Rc<Connection>, opened: Opened, mut client: StreamClient) -> bool {
    let Opened { mut open, method, head, has_body, has_length, refused, is_grpc, head_read } = opened;
    let running = Running::start(&connection, open.first_byte());
    let mut frame = Frame {
        connection: &connection,
        clock: running.clock(),
        open: &mut open,
        upload: Upload::new(has_body, has_length),
        overhead: Overhead::new(head_read),
        is_repeatable: is_repeatable(&method),
    };
    let outcome = match refused {
        Some(fault) => Err(Failure::from(fault)),
        None => frame.run(&mut client, &head, &method).await,
    };
    let (at, is_cancelled) = match outcome {
        Ok(at) => (at, false),
        Err(failure) => {
            open.fail(failure.fault);
            if failure.answered {
                // What was handed over would be lost with the stream: it goes out first.
                tokio::task::yield_now().await;
            }
            fail(&connection, &mut open, &mut client, &failure, (is_grpc, method == Method::HEAD));
            (Instant::now(), failure.fault == Fault::ClientDisconnect)
        }
    };
    drop(running);
    open.close(at);
    is_cancelled
}

/// Serves one request of an HTTP/1 client whose service speaks HTTP/2. Cancelling it ends both sides of the exchange.
pub(in crate::proxy) async fn of_http1(connection: &Connection, client: &mut Client, request: &mut Request) -> Outcome {
    let head = std::mem::take(&mut request.head);
    let translated = match request.method {
        // The service's answer would be a stream, not a tunnel.
        Method::CONNECT => Err(Fault::ConnectUnsupported),
        _ => translate(&head, connection.worker.limits.borrow().headers_max),
    };
    connection.worker.give_buffer(head);
    let service_head = match translated {
        Ok(head) => ServiceHead::Stream(head),
        Err(fault) => return Outcome::Failed { fault, answered: false },
    };
    connection.set_phase(Phase::Streams);
    let first_byte = request.open.first_byte();
    let running = Running::start(connection, first_byte);
    let mut client = PlainClient::new(connection, running.clock(), client, request);
    let mut frame = Frame {
        connection,
        clock: running.clock(),
        upload: Upload::new(!client.body.is_done(), true),
        overhead: Overhead::new(request.head_read),
        is_repeatable: request.is_repeatable(),
        open: &mut request.open,
    };
    let outcome = frame.run(&mut client, &service_head, &request.method).await;
    let (body, ends) = client.finish();
    request.body = body;
    connection.set_phase(Phase::Busy { first_byte });
    match outcome {
        Ok(at) => Outcome::Done { at, ends },
        Err(Failure { fault, answered, .. }) => Outcome::Failed { fault, answered },
    }
}

impl Frame<'_> {
    async fn run(
        &mut self,
        client: &mut impl ClientSide,
        head: &ServiceHead,
        method: &Method,
    ) -> Result<Instant, Failure> {
        let done = match head {
            ServiceHead::Stream(request) => self.over_link(client, request).await,
            ServiceHead::Plain { bytes, framed } => self.over_stream(client, bytes, *framed, method).await,
        };
        if done.is_ok() {
            let total = self.overhead.total;
            self.open.get_mut().overhead_us = u64::try_from(total.as_micros()).ok();
        }
        done
    }

    /// To a service that speaks HTTP/2.
    async fn over_link(
        &mut self,
        client: &mut impl ClientSide,
        request: &http::Request<()>,
    ) -> Result<Instant, Failure> {
        let worker = &self.connection.worker;
        let mut is_retry = false;
        loop {
            let limits = *worker.limits.borrow();
            let leasing = worker.links.lease(&worker.upstream, limits);
            let lease = unless_gone(self.connection, self.clock, client, leasing).await?;
            self.connected();
            let is_reused = lease.is_reused;
            let ends = self.upload.has_nothing_to_send();
            let end = match StreamService::begin(lease, request.clone(), ends) {
                Err(broken) => End::Broken { broken, answered: false },
                Ok(service) => {
                    self.sent();
                    let (end, service) = self.bridge(client, service).await;
                    if matches!(end, End::Failed { fault: Fault::ResponseTimeout, .. }) {
                        service.retire();
                    }
                    end
                }
            };
            match self.judge(end, is_reused && !is_retry, !is_retry) {
                Some(done) => return done,
                None => is_retry = true,
            }
        }
    }

    /// To a service that speaks HTTP/1.
    async fn over_stream(
        &mut self,
        client: &mut impl ClientSide,
        head: &[u8],
        framed: Framed,
        method: &Method,
    ) -> Result<Instant, Failure> {
        let worker = &self.connection.worker;
        let mut kept = worker.upstream.take(worker.coarse_now.get(), !self.is_repeatable);
        loop {
            let is_reused = kept.is_some();
            let stream = match kept.take() {
                Some(stream) => stream,
                None => {
                    let timeout = worker.limits.borrow().connect_timeout;
                    let connecting = worker.upstream.connect(timeout);
                    unless_gone(self.connection, self.clock, client, connecting).await?
                }
            };
            self.connected();
            let mut bytes = worker.take_buffer();
            bytes.extend_from_slice(head);
            let service = PlainService::new(worker, stream, bytes, framed, method);
            self.sent();
            let (end, service) = self.bridge(client, service).await;
            if matches!(end, End::Complete { .. }) {
                service.give_back();
            }
            // A new connection that fails is the service's answer.
            if let Some(done) = self.judge(end, is_reused, is_reused) {
                return done;
            }
        }
    }

    async fn bridge<C: ClientSide, S: super::sides::ServiceSide>(&mut self, client: &mut C, service: S) -> (End, S) {
        let ends = Ends { client, service };
        let mut bridge = Bridge::new(self.connection, self.clock, self.open, ends, &mut self.upload, self.overhead);
        let end = poll_fn(|context| bridge.poll(context)).await;
        let (service, overhead) = bridge.into_service();
        self.overhead = overhead;
        (end, service)
    }

    /// How the exchange ends; nothing if it is to be tried once more, over another connection.
    fn judge(&mut self, end: End, may_be_stale: bool, may_retry: bool) -> Option<Result<Instant, Failure>> {
        let (broken, answered) = match end {
            End::Complete { at } => return Some(Ok(at)),
            End::Failed { fault, answered } => return Some(Err(Failure { fault, answered, reason: None })),
            End::Broken { broken, answered } => (broken, answered),
        };
        let again = !answered
            && match broken {
                Broken::Unsent => may_retry && self.upload.rewind(),
                Broken::Lost => may_be_stale && self.is_repeatable && self.upload.has_nothing_to_send(),
                Broken::Reset(_) | Broken::Invalid => false,
            };
        if again {
            count(&self.connection.worker.counters.upstream_retries);
            return None;
        }
        let reason = if let Broken::Reset(reason) = broken { Some(reason) } else { None };
        Some(Err(Failure { fault: broken.fault(), answered, reason }))
    }

    fn connected(&mut self) {
        let now = Instant::now();
        let elapsed_us = self.open.elapsed_us(now);
        self.open.get_mut().upstream_connected_us = Some(elapsed_us);
        self.overhead.head_since = now;
    }

    fn sent(&mut self) {
        self.overhead.total += self.overhead.head_since.elapsed();
    }
}

/// Waits for a connection, but not longer than the client does.
async fn unless_gone<T>(
    connection: &Connection,
    clock: &Clock,
    client: &mut impl ClientSide,
    connecting: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut connecting = pin!(connecting);
    poll_fn(|context| {
        clock.remember_waker(context);
        if connection.is_closing() {
            return Poll::Ready(Err(Fault::Shutdown));
        }
        if let Some(fault) = clock.take_expired() {
            return Poll::Ready(Err(fault));
        }
        if let Poll::Ready(fault) = client.poll_gone(context, false) {
            return Poll::Ready(Err(fault));
        }
        connecting.as_mut().poll(context)
    })
    .await
}

/// Tells the client: with an answer in the service's place if it has none yet, and by breaking off if it has.
fn fail(
    connection: &Connection,
    open: &mut OpenExchange,
    client: &mut StreamClient,
    failure: &Failure,
    (is_grpc, is_head): (bool, bool),
) {
    let fault = failure.fault;
    if fault == Fault::ClientDisconnect {
        return;
    }
    // What the service says about this exchange goes to the client as it is said.
    if let Some(reason) = failure.reason {
        return client.reset(if reason == Reason::NO_ERROR { Reason::INTERNAL_ERROR } else { reason });
    }
    if failure.answered || fault == Fault::Shutdown {
        let is_late = matches!(fault.status(), http::StatusCode::GATEWAY_TIMEOUT | http::StatusCode::REQUEST_TIMEOUT);
        return client.reset(if is_late { Reason::CANCEL } else { Reason::INTERNAL_ERROR });
    }
    let ttfb_us = open.elapsed_us(Instant::now());
    let exchange = open.get_mut();
    exchange.ttfb_us = Some(ttfb_us);
    exchange.status = Some(fault.status().as_u16());
    exchange.grpc_status = is_grpc.then(|| response::grpc_status(fault));
    let head = response::fail(fault, open.get(), &connection.worker, is_grpc);
    let without_body = is_grpc || is_head;
    if client.respond(head, without_body).is_ok() && !without_body {
        // Short enough for any window, and if not, the library keeps it until there is one.
        let text = Bytes::from_static(fault.text().as_bytes());
        open.get_mut().response_bytes = text.len() as u64;
        let _ = client.data(text, true);
    }
}
