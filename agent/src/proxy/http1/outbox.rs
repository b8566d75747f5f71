//! Bytes on their way out of one socket: what it did not take at once waits here, and nothing more is read for it.

use std::io;
use std::task::{Context, Poll};

use super::response_head::Delivery;
use crate::proxy::stream::Stream;
use ridealong_http1::{Body, Malformed, Piece, put_chunk_size};

/// Up to here, copying a body behind its head is cheaper than giving the kernel two pieces.
const COPIED_BYTES_MAX: usize = 8 * 1024;

#[derive(Default)]
pub(in crate::proxy) struct Outbox {
    pub(in crate::proxy) bytes: Vec<u8>,
    written: usize,
}

/// What became of a run of bytes.
pub(in crate::proxy) struct Taken {
    /// How many of them belonged to the body.
    pub(in crate::proxy) used: usize,
    /// Of those, how many were data.
    pub(in crate::proxy) data: usize,
}

impl Outbox {
    pub(in crate::proxy) fn holding(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// What waits will never be written.
    pub(in crate::proxy) fn give_up(&mut self) {
        self.written = self.bytes.len();
    }

    /// Writes until it is empty.
    pub(in crate::proxy) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        let mut moved = 0;
        while !self.is_empty() {
            match stream.poll_write(context, &self.bytes[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(length)) => {
                    self.written += length;
                    moved += length;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if moved > 0 => return Poll::Ready(Ok(moved)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(moved))
    }

    /// Forgets what was written. The memory stays for what comes next.
    pub(in crate::proxy) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Sends the body's part of `bytes` behind what is waiting, without copying where that is possible.
    pub(in crate::proxy) fn send(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
        body: &mut Body,
        delivery: Delivery,
        bytes: &[u8],
    ) -> Result<(Taken, io::Result<usize>), Malformed> {
        let waiting = self.bytes.len() - self.written;
        let is_raw = delivery == Delivery::AsIs && !body.is_chunked() && !body.is_done();
        if !is_raw || waiting + bytes.len() <= COPIED_BYTES_MAX {
            let taken = self.put(body, delivery, bytes)?;
            return Ok((taken, self.flush_now(context, stream)));
        }
        let (Piece::Data(used) | Piece::Framing(used)) = body.next(bytes)?;
        let taken = Taken { used, data: used };
        let wrote = match stream.poll_write_two(context, &self.bytes[self.written..], &bytes[..used]) {
            Poll::Ready(Ok(length)) => length,
            Poll::Ready(Err(error)) => return Ok((taken, Err(error))),
            Poll::Pending => 0,
        };
        if wrote >= waiting {
            self.clear();
            self.bytes.extend_from_slice(&bytes[wrote - waiting..used]);
        } else {
            self.written += wrote;
            self.bytes.extend_from_slice(&bytes[..used]);
        }
        Ok((taken, Ok(wrote)))
    }

    fn flush_now(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> io::Result<usize> {
        match self.poll_flush(context, stream) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(0),
        }
    }

    /// Puts the body's part of `bytes` behind what is waiting.
    pub(in crate::proxy) fn put(
        &mut self,
        body: &mut Body,
        delivery: Delivery,
        bytes: &[u8],
    ) -> Result<Taken, Malformed> {
        let mut taken = Taken { used: 0, data: 0 };
        while taken.used < bytes.len() && !body.is_done() {
            let rest = &bytes[taken.used..];
            match body.next(rest)? {
                Piece::Data(length) => {
                    self.put_data(delivery, &rest[..length]);
                    taken.used += length;
                    taken.data += length;
                }
                Piece::Framing(length) => {
                    taken.used += length;
                    if delivery == Delivery::AsIs {
                        body.put_framing(&mut self.bytes);
                    }
                }
            }
        }
        Ok(taken)
    }

    fn put_data(&mut self, delivery: Delivery, data: &[u8]) {
        if delivery == Delivery::Chunked {
            put_chunk_size(&mut self.bytes, data.len() as u64);
        }
        self.bytes.extend_from_slice(data);
        if delivery == Delivery::Chunked {
            self.bytes.extend_from_slice(b"\r\n");
        }
    }
}
