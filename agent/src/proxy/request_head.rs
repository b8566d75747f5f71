//! A request's head on its way to the service: what must not pass is refused or taken out, what the service may want to
//! know is put in.

use http::header::{CONNECTION, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request};

use super::fault::Fault;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const REQUEST_ID_CHARACTERS_MAX: usize = 128;
/// `00-`, 32 hex digits of trace, `-`, 16 of parent, `-`, 2 of flags.
const TRACEPARENT_CHARACTERS: usize = 55;

/// The host that is asked for, and the target in the form that a service gets: a path. `None` is HTTP/1.0 without a host.
pub(super) fn check_target(head: &mut request::Parts) -> Result<Option<HeaderValue>, Fault> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_valid_host(host.as_bytes()) => Some(host.clone()),
        (None, None) if head.version == Version::HTTP_10 => None,
        _ => return Err(Fault::BadHost),
    };
    if head.method == Method::CONNECT {
        return Err(Fault::ConnectUnsupported);
    }
    let Some(authority) = head.uri.authority() else { return Ok(host) };
    // The whole URL was sent, as to a forward proxy: its host counts, whatever `Host` says (RFC 9112, 3.2.2).
    let host = HeaderValue::from_str(authority.as_str()).ok().filter(|host| is_valid_host(host.as_bytes()));
    let host = host.ok_or(Fault::BadHost)?;
    head.uri = head.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
    head.headers.insert(HOST, host.clone());
    Ok(Some(host))
}

/// The caller's own request id, if it is one and may be passed on: 1 to 128 of `A-Za-z0-9._~-`.
pub(super) fn callers_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = only(headers, &X_REQUEST_ID)?;
    let length_fits = (1..=REQUEST_ID_CHARACTERS_MAX).contains(&id.len());
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~-".contains(byte);
    (length_fits && id.as_bytes().iter().all(is_plain)).then_some(id)
}

/// The trace id of a valid `traceparent` (W3C Trace Context): any version but ff, lower-case hex, neither id all zero.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = only(headers, &TRACEPARENT)?.to_str().ok()?;
    let (known, later) = text.split_at_checked(TRACEPARENT_CHARACTERS)?;
    let mut fields = known.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |field: &str, length: usize| {
        field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && (later.is_empty() || version != "00" && later.starts_with('-'))
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(parent, 16)
        && !is_zero(parent)
        && is_hex(flags, 2);
    is_valid.then_some(trace)
}

/// Makes a checked head the service's: without what concerned only the client's connection, with what we know of it.
pub(super) fn forward(head: &mut request::Parts, peer_ip: &HeaderValue, host: &HeaderValue, request_id: &HeaderValue) {
    let accepts_trailers = accepts_trailers(&head.headers);
    strip_hop_by_hop(&mut head.headers);
    // hyper has answered it for us, or will as soon as the body is wanted.
    head.headers.remove(EXPECT);
    if accepts_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    head.version = Version::HTTP_11;
    head.headers.entry(HOST).or_insert_with(|| host.clone());
    head.headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    head.headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
    append_forwarded_for(&mut head.headers, peer_ip);
    head.headers.insert(X_REQUEST_ID, request_id.clone());
}

/// Removes what concerns one connection only: every name in every `Connection` line, and the names that were always so.
/// What frames the message stays, whatever `Connection` says of it: hyper reads and rewrites that.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, UPGRADE] {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = names.map(<[u8]>::trim_ascii).filter(|name| {
        // The usual ones name no header that we would not remove anyway: spare them the parsing.
        !name.eq_ignore_ascii_case(b"close") && !name.eq_ignore_ascii_case(b"keep-alive")
    });
    let names = names.filter_map(|name| HeaderName::from_bytes(name).ok());
    names.filter(|name| ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name)).collect()
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// One line, since many services read only one.
fn append_forwarded_for(headers: &mut HeaderMap, peer_ip: &HeaderValue) {
    let mut lines = headers.get_all(X_FORWARDED_FOR).iter().peekable();
    if lines.peek().is_none() {
        headers.insert(X_FORWARDED_FOR, peer_ip.clone());
        return;
    }
    let mut joined = Vec::new();
    for line in lines {
        joined.extend_from_slice(line.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(peer_ip.as_bytes());
    let joined = HeaderValue::try_from(joined).expect("valid values joined by a comma are a valid value");
    headers.insert(X_FORWARDED_FOR, joined);
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// `uri-host [":" port]` (RFC 3986), not empty: an HTTP URL always has a host.
fn is_valid_host(host: &[u8]) -> bool {
    let (name_is_valid, rest) = if host.first() == Some(&b'[') {
        let end = host.iter().position(|byte| *byte == b']').unwrap_or(0);
        let is_address = host[..end].iter().skip(1).all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
        (end > 2 && is_address, host.get(end + 1..).unwrap_or_default())
    } else {
        let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
        (end > 0 && host[..end].iter().all(is_host_byte), &host[end..])
    };
    let port_is_valid = match rest {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name_is_valid && port_is_valid
}

fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte)
}
