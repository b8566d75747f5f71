//! One request to the service and its response back, between two sides that frame their bodies differently.
//!
//! Both directions run at once. What one side does not take stops the reading from the other, so that no more than one
//! piece of each body is here; a window is opened again when its piece has been handed on.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::super::open::OpenExchange;
use super::super::relay::{Overhead, grpc_status};
use super::clock::Clock;
use super::sides::{Broken, ClientSide, Part, ServiceSide};
use super::upload::{Piece, Upload};

pub(super) struct Bridge<'a, C, S> {
    connection: &'a Connection,
    clock: &'a Clock,
    open: &'a mut OpenExchange,
    client: &'a mut C,
    service: S,
    upload: &'a mut Upload,
    uploading: Uploading,
    downloading: Downloading,
    overhead: Overhead,
}

/// How far the request's body is.
enum Uploading {
    Next,
    /// Waits for room at the service.
    Waiting {
        bytes: Bytes,
        last: bool,
    },
    /// Nothing more will be sent.
    Done,
}

/// How far the response is.
enum Downloading {
    Head,
    Next,
    /// Waits for room at the client.
    Waiting {
        bytes: Bytes,
        last: bool,
    },
    Done,
}

/// How it ended.
pub(super) enum End {
    /// The whole response was handed over.
    Complete { at: Instant },
    /// The service broke off; `answered` if the response's head is with the client.
    Broken { broken: Broken, answered: bool },
    /// The client left, or time was up.
    Failed { fault: Fault, answered: bool },
}

enum Stop {
    Broken(Broken),
    Fault(Fault),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Stop::Broken(broken)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// What a bridge is built between.
pub(super) struct Ends<'a, C, S> {
    pub(super) client: &'a mut C,
    pub(super) service: S,
}

impl<'a, C: ClientSide, S: ServiceSide> Bridge<'a, C, S> {
    /// The request's head has been given to the service.
    pub(super) fn new(
        connection: &'a Connection,
        clock: &'a Clock,
        open: &'a mut OpenExchange,
        ends: Ends<'a, C, S>,
        upload: &'a mut Upload,
        overhead: Overhead,
    ) -> Self {
        let Ends { client, service } = ends;
        let uploading = if upload.has_nothing_to_send() { Uploading::Done } else { Uploading::Next };
        let bridge = Self {
            connection,
            clock,
            open,
            client,
            service,
            upload,
            uploading,
            downloading: Downloading::Head,
            overhead,
        };
        if matches!(bridge.uploading, Uploading::Done) {
            bridge.await_head();
        }
        bridge.stir();
        bridge
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.clock.remember_waker(context);
        if self.connection.is_closing() {
            return Poll::Ready(self.ended(Stop::Fault(Fault::Shutdown)));
        }
        if let Some(fault) = self.clock.take_expired() {
            return Poll::Ready(self.ended(Stop::Fault(fault)));
        }
        if let Err(stop) = self.poll_upload(context) {
            return Poll::Ready(self.ended(stop));
        }
        match ready!(self.poll_download(context)) {
            Ok(at) => Poll::Ready(End::Complete { at }),
            Err(stop) => Poll::Ready(self.ended(stop)),
        }
    }

    /// The service's side, once it is over.
    pub(super) fn into_service(self) -> (S, Overhead) {
        (self.service, self.overhead)
    }

    fn ended(&self, stop: Stop) -> End {
        let answered = !matches!(self.downloading, Downloading::Head);
        match stop {
            Stop::Broken(broken) => End::Broken { broken, answered },
            Stop::Fault(fault) => End::Failed { fault, answered },
        }
    }

    // ----- the request -----

    /// Moves what can be moved now.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<(), Stop> {
        let moved = self.poll_body(context);
        match self.service.poll_flush(context) {
            Poll::Ready(Err(_)) => self.break_upload(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        let is_reading = matches!(moved?, Poll::Pending) && matches!(self.uploading, Uploading::Next);
        // Whoever reads learns that the client has left; otherwise it must be asked.
        let is_over = matches!(self.uploading, Uploading::Done);
        if !is_reading && let Poll::Ready(fault) = self.client.poll_gone(context, is_over) {
            return Err(Stop::Fault(fault));
        }
        Ok(())
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, Stop> {
        loop {
            match &mut self.uploading {
                Uploading::Done => return Ok(Poll::Ready(())),
                Uploading::Next => match self.poll_next_piece(context)? {
                    Poll::Ready(piece) => self.take_piece(piece.part),
                    Poll::Pending => return Ok(Poll::Pending),
                },
                Uploading::Waiting { bytes, .. } => {
                    let wanted = bytes.len();
                    match self.service.poll_room(context, wanted) {
                        Poll::Ready(Ok(room)) => self.send_piece(room),
                        Poll::Ready(Err(_)) => self.break_upload(),
                        Poll::Pending => {
                            self.clock.waits.request.stop();
                            return Ok(Poll::Pending);
                        }
                    }
                }
            }
        }
    }

    fn poll_next_piece(&mut self, context: &mut Context<'_>) -> Result<Poll<Piece>, Stop> {
        let waits = &self.clock.waits.request;
        match self.upload.poll_next(context, self.client) {
            Poll::Ready(Ok(piece)) => {
                if piece.is_new {
                    self.note_piece(&piece);
                }
                Ok(Poll::Ready(piece))
            }
            Poll::Ready(Err(fault)) => Err(Stop::Fault(fault)),
            Poll::Pending => {
                if self.upload.is_paced {
                    waits.wait(self.connection.worker.coarse_now.get());
                }
                Ok(Poll::Pending)
            }
        }
    }

    fn note_piece(&mut self, piece: &Piece) {
        self.stir();
        let length = piece.data_length();
        self.clock.waits.request.moved(length);
        self.open.get_mut().request_bytes += length as u64;
        if piece.is_last() {
            let elapsed_us = self.open.elapsed_us(Instant::now());
            self.open.get_mut().request_complete_us = Some(elapsed_us);
        }
    }

    fn take_piece(&mut self, part: Part) {
        match part {
            Part::Data { bytes, last } if bytes.is_empty() && last => self.end_upload(None),
            Part::Data { bytes, last } => self.uploading = Uploading::Waiting { bytes, last },
            Part::Trailers(trailers) => self.end_upload(Some(trailers)),
            Part::End => self.end_upload(None),
        }
    }

    fn send_piece(&mut self, room: usize) {
        let Uploading::Waiting { bytes, last } = &mut self.uploading else { return };
        let piece = bytes.split_to(room.min(bytes.len()));
        let (length, is_whole) = (piece.len(), bytes.is_empty());
        let ends = *last && is_whole;
        if self.service.data(piece, ends).is_err() {
            return self.break_upload();
        }
        self.client.passed(self.upload.passed(length));
        if ends {
            self.uploaded();
        } else if is_whole {
            self.uploading = Uploading::Next;
        }
    }

    fn end_upload(&mut self, trailers: Option<HeaderMap>) {
        match self.service.end(trailers) {
            Ok(()) => self.uploaded(),
            Err(_) => self.break_upload(),
        }
    }

    fn uploaded(&mut self) {
        self.uploading = Uploading::Done;
        self.clock.waits.request.stop();
        self.await_head();
    }

    /// The service takes no more; it may have answered before that, or says why when it is asked for its answer.
    fn break_upload(&mut self) {
        self.uploaded();
    }

    /// From now on the service is expected to answer.
    fn await_head(&self) {
        if matches!(self.downloading, Downloading::Head) {
            self.clock.waits.head_since.set(Some(self.connection.worker.coarse_now.get()));
        }
    }

    /// Something moved. A body without a length may pause for as long as a response may, in either direction.
    fn stir(&self) {
        let is_answered = !matches!(self.downloading, Downloading::Head);
        if is_answered || !self.upload.is_paced && !matches!(self.uploading, Uploading::Done) {
            self.clock.waits.body_since.set(Some(self.connection.worker.coarse_now.get()));
        }
    }

    // ----- the response -----

    fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<Result<Instant, Stop>> {
        loop {
            match &mut self.downloading {
                Downloading::Head => {
                    let (head, ends) = ready!(self.service.poll_head(context))?;
                    self.take_head(head, ends)?;
                }
                Downloading::Next => {
                    // What was handed over goes out before anything is waited for.
                    let part = match self.service.poll_part(context) {
                        Poll::Ready(part) => part?,
                        Poll::Pending => {
                            let _ = self.client.poll_flush(context)?;
                            return Poll::Pending;
                        }
                    };
                    self.stir();
                    self.take_part(part)?;
                }
                Downloading::Waiting { bytes, .. } => {
                    let wanted = bytes.len();
                    let room = ready!(self.poll_room(context, wanted))?;
                    self.hand_over(room)?;
                }
                Downloading::Done => {
                    ready!(self.client.poll_flush(context))?;
                    return Poll::Ready(Ok(Instant::now()));
                }
            }
        }
    }

    fn take_head(&mut self, head: Response<()>, ends: bool) -> Result<(), Stop> {
        if head.status().is_informational() {
            // Nobody was asked to hold a body back, or to switch protocols.
            if head.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Stop::Broken(Broken::Invalid));
            }
            if head.status() != StatusCode::CONTINUE {
                self.client.interim(head);
            }
            return Ok(());
        }
        let now = Instant::now();
        self.note_head(&head, now);
        self.client.head(head, ends, self.open.get(), &self.connection.worker)?;
        self.downloading = if ends { Downloading::Done } else { Downloading::Next };
        self.stir();
        if ends {
            self.downloaded(now);
        }
        self.overhead.total += now.elapsed();
        Ok(())
    }

    fn note_head(&mut self, head: &Response<()>, now: Instant) {
        self.clock.waits.head_since.set(None);
        self.clock.waits.half_closed_since.set(None);
        self.upload.forget();
        let ttfb_us = self.open.elapsed_us(now);
        let exchange = self.open.get_mut();
        exchange.ttfb_us = Some(ttfb_us);
        exchange.status = Some(head.status().as_u16());
        exchange.grpc_status = grpc_status_of(head.headers());
    }

    fn take_part(&mut self, part: Part) -> Result<(), Stop> {
        match part {
            Part::Data { bytes, last } if bytes.is_empty() && last => self.end_download(None),
            Part::Data { bytes, last } => {
                if last {
                    self.downloaded(Instant::now());
                }
                self.downloading = Downloading::Waiting { bytes, last };
                Ok(())
            }
            Part::Trailers(trailers) => {
                if let Some(status) = grpc_status_of(&trailers) {
                    self.open.get_mut().grpc_status = Some(status);
                }
                self.end_download(Some(trailers))
            }
            Part::End => self.end_download(None),
        }
    }

    fn end_download(&mut self, trailers: Option<HeaderMap>) -> Result<(), Stop> {
        self.downloaded(Instant::now());
        self.client.end(trailers)?;
        self.downloading = Downloading::Done;
        Ok(())
    }

    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Stop>> {
        let rate = &self.clock.waits.response;
        match self.client.poll_room(context, wanted) {
            Poll::Ready(room) => {
                rate.stop();
                Poll::Ready(room.map_err(Stop::Fault))
            }
            Poll::Pending => {
                rate.wait(self.connection.worker.coarse_now.get());
                // It is the client that is waited for.
                self.clock.waits.body_since.set(None);
                Poll::Pending
            }
        }
    }

    fn hand_over(&mut self, room: usize) -> Result<(), Stop> {
        let Downloading::Waiting { bytes, last } = &mut self.downloading else { return Ok(()) };
        let piece = bytes.split_to(room.min(bytes.len()));
        let (length, is_whole) = (piece.len(), bytes.is_empty());
        let ends = *last && is_whole;
        self.client.data(piece, ends)?;
        self.service.passed(length);
        self.clock.waits.response.moved(length);
        self.open.get_mut().response_bytes += length as u64;
        if ends {
            self.downloading = Downloading::Done;
        } else if is_whole {
            self.downloading = Downloading::Next;
            self.stir();
        }
        Ok(())
    }

    fn downloaded(&mut self, now: Instant) {
        self.clock.waits.body_since.set(None);
        let elapsed_us = self.open.elapsed_us(now);
        self.open.get_mut().response_complete_us = Some(elapsed_us);
    }
}

fn grpc_status_of(headers: &HeaderMap) -> Option<u16> {
    grpc_status(headers.get("grpc-status")?.as_bytes())
}
