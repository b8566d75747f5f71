//! One proxied HTTP exchange, as the proxy hands it to whoever records it.
//!
//! Owned data and plain numbers: nothing here points into a connection's buffers, so a recorder may keep it as long as it
//! likes. Knows nothing of sampling, routes or storage.

use http::Method;
use ridealong_common::ids::EventId;

/// What the proxy saw of one request and its response. All durations run from the request's first byte.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request id that the proxy made: time, a random part per thread, a counter.
    pub event_id: EventId,
    /// The request's first byte: microseconds since 1970, UTC.
    pub started_at_us: i64,
    pub method: Method,
    /// The target's path as sent, without the query.
    pub path: String,
    /// The host that was asked for, with its port if one was sent; absent only in HTTP/1.0 and in `bad_host`.
    pub host: Option<String>,
    pub protocol: &'static str,
    /// The status that was sent to the client; absent when it left before there was one.
    pub status: Option<u16>,
    /// To the response's last byte handed to the client (or to the moment it failed).
    pub duration_us: u64,
    /// To the response's head.
    pub ttfb_us: Option<u64>,
    /// To the request body's last byte read; absent when there was no body or its end never came.
    pub request_complete_us: Option<u64>,
    /// How long it took to connect upstream; absent when a kept connection was reused.
    pub upstream_connect_us: Option<u64>,
    /// Body bytes read from the client.
    pub request_bytes: u64,
    /// Body bytes handed to the client's connection.
    pub response_bytes: u64,
    /// A stable id, one of [`crate::proxy::Fault`].
    pub error: Option<&'static str>,
    /// The caller's own `X-Request-ID`, when it was valid.
    pub request_id: Option<String>,
    /// From a valid `traceparent`.
    pub trace_id: Option<String>,
}

/// Takes exchanges on a proxy thread. Each thread has its own, made on that thread, so it needs no locks.
///
/// Both calls run between two requests of other clients: they must neither block nor panic.
pub trait Record {
    /// Called exactly once for each request whose head was parsed, when its last byte was handed over or it failed.
    fn record(&self, exchange: Exchange);

    /// Called every 50 ms, and once more when the thread has drained.
    fn tick(&self) {}
}
