//! A response's head on its way to an HTTP/2 client, whether the service's or the proxy's own: the rules of
//! `response_head.rs`, on a map instead of bytes.
//!
//! A gRPC client gets a failure as `grpc-status` in a response without a body (trailers only). The HTTP status stays that
//! of the fault: clients that look at it first take 502, 503 and 504 for UNAVAILABLE, and everyone else sees what happened.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TE, UPGRADE};
use http::{Response, StatusCode};

use super::super::fault::Fault;
use super::super::http1::request::put_request_id;
use super::super::stamps::put_milliseconds;
use super::super::worker::Worker;
use crate::exchange::Exchange;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");
const X_RIDEALONG_ERROR: HeaderName = HeaderName::from_static("x-ridealong-error");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The service's final head, with what the client is told of every exchange.
pub(super) fn told(mut head: Response<()>, exchange: &Exchange, worker: &Worker) -> Response<()> {
    let headers = head.headers_mut();
    for name in [UPGRADE, TE, X_RIDEALONG_ERROR, X_RESPONSE_TIME] {
        headers.remove(name);
    }
    tell(headers, exchange, worker);
    head
}

/// The head of a response that the proxy makes itself. `exchange` has its mark of the head already.
pub(super) fn fail(fault: Fault, exchange: &Exchange, worker: &Worker, is_grpc: bool) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = fault.status();
    let headers = head.headers_mut();
    if is_grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from(grpc_status(fault)));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(fault.text().trim_ascii_end()));
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(fault.text().len()));
    }
    headers.insert(X_RIDEALONG_ERROR, HeaderValue::from_static(fault.id()));
    if fault == Fault::Overloaded {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    tell(headers, exchange, worker);
    head
}

/// gRPC's code for a fault (`doc/statuscodes.md` of gRPC).
pub(super) fn grpc_status(fault: Fault) -> u16 {
    const CANCELLED: u16 = 1;
    const DEADLINE_EXCEEDED: u16 = 4;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    match fault.status() {
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::NOT_IMPLEMENTED => UNIMPLEMENTED,
        StatusCode::BAD_REQUEST if fault == Fault::ClientDisconnect => CANCELLED,
        StatusCode::BAD_REQUEST => INTERNAL,
        _ => UNAVAILABLE,
    }
}

/// Whether its client understands `grpc-status`.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    let rest = kind.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Adds the request's id, the date and the times.
pub(super) fn tell(headers: &mut HeaderMap, exchange: &Exchange, worker: &Worker) {
    let mut text = Vec::with_capacity(64);
    if !headers.contains_key(X_REQUEST_ID) {
        put_request_id(exchange, &mut text);
        insert(headers, X_REQUEST_ID, &text);
    }
    if !headers.contains_key(DATE) {
        insert(headers, DATE, &worker.date.get());
    }
    text.clear();
    text.extend_from_slice(b"ridealong;dur=");
    put_milliseconds(&mut text, exchange.ttfb_us.unwrap_or(0));
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.append(SERVER_TIMING, value);
    }
    text.extend_from_slice(b"ms");
    insert(headers, X_RESPONSE_TIME, &text["ridealong;dur=".len()..]);
}

/// The answer to what is no request that may be passed on: nothing in it comes from the client.
pub(super) fn refuse(status: StatusCode, worker: &Worker) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    insert(head.headers_mut(), DATE, &worker.date.get());
    head
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}
