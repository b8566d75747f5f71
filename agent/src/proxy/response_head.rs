//! A response's head on its way to the client, whether the service's or the proxy's own.

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Version, response};

use super::fault::Fault;
use super::request_head::{X_REQUEST_ID, strip_hop_by_hop};
use super::stamps::Stamps;

const X_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// On the proxy's own responses, and on no other.
const X_RIDEALONG_ERROR: HeaderName = HeaderName::from_static("x-ridealong-error");

/// What the proxy tells of every exchange.
pub(super) struct Told<'a> {
    pub(super) request_id: HeaderValue,
    pub(super) ttfb_us: u64,
    pub(super) stamps: &'a Stamps,
}

/// Makes the service's head the client's.
pub(super) fn forward(head: &mut response::Parts, told: Told<'_>) {
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(X_RIDEALONG_ERROR);
    // Of the service's connection; hyper lowers it to what the client speaks.
    head.version = Version::HTTP_11;
    tell(&mut head.headers, told);
}

/// Fills in the head of a response that the proxy makes itself.
pub(super) fn fail(head: &mut response::Parts, fault: Fault, told: Told<'_>) {
    head.status = fault.status();
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    head.headers.insert(X_RIDEALONG_ERROR, HeaderValue::from_static(fault.id()));
    if matches!(fault, Fault::BadHost | Fault::RequestBody) {
        // Whoever sends this may not agree with us on where its next request begins.
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    tell(&mut head.headers, told);
}

fn tell(headers: &mut HeaderMap, told: Told<'_>) {
    headers.entry(X_REQUEST_ID).or_insert(told.request_id);
    headers.insert(X_RESPONSE_TIME, told.stamps.response_time(told.ttfb_us));
    headers.append(SERVER_TIMING, told.stamps.server_timing(told.ttfb_us));
}
