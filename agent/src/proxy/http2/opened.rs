//! One request of an HTTP/2 client, ready to be sent: its head as the service gets it, and its record.

use std::rc::Rc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::request::Parts;
use http::{Method, Request, StatusCode};

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::super::http1::request::{exchange, put_request_id, refusal};
use super::super::http1::request_head::{self, Told};
use super::super::open::OpenExchange;
use super::super::options::{Limits, UpstreamAddress};
use super::plain::Framed;
use super::request::{Lines, forward};
use super::response::is_grpc;

pub(super) struct Opened {
    pub(super) open: OpenExchange,
    pub(super) method: Method,
    /// As the service gets it.
    pub(super) head: ServiceHead,
    pub(super) has_body: bool,
    /// Whether the body's length was announced.
    pub(super) has_length: bool,
    /// Why it is not passed on.
    pub(super) refused: Option<Fault>,
    pub(super) is_grpc: bool,
    /// When its head was there.
    pub(super) head_read: Instant,
}

pub(super) enum ServiceHead {
    Plain { bytes: Vec<u8>, framed: Framed },
    Stream(Request<()>),
}

impl Opened {
    /// Opens the exchange of a head that was checked. `ends` if no body follows.
    pub(super) fn new(connection: &Connection, parts: &Parts, ends: bool, first_byte: Instant, now: Instant) -> Self {
        let worker = &connection.worker;
        let lines = Lines::of(parts, ends);
        let head = lines.head(parts);
        let host = request_head::host(&head);
        let mut exchange = exchange(connection, &head, first_byte);
        exchange.protocol = "HTTP/2";
        exchange.host = host.ok().flatten().map(str::to_owned);
        let mut refused = refusal(connection, &head, host.err());
        // A tunnel over a stream is nothing that services beside a sidecar speak.
        if parts.method == Method::CONNECT {
            refused = Some(Fault::ConnectUnsupported);
        }
        let told = Told {
            peer: &connection.peer,
            host: exchange.host.as_deref().unwrap_or(&worker.authority),
            request_id: &|out| put_request_id(&exchange, out),
            upgrade: None,
        };
        let mut service_head = ServiceHead::Plain { bytes: Vec::new(), framed: lines.framed };
        if refused.is_none() && matches!(worker.options.upstream, UpstreamAddress::H2c { .. }) {
            match forward(parts, &head, &told) {
                Ok(request) => service_head = ServiceHead::Stream(request),
                Err(fault) => refused = Some(fault),
            }
        } else if refused.is_none()
            && let ServiceHead::Plain { bytes, .. } = &mut service_head
        {
            request_head::forward(&head, &told, bytes);
        }
        let mut open = OpenExchange::new(Rc::clone(worker), first_byte, exchange);
        if ends {
            let elapsed_us = open.elapsed_us(now);
            open.get_mut().request_complete_us = Some(elapsed_us);
        }
        Self {
            open,
            method: parts.method.clone(),
            head: service_head,
            has_body: !ends,
            has_length: parts.headers.contains_key(CONTENT_LENGTH),
            refused,
            is_grpc: is_grpc(&parts.headers),
            head_read: now,
        }
    }
}

/// The status for a head that would not mean the same to everyone behind us, or is larger than allowed.
pub(super) fn check(parts: &Parts, limits: &Limits) -> Result<(), StatusCode> {
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if target.len() > limits.target_bytes_max {
        return Err(StatusCode::URI_TOO_LONG);
    }
    if parts.headers.len() > limits.headers_max {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let is_path = target.starts_with('/') || target == "*" && parts.method == Method::OPTIONS;
    let is_plain = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_path && is_plain && has_one_length(&parts.headers) { Ok(()) } else { Err(StatusCode::BAD_REQUEST) }
}

/// As in HTTP/1: said once, or two readers may disagree.
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next();
    let is_number = first.is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit) && !length.is_empty());
    is_number && lengths.next().is_none()
}
