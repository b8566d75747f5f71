//! A request's head: whether it is one, and what of it the proxy must know.

use http::Method;
use memchr::{memchr, memchr_iter, memmem};

use super::body::Body;
use super::field::{Field, members};
use super::{HEADERS_MAX, Version};

/// Why bytes are no request that may be passed on. The client gets the bare status and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed,
    /// More framing than one body can have, or a kind that nobody agrees on.
    Framing,
    TargetTooLong,
    HeadTooLarge,
    Version,
    Coding,
}

impl Refusal {
    pub const fn status_line(self) -> &'static str {
        match self {
            Refusal::Malformed | Refusal::Framing => "400 Bad Request",
            Refusal::TargetTooLong => "414 URI Too Long",
            Refusal::HeadTooLarge => "431 Request Header Fields Too Large",
            Refusal::Coding => "501 Not Implemented",
            Refusal::Version => "505 HTTP Version Not Supported",
        }
    }
}

/// The limits of a head.
#[derive(Clone, Copy, Debug)]
pub struct RequestParser {
    pub head_bytes_max: usize,
    pub headers_max: usize,
    pub target_bytes_max: usize,
}

/// A head in the bytes that it was read from.
pub struct RequestHead<'b> {
    pub method: Method,
    pub target: RequestTarget<'b>,
    pub version: Version,
    pub fields: Fields<'b>,
    pub body: Body,
    /// Whether the client wants the connection kept.
    pub keeps_alive: bool,
    /// Names of headers that belong to this connection only, as `Connection` lists them.
    pub connection_names: Vec<&'b [u8]>,
    pub wants_upgrade: bool,
    pub accepts_trailers: bool,
    /// How many bytes of the input it took.
    pub length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestTarget<'b> {
    /// `/path?query` or `*`
    Path(&'b str),
    /// The whole URL, as to a forward proxy.
    Absolute { authority: &'b str, path: &'b str },
    /// Of CONNECT.
    Authority(&'b str),
}

pub struct Fields<'b> {
    lines: Vec<Line<'b>>,
}

struct Line<'b> {
    field: Field,
    name: &'b str,
    value: &'b [u8],
}

impl<'b> Fields<'b> {
    pub fn of(lines: &[httparse::Header<'b>]) -> Self {
        let line = |line: &httparse::Header<'b>| Line {
            field: Field::of(line.name.as_bytes()),
            name: line.name,
            value: line.value,
        };
        Self { lines: lines.iter().map(line).collect() }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Field, &'b str, &'b [u8])> {
        self.lines.iter().map(|line| (line.field, line.name, line.value))
    }

    pub fn values(&self, field: Field) -> impl Iterator<Item = &'b [u8]> {
        self.iter().filter(move |(kind, ..)| *kind == field).map(|(_, _, value)| value)
    }

    /// The value of a field that occurs exactly once.
    pub fn only(&self, field: Field) -> Option<&'b [u8]> {
        let mut values = self.values(field);
        values.next().filter(|_| values.next().is_none())
    }

    pub fn has(&self, field: Field) -> bool {
        self.lines.iter().any(|line| line.field == field)
    }
}

impl RequestParser {
    /// The head at the start of `bytes`, or nothing if its end is not there yet. `seen` bytes of them were looked at before
    /// and had no end: a head that trickles in is not parsed anew for every byte.
    pub fn parse<'b>(&self, bytes: &'b [u8], seen: usize) -> Result<Option<RequestHead<'b>>, Refusal> {
        if seen > 0 && memmem::find(&bytes[seen.saturating_sub(3)..], b"\n\r\n").is_none() {
            return self.still_fits(bytes).map(|()| None);
        }
        // One empty line before a request is forgiven (RFC 9112, 2.2).
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let head = &bytes[start..];
        if matches!(head.first(), Some(b'\r' | b'\n')) && head != b"\r" {
            return Err(Refusal::Malformed);
        }
        let mut lines = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut lines) {
            Ok(httparse::Status::Complete(length)) => self.check(&parsed, &head[..length], start).map(Some),
            Ok(httparse::Status::Partial) => self.still_fits(bytes).map(|()| None),
            Err(httparse::Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
            Err(httparse::Error::Version) if names_a_version(head) => Err(Refusal::Version),
            Err(_) => Err(Refusal::Malformed),
        }
    }

    fn still_fits(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let line = memchr(b'\n', &bytes[2.min(bytes.len())..]);
        match line {
            None if bytes.len() > self.target_bytes_max + 64 => Err(Refusal::TargetTooLong),
            _ if bytes.len() > self.head_bytes_max => Err(Refusal::HeadTooLarge),
            _ => Ok(()),
        }
    }

    fn check<'b>(
        &self,
        parsed: &httparse::Request<'_, 'b>,
        head: &'b [u8],
        start: usize,
    ) -> Result<RequestHead<'b>, Refusal> {
        if head.len() > self.head_bytes_max || parsed.headers.len() > self.headers_max {
            return Err(Refusal::HeadTooLarge);
        }
        // httparse takes a bare LF for a line's end.
        if memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
            return Err(Refusal::Malformed);
        }
        let method = parsed.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let method = method.ok_or(Refusal::Malformed)?;
        let target = parsed.path.ok_or(Refusal::Malformed)?;
        if target.len() > self.target_bytes_max {
            return Err(Refusal::TargetTooLong);
        }
        let target = target_of(&method, target)?;
        let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let fields = Fields::of(parsed.headers);
        let body = framing(&fields, version)?;
        let connection = Connection::of(&fields);
        let accepts_trailers =
            fields.values(Field::Te).flat_map(members).any(|te| te.eq_ignore_ascii_case(b"trailers"));
        Ok(RequestHead {
            method,
            target,
            version,
            body,
            keeps_alive: if version == Version::Http11 { !connection.close } else { connection.keep_alive },
            wants_upgrade: connection.upgrade && version == Version::Http11 && fields.has(Field::Upgrade),
            connection_names: connection.names,
            accepts_trailers,
            fields,
            length: start + head.len(),
        })
    }
}

/// What `Connection` says.
#[derive(Default)]
pub(super) struct Connection<'b> {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// Everything else that it lists.
    pub(super) names: Vec<&'b [u8]>,
}

impl<'b> Connection<'b> {
    pub(super) fn of(fields: &Fields<'b>) -> Self {
        let mut connection = Self::default();
        for option in fields.values(Field::Connection).flat_map(members) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                connection.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                connection.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                connection.upgrade = true;
            } else {
                connection.names.push(option);
            }
        }
        connection
    }
}

/// Whether a request line ends in `HTTP/` and two digits, after two spaces.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None) => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

fn target_of<'b>(method: &Method, target: &'b str) -> Result<RequestTarget<'b>, Refusal> {
    // A fragment is never sent, and what is outside ASCII or is a control character never was a URL.
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refusal::Malformed);
    }
    if *method == Method::CONNECT {
        return Ok(RequestTarget::Authority(target));
    }
    if target.starts_with('/') || target == "*" && *method == Method::OPTIONS {
        return Ok(RequestTarget::Path(target));
    }
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Refusal::Malformed);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Ok(RequestTarget::Absolute { authority, path })
}

/// The body's length as the head says it: once, and in one way (RFC 9112, 6.3, without its leniencies).
fn framing(fields: &Fields<'_>, version: Version) -> Result<Body, Refusal> {
    match (fields.has(Field::ContentLength), fields.has(Field::TransferEncoding)) {
        (false, false) => Ok(Body::NONE),
        (true, true) => Err(Refusal::Framing),
        (true, false) => {
            fields.only(Field::ContentLength).and_then(content_length).map(Body::Length).ok_or(Refusal::Framing)
        }
        (false, true) if version == Version::Http10 => Err(Refusal::Framing),
        (false, true) => match fields.only(Field::TransferEncoding) {
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Body::chunked()),
            Some(coding) if is_other_coding(coding) => Err(Refusal::Coding),
            _ => Err(Refusal::Framing),
        },
    }
}

/// A coding that could be one, such as `gzip, chunked`, and is not ours to undo.
fn is_other_coding(value: &[u8]) -> bool {
    const CODINGS: [&str; 5] = ["gzip", "deflate", "compress", "x-gzip", "x-compress"];
    let mut codings = members(value);
    codings.next().is_some_and(|first| CODINGS.iter().any(|coding| first.eq_ignore_ascii_case(coding.as_bytes())))
}

/// Digits, and no more of them than a number has.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}
