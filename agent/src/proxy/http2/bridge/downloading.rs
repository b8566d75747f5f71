//! The bridge's way back to the client.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{HeaderMap, Response, StatusCode};

use super::super::sides::{Broken, ClientSide, Part, ServiceSide};
use super::{Bridge, Downloading, Stop};
use crate::proxy::http1::relay::grpc_status;

impl<C: ClientSide, S: ServiceSide> Bridge<'_, C, S> {
    pub(super) fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<Result<Instant, Stop>> {
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
