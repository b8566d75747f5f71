//! One request to the service and its response back, between two sides that frame their bodies differently.
//!
//! Both directions run at once. What one side does not take stops the reading from the other, so that no more than one
//! piece of each body is here; a window is opened again when its piece has been handed on.

mod downloading;
mod uploading;

use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::super::http1::relay::Overhead;
use super::super::open::OpenExchange;
use super::clock::Clock;
use super::sides::{Broken, ClientSide, ServiceSide};
use super::upload::Upload;

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

    /// Something moved. A body without a length may pause for as long as a response may, in either direction.
    fn stir(&self) {
        let is_answered = !matches!(self.downloading, Downloading::Head);
        if is_answered || !self.upload.is_paced && !matches!(self.uploading, Uploading::Done) {
            self.clock.waits.body_since.set(Some(self.connection.worker.coarse_now.get()));
        }
    }
}
