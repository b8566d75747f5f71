//! A response's head on its way to the client, whether the service's or the proxy's own.

use http::StatusCode;

use super::request_head::put;
use crate::proxy::fault::Fault;
use crate::proxy::stamps::{put_milliseconds, put_number};
use ridealong_http1::{Field, ResponseHead, Version};

/// What the client is told of every exchange, and of its connection.
pub(in crate::proxy) struct Told<'a> {
    pub(in crate::proxy) version: Version,
    /// Writes the request's id.
    pub(in crate::proxy) request_id: &'a dyn Fn(&mut Vec<u8>),
    pub(in crate::proxy) ttfb_us: u64,
    /// `Date`, for what has none.
    pub(in crate::proxy) date: &'a [u8],
    /// Whether the connection ends after the response.
    pub(in crate::proxy) closes: bool,
    /// Whether what follows is no body, but a tunnel's bytes.
    pub(in crate::proxy) is_tunnel: bool,
}

/// How the body goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Delivery {
    /// As it comes, with its framing.
    AsIs,
    /// Its data alone, to the end of the connection: the client knows no chunks.
    Dechunked,
    /// In chunks, since only they show where it ends, or that it broke off.
    Chunked,
}

/// Writes the service's final head as the client gets it.
pub(in crate::proxy) fn forward(head: &ResponseHead<'_>, delivery: Delivery, told: &Told<'_>, out: &mut Vec<u8>) {
    put_status_line(out, told.version, head.status, head.reason);
    let (mut has_id, mut has_date, mut has_length) = (false, false, false);
    for (field, name, value) in head.fields.iter() {
        match field {
            Field::XRequestId => has_id = true,
            Field::Date => has_date = true,
            Field::ContentLength | Field::TransferEncoding
                if told.is_tunnel || head.status == StatusCode::NO_CONTENT =>
            {
                continue;
            }
            // Written once, and not beside a coding.
            Field::ContentLength if has_length || head.fields.has(Field::TransferEncoding) => continue,
            Field::ContentLength => {
                has_length = true;
                let value = value.split(|byte| *byte == b',').next().unwrap_or(value);
                put(out, name, value.trim_ascii());
                continue;
            }
            Field::TransferEncoding if delivery != Delivery::AsIs => continue,
            _ => {}
        }
        if passes(head, field, name) {
            put(out, name, value);
        }
    }
    if delivery == Delivery::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if !has_id {
        put_request_id(out, told);
    }
    if !has_date {
        put(out, "Date", told.date);
    }
    put_times(out, told.ttfb_us);
    put_connection(head, told, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim head, such as 103: as it came, without what concerns the connection.
pub(in crate::proxy) fn forward_interim(head: &ResponseHead<'_>, out: &mut Vec<u8>) {
    put_status_line(out, Version::Http11, head.status, head.reason);
    for (field, name, value) in head.fields.iter() {
        if passes(head, field, name) && !matches!(field, Field::ContentLength | Field::TransferEncoding) {
            put(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response that the proxy makes itself, and its text.
pub(in crate::proxy) fn fail(fault: Fault, with_body: bool, told: &Told<'_>, out: &mut Vec<u8>) {
    put_status_line(out, told.version, fault.status(), fault.status().canonical_reason().unwrap_or_default());
    put(out, "Content-Type", b"text/plain; charset=utf-8");
    out.extend_from_slice(b"Content-Length: ");
    put_number(out, fault.text().len() as u64);
    out.extend_from_slice(b"\r\n");
    put(out, "X-Ridealong-Error", fault.id().as_bytes());
    if fault == Fault::Overloaded {
        put(out, "Retry-After", b"1");
    }
    put_request_id(out, told);
    put(out, "Date", told.date);
    put_times(out, told.ttfb_us);
    if told.closes {
        put(out, "Connection", b"close");
    } else if told.version == Version::Http10 {
        put(out, "Connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    if with_body {
        out.extend_from_slice(fault.text().as_bytes());
    }
}

/// The answer to what is no request: nothing in it comes from the client.
pub(in crate::proxy) fn refuse(status: &str, date: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\nContent-Length: 0\r\nConnection: close\r\nDate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n\r\n");
}

fn put_status_line(out: &mut Vec<u8>, version: Version, status: StatusCode, reason: &str) {
    out.extend_from_slice(version.text().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(in crate::proxy) fn passes(head: &ResponseHead<'_>, field: Field, name: &str) -> bool {
    match field {
        Field::Connection
        | Field::KeepAlive
        | Field::ProxyConnection
        | Field::Upgrade
        | Field::Te
        | Field::RidealongError
        | Field::XResponseTime => false,
        Field::ContentLength | Field::TransferEncoding | Field::Trailer => true,
        _ => !head.connection_names.iter().any(|named| named.eq_ignore_ascii_case(name.as_bytes())),
    }
}

fn put_connection(head: &ResponseHead<'_>, told: &Told<'_>, out: &mut Vec<u8>) {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        for protocol in head.fields.values(Field::Upgrade) {
            put(out, "Upgrade", protocol);
        }
    } else if told.closes {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if told.version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
}

fn put_request_id(out: &mut Vec<u8>, told: &Told<'_>) {
    out.extend_from_slice(b"X-Request-ID: ");
    (told.request_id)(out);
    out.extend_from_slice(b"\r\n");
}

fn put_times(out: &mut Vec<u8>, ttfb_us: u64) {
    out.extend_from_slice(b"X-Response-Time: ");
    put_milliseconds(out, ttfb_us);
    out.extend_from_slice(b"ms\r\nServer-Timing: ridealong;dur=");
    put_milliseconds(out, ttfb_us);
    out.extend_from_slice(b"\r\n");
}
