//! A client's exchanges, one after the other, until its connection ends.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Instant;

use http::{Method, StatusCode};
use tokio::net::TcpStream;

use super::client::{Client, Next};
use super::relay::{End, Ends, Overhead, Relay};
use super::request::{Request, put_request_id};
use super::response_head::{self, Told, refuse};
use super::tunnel;
use crate::proxy::connection::{Connection, Phase};
use crate::proxy::counters::count;
use crate::proxy::fault::Fault;
use crate::proxy::http2;
use crate::proxy::options::UpstreamAddress;
use crate::proxy::stream::Stream;

/// What the client's connection is good for after an exchange.
enum After {
    Keep,
    Close,
    /// The client may still be sending.
    Linger,
    /// Nothing may look like the end of a message.
    Reset,
}

/// How a request came to its end at the service.
pub(in crate::proxy) enum Outcome {
    Done {
        at: Instant,
        ends: Ends,
    },
    /// The connection is used up by a tunnel, which came to its end or broke off.
    Tunnelled {
        whole: bool,
    },
    Failed {
        fault: Fault,
        answered: bool,
    },
}

/// Serves one connection to its end. Cancelling it closes the connection and records the exchange at hand.
pub(in crate::proxy) async fn serve(connection: Rc<Connection>, stream: TcpStream) {
    // Leaves the worker's table however this future ends.
    let _leaving = Leaving(Rc::clone(&connection));
    let mut client = Client::new(Stream::Tcp(stream));
    loop {
        let refusal = match client.next(&connection).await {
            Next::Request(request) => match run(&connection, &mut client, request).await {
                After::Keep => continue,
                After::Close => return,
                After::Linger => return client.linger(&connection).await,
                After::Reset => return client.stream.reset_on_close(),
            },
            Next::Http2(first_bytes) => {
                return Box::pin(http2::serve(connection, client.stream, first_bytes)).await;
            }
            Next::Refused(refusal) => refusal.status_line(),
            Next::Overdue => "408 Request Timeout",
            Next::Closed => return,
        };
        let mut answer = Vec::new();
        refuse(refusal, &connection.worker.date.get(), &mut answer);
        if client.write_all(&connection, &answer).await.is_ok() {
            client.linger(&connection).await;
        }
        return;
    }
}

async fn run(connection: &Connection, client: &mut Client, mut request: Request) -> After {
    if let Some(fault) = request.refused {
        return answer(connection, client, request, fault).await;
    }
    let outcome = match connection.worker.options.upstream {
        // Apart, so that the others' tasks stay small.
        UpstreamAddress::H2c { .. } => Box::pin(http2::of_http1(connection, client, &mut request)).await,
        _ => exchange(connection, client, &mut request).await,
    };
    match outcome {
        Outcome::Done { at, ends } => {
            if client.has_no_more() && !client.was_there(connection).await {
                request.open.fail(Fault::ClientDisconnect);
            }
            let is_whole = request.body.is_done();
            request.open.close(at);
            match (ends.closes, is_whole) {
                (_, false) => After::Linger,
                (true, true) => After::Close,
                (false, true) => After::Keep,
            }
        }
        Outcome::Tunnelled { whole } => {
            request.open.close(Instant::now());
            if whole { After::Close } else { After::Reset }
        }
        Outcome::Failed { fault, answered: false } if fault != Fault::ClientDisconnect && fault != Fault::Shutdown => {
            answer(connection, client, request, fault).await
        }
        Outcome::Failed { fault, .. } => {
            request.open.fail(fault);
            request.open.close(Instant::now());
            After::Reset
        }
    }
}

/// Sends the request, once more over a new connection if the kept one turns out to be closed and that does no harm.
async fn exchange(connection: &Connection, client: &mut Client, request: &mut Request) -> Outcome {
    let worker = &connection.worker;
    let unanswered = |fault| Outcome::Failed { fault, answered: false };
    let mut overhead = Overhead::new(request.head_read);
    let kept = worker.upstream.take(worker.coarse_now.get(), !request.is_repeatable());
    let mut is_reused = kept.is_some();
    let mut next = kept;
    loop {
        let mut stream = match next.take() {
            Some(stream) => {
                connected(request, overhead.head_since);
                stream
            }
            None => {
                let before = Instant::now();
                let timeout = worker.limits.borrow().connect_timeout;
                match worker.upstream.connect(timeout).await {
                    Ok(stream) => {
                        let now = Instant::now();
                        connected(request, now);
                        overhead.total += before.saturating_duration_since(overhead.head_since);
                        overhead.head_since = now;
                        stream
                    }
                    Err(fault) => return unanswered(fault),
                }
            }
        };
        let mut relay = Relay::new(connection, client, &mut stream, request, overhead);
        let end = poll_fn(|context| relay.poll(context)).await;
        match end {
            End::Complete { upstream_until, at } => {
                let (ends, total) = (relay.ends, relay.overhead.total);
                request.open.get_mut().overhead_us = u64::try_from(total.as_micros()).ok();
                if let Some(until) = upstream_until {
                    worker.upstream.give_back(stream, until);
                }
                return Outcome::Done { at, ends };
            }
            End::Switched { early } => {
                connection.set_phase(Phase::Tunnel { active: worker.coarse_now.get() });
                let whole = tunnel::run(connection, client, stream, early, &mut request.open).await;
                return Outcome::Tunnelled { whole };
            }
            End::Stale => {
                let can_repeat = is_reused && (!relay.has_sent_any() || relay.can_repeat());
                let head = relay.take_head();
                if !can_repeat {
                    return unanswered(Fault::UpstreamReset);
                }
                request.head = head;
                is_reused = false;
                count(&worker.counters.upstream_retries);
            }
            End::Failed(fault) => {
                let answered = !relay.is_unanswered();
                return Outcome::Failed { fault, answered };
            }
        }
    }
}

fn connected(request: &mut Request, at: Instant) {
    let elapsed_us = request.open.elapsed_us(at);
    request.open.get_mut().upstream_connected_us = Some(elapsed_us);
}

/// Answers in the service's place.
async fn answer(connection: &Connection, client: &mut Client, mut request: Request, fault: Fault) -> After {
    request.open.fail(fault);
    let closes = fault.ends_connection()
        || !request.keeps_alive
        || !request.body.is_done()
        || connection.is_finishing()
        || client.has_no_more();
    let with_body = request.method != Method::HEAD;
    let mut bytes = connection.worker.take_buffer();
    note_answer(&mut request, fault.status(), if with_body { fault.text().len() } else { 0 });
    let exchange = request.open.get();
    let told = Told {
        version: request.version,
        request_id: &|out| put_request_id(exchange, out),
        ttfb_us: exchange.ttfb_us.unwrap_or(0),
        date: &connection.worker.date.get(),
        closes,
        is_tunnel: false,
    };
    response_head::fail(fault, with_body, &told, &mut bytes);
    let written = client.write_all(connection, &bytes).await;
    connection.worker.give_buffer(bytes);
    request.open.close(Instant::now());
    match written {
        Ok(()) if closes => After::Linger,
        Ok(()) => After::Keep,
        Err(_) => After::Reset,
    }
}

fn note_answer(request: &mut Request, status: StatusCode, length: usize) {
    let ttfb_us = request.open.elapsed_us(Instant::now());
    let exchange = request.open.get_mut();
    exchange.ttfb_us = Some(ttfb_us);
    exchange.status = Some(status.as_u16());
    exchange.response_bytes = length as u64;
}

struct Leaving(Rc<Connection>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.worker.forget(self.0.number);
    }
}
