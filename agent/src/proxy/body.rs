//! Bodies on their way through: counted, never kept.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connection::Connection;
use super::fault::Fault;
use super::upstream::Lease;

/// From the client to the service.
pub(super) struct RequestBody {
    /// Absent when there is none to send, or when it was already sent once.
    incoming: Option<Incoming>,
    connection: Rc<Connection>,
    number: u64,
}

/// From the service, or from the proxy itself, to the client.
pub(super) struct ResponseBody {
    source: Source,
    connection: Rc<Connection>,
    number: u64,
    complete: bool,
}

enum Source {
    Service { incoming: Incoming, lease: Option<Lease> },
    Proxy(Option<Bytes>),
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, connection: Rc<Connection>, number: u64) -> Self {
        Self { incoming: Some(incoming).filter(|body| !body.is_end_stream()), connection, number }
    }

    /// A second copy of a request without a body.
    pub(super) fn none(connection: Rc<Connection>, number: u64) -> Self {
        Self { incoming: None, connection, number }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = data.len() as u64;
                    this.connection.with_exchange(this.number, |exchange, _| exchange.request_bytes += bytes);
                }
                this.connection.request_progressed(this.number);
                if incoming.is_end_stream() || frame.is_trailers() {
                    this.connection.request_complete(this.number);
                }
            }
            Some(Err(error)) => this.connection.fail(this.number, request_fault(error)),
            None => this.connection.request_complete(this.number),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl ResponseBody {
    /// Gives the upstream connection back to the pool once the body has been read to its end.
    pub(super) fn from_service(incoming: Incoming, lease: Lease, connection: Rc<Connection>, number: u64) -> Self {
        Self { source: Source::Service { incoming, lease: Some(lease) }, connection, number, complete: false }
    }

    pub(super) fn from_proxy(text: &'static str, connection: Rc<Connection>, number: u64) -> Self {
        let text = Some(Bytes::from_static(text.as_bytes()));
        Self { source: Source::Proxy(text), connection, number, complete: false }
    }

    fn ended(&mut self) {
        if !self.complete {
            self.complete = true;
            if let Source::Service { lease, .. } = &mut self.source
                && let Some(lease) = lease.take()
            {
                self.connection.worker.upstream.give_back(lease, self.connection.worker.coarse_now.get());
            }
            self.connection.response_taken(self.number);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            Source::Service { incoming, .. } => ready!(Pin::new(incoming).poll_frame(context)),
            Source::Proxy(text) => text.take().map(|text| Ok(Frame::data(text))),
        };
        match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => {
                    let bytes = data.len() as u64;
                    this.connection.with_exchange(this.number, |exchange, _| exchange.response_bytes += bytes);
                }
                // Trailers end a body.
                None => this.ended(),
            },
            Some(Err(_)) => this.connection.fail(this.number, Fault::UpstreamReset),
            None => this.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Service { incoming, .. } => incoming.is_end_stream(),
            Source::Proxy(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Service { incoming, .. } => incoming.size_hint(),
            Source::Proxy(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        }
    }
}

/// hyper drops a body as soon as it needs no more of it: that is its end when its length was known, or when it is our own
/// text in answer to HEAD.
impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.is_end_stream() || matches!(self.source, Source::Proxy(_)) {
            self.ended();
        }
    }
}

/// The client's fault either way: it left, or it sent what is no body.
fn request_fault(error: &hyper::Error) -> Fault {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other) => Fault::RequestBody,
        _ => Fault::ClientDisconnect,
    }
}
