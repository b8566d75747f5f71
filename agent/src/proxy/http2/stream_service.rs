//! A service's side of an exchange: one stream of a connection to it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};

use super::links::Lease;
use super::request::strip_trailers;
use super::sides::{Broken, Part, ServiceSide};

pub(super) struct StreamService {
    sending: SendStream<Bytes>,
    response: ResponseFuture,
    /// Once the response has begun.
    body: Option<RecvStream>,
    /// Keeps the connection's count of streams.
    lease: Lease,
}

impl StreamService {
    /// Sends the head; `ends` if no body follows.
    pub(super) fn begin(lease: Lease, request: Request<()>, ends: bool) -> Result<Self, Broken> {
        match lease.requests().send_request(request, ends) {
            Ok((response, sending)) => Ok(Self { sending, response, body: None, lease }),
            Err(_) => {
                lease.retire();
                Err(Broken::Unsent)
            }
        }
    }

    /// No other request is to use this connection.
    pub(super) fn retire(&self) {
        self.lease.retire();
    }

    fn broken(&self, error: &h2::Error) -> Broken {
        let broken = broken(error);
        if !matches!(broken, Broken::Reset(_)) {
            self.lease.retire();
        }
        broken
    }
}

impl ServiceSide for StreamService {
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        self.sending.reserve_capacity(wanted);
        match self.sending.capacity() {
            0 => match ready!(self.sending.poll_capacity(context)) {
                Some(Ok(room)) => Poll::Ready(Ok(room)),
                Some(Err(error)) => Poll::Ready(Err(self.broken(&error))),
                None => Poll::Ready(Err(Broken::Lost)),
            },
            room => Poll::Ready(Ok(room)),
        }
    }

    fn data(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.sending.send_data(bytes, last).map_err(|error| self.broken(&error))
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        let ended = match trailers {
            Some(trailers) => self.sending.send_trailers(strip_trailers(trailers)),
            None => self.sending.send_data(Bytes::new(), true),
        };
        ended.map_err(|error| self.broken(&error))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(Response<()>, bool), Broken>> {
        if let Poll::Ready(Some(Ok(interim))) = self.response.poll_informational(context) {
            return Poll::Ready(Ok((interim, false)));
        }
        match ready!(Pin::new(&mut self.response).poll(context)) {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let ends = body.is_end_stream();
                self.body = Some(body);
                Poll::Ready(Ok((Response::from_parts(head, ()), ends)))
            }
            Err(error) => Poll::Ready(Err(self.broken(&error))),
        }
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, Broken>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Err(Broken::Lost)) };
        loop {
            match ready!(body.poll_data(context)) {
                Some(Ok(bytes)) if bytes.is_empty() && !body.is_end_stream() => {}
                Some(Ok(bytes)) => return Poll::Ready(Ok(Part::Data { bytes, last: body.is_end_stream() })),
                Some(Err(error)) => return Poll::Ready(Err(self.broken(&error))),
                None => break,
            }
        }
        match ready!(body.poll_trailers(context)) {
            Ok(Some(trailers)) => Poll::Ready(Ok(Part::Trailers(trailers))),
            Ok(None) => Poll::Ready(Ok(Part::End)),
            Err(error) => Poll::Ready(Err(self.broken(&error))),
        }
    }

    fn passed(&mut self, length: usize) {
        if let Some(body) = &mut self.body {
            // Fails only for more than came.
            let _ = body.flow_control().release_capacity(length);
        }
    }
}

fn broken(error: &h2::Error) -> Broken {
    match error.reason() {
        // A GOAWAY fails only those streams that the service has not looked at (RFC 9113, 6.8 and 8.7).
        Some(_) if error.is_remote() && error.is_go_away() => Broken::Unsent,
        Some(Reason::REFUSED_STREAM) if error.is_remote() => Broken::Unsent,
        Some(reason) if error.is_remote() => Broken::Reset(reason),
        Some(_) => Broken::Invalid,
        None => Broken::Lost,
    }
}
