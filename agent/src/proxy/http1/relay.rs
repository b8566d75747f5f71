//! One request to the service and its response back, over two sockets that one task drives.
//!
//! Both directions run at once: a response may begin before its request has ended. What one socket does not take stops the
//! reading from the other, so that no more than one piece of each body is in memory.

mod download;
mod upload;

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::client::Client;
use super::outbox::Outbox;
use super::request::Request;
use super::response_head::Delivery;
use crate::proxy::connection::Connection;
use crate::proxy::fault::Fault;
use crate::proxy::stream::Stream;
use ridealong_http1::Body;

pub(in crate::proxy) use download::{grpc_status, keep_alive_timeout};

pub(in crate::proxy) struct Relay<'a> {
    connection: &'a Connection,
    client: &'a mut Client,
    upstream: &'a mut Stream,
    request: &'a mut Request,
    to_upstream: Outbox,
    pub(in crate::proxy) to_client: Outbox,
    /// Read from the service and not yet understood: the beginning of a head.
    from_upstream: Vec<u8>,
    head_length: usize,
    has_sent_any: bool,
    /// The service takes nothing more; it may still answer.
    upload_broken: bool,
    sent_at: Option<Instant>,
    download: Download,
    response: Body,
    delivery: Delivery,
    pub(in crate::proxy) ends: Ends,
    upstream_keeps: bool,
    upstream_idle: Option<Duration>,
    heads_at: Option<Instant>,
    pub(in crate::proxy) overhead: Overhead,
    client_is_slow: bool,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Download {
    Head,
    Body,
    Done,
    /// The service has agreed to speak something else from here on.
    Switched,
}

/// What the connections are good for after the exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Ends {
    /// The client was told that its connection ends.
    pub(in crate::proxy) closes: bool,
    /// The response's end is the connection's: broken off, it must not look like that.
    pub(in crate::proxy) by_close: bool,
}

/// Time that the proxy itself took.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Overhead {
    /// Since when the request's head could be passed on.
    pub(in crate::proxy) head_since: Instant,
    pub(in crate::proxy) total: Duration,
}

impl Overhead {
    pub(in crate::proxy) fn new(head_since: Instant) -> Self {
        Self { head_since, total: Duration::ZERO }
    }
}

/// How it ended.
pub(in crate::proxy) enum End {
    /// The response is with the client's kernel. The service's connection may be used again until then.
    Complete {
        upstream_until: Option<Instant>,
        at: Instant,
    },
    /// Both sides switch protocols; bytes that the service has sent already.
    Switched {
        early: Vec<u8>,
    },
    /// The service closed without a word, as it may a kept connection.
    Stale,
    Failed(Fault),
}

impl<'a> Relay<'a> {
    /// `request.head` is sent first, then the body.
    pub(in crate::proxy) fn new(
        connection: &'a Connection,
        client: &'a mut Client,
        upstream: &'a mut Stream,
        request: &'a mut Request,
        overhead: Overhead,
    ) -> Self {
        let head = std::mem::take(&mut request.head);
        Self {
            head_length: head.len(),
            has_sent_any: false,
            to_client: Outbox::holding(connection.worker.take_buffer()),
            connection,
            client,
            upstream,
            request,
            to_upstream: Outbox::holding(head),
            from_upstream: Vec::new(),
            upload_broken: false,
            sent_at: None,
            download: Download::Head,
            response: Body::NONE,
            delivery: Delivery::AsIs,
            ends: Ends::default(),
            upstream_keeps: false,
            upstream_idle: None,
            heads_at: None,
            overhead,
            client_is_slow: false,
        }
    }

    /// Whether the response's head is not on its way to the client.
    pub(in crate::proxy) fn is_unanswered(&self) -> bool {
        self.download == Download::Head
    }

    /// Whether the service may have seen anything of the request.
    pub(in crate::proxy) fn has_sent_any(&self) -> bool {
        self.has_sent_any
    }

    /// Whether the request can be sent again although the service may have seen it.
    pub(in crate::proxy) fn can_repeat(&self) -> bool {
        self.request.is_repeatable() && self.request.body.is_done() && self.request.open.get().request_bytes == 0
    }

    /// Gives back what was to be sent first, for another try. Whatever was sent is without a body.
    pub(in crate::proxy) fn take_head(&mut self) -> Vec<u8> {
        if self.has_sent_any {
            self.to_upstream.bytes.truncate(self.head_length);
        }
        std::mem::take(&mut self.to_upstream.bytes)
    }

    pub(in crate::proxy) fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.connection.remember_waker(context);
        if self.connection.is_closing() {
            return Poll::Ready(End::Failed(Fault::Shutdown));
        }
        if let Some(fault) = self.connection.take_expired() {
            return Poll::Ready(End::Failed(fault));
        }
        loop {
            let uploaded = self.poll_upload(context);
            if let Poll::Ready(Err(fault)) = uploaded {
                return Poll::Ready(End::Failed(fault));
            }
            let downloaded = self.poll_download(context);
            match downloaded {
                Poll::Ready(Ok(Some(end))) => return Poll::Ready(end),
                Poll::Ready(Err(fault)) => return Poll::Ready(End::Failed(fault)),
                Poll::Ready(Ok(None)) => {}
                Poll::Pending if uploaded.is_ready() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn complete(&mut self) -> End {
        let at = Instant::now();
        if let Some(heads_at) = self.heads_at {
            self.overhead.total += at.saturating_duration_since(heads_at);
        }
        let is_whole = self.request.body.is_done() && !self.upload_broken && self.upstream_keeps;
        let limit = self.connection.worker.limits.borrow().upstream_idle_timeout;
        let idle = self.upstream_idle.map_or(limit, |promised| limit.min(promised / 2));
        let upstream_until = is_whole.then(|| self.connection.worker.coarse_now.get() + idle);
        self.connection.worker.give_buffer(std::mem::take(&mut self.to_client.bytes));
        self.connection.worker.give_buffer(std::mem::take(&mut self.to_upstream.bytes));
        End::Complete { upstream_until, at }
    }
}
