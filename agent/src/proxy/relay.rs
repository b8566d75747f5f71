//! One request to the service and its response back, over two sockets that one task drives.
//!
//! Both directions run at once: a response may begin before its request has ended. What one socket does not take stops the
//! reading from the other, so that no more than one piece of each body is in memory.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::client::Client;
use super::connection::Connection;
use super::fault::Fault;
use super::http1::{Body, Field, Framing, Malformed, ResponseHead, ResponseLimits, Version, members};
use super::outbox::Outbox;
use super::request::{Request, put_request_id};
use super::response_head::{self, Delivery, Told};
use super::stream::Stream;

/// What is read at once for a peer that is slow in taking it.
const SLOW_READ_BYTES: usize = 16 * 1024;

pub(super) struct Relay<'a> {
    connection: &'a Connection,
    client: &'a mut Client,
    upstream: &'a mut Stream,
    request: &'a mut Request,
    to_upstream: Outbox,
    pub(super) to_client: Outbox,
    /// Read from the service and not yet understood: the beginning of a head.
    from_upstream: Vec<u8>,
    head_length: usize,
    has_sent_any: bool,
    /// The service takes nothing more; it may still answer.
    upload_broken: bool,
    sent_at: Option<Instant>,
    download: Download,
    response: Body,
    delivery: Delivery,
    pub(super) ends: Ends,
    upstream_keeps: bool,
    upstream_idle: Option<Duration>,
    heads_at: Option<Instant>,
    pub(super) overhead: Overhead,
    client_is_slow: bool,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Download {
    Head,
    Body,
    Done,
    /// The service has agreed to speak something else from here on.
    Switched,
}

/// What the connections are good for after the exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    /// The client was told that its connection ends.
    pub(super) closes: bool,
    /// The response's end is the connection's: broken off, it must not look like that.
    pub(super) by_close: bool,
}

/// Time that the proxy itself took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overhead {
    /// Since when the request's head could be passed on.
    pub(super) head_since: Instant,
    pub(super) total: Duration,
}

impl Overhead {
    pub(super) fn new(head_since: Instant) -> Self {
        Self { head_since, total: Duration::ZERO }
    }
}

/// How it ended.
pub(super) enum End {
    /// The response is with the client's kernel. The service's connection may be used again until then.
    Complete {
        upstream_until: Option<Instant>,
        at: Instant,
    },
    /// Both sides switch protocols; bytes that the service has sent already.
    Switched {
        early: Vec<u8>,
    },
    /// The service closed without a word, as it may a kept connection.
    Stale,
    Failed(Fault),
}

impl<'a> Relay<'a> {
    /// `request.head` is sent first, then the body.
    pub(super) fn new(
        connection: &'a Connection,
        client: &'a mut Client,
        upstream: &'a mut Stream,
        request: &'a mut Request,
        overhead: Overhead,
    ) -> Self {
        let head = std::mem::take(&mut request.head);
        Self {
            head_length: head.len(),
            has_sent_any: false,
            to_client: Outbox::holding(connection.worker.take_buffer()),
            connection,
            client,
            upstream,
            request,
            to_upstream: Outbox::holding(head),
            from_upstream: Vec::new(),
            upload_broken: false,
            sent_at: None,
            download: Download::Head,
            response: Body::NONE,
            delivery: Delivery::AsIs,
            ends: Ends::default(),
            upstream_keeps: false,
            upstream_idle: None,
            heads_at: None,
            overhead,
            client_is_slow: false,
        }
    }

    /// Whether the response's head is not on its way to the client.
    pub(super) fn is_unanswered(&self) -> bool {
        self.download == Download::Head
    }

    /// Whether the service may have seen anything of the request.
    pub(super) fn has_sent_any(&self) -> bool {
        self.has_sent_any
    }

    /// Whether the request can be sent again although the service may have seen it.
    pub(super) fn can_repeat(&self) -> bool {
        self.request.is_repeatable() && self.request.body.is_done() && self.request.open.get().request_bytes == 0
    }

    /// Gives back what was to be sent first, for another try. Whatever was sent is without a body.
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        if self.has_sent_any {
            self.to_upstream.bytes.truncate(self.head_length);
        }
        std::mem::take(&mut self.to_upstream.bytes)
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.connection.remember_waker(context);
        if self.connection.is_closing() {
            return Poll::Ready(End::Failed(Fault::Shutdown));
        }
        if let Some(fault) = self.connection.take_expired() {
            return Poll::Ready(End::Failed(fault));
        }
        loop {
            let uploaded = self.poll_upload(context);
            if let Poll::Ready(Err(fault)) = uploaded {
                return Poll::Ready(End::Failed(fault));
            }
            let downloaded = self.poll_download(context);
            match downloaded {
                Poll::Ready(Ok(Some(end))) => return Poll::Ready(end),
                Poll::Ready(Err(fault)) => return Poll::Ready(End::Failed(fault)),
                Poll::Ready(Ok(None)) => {}
                Poll::Pending if uploaded.is_ready() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    // ----- the request -----

    /// Moves what can be moved. Ready as long as something did.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.to_upstream.is_empty() {
            self.put_early_body()?;
            match self.to_upstream.poll_flush(context, self.upstream) {
                Poll::Ready(Ok(_)) => self.sent(),
                Poll::Ready(Err(_)) => self.break_upload(),
                Poll::Pending => {
                    self.await_service();
                    return Poll::Pending;
                }
            }
            if !self.to_upstream.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        if self.upload_broken || self.request.body.is_done() {
            return self.poll_ahead(context);
        }
        if self.client.inbox.is_empty() { self.poll_body(context) } else { self.put_inbox() }
    }

    /// Body bytes that came with the head leave with it.
    fn put_early_body(&mut self) -> Result<(), Fault> {
        let is_waiting = !self.client.inbox.is_empty() && !self.request.body.is_done();
        if is_waiting && !self.has_sent_any {
            self.put_inbox_part()?;
        }
        Ok(())
    }

    fn put_inbox(&mut self) -> Poll<Result<(), Fault>> {
        Poll::Ready(self.put_inbox_part())
    }

    fn put_inbox_part(&mut self) -> Result<(), Fault> {
        let inbox = std::mem::take(&mut self.client.inbox);
        let taken = self.to_upstream.put(&mut self.request.body, Delivery::AsIs, &inbox);
        self.client.inbox = inbox;
        let taken = taken.map_err(|Malformed| Fault::RequestBody)?;
        self.client.consume(taken.used);
        self.uploaded(taken.data);
        Ok(())
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let waits = &self.connection.waits;
        let mut scratch = self.connection.worker.scratch.borrow_mut();
        let read = match self.client.stream.poll_read(context, &mut scratch) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::ClientDisconnect)),
            Poll::Ready(Ok(length)) => length,
            Poll::Pending => {
                if !self.awaits_continue() {
                    waits.request.wait(self.connection.worker.coarse_now.get());
                }
                return Poll::Pending;
            }
        };
        waits.request.moved(read);
        let bytes = &scratch[..read];
        let sent = self.to_upstream.send(context, self.upstream, &mut self.request.body, Delivery::AsIs, bytes);
        let (taken, wrote) = sent.map_err(|Malformed| Fault::RequestBody)?;
        self.client.inbox.extend_from_slice(&bytes[taken.used..]);
        drop(scratch);
        self.uploaded(taken.data);
        match wrote {
            Ok(_) => self.sent(),
            Err(_) => self.break_upload(),
        }
        Poll::Ready(Ok(()))
    }

    /// The client holds its body back until the service wants it, and so is not slow.
    fn awaits_continue(&self) -> bool {
        self.request.awaits_continue && self.request.open.get().request_bytes == 0
    }

    fn uploaded(&mut self, data: usize) {
        self.request.open.get_mut().request_bytes += data as u64;
        if self.request.body.is_done() {
            self.connection.waits.request.stop();
            let elapsed_us = self.request.open.elapsed_us(Instant::now());
            self.request.open.get_mut().request_complete_us = Some(elapsed_us);
        }
    }

    /// Some of what was to be sent is with the service's kernel.
    fn sent(&mut self) {
        self.has_sent_any = true;
        self.connection.waits.head_since.set(None);
        if !self.to_upstream.is_empty() {
            self.connection.waits.request.stop();
            return;
        }
        if self.sent_at.is_none() {
            let now = Instant::now();
            self.sent_at = Some(now);
            self.overhead.total += now.saturating_duration_since(self.overhead.head_since);
        }
        if self.request.body.is_done() || self.awaits_continue() {
            self.await_service();
        }
        // A head alone stays, to be sent again; what came after it is forgotten.
        if self.request.open.get().request_bytes > 0 {
            self.to_upstream.clear();
        }
    }

    /// From now on the service is expected to do something.
    fn await_service(&self) {
        let since = &self.connection.waits.head_since;
        if self.download == Download::Head && since.get().is_none() {
            since.set(Some(self.connection.worker.coarse_now.get()));
        }
    }

    /// The service takes no more, but may have answered before that.
    fn break_upload(&mut self) {
        self.upload_broken = true;
        self.connection.waits.request.stop();
        self.to_upstream.give_up();
    }

    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.download == Download::Done {
            return Poll::Pending;
        }
        let mut scratch = self.connection.worker.scratch.borrow_mut();
        let ahead = self.client.poll_ahead(context, &mut scratch);
        drop(scratch);
        if let Poll::Ready(Err(_)) = ahead {
            return Poll::Ready(Err(Fault::ClientDisconnect));
        }
        if self.client.has_ended {
            if self.connection.worker.limits.borrow().half_close_timeout.is_none() {
                return Poll::Ready(Err(Fault::ClientDisconnect));
            }
            let since = &self.connection.waits.half_closed_since;
            if since.get().is_none() && self.download == Download::Head {
                since.set(Some(self.connection.worker.coarse_now.get()));
            }
        }
        Poll::Pending
    }

    // ----- the response -----

    fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<End>, Fault>> {
        if !self.to_client.is_empty() {
            ready!(self.poll_client_flush(context))?;
        }
        if self.to_client.is_empty() && !self.to_client.bytes.is_empty() {
            self.to_client.clear();
            self.head_flushed();
        }
        match self.download {
            Download::Done if self.to_client.is_empty() => Poll::Ready(Ok(Some(self.complete()))),
            Download::Switched if self.to_client.is_empty() => {
                Poll::Ready(Ok(Some(End::Switched { early: std::mem::take(&mut self.from_upstream) })))
            }
            _ if !self.to_client.is_empty() => Poll::Ready(Ok(None)),
            Download::Head | Download::Body | Download::Done | Download::Switched => self.poll_response(context),
        }
    }

    /// Of a response that goes on after its head.
    fn head_flushed(&mut self) {
        if let Some(heads_at) = self.heads_at
            && self.download == Download::Body
        {
            self.heads_at = None;
            self.overhead.total += heads_at.elapsed();
        }
    }

    fn poll_client_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let rate = &self.connection.waits.response;
        match self.to_client.poll_flush(context, &mut self.client.stream) {
            Poll::Ready(Ok(length)) => {
                rate.moved(length);
                if self.to_client.is_empty() {
                    rate.stop();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::ClientDisconnect)),
            Poll::Pending => {
                self.client_is_slow = true;
                rate.wait(self.connection.worker.coarse_now.get());
                Poll::Pending
            }
        }
    }

    fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<End>, Fault>> {
        let worker = &self.connection.worker;
        let mut scratch = worker.scratch.borrow_mut();
        let limit = if self.client_is_slow { SLOW_READ_BYTES.min(scratch.len()) } else { scratch.len() };
        let read = match ready!(self.upstream.poll_read(context, &mut scratch[..limit])) {
            Ok(0) => return Poll::Ready(self.upstream_ended()),
            Ok(length) => length,
            Err(error) => return Poll::Ready(self.upstream_broke(&error)),
        };
        let now = Instant::now();
        if self.download == Download::Body {
            let passed = self.pass_on(context, &scratch[..read], now);
            return Poll::Ready(passed.map(|()| None));
        }
        if self.from_upstream.is_empty() {
            let used = self.take_heads(&scratch[..read], now)?;
            return Poll::Ready(self.pass_rest(context, &scratch[used..read], now).map(|()| None));
        }
        self.from_upstream.extend_from_slice(&scratch[..read]);
        let bytes = std::mem::take(&mut self.from_upstream);
        let used = self.take_heads(&bytes, now)?;
        Poll::Ready(self.pass_rest(context, &bytes[used..], now).map(|()| None))
    }

    /// What follows the heads: the body's beginning, or a head that is not whole yet.
    fn pass_rest(&mut self, context: &mut Context<'_>, rest: &[u8], now: Instant) -> Result<(), Fault> {
        match self.download {
            Download::Body => self.pass_on(context, rest, now),
            Download::Head | Download::Switched => {
                self.from_upstream.extend_from_slice(rest);
                Ok(())
            }
            Download::Done => {
                self.upstream_keeps &= rest.is_empty();
                Ok(())
            }
        }
    }

    /// Reads heads, interim ones too, until the final one or the end of what is there.
    fn take_heads(&mut self, bytes: &[u8], now: Instant) -> Result<usize, Fault> {
        let limits = ResponseLimits { head_bytes_max: self.connection.worker.limits.borrow().header_bytes_max };
        let mut used = 0;
        while self.download == Download::Head {
            match limits.parse(&bytes[used..]).map_err(|Malformed| Fault::UpstreamInvalid)? {
                None => break,
                Some(head) => {
                    used += head.length;
                    self.take_head_of_response(&head, now)?;
                }
            }
        }
        Ok(used)
    }

    fn take_head_of_response(&mut self, head: &ResponseHead<'_>, now: Instant) -> Result<(), Fault> {
        let is_tunnel = self.request.method == Method::CONNECT && head.status.is_success();
        if head.status == StatusCode::SWITCHING_PROTOCOLS || is_tunnel {
            if !(is_tunnel || self.request.upgrades && head.switches) {
                return Err(Fault::UpstreamInvalid);
            }
            self.download = Download::Switched;
            self.write_head(head, now);
            return Ok(());
        }
        if head.status.is_informational() {
            if self.request.version == Version::Http11 {
                response_head::forward_interim(head, &mut self.to_client.bytes);
            }
            return Ok(());
        }
        let without_body = self.request.method == Method::HEAD
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.response = if without_body { Body::NONE } else { head.framing.body() };
        self.deliver(head, without_body)?;
        self.upstream_keeps = head.keeps_alive && (without_body || head.framing != Framing::UntilClose);
        self.write_head(head, now);
        self.download = if self.response.is_done() { Download::Done } else { Download::Body };
        if self.download == Download::Done {
            self.response_complete(now);
        }
        Ok(())
    }

    /// How the body goes on, and what that means for the client's connection.
    fn deliver(&mut self, head: &ResponseHead<'_>, without_body: bool) -> Result<(), Fault> {
        let knows_chunks = self.request.version == Version::Http11;
        self.delivery = match head.framing {
            _ if without_body => Delivery::AsIs,
            Framing::Length(_) => Delivery::AsIs,
            Framing::Chunked if knows_chunks => Delivery::AsIs,
            Framing::Chunked => Delivery::Dechunked,
            // Its coding is not ours to undo, and cannot be put into chunks without saying so.
            Framing::UntilClose if head.fields.has(Field::TransferEncoding) => Delivery::AsIs,
            Framing::UntilClose if knows_chunks => Delivery::Chunked,
            Framing::UntilClose => Delivery::AsIs,
        };
        if head.fields.has(Field::TransferEncoding) && !knows_chunks && head.framing == Framing::UntilClose {
            return Err(Fault::UpstreamInvalid);
        }
        let ends_with_connection = self.delivery == Delivery::Dechunked
            || self.delivery == Delivery::AsIs && head.framing == Framing::UntilClose;
        self.ends.by_close = !without_body && ends_with_connection;
        self.ends.closes = self.ends.by_close
            || !self.request.keeps_alive
            || self.connection.is_finishing()
            || self.client.has_ended
            || !self.request.body.is_done();
        Ok(())
    }

    fn write_head(&mut self, head: &ResponseHead<'_>, now: Instant) {
        self.heads_at = Some(now);
        self.connection.waits.head_since.set(None);
        self.connection.waits.half_closed_since.set(None);
        self.connection.waits.body_since.set(Some(self.connection.worker.coarse_now.get()));
        self.upstream_idle = head.fields.only(Field::KeepAlive).and_then(keep_alive_timeout);
        let ttfb_us = self.request.open.elapsed_us(now);
        let exchange = self.request.open.get_mut();
        exchange.ttfb_us = Some(ttfb_us);
        exchange.status = Some(head.status.as_u16());
        exchange.grpc_status = head.fields.only(Field::GrpcStatus).and_then(grpc_status);
        let exchange = self.request.open.get();
        let told = Told {
            version: self.request.version,
            request_id: &|out| put_request_id(exchange, out),
            ttfb_us,
            date: &self.connection.worker.date.borrow()[..],
            closes: self.ends.closes,
            is_tunnel: self.download == Download::Switched,
        };
        response_head::forward(head, self.delivery, &told, &mut self.to_client.bytes);
    }

    /// Sends on what came of the body.
    fn pass_on(&mut self, context: &mut Context<'_>, bytes: &[u8], now: Instant) -> Result<(), Fault> {
        let waits = &self.connection.waits;
        waits.body_since.set(Some(self.connection.worker.coarse_now.get()));
        let client = &mut self.client.stream;
        let sent = self.to_client.send(context, client, &mut self.response, self.delivery, bytes);
        let (taken, wrote) = sent.map_err(|Malformed| Fault::UpstreamInvalid)?;
        self.request.open.get_mut().response_bytes += taken.data as u64;
        if self.response.is_done() {
            self.upstream_keeps &= taken.used == bytes.len();
            self.download = Download::Done;
            self.response_complete(now);
        }
        let wrote = wrote.map_err(|_| Fault::ClientDisconnect)?;
        waits.response.moved(wrote);
        Ok(())
    }

    fn response_complete(&mut self, now: Instant) {
        self.connection.waits.body_since.set(None);
        let elapsed_us = self.request.open.elapsed_us(now);
        self.request.open.get_mut().response_complete_us = Some(elapsed_us);
    }

    fn upstream_ended(&mut self) -> Result<Option<End>, Fault> {
        match self.download {
            Download::Head if self.from_upstream.is_empty() => Ok(Some(End::Stale)),
            Download::Body if self.response.ends_with_connection() => {
                if self.delivery == Delivery::Chunked {
                    self.to_client.bytes.extend_from_slice(b"0\r\n\r\n");
                }
                self.upstream_keeps = false;
                self.download = Download::Done;
                self.response_complete(Instant::now());
                Ok(None)
            }
            _ => Err(Fault::UpstreamReset),
        }
    }

    fn upstream_broke(&mut self, _: &io::Error) -> Result<Option<End>, Fault> {
        match self.download {
            Download::Head if self.from_upstream.is_empty() => Ok(Some(End::Stale)),
            _ => Err(Fault::UpstreamReset),
        }
    }

    fn complete(&mut self) -> End {
        let at = Instant::now();
        if let Some(heads_at) = self.heads_at {
            self.overhead.total += at.saturating_duration_since(heads_at);
        }
        let is_whole = self.request.body.is_done() && !self.upload_broken && self.upstream_keeps;
        let limit = self.connection.worker.limits.borrow().upstream_idle_timeout;
        let idle = self.upstream_idle.map_or(limit, |promised| limit.min(promised / 2));
        let upstream_until = is_whole.then(|| self.connection.worker.coarse_now.get() + idle);
        self.connection.worker.give_buffer(std::mem::take(&mut self.to_client.bytes));
        self.connection.worker.give_buffer(std::mem::take(&mut self.to_upstream.bytes));
        End::Complete { upstream_until, at }
    }
}

/// The seconds in `Keep-Alive: timeout=5, max=100`.
pub(super) fn keep_alive_timeout(value: &[u8]) -> Option<Duration> {
    let seconds = members(value).find_map(|member| member.strip_prefix(b"timeout="))?;
    std::str::from_utf8(seconds).ok()?.trim().parse().ok().map(Duration::from_secs)
}

pub(super) fn grpc_status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
