//! A request's head on its way to the service: what must not pass is refused or left out, what the service may want to
//! know is put in, everything else goes through byte by byte.

use std::net::IpAddr;

use http::Method;

use crate::proxy::fault::Fault;
use crate::proxy::options::Trusted;
use ridealong_http1::{Field, RequestHead, RequestTarget, Version, is_valid_host, members};

const REQUEST_ID_CHARACTERS_MAX: usize = 128;
/// `00-`, 32 hex digits of trace, `-`, 16 of parent, `-`, 2 of flags.
const TRACEPARENT_CHARACTERS: usize = 55;

/// Who is on the other end of a client's connection.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Peer {
    pub(in crate::proxy) address: IpAddr,
    /// As it is appended to `X-Forwarded-For`.
    pub(in crate::proxy) text: String,
    /// Whether what it says of its own clients is believed.
    pub(in crate::proxy) is_trusted: bool,
}

impl Peer {
    pub(in crate::proxy) fn new(address: IpAddr, trusted: &Trusted) -> Self {
        let address = address.to_canonical();
        Self { address, text: address.to_string(), is_trusted: trusted.contains(address) }
    }
}

/// The host that is asked for. `None` is HTTP/1.0 without one.
pub(in crate::proxy) fn host<'b>(head: &RequestHead<'b>) -> Result<Option<&'b str>, Fault> {
    let mut hosts = head.fields.values(Field::Host);
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_valid_host(host) => std::str::from_utf8(host).ok(),
        (None, None) if head.version == Version::Http10 => None,
        _ => return Err(Fault::BadHost),
    };
    match head.target {
        RequestTarget::Path(_) => Ok(host),
        // Its host counts, whatever `Host` says (RFC 9112, 3.2.2).
        RequestTarget::Absolute { authority, .. } | RequestTarget::Authority(authority) => {
            Some(authority).filter(|authority| is_valid_host(authority.as_bytes())).map(Some).ok_or(Fault::BadHost)
        }
    }
}

/// The caller's own request id, if it is one and may be passed on: 1 to 128 of `A-Za-z0-9._~-`.
pub(in crate::proxy) fn callers_request_id(id: Option<&[u8]>) -> Option<&str> {
    let id = id.filter(|id| (1..=REQUEST_ID_CHARACTERS_MAX).contains(&id.len()))?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~-".contains(byte);
    id.iter().all(is_plain).then(|| std::str::from_utf8(id).ok()).flatten()
}

/// The trace id of a valid `traceparent` (W3C Trace Context): any version but ff, lower-case hex, neither id all zero.
pub(in crate::proxy) fn trace_id(traceparent: Option<&[u8]>) -> Option<&str> {
    let text = std::str::from_utf8(traceparent?).ok()?;
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

/// Whom the request came from: the last address in `X-Forwarded-For` that no trusted proxy added, or the peer.
pub(in crate::proxy) fn client(
    forwarded_for: impl DoubleEndedIterator<Item = IpAddr>,
    peer: &Peer,
    trusted: &Trusted,
) -> IpAddr {
    if !peer.is_trusted {
        return peer.address;
    }
    let mut client = peer.address;
    for address in forwarded_for.rev() {
        client = address;
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

/// The addresses in `X-Forwarded-For`, oldest first, from the last that is none on.
pub(in crate::proxy) fn forwarded_for<'b>(values: impl Iterator<Item = &'b [u8]>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for member in values.flat_map(members) {
        match std::str::from_utf8(member).ok().and_then(|text| text.parse::<IpAddr>().ok()) {
            Some(address) => addresses.push(address.to_canonical()),
            None => addresses.clear(),
        }
    }
    addresses
}

/// What the service is told beside what the client says.
pub(in crate::proxy) struct Told<'a> {
    pub(in crate::proxy) peer: &'a Peer,
    pub(in crate::proxy) host: &'a str,
    /// Writes the request's id.
    pub(in crate::proxy) request_id: &'a dyn Fn(&mut Vec<u8>),
    /// The protocols to switch to, if that is passed on.
    pub(in crate::proxy) upgrade: Option<&'a [u8]>,
}

/// Writes a checked head as the service gets it.
pub(in crate::proxy) fn forward(head: &RequestHead<'_>, told: &Told<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path_of(head).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut has_host = false;
    for (field, name, value) in head.fields.iter() {
        match field {
            Field::Host => {
                has_host = true;
                put(out, name, told.host.as_bytes());
            }
            // Its digits may begin with zeros, which some take for octal.
            Field::ContentLength => put(out, name, without_zeros(value)),
            _ if passes(head, field, name) => put(out, name, value),
            _ => {}
        }
    }
    if !has_host {
        put(out, "Host", told.host.as_bytes());
    }
    put_forwarded(head, told, out);
    out.extend_from_slice(b"X-Request-ID: ");
    (told.request_id)(out);
    out.extend_from_slice(b"\r\n");
    put_connection(head, told, out);
    out.extend_from_slice(b"\r\n");
}

fn path_of<'b>(head: &RequestHead<'b>) -> std::borrow::Cow<'b, str> {
    match head.target {
        RequestTarget::Path(path) | RequestTarget::Authority(path) => path.into(),
        RequestTarget::Absolute { path: "", .. } if head.method == Method::OPTIONS => "*".into(),
        RequestTarget::Absolute { path, .. } if path.starts_with('/') => path.into(),
        RequestTarget::Absolute { path, .. } => format!("/{path}").into(),
    }
}

/// Whether a line goes through as it is.
pub(in crate::proxy) fn passes(head: &RequestHead<'_>, field: Field, name: &str) -> bool {
    match field {
        Field::Connection
        | Field::KeepAlive
        | Field::ProxyConnection
        | Field::Http2Settings
        | Field::Te
        | Field::Upgrade
        | Field::Alias
        // Written anew.
        | Field::XForwardedFor
        | Field::XForwardedHost
        | Field::XForwardedProto
        | Field::XRequestId => false,
        // HTTP/1.0 has no 100 (RFC 9110, 10.1.1).
        Field::Expect => head.version == Version::Http11,
        // What frames the message stays, whatever `Connection` says of it.
        Field::ContentLength | Field::TransferEncoding | Field::Trailer => true,
        _ => !is_named(head, name),
    }
}

/// Whether `Connection` lists the name.
fn is_named(head: &RequestHead<'_>, name: &str) -> bool {
    head.connection_names.iter().any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
}

/// One line of addresses, since many services read only one.
pub(in crate::proxy) fn put_forwarded(head: &RequestHead<'_>, told: &Told<'_>, out: &mut Vec<u8>) {
    let believed = |field: Field, name: &'static str| {
        let values = head.fields.values(field);
        values.filter(move |_| told.peer.is_trusted && !is_named(head, name))
    };
    out.extend_from_slice(b"X-Forwarded-For: ");
    for value in believed(Field::XForwardedFor, "x-forwarded-for").filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(told.peer.text.as_bytes());
    out.extend_from_slice(b"\r\n");
    let scheme = believed(Field::XForwardedProto, "x-forwarded-proto").next().unwrap_or(b"http");
    put(out, "X-Forwarded-Proto", scheme);
    let host = believed(Field::XForwardedHost, "x-forwarded-host").next().unwrap_or(told.host.as_bytes());
    put(out, "X-Forwarded-Host", host);
}

fn put_connection(head: &RequestHead<'_>, told: &Told<'_>, out: &mut Vec<u8>) {
    match (head.accepts_trailers, told.upgrade) {
        (true, None) => out.extend_from_slice(b"TE: trailers\r\nConnection: te\r\n"),
        (true, Some(_)) => out.extend_from_slice(b"TE: trailers\r\nConnection: te, Upgrade\r\n"),
        (false, Some(_)) => out.extend_from_slice(b"Connection: Upgrade\r\n"),
        (false, None) => {}
    }
    if let Some(protocols) = told.upgrade {
        put(out, "Upgrade", protocols);
    }
}

/// The protocols that the client wants to switch to and may: HTTP/2 would get past every check here.
pub(in crate::proxy) fn upgrade(head: &RequestHead<'_>) -> Option<Vec<u8>> {
    if !head.wants_upgrade || !head.body.is_done() {
        return None;
    }
    let protocols = head.fields.values(Field::Upgrade).flat_map(members);
    let passed: Vec<&[u8]> =
        protocols.filter(|name| !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"))).collect();
    (!passed.is_empty()).then(|| passed.join(&b", "[..]))
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
}

pub(in crate::proxy) fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
