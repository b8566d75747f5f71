//! One proxied HTTP exchange, as the proxy hands it to whoever records it.
//!
//! Owned data and plain numbers: nothing here points into a connection's buffers, so a recorder may keep it as long as it
//! likes. Knows nothing of sampling, routes, privacy or storage.
//!
//! An exchange has six marks. All but the first are microseconds since the first, on the monotonic clock:
//!
//! | mark | when |
//! |---|---|
//! | `started_at_us` | the request's first byte was read (microseconds since 1970) |
//! | `request_complete_us` | the last byte of the request, head and body, was read |
//! | `upstream_connected_us` | a connection to the service was at hand, new or kept |
//! | `ttfb_us` | the head of the response was read whole, and is about to go to the client |
//! | `response_complete_us` | the last byte of the response was read from the service |
//! | `duration_us` | the last byte of the response was handed to the client's connection |

use std::net::IpAddr;

use http::Method;
use ridealong_common::ids::EventId;

/// What the proxy saw of one request and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request id that the proxy made: time, a random part per thread, a counter.
    pub event_id: EventId,
    /// The request's first byte: microseconds since 1970, UTC.
    pub started_at_us: i64,
    pub method: Method,
    /// The target's path as sent, without the query.
    pub path: String,
    /// What followed the path's `?`; only when [`Capture::query`] asks for it.
    pub query: Option<String>,
    /// The host that was asked for, with its port if one was sent; absent only in HTTP/1.0 and in `bad_host`.
    pub host: Option<String>,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`, as the client spoke it.
    pub protocol: &'static str,
    /// Who is on the other end of the client's connection, or whom a trusted proxy there names.
    pub client: Option<IpAddr>,
    /// The status that was sent to the client; absent when it left before there was one.
    pub status: Option<u16>,
    /// To the response's last byte handed to the client (or to the moment it failed).
    pub duration_us: u64,
    /// To the response's head.
    pub ttfb_us: Option<u64>,
    /// To the request's last byte read; absent when its end never came.
    pub request_complete_us: Option<u64>,
    /// To the moment a connection to the service was at hand; absent when none was.
    pub upstream_connected_us: Option<u64>,
    /// To the response's last byte read from the service; absent when its end never came or the proxy answered itself.
    pub response_complete_us: Option<u64>,
    /// Of the time until the response's end, what the proxy itself took: from a byte that could be passed on to its being
    /// passed on, for the heads of request and response.
    pub overhead_us: Option<u64>,
    /// Body bytes read from the client; of a tunnel, all its bytes that way.
    pub request_bytes: u64,
    /// Body bytes handed to the client's connection; of a tunnel, all its bytes that way.
    pub response_bytes: u64,
    /// A stable id, one of [`crate::proxy::Fault`].
    pub error: Option<&'static str>,
    /// From the response's head or trailers, when it is gRPC's: 0 to 16 are defined.
    pub grpc_status: Option<u16>,
    /// The caller's own `X-Request-ID`, when it was valid.
    pub request_id: Option<String>,
    /// From a valid `traceparent`.
    pub trace_id: Option<String>,
    /// The client's `DNT`: true for 1, false for 0.
    pub do_not_track: Option<bool>,
    /// The client's `Sec-GPC`: true for 1.
    pub global_privacy_control: Option<bool>,
    /// The headers of the request that [`Capture::headers`] names, lower-case, in that order; repeated ones joined by `, `.
    pub headers: Vec<(&'static str, String)>,
}

impl Exchange {
    /// A request of which nothing more is known yet.
    pub fn begun(event_id: EventId, started_at_us: i64, method: Method, path: String, protocol: &'static str) -> Self {
        Self {
            event_id,
            started_at_us,
            method,
            path,
            query: None,
            host: None,
            protocol,
            client: None,
            status: None,
            duration_us: 0,
            ttfb_us: None,
            request_complete_us: None,
            upstream_connected_us: None,
            response_complete_us: None,
            overhead_us: None,
            request_bytes: 0,
            response_bytes: 0,
            error: None,
            grpc_status: None,
            request_id: None,
            trace_id: None,
            do_not_track: None,
            global_privacy_control: None,
            headers: Vec::new(),
        }
    }
}

/// What an exchange keeps of a request beyond its path; the less, the cheaper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    pub query: bool,
    /// Lower-case names of request headers. They live as long as the program: a few, named once in its settings.
    pub headers: Vec<&'static str>,
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
