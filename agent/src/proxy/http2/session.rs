//! A client's HTTP/2 connection: takes its requests, each of which runs in a task of its own, and says goodbye in order.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection as Http2, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::task::JoinSet;

use super::super::connection::{Connection, Phase};
use super::super::counters::count;
use super::super::options::Limits;
use super::super::stream::Stream;
use super::exchange::of_stream;
use super::links::header_bytes;
use super::opened::{Opened, check};
use super::response::refuse;
use super::rewound::Rewound;
use super::stream_client::StreamClient;
use super::{CLIENT_CONNECTION_WINDOW_BYTES, CLIENT_STREAM_WINDOW_BYTES, SEND_BUFFER_BYTES_MAX, STREAMS_MAX};

/// Requests that a client may cancel beyond those that it sees through. Each costs the service a request and the client
/// nothing: that is how "rapid reset" floods a service from one connection (CVE-2023-44487).
const CANCELLED_MAX: u64 = 1_000;
/// Requests cancelled before we looked at them, likewise. The library's default.
const RESET_BEFORE_ACCEPTED_MAX: usize = 20;
/// Streams that we reset because of what the client sent ("MadeYouReset", CVE-2025-8671). The library's default.
const RESET_BY_US_MAX: usize = 1024;
/// For frames that crossed a reset. The library's default.
const RESET_REMEMBERED: Duration = Duration::from_secs(1);

struct Session {
    connection: Rc<Connection>,
    http2: Http2<Rewound, Bytes>,
    last_read: Rc<Cell<Instant>>,
    exchanges: JoinSet<()>,
    /// Cancelled requests less completed ones.
    cancelled: Rc<Cell<u64>>,
    has_said_goodbye: bool,
}

/// Serves a connection whose first bytes announced HTTP/2, to its end. Cancelling it closes the connection and records
/// its exchanges.
pub(in crate::proxy) async fn serve(connection: Rc<Connection>, stream: Stream, first_bytes: Vec<u8>) {
    let first_byte = match connection.phase() {
        Phase::Head { first_byte } => first_byte,
        _ => Instant::now(),
    };
    let last_read = Rc::new(Cell::new(first_byte));
    let io = Rewound::new(stream, first_bytes, Rc::clone(&last_read));
    let limits = *connection.worker.limits.borrow();
    let Some(http2) = shake_hands(&connection, io, &limits).await else { return };
    connection.set_phase(Phase::Idle { since: Instant::now() });
    let mut session = Session {
        connection,
        http2,
        last_read,
        exchanges: JoinSet::new(),
        cancelled: Rc::default(),
        has_said_goodbye: false,
    };
    poll_fn(|context| session.poll(context)).await;
    // Their streams fail with the connection: each exchange finds that out, and records it.
    drop(session.http2);
    while session.exchanges.join_next().await.is_some() {}
}

async fn shake_hands(connection: &Connection, io: Rewound, limits: &Limits) -> Option<Http2<Rewound, Bytes>> {
    let mut shaking = pin!(builder(limits).handshake(io));
    poll_fn(|context| {
        connection.remember_waker(context);
        if connection.is_closing() || connection.take_expired().is_some() {
            return Poll::Ready(None);
        }
        shaking.as_mut().poll(context).map(Result::ok)
    })
    .await
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(CLIENT_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CLIENT_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(header_bytes(limits))
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_BEFORE_ACCEPTED_MAX)
        .max_local_error_reset_streams(Some(RESET_BY_US_MAX))
        .reset_stream_duration(RESET_REMEMBERED);
    builder
}

impl Session {
    /// Ready when the connection has come to its end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.connection.remember_waker(context);
        if self.connection.is_closing() {
            return Poll::Ready(());
        }
        if self.connection.is_finishing() && !self.has_said_goodbye {
            self.has_said_goodbye = true;
            self.http2.graceful_shutdown();
        }
        while let Poll::Ready(Some(_)) = self.exchanges.poll_join_next(context) {}
        if self.cancelled.get() > CANCELLED_MAX {
            self.http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        let is_open = self.poll_requests(context);
        self.note_phase();
        if is_open { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Takes what has come; false at the end.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            match self.http2.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.take(request, respond),
                Poll::Ready(Some(Err(_)) | None) => return false,
                Poll::Pending => return true,
            }
        }
    }

    fn take(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let worker = &self.connection.worker;
        let (parts, body) = request.into_parts();
        if let Err(status) = check(&parts, &worker.limits.borrow()) {
            count(&worker.counters.heads_refused);
            // Fails only if the client has left.
            let _ = respond.send_response(refuse(status, worker), true);
            return;
        }
        let opened = Opened::new(&self.connection, &parts, body.is_end_stream(), self.last_read.get(), Instant::now());
        let cancelled = Rc::clone(&self.cancelled);
        let serving = of_stream(Rc::clone(&self.connection), opened, StreamClient::new(body, respond));
        self.exchanges.spawn_local(async move {
            let was_cancelled = serving.await;
            let count = cancelled.get();
            cancelled.set(if was_cancelled { count + 1 } else { count.saturating_sub(1) });
        });
    }

    /// What the sweep is to look at: the requests, or that there are none.
    fn note_phase(&self) {
        let phase = self.connection.phase();
        let now = self.connection.worker.coarse_now.get();
        match (self.exchanges.is_empty(), phase) {
            (false, Phase::Streams) => {}
            (false, _) => self.connection.set_phase(Phase::Streams),
            // The client must answer our goodbye, but need not.
            (true, Phase::Lingering { .. }) => {}
            (true, _) if self.has_said_goodbye => self.connection.set_phase(Phase::Lingering { since: now }),
            (true, Phase::Idle { .. }) => {}
            (true, _) => self.connection.set_phase(Phase::Idle { since: now }),
        }
    }
}
