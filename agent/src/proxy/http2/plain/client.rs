//! A client's side of an exchange: its HTTP/1 connection, for a service that speaks HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use super::super::clock::Clock;
use super::super::request::{fields_of, put_trailers};
use super::super::sides::{ClientSide, Part};
use super::{OUTBOX_BYTES_MAX, part_of};
use crate::exchange::Exchange;
use crate::proxy::connection::Connection;
use crate::proxy::fault::Fault;
use crate::proxy::http1::client::Client;
use crate::proxy::http1::outbox::Outbox;
use crate::proxy::http1::relay::Ends;
use crate::proxy::http1::request::{Request, put_request_id};
use crate::proxy::http1::response_head::{self, Delivery, Told};
use crate::proxy::worker::Worker;
use ridealong_http1::{Body, Framing, Malformed, ResponseHead, Version};

pub(in super::super) struct PlainClient<'a> {
    connection: &'a Connection,
    clock: &'a Clock,
    client: &'a mut Client,
    pub(in super::super) body: Body,
    version: Version,
    method: Method,
    keeps_alive: bool,
    awaits_continue: bool,
    to_client: Outbox,
    delivery: Delivery,
    pub(in super::super) ends: Ends,
}

impl<'a> PlainClient<'a> {
    pub(in super::super) fn new(
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
    pub(in super::super) fn finish(self) -> (Body, Ends) {
        self.connection.worker.give_buffer(self.to_client.bytes);
        (self.body, self.ends)
    }

    fn take_part(&mut self) -> Result<Option<Part>, Fault> {
        let part = part_of(&mut self.body, &self.client.inbox);
        let (part, used) = part.map_err(|Malformed| Fault::RequestBody)?;
        self.client.consume(used);
        Ok(part)
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
        self.to_client.put_data(self.delivery, &bytes);
        if last { self.end(None) } else { Ok(()) }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Fault> {
        self.to_client.put_end(self.delivery, |out| put_trailers(trailers.as_ref(), out));
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
