//! The two sides of an exchange, as the bridge sees them, whatever they speak.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};

use super::super::fault::Fault;
use super::super::worker::Worker;
use crate::exchange::Exchange;

/// What comes next of a body.
pub(super) enum Part {
    /// Not empty, unless it is the last.
    Data {
        bytes: Bytes,
        last: bool,
    },
    Trailers(HeaderMap),
    End,
}

/// Why nothing more comes from a service, or goes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The service has not seen the request, or says that it did nothing with it.
    Unsent,
    /// The connection is lost.
    Lost,
    /// The service broke off this one exchange.
    Reset(Reason),
    /// What came is not HTTP.
    Invalid,
}

impl Broken {
    pub(super) fn fault(self) -> Fault {
        match self {
            Broken::Unsent | Broken::Lost | Broken::Reset(_) => Fault::UpstreamReset,
            Broken::Invalid => Fault::UpstreamInvalid,
        }
    }
}

/// Where the request comes from and the response goes to.
pub(super) trait ClientSide {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, Fault>>;

    /// So many bytes of the request's body were handed on, and as many may follow.
    fn passed(&mut self, length: usize);

    /// Watches for the client's leaving while nothing is read from it, for now or, if `is_over`, any more.
    fn poll_gone(&mut self, context: &mut Context<'_>, is_over: bool) -> Poll<Fault>;

    fn interim(&mut self, head: Response<()>);

    /// The service's final head, to which is added what the client is told of its exchange. `ends` if no body follows.
    fn head(&mut self, head: Response<()>, ends: bool, exchange: &Exchange, worker: &Worker) -> Result<(), Fault>;

    /// How many bytes of body can be handed over now, of so many that there are; never 0.
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Fault>>;

    /// No more than there is room for.
    fn data(&mut self, bytes: Bytes, last: bool) -> Result<(), Fault>;

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Fault>;

    /// Writes out what was handed over.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>>;
}

/// Where the request goes to and the response comes from. Its head is on its way already.
pub(super) trait ServiceSide {
    /// How many bytes of body can be handed over now, of so many that there are; never 0.
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>>;

    /// No more than there is room for.
    fn data(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken>;

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken>;

    /// Writes out what was handed over.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// The next head, interim ones too, and whether no body follows it.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(Response<()>, bool), Broken>>;

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Part, Broken>>;

    /// So many bytes of the response's body were handed on, and as many may follow.
    fn passed(&mut self, length: usize);
}
