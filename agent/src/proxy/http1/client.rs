//! A client's socket, what was read from it and not yet used, and the heads in that.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::request::Request;
use crate::proxy::connection::{Connection, Phase};
use crate::proxy::counters::count;
use crate::proxy::stream::Stream;
use ridealong_http1::{Refusal, RequestParser};

/// How an HTTP/2 connection begins (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read ahead of the request at hand: pipelined requests beyond that wait in the kernel.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// A round trip to a client that is far away.
const RESET_WAIT: Duration = Duration::from_millis(250);

pub(in crate::proxy) struct Client {
    pub(in crate::proxy) stream: Stream,
    /// Read and not used. Empty, and without memory, while nothing is under way.
    pub(in crate::proxy) inbox: Vec<u8>,
    /// It has shut down its sending side.
    pub(in crate::proxy) has_ended: bool,
    is_fresh: bool,
}

/// What a client comes with.
pub(in crate::proxy) enum Next {
    Request(Request),
    /// The connection goes on as HTTP/2; these are its first bytes.
    Http2(Vec<u8>),
    Refused(Refusal),
    /// The head did not come to its end in time.
    Overdue,
    Closed,
}

impl Client {
    pub(in crate::proxy) fn new(stream: Stream) -> Self {
        Self { stream, inbox: Vec::new(), has_ended: false, is_fresh: true }
    }

    /// The next request. Cancelling it loses nothing but the connection.
    pub(in crate::proxy) async fn next(&mut self, connection: &Connection) -> Next {
        poll_fn(|context| self.poll_next(context, connection)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>, connection: &Connection) -> Poll<Next> {
        connection.remember_waker(context);
        if connection.is_closing() {
            return Poll::Ready(Next::Closed);
        }
        if connection.take_expired().is_some() {
            return Poll::Ready(Next::Overdue);
        }
        if let Phase::Busy { .. } = connection.phase()
            && let Some(next) = self.begin(connection)
        {
            return Poll::Ready(next);
        }
        loop {
            let read = self.poll_head(context, connection);
            match read {
                Poll::Ready(Ok(Some(next))) => return Poll::Ready(next),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Closed),
                // A request whose first bytes are here is let in.
                Poll::Pending if connection.is_finishing() && matches!(connection.phase(), Phase::Idle { .. }) => {
                    return Poll::Ready(Next::Closed);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// After a request: the next may lie in the inbox already.
    fn begin(&mut self, connection: &Connection) -> Option<Next> {
        let now = Instant::now();
        if self.inbox.is_empty() {
            connection.set_phase(Phase::Idle { since: now });
            return None;
        }
        connection.set_phase(Phase::Head { first_byte: now });
        let inbox = std::mem::take(&mut self.inbox);
        let (next, used) = self.parse(connection, &inbox, 0, now);
        self.inbox = inbox;
        self.consume(used);
        next
    }

    fn poll_head(&mut self, context: &mut Context<'_>, connection: &Connection) -> Poll<io::Result<Option<Next>>> {
        if self.has_ended {
            return Poll::Ready(Ok(Some(Next::Closed)));
        }
        let worker = &connection.worker;
        let mut scratch = worker.scratch.borrow_mut();
        let length = ready!(self.stream.poll_read(context, &mut scratch))?;
        if length == 0 {
            return Poll::Ready(Ok(Some(Next::Closed)));
        }
        let now = Instant::now();
        if let Phase::Idle { .. } = connection.phase() {
            connection.set_phase(Phase::Head { first_byte: now });
        }
        // Usually the head came whole and alone, and is read where it lies.
        if self.inbox.is_empty() {
            let (next, used) = self.parse(connection, &scratch[..length], 0, now);
            self.inbox.extend_from_slice(&scratch[used..length]);
            return Poll::Ready(Ok(next));
        }
        let seen = self.inbox.len();
        self.inbox.extend_from_slice(&scratch[..length]);
        let inbox = std::mem::take(&mut self.inbox);
        let (next, used) = self.parse(connection, &inbox, seen, now);
        self.inbox = inbox;
        self.consume(used);
        Poll::Ready(Ok(next))
    }

    /// What the bytes begin with, and how many of them that took.
    fn parse(&mut self, connection: &Connection, bytes: &[u8], seen: usize, now: Instant) -> (Option<Next>, usize) {
        if self.is_fresh && HTTP2_PREFACE.starts_with(&bytes[..bytes.len().min(HTTP2_PREFACE.len())]) {
            if bytes.len() < HTTP2_PREFACE.len() {
                return (None, 0);
            }
            return (Some(Next::Http2(bytes.to_vec())), bytes.len());
        }
        let limits = connection.worker.limits.borrow();
        let parser = RequestParser {
            head_bytes_max: limits.header_bytes_max,
            headers_max: limits.headers_max,
            target_bytes_max: limits.target_bytes_max,
        };
        drop(limits);
        match parser.parse(bytes, seen) {
            Ok(None) => (None, 0),
            Ok(Some(head)) => {
                self.is_fresh = false;
                let first_byte = match connection.phase() {
                    Phase::Head { first_byte } => first_byte,
                    _ => now,
                };
                let used = head.length;
                connection.set_phase(Phase::Busy { first_byte });
                (Some(Next::Request(Request::open(connection, head, first_byte, now))), used)
            }
            Err(refusal) => {
                count(&connection.worker.counters.heads_refused);
                (Some(Next::Refused(refusal)), bytes.len())
            }
        }
    }

    /// Whether no request can come behind the one at hand.
    pub(in crate::proxy) fn has_no_more(&self) -> bool {
        self.has_ended && self.inbox.is_empty()
    }

    pub(in crate::proxy) fn consume(&mut self, used: usize) {
        if used == self.inbox.len() {
            self.inbox = Vec::new();
        } else {
            self.inbox.drain(..used);
        }
    }

    /// Looks, while the service works, whether the client is still there, and reads ahead what it pipelines.
    pub(in crate::proxy) fn poll_ahead(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        while !self.has_ended && self.inbox.len() < READ_AHEAD_BYTES_MAX {
            match ready!(self.stream.poll_read(context, scratch))? {
                0 => self.has_ended = true,
                length => self.inbox.extend_from_slice(&scratch[..length]),
            }
        }
        Poll::Pending
    }

    /// Writes all of it, unless told to close.
    pub(in crate::proxy) async fn write_all(&mut self, connection: &Connection, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        poll_fn(|context| {
            connection.remember_waker(context);
            while written < bytes.len() {
                if connection.is_closing() || connection.take_expired().is_some() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                match self.stream.poll_write(context, &bytes[written..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(length)) => {
                        written += length;
                        connection.waits.response.moved(length);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        connection.waits.response.wait(connection.worker.coarse_now.get());
                        return Poll::Pending;
                    }
                }
            }
            connection.waits.response.stop();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Ends the connection so that the client gets to read what was written: closing a socket with unread bytes would
    /// reset it. Says that we are done, and reads on until the client is, or the worker's sweep finds it took too long.
    pub(in crate::proxy) async fn linger(mut self, connection: &Connection) {
        connection.set_phase(Phase::Lingering { since: connection.worker.coarse_now.get() });
        poll_fn(|context| {
            connection.remember_waker(context);
            if connection.is_closing() || self.stream.poll_shutdown(context).is_pending() {
                return Poll::Ready(());
            }
            let mut scratch = connection.worker.scratch.borrow_mut();
            loop {
                match ready!(self.stream.poll_read(context, &mut scratch)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) if connection.is_closing() => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        })
        .await;
    }

    /// Whether a client that had nothing more to say got the whole response: if it was gone altogether, its host answers
    /// the response's last bytes with a reset.
    pub(in crate::proxy) async fn was_there(&mut self, connection: &Connection) -> bool {
        connection.set_phase(Phase::Lingering { since: connection.worker.coarse_now.get() });
        let shut = poll_fn(|context| self.stream.poll_shutdown(context)).await;
        tokio::time::sleep(RESET_WAIT).await;
        shut.is_ok() && self.stream.take_error().is_none()
    }
}
