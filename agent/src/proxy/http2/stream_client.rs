//! A client's side of an exchange: one stream of its HTTP/2 connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};

use super::super::fault::Fault;
use super::super::worker::Worker;
use super::response;
use super::sides::{ClientSide, Part};
use crate::exchange::Exchange;

pub(super) struct StreamClient {
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// Once the response has begun.
    sending: Option<SendStream<Bytes>>,
}

impl StreamClient {
    pub(super) fn new(body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self { body, respond, sending: None }
    }

    /// Breaks the stream off, so that nobody takes what came of the response for all of it.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.sending {
            Some(sending) => sending.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Sends a head as it is.
    pub(super) fn respond(&mut self, head: Response<()>, ends: bool) -> Result<(), Fault> {
        self.sending = Some(self.respond.send_response(head, ends).map_err(|error| fault(&error))?);
        Ok(())
    }

    fn sending(&mut self) -> Result<&mut SendStream<Bytes>, Fault> {
        self.sending.as_mut().ok_or(Fault::ClientDisconnect)
    }
}

impl ClientSide for StreamClient {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        loop {
            match ready!(self.body.poll_data(context)) {
                Some(Ok(bytes)) if bytes.is_empty() && !self.body.is_end_stream() => {}
                Some(Ok(bytes)) => return Poll::Ready(Ok(Part::Data { bytes, last: self.body.is_end_stream() })),
                Some(Err(error)) => return Poll::Ready(Err(fault(&error))),
                None => break,
            }
        }
        match ready!(self.body.poll_trailers(context)) {
            Ok(Some(trailers)) => Poll::Ready(Ok(Part::Trailers(trailers))),
            Ok(None) => Poll::Ready(Ok(Part::End)),
            Err(error) => Poll::Ready(Err(fault(&error))),
        }
    }

    fn passed(&mut self, length: usize) {
        // Fails only for more than came.
        let _ = self.body.flow_control().release_capacity(length);
    }

    fn poll_gone(&mut self, context: &mut Context<'_>, _: bool) -> Poll<Fault> {
        let _ = match &mut self.sending {
            Some(sending) => ready!(sending.poll_reset(context)),
            None => ready!(self.respond.poll_reset(context)),
        };
        // What is still to be read is of no use, but behind it lies whose fault it was.
        while let Poll::Ready(Some(piece)) = self.body.poll_data(context) {
            if let Err(error) = piece {
                return Poll::Ready(fault(&error));
            }
        }
        Poll::Ready(Fault::ClientDisconnect)
    }

    fn interim(&mut self, head: Response<()>) {
        // The final head meets the same connection, and tells.
        let _ = self.respond.send_informational(head);
    }

    fn head(&mut self, head: Response<()>, ends: bool, exchange: &Exchange, worker: &Worker) -> Result<(), Fault> {
        self.respond(response::told(head, exchange, worker), ends)
    }

    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Fault>> {
        let sending = self.sending()?;
        sending.reserve_capacity(wanted);
        match sending.capacity() {
            0 => match ready!(sending.poll_capacity(context)) {
                Some(Ok(room)) => Poll::Ready(Ok(room)),
                Some(Err(_)) | None => Poll::Ready(Err(Fault::ClientDisconnect)),
            },
            room => Poll::Ready(Ok(room)),
        }
    }

    fn data(&mut self, bytes: Bytes, last: bool) -> Result<(), Fault> {
        self.sending()?.send_data(bytes, last).map_err(|error| fault(&error))
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Fault> {
        let sending = self.sending()?;
        let ended = match trailers {
            Some(trailers) => sending.send_trailers(trailers),
            None => sending.send_data(Bytes::new(), true),
        };
        ended.map_err(|error| fault(&error))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream that the library broke off was malformed: more or less data than was announced.
fn fault(error: &h2::Error) -> Fault {
    if error.is_reset() && error.is_library() { Fault::RequestBody } else { Fault::ClientDisconnect }
}
