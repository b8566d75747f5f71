//! A request's body on its way to the service. Its beginning is kept until the service answers, so that a request which a
//! service refused without looking at it can be sent again: pieces are shared, not copied.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;

use super::super::fault::Fault;
use super::sides::{ClientSide, Part};

/// What is kept of a body. Most calls are smaller; a larger one is sent once.
const KEPT_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Upload {
    /// Whether the client must keep up a rate: not in a body without a length, which HTTP/2 uses for conversations.
    pub(super) is_paced: bool,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    next: usize,
    /// The end was read: with these trailers, or none.
    end: Option<Option<HeaderMap>>,
    /// Some of it is not kept.
    is_lossy: bool,
    /// Read and not yet handed on: the client may not send more for it.
    held_bytes: usize,
}

/// A piece, and whether the client has only just sent it.
pub(super) struct Piece {
    pub(super) part: Part,
    pub(super) is_new: bool,
}

impl Piece {
    pub(super) fn data_length(&self) -> usize {
        match &self.part {
            Part::Data { bytes, .. } => bytes.len(),
            Part::Trailers(_) | Part::End => 0,
        }
    }

    pub(super) fn is_last(&self) -> bool {
        matches!(self.part, Part::Data { last: true, .. } | Part::Trailers(_) | Part::End)
    }
}

impl Upload {
    pub(super) fn new(has_body: bool, is_paced: bool) -> Self {
        let end = if has_body { None } else { Some(None) };
        Self { is_paced, kept: Vec::new(), kept_bytes: 0, next: 0, end, is_lossy: false, held_bytes: 0 }
    }

    /// The head says it all.
    pub(super) fn has_nothing_to_send(&self) -> bool {
        self.kept.is_empty() && !self.is_lossy && matches!(self.end, Some(None))
    }

    /// Starts again from the first piece, if all are there.
    pub(super) fn rewind(&mut self) -> bool {
        self.next = 0;
        !self.is_lossy
    }

    /// It will not be sent again.
    pub(super) fn forget(&mut self) {
        self.is_lossy = true;
        if self.next >= self.kept.len() {
            self.kept = Vec::new();
            self.next = 0;
        }
    }

    /// So much was handed on, perhaps once more. The client may send so much for it.
    pub(super) fn passed(&mut self, length: usize) -> usize {
        let freed = length.min(self.held_bytes);
        self.held_bytes -= freed;
        freed
    }

    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        client: &mut impl ClientSide,
    ) -> Poll<Result<Piece, Fault>> {
        if let Some(bytes) = self.kept.get(self.next) {
            self.next += 1;
            let last = self.next == self.kept.len() && matches!(self.end, Some(None));
            return Poll::Ready(Ok(Piece { part: Part::Data { bytes: bytes.clone(), last }, is_new: false }));
        }
        if let Some(end) = &self.end {
            let part = end.clone().map_or(Part::End, Part::Trailers);
            return Poll::Ready(Ok(Piece { part, is_new: false }));
        }
        let part = ready!(client.poll_part(context))?;
        self.keep(&part);
        Poll::Ready(Ok(Piece { part, is_new: true }))
    }

    fn keep(&mut self, part: &Part) {
        match part {
            Part::Data { bytes, last } => {
                self.keep_bytes(bytes);
                if *last {
                    self.end = Some(None);
                }
            }
            Part::Trailers(trailers) => self.end = Some(Some(trailers.clone())),
            Part::End => self.end = Some(None),
        }
    }

    fn keep_bytes(&mut self, bytes: &Bytes) {
        self.held_bytes += bytes.len();
        self.kept_bytes = self.kept_bytes.saturating_add(bytes.len());
        self.is_lossy |= self.kept_bytes > KEPT_BYTES_MAX;
        if self.is_lossy {
            self.kept = Vec::new();
            self.next = 0;
        } else {
            self.kept.push(bytes.clone());
            self.next = self.kept.len();
        }
    }
}
