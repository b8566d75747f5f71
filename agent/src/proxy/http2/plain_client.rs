//! A client's side of an exchange: its HTTP/1 connection, for a service that speaks HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::super::http1::client::Client;
use super::super::http1::outbox::Outbox;
use super::super::http1::relay::Ends;
use super::super::http1::request::{Request, put_request_id};
use super::super::http1::response_head::{self, Delivery, Told};
use super::super::worker::Worker;
use super::clock::Clock;
use super::request::{fields_of, insert_lines, put_trailers};
use super::sides::{ClientSide, Part};
use crate::exchange::Exchange;
use ridealong_http1::put_chunk_size;
use ridealong_http1::{Body, Framing, Malformed, Piece, ResponseHead, Version};

/// Waiting to be written, before more of the response is taken.
const OUTBOX_BYTES_MAX: usize = 16 * 1024;

pub(super) struct PlainClient<'a> {
    connection: &'a Connection,
    clock: &'a Clock,
    client: &'a mut Client,
    pub(super) body: Body,
    version: Version,
    method: Method,
    keeps_alive: bool,
    awaits_continue: bool,
    to_client: Outbox,
    delivery: Delivery,
    pub(super) ends: Ends,
}

impl<'a> PlainClient<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        clock: &'a Clock,
        client: &'a mut Client,
        request: &mut Request,
    ) -> Self {
        Self {
            connection,
            clock,
            client,
            body: std::mem::replace(&mut request.body, Body::NONE),
            version: request.version,
            method: request.method.clone(),
            keeps_alive: request.keeps_alive,
            awaits_continue: request.awaits_continue,
            to_client: Outbox::holding(connection.worker.take_buffer()),
            delivery: Delivery::AsIs,
            ends: Ends::default(),
        }
    }

    /// Gives the memory back, and what is left of the request's body.
    pub(super) fn finish(self) -> (Body, Ends) {
        self.connection.worker.give_buffer(self.to_client.bytes);
        (self.body, self.ends)
    }

    /// What there is of the body, up to the first piece of data, or its end.
    fn take_part(&mut self) -> Result<Option<Part>, Fault> {
        let mut used = 0;
        let mut data = Bytes::new();
        let inbox = &self.client.inbox;
        while used < inbox.len() && !self.body.is_done() && data.is_empty() {
            match self.body.next(&inbox[used..]).map_err(|Malformed| Fault::RequestBody)? {
                Piece::Data(length) => {
                    data = Bytes::copy_from_slice(&inbox[used..used + length]);
                    used += length;
                }
                Piece::Framing(length) => used += length,
            }
        }
        if used > 0 {
            self.client.consume(used);
        }
        if !data.is_empty() {
            return Ok(Some(Part::Data { bytes: data, last: matches!(self.body, Body::Length(0)) }));
        }
        Ok(self.body.is_done().then(|| self.end_of_body()))
    }

    fn end_of_body(&mut self) -> Part {
        let mut trailers = HeaderMap::new();
        if let Some(lines) = self.body.take_trailers() {
            insert_lines(&mut trailers, &lines);
        }
        if trailers.is_empty() { Part::End } else { Part::Trailers(trailers) }
    }

    /// The client waits to be asked for its body. The service is ready, whether it would say so or not.
    fn ask_for_body(&mut self) {
        if std::mem::take(&mut self.awaits_continue) && self.client.inbox.is_empty() {
            self.to_client.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    fn deliver(&mut self, head: &mut Response<()>, ends: bool) -> Framing {
        let without_body =
            self.method == Method::HEAD || matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if ends && !without_body && !head.headers().contains_key(CONTENT_LENGTH) {
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let has_length = without_body || head.headers().contains_key(CONTENT_LENGTH);
        self.delivery = if has_length || self.version == Version::Http10 { Delivery::AsIs } else { Delivery::Chunked };
        self.ends.by_close = !has_length && self.version == Version::Http10;
        self.ends.closes = self.ends.by_close
            || !self.keeps_alive
            || self.connection.is_finishing()
            || self.client.has_no_more()
            || !self.body.is_done();
        if has_length { Framing::Length(0) } else { Framing::UntilClose }
    }

    fn write_interim(&mut self, head: &Response<()>) {
        response_head::forward_interim(&plain(head, Framing::Length(0)), &mut self.to_client.bytes);
    }
}

/// The head in the words of HTTP/1.
fn plain(head: &Response<()>, framing: Framing) -> ResponseHead<'_> {
    ResponseHead {
        status: head.status(),
        reason: head.status().canonical_reason().unwrap_or_default(),
        fields: fields_of(head.headers()),
        framing,
        keeps_alive: true,
        switches: false,
        connection_names: Vec::new(),
        length: 0,
    }
}

impl ClientSide for PlainClient<'_> {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        loop {
            if let Some(part) = self.take_part()? {
                return Poll::Ready(Ok(part));
            }
            self.ask_for_body();
            ready!(self.poll_flush(context))?;
            let mut scratch = self.connection.worker.scratch.borrow_mut();
            match ready!(self.client.stream.poll_read(context, &mut scratch)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Fault::ClientDisconnect)),
                Ok(length) => self.client.inbox.extend_from_slice(&scratch[..length]),
            }
        }
    }

    fn passed(&mut self, _: usize) {}

    fn poll_gone(&mut self, context: &mut Context<'_>, is_over: bool) -> Poll<Fault> {
        if !is_over {
            // What is left of the body is not wanted yet.
            return Poll::Pending;
        }
        let mut scratch = self.connection.worker.scratch.borrow_mut();
        if self.client.poll_ahead(context, &mut scratch).is_ready() {
            return Poll::Ready(Fault::ClientDisconnect);
        }
        drop(scratch);
        if self.client.has_ended {
            if self.connection.worker.limits.borrow().half_close_timeout.is_none() {
                return Poll::Ready(Fault::ClientDisconnect);
            }
            let since = &self.clock.waits.half_closed_since;
            if since.get().is_none() && self.clock.waits.head_since.get().is_some() {
                since.set(Some(self.connection.worker.coarse_now.get()));
            }
        }
        Poll::Pending
    }

    fn interim(&mut self, head: Response<()>) {
        if self.version == Version::Http11 {
            self.write_interim(&head);
        }
    }

    fn head(&mut self, mut head: Response<()>, ends: bool, exchange: &Exchange, worker: &Worker) -> Result<(), Fault> {
        let framing = self.deliver(&mut head, ends);
        let told = Told {
            version: self.version,
            request_id: &|out| put_request_id(exchange, out),
            ttfb_us: exchange.ttfb_us.unwrap_or(0),
            date: &worker.date.get(),
            closes: self.ends.closes,
            is_tunnel: false,
        };
        response_head::forward(&plain(&head, framing), self.delivery, &told, &mut self.to_client.bytes);
        Ok(())
    }

    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Fault>> {
        if self.to_client.bytes.len() >= OUTBOX_BYTES_MAX {
            ready!(self.poll_flush(context))?;
        }
        Poll::Ready(Ok(wanted.max(1)))
    }

    fn data(&mut self, bytes: Bytes, last: bool) -> Result<(), Fault> {
        let out = &mut self.to_client.bytes;
        if self.delivery == Delivery::Chunked {
            put_chunk_size(out, bytes.len() as u64);
        }
        out.extend_from_slice(&bytes);
        if self.delivery == Delivery::Chunked {
            out.extend_from_slice(b"\r\n");
        }
        if last { self.end(None) } else { Ok(()) }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Fault> {
        if self.delivery == Delivery::Chunked {
            let out = &mut self.to_client.bytes;
            out.extend_from_slice(b"0\r\n");
            put_trailers(trailers.as_ref(), out);
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let rate = &self.clock.waits.response;
        while !self.to_client.is_empty() {
            match self.to_client.poll_flush(context, &mut self.client.stream) {
                Poll::Ready(Ok(length)) => rate.moved(length),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::ClientDisconnect)),
                Poll::Pending => {
                    rate.wait(self.connection.worker.coarse_now.get());
                    return Poll::Pending;
                }
            }
        }
        rate.stop();
        self.to_client.clear();
        Poll::Ready(Ok(()))
    }
}
