//! A service's side of an exchange: a connection to it that speaks HTTP/1.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};

use super::super::request::{append, put_trailers};
use super::super::sides::{Broken, Part, ServiceSide};
use super::{OUTBOX_BYTES_MAX, part_of};
use crate::proxy::http1::outbox::Outbox;
use crate::proxy::http1::relay::keep_alive_timeout;
use crate::proxy::http1::response_head::{self, Delivery};
use crate::proxy::stream::Stream;
use crate::proxy::worker::Worker;
use ridealong_http1::{Body, Field, Framing, Malformed, ResponseHead, ResponseLimits};

/// Put in by the proxy: the request's id, the date, two times.
const LINES_ADDED: usize = 4;

pub(in super::super) struct PlainService {
    worker: Rc<Worker>,
    stream: Stream,
    to_service: Outbox,
    /// Read and not yet used.
    from_service: Vec<u8>,
    has_sent_any: bool,
    has_heard_any: bool,
    upload: Framed,
    upload_done: bool,
    is_head: bool,
    body: Body,
    keeps: bool,
    idle: Option<Duration>,
}

/// How the request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Framed {
    None,
    Length,
    Chunked,
}

impl Framed {
    fn delivery(self) -> Delivery {
        if self == Framed::Chunked { Delivery::Chunked } else { Delivery::AsIs }
    }
}

impl PlainService {
    pub(in super::super) fn new(
        worker: &Rc<Worker>,
        stream: Stream,
        head: Vec<u8>,
        upload: Framed,
        method: &Method,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            stream,
            to_service: Outbox::holding(head),
            from_service: Vec::new(),
            has_sent_any: false,
            has_heard_any: false,
            upload,
            upload_done: upload == Framed::None,
            is_head: *method == Method::HEAD,
            body: Body::NONE,
            keeps: false,
            idle: None,
        }
    }

    /// Keeps the connection for another request, if the whole exchange went over it.
    pub(in super::super) fn give_back(self) {
        let is_clean = self.keeps && self.upload_done && self.to_service.is_empty() && self.from_service.is_empty();
        if is_clean && self.body.is_done() {
            let limit = self.worker.limits.borrow().upstream_idle_timeout;
            let idle = self.idle.map_or(limit, |promised| limit.min(promised / 2));
            self.worker.upstream.give_back(self.stream, self.worker.coarse_now.get() + idle);
        }
        self.worker.give_buffer(self.to_service.bytes);
    }

    fn lost(&self) -> Broken {
        match (self.has_sent_any, self.has_heard_any) {
            (false, false) => Broken::Unsent,
            (_, false) => Broken::Lost,
            // The beginning of an answer: it was at work.
            (_, true) => Broken::Reset(h2::Reason::INTERNAL_ERROR),
        }
    }

    /// Reads what there is; false at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        let mut scratch = self.worker.scratch.borrow_mut();
        let read = ready!(self.stream.poll_read(context, &mut scratch));
        let length = read.map_err(|_| self.lost())?;
        self.from_service.extend_from_slice(&scratch[..length]);
        drop(scratch);
        self.has_heard_any |= length > 0;
        Poll::Ready(Ok(length > 0))
    }

    fn take_head(&mut self) -> Result<Option<(Response<()>, bool)>, Broken> {
        let bytes = std::mem::take(&mut self.from_service);
        let limits = ResponseLimits { head_bytes_max: self.worker.limits.borrow().header_bytes_max };
        let parsed = limits.parse(&bytes).map_err(|Malformed| Broken::Invalid)?;
        let taken = match parsed {
            None => None,
            Some(head) => Some((self.read_head(&head)?, head.length)),
        };
        let Some((head, used)) = taken else {
            self.from_service = bytes;
            return Ok(None);
        };
        self.from_service.extend_from_slice(&bytes[used..]);
        Ok(Some(head))
    }

    fn read_head(&mut self, head: &ResponseHead<'_>) -> Result<(Response<()>, bool), Broken> {
        let is_interim = head.status.is_informational();
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = headers_of(head);
        if is_interim {
            return Ok((response, false));
        }
        // A coding that is not ours to undo cannot be told of in HTTP/2.
        if head.framing != Framing::Chunked && head.fields.has(Field::TransferEncoding) {
            return Err(Broken::Invalid);
        }
        let without_body = self.is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.body = if without_body { Body::NONE } else { head.framing.body() };
        self.keeps = head.keeps_alive && (without_body || head.framing != Framing::UntilClose);
        self.idle = head.fields.only(Field::KeepAlive).and_then(keep_alive_timeout);
        Ok((response, self.body.is_done()))
    }

    fn take_part(&mut self) -> Result<Option<Part>, Broken> {
        let (part, used) = part_of(&mut self.body, &self.from_service).map_err(|Malformed| Broken::Invalid)?;
        self.from_service.drain(..used);
        Ok(part)
    }
}

impl ServiceSide for PlainService {
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        if self.to_service.bytes.len() >= OUTBOX_BYTES_MAX {
            ready!(self.poll_flush(context))?;
        }
        Poll::Ready(Ok(wanted.max(1)))
    }

    fn data(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.to_service.put_data(self.upload.delivery(), &bytes);
        if last { self.end(None) } else { Ok(()) }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.upload_done = true;
        self.to_service.put_end(self.upload.delivery(), |out| put_trailers(trailers.as_ref(), out));
        Ok(())
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.to_service.is_empty() {
            match ready!(self.to_service.poll_flush(context, &mut self.stream)) {
                Ok(_) => self.has_sent_any = true,
                Err(_) => {
                    self.to_service.give_up();
                    self.keeps = false;
                    self.upload_done = false;
                    return Poll::Ready(Err(self.lost()));
                }
            }
        }
        self.to_service.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(Response<()>, bool), Broken>> {
        loop {
            if !self.from_service.is_empty()
                && let Some(head) = self.take_head()?
            {
                return Poll::Ready(Ok(head));
            }
            if !ready!(self.poll_fill(context))? {
                return Poll::Ready(Err(self.lost()));
            }
        }
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, Broken>> {
        loop {
            if let Some(part) = self.take_part()? {
                return Poll::Ready(Ok(part));
            }
            if !ready!(self.poll_fill(context))? {
                let is_end = self.body.ends_with_connection();
                return Poll::Ready(if is_end { Ok(Part::End) } else { Err(self.lost()) });
            }
        }
    }

    fn passed(&mut self, _: usize) {}
}

/// The head's lines, without what concerns the connection.
fn headers_of(head: &ResponseHead<'_>) -> HeaderMap {
    let mut lines = Vec::new();
    let mut has_length = false;
    for (field, name, value) in head.fields.iter() {
        if !response_head::passes(head, field, name) || field == Field::TransferEncoding {
            continue;
        }
        // Written once, and not beside a coding.
        if field == Field::ContentLength && (has_length || head.fields.has(Field::TransferEncoding)) {
            continue;
        }
        has_length |= field == Field::ContentLength;
        let value = if field == Field::ContentLength { first_member(value) } else { value };
        lines.push((name, value));
    }
    let mut headers = HeaderMap::with_capacity(lines.len() + LINES_ADDED);
    for (name, value) in lines {
        append(&mut headers, name.as_bytes(), value);
    }
    headers
}

fn first_member(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b',').next().unwrap_or(value).trim_ascii()
}
