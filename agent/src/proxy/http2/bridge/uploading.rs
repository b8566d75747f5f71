//! The bridge's way to the service.

use std::task::{Context, Poll};
use std::time::Instant;

use http::HeaderMap;

use super::super::sides::{ClientSide, Part, ServiceSide};
use super::super::upload::Piece;
use super::{Bridge, Downloading, Stop, Uploading};

impl<C: ClientSide, S: ServiceSide> Bridge<'_, C, S> {
    /// Moves what can be moved now.
    pub(super) fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<(), Stop> {
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
                            self.await_room();
                            return Ok(Poll::Pending);
                        }
                    }
                }
            }
        }
    }

    /// It is the service that is waited for.
    fn await_room(&self) {
        self.clock.waits.request.stop();
        if self.clock.waits.head_since.get().is_none() {
            self.await_head();
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
        self.clock.waits.head_since.set(None);
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
    pub(super) fn await_head(&self) {
        if matches!(self.downloading, Downloading::Head) {
            self.clock.waits.body_since.set(None);
            self.clock.waits.head_since.set(Some(self.connection.worker.coarse_now.get()));
        }
    }
}
