//! The response's way: heads are read and written anew, the body goes to the client as fast as the client takes it.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::super::request::put_request_id;
use super::super::response_head::{self, Delivery, Told};
use super::{Download, End, Relay};
use crate::proxy::fault::Fault;
use ridealong_http1::{Body, Field, Framing, Malformed, ResponseHead, ResponseLimits, Version, members};

/// What is read at once for a peer that is slow in taking it.
const SLOW_READ_BYTES: usize = 16 * 1024;
/// A peer that let us wait for so long is slow.
const SLOW_AFTER: Duration = Duration::from_millis(100);

impl Relay<'_> {
    pub(super) fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<End>, Fault>> {
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
                // One that only filled its window once is none.
                self.client_is_slow |= rate.waited(self.connection.worker.coarse_now.get()) >= SLOW_AFTER;
                if self.to_client.is_empty() {
                    rate.stop();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::ClientDisconnect)),
            Poll::Pending => {
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
            Err(_) => return Poll::Ready(self.upstream_broke()),
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
            || self.client.has_no_more()
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
            date: &self.connection.worker.date.get(),
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
        if self.download != Download::Body || !self.response.ends_with_connection() {
            return self.upstream_broke();
        }
        self.to_client.put_end(self.delivery, |_| {});
        self.upstream_keeps = false;
        self.download = Download::Done;
        self.response_complete(Instant::now());
        Ok(None)
    }

    fn upstream_broke(&self) -> Result<Option<End>, Fault> {
        let is_silent = self.download == Download::Head && self.from_upstream.is_empty();
        if is_silent { Ok(Some(End::Stale)) } else { Err(Fault::UpstreamReset) }
    }
}

/// The seconds in `Keep-Alive: timeout=5, max=100`.
pub(in crate::proxy) fn keep_alive_timeout(value: &[u8]) -> Option<Duration> {
    let seconds = members(value).find_map(|member| member.strip_prefix(b"timeout="))?;
    std::str::from_utf8(seconds).ok()?.trim().parse().ok().map(Duration::from_secs)
}

pub(in crate::proxy) fn grpc_status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
