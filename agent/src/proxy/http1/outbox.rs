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

    /// Writes until it is empty, or no more is taken. An error behind bytes that were taken shows at the next call: whoever
    /// may send it all again must learn that some of it is gone.
    pub(in crate::proxy) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        self.flush_with(|bytes| stream.poll_write(context, bytes))
    }

    fn flush_with(&mut self, mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut moved = 0;
        while !self.is_empty() {
            match write(&self.bytes[self.written..]) {
                Poll::Ready(Ok(length)) if length > 0 => {
                    self.written += length;
                    moved += length;
                }
                _ if moved > 0 => break,
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                failed_or_pending => return failed_or_pending,
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

    /// Puts data that was taken out of its framing behind what is waiting.
    pub(in crate::proxy) fn put_data(&mut self, delivery: Delivery, data: &[u8]) {
        if delivery == Delivery::Chunked {
            put_chunk_size(&mut self.bytes, data.len() as u64);
        }
        self.bytes.extend_from_slice(data);
        if delivery == Delivery::Chunked {
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Ends a body of such data. `put_trailers` writes their lines, if there are any.
    pub(in crate::proxy) fn put_end(&mut self, delivery: Delivery, put_trailers: impl FnOnce(&mut Vec<u8>)) {
        if delivery == Delivery::Chunked {
            self.bytes.extend_from_slice(b"0\r\n");
            put_trailers(&mut self.bytes);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of which a part was taken before the connection broke must not count as unsent: it would go out twice.
    #[test]
    fn what_was_taken_before_an_error_is_known() {
        let mut outbox = Outbox::holding(b"POST / HTTP/1.1".to_vec());
        let mut answers = vec![Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())), Poll::Ready(Ok(4))];
        let flushed = outbox.flush_with(|_| answers.pop().expect("no third write"));
        assert!(matches!(flushed, Poll::Ready(Ok(4))), "{flushed:?}");
        let broken = outbox.flush_with(|rest| {
            assert_eq!(rest, b" / HTTP/1.1");
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        });
        assert!(matches!(broken, Poll::Ready(Err(_))));
    }
}
