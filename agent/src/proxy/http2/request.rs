//! A request's head between the protocols. An HTTP/2 head is read as the head of HTTP/1 that says the same, so that one set
//! of rules decides what may pass, what is added and what is recorded.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version as HttpVersion};

use super::super::fault::Fault;
use super::super::http1::request_head::{self, Told};
use super::plain::Framed;
use ridealong_http1::{Body, Field, Fields, RequestHead, RequestTarget, Version};

/// Put in by the proxy: three of `X-Forwarded-*` and the request's id.
const LINES_ADDED: usize = 4;

/// What an HTTP/1 head needs and an HTTP/2 head says differently.
pub(super) struct Lines {
    cookie: Option<Vec<u8>>,
    pub(super) framed: Framed,
}

impl Lines {
    /// `ends` if no body follows.
    pub(super) fn of(parts: &Parts, ends: bool) -> Self {
        let framed = match parts.headers.contains_key(CONTENT_LENGTH) {
            _ if ends => Framed::None,
            true => Framed::Length,
            false => Framed::Chunked,
        };
        Self { cookie: joined_cookie(&parts.headers), framed }
    }

    /// The head in the words of HTTP/1.
    pub(super) fn head<'b>(&'b self, parts: &'b Parts) -> RequestHead<'b> {
        let fields = Fields::of(&self.lines(parts));
        let accepts_trailers = parts.headers.contains_key(TE);
        RequestHead {
            method: parts.method.clone(),
            target: RequestTarget::Path(parts.uri.path_and_query().map_or("/", PathAndQuery::as_str)),
            version: Version::Http11,
            fields,
            body: if self.framed == Framed::None { Body::NONE } else { Body::chunked() },
            keeps_alive: true,
            connection_names: Vec::new(),
            wants_upgrade: false,
            accepts_trailers,
            length: 0,
        }
    }

    fn lines<'b>(&'b self, parts: &'b Parts) -> Vec<httparse::Header<'b>> {
        let mut lines = Vec::with_capacity(parts.headers.len() + 2);
        let authority = parts.uri.authority().map(Authority::as_str);
        if let Some(host) = authority {
            lines.push(httparse::Header { name: "host", value: host.as_bytes() });
        }
        for (name, value) in &parts.headers {
            let is_said = (name == HOST && authority.is_some()) || (name == COOKIE && self.cookie.is_some());
            // Its body is on its way whatever the service says to that.
            if !is_said && name != http::header::EXPECT {
                lines.push(httparse::Header { name: name.as_str(), value: value.as_bytes() });
            }
        }
        if let Some(cookie) = &self.cookie {
            lines.push(httparse::Header { name: "cookie", value: cookie });
        }
        if self.framed == Framed::Chunked {
            lines.push(httparse::Header { name: "transfer-encoding", value: b"chunked" });
        } else if self.framed == Framed::None && expects_body(&parts.method, &parts.headers) {
            lines.push(httparse::Header { name: "content-length", value: b"0" });
        }
        lines
    }
}

/// Crumbs of cookies are one line in HTTP/1 (RFC 9113, 8.2.3).
fn joined_cookie(headers: &HeaderMap) -> Option<Vec<u8>> {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    (crumbs.len() > 1).then(|| crumbs.join(&b"; "[..]))
}

/// A method that usually has a body says so when it has none (RFC 9110, 8.6).
fn expects_body(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH) && !headers.contains_key(CONTENT_LENGTH)
}

/// The head for a service that speaks HTTP/2 too.
pub(super) fn forward(parts: &Parts, head: &RequestHead<'_>, told: &Told<'_>) -> Result<Request<()>, Fault> {
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + LINES_ADDED);
    for (name, value) in &parts.headers {
        let field = Field::of(name.as_str().as_bytes());
        let is_te = field == Field::Te && value.as_bytes().eq_ignore_ascii_case(b"trailers");
        let is_dropped = matches!(field, Field::Host | Field::Expect);
        if is_te || !is_dropped && request_head::passes(head, field, name.as_str()) {
            headers.append(name.clone(), value.clone());
        }
    }
    let mut lines = Vec::new();
    request_head::put_forwarded(head, told, &mut lines);
    lines.extend_from_slice(b"X-Request-ID: ");
    (told.request_id)(&mut lines);
    lines.extend_from_slice(b"\r\n\r\n");
    insert_lines(&mut headers, &lines);
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    request(parts.method.clone(), told.host, path, headers)
}

/// The head that an HTTP/1 service would have got, for one that speaks HTTP/2.
pub(super) fn translate(bytes: &[u8], headers_max: usize) -> Result<Request<()>, Fault> {
    // Beside the client's lines there are those that the proxy put in.
    let mut lines = vec![httparse::EMPTY_HEADER; headers_max + 2 * LINES_ADDED];
    let mut parsed = httparse::Request::new(&mut lines);
    if !matches!(parsed.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return Err(Fault::UpstreamInvalid);
    }
    let method =
        Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()).map_err(|_| Fault::UpstreamInvalid)?;
    let mut host = "";
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        match Field::of(line.name.as_bytes()) {
            Field::Host => host = std::str::from_utf8(line.value).unwrap_or_default(),
            Field::Connection | Field::Upgrade | Field::TransferEncoding | Field::KeepAlive | Field::Expect => {}
            _ => append(&mut headers, line.name.as_bytes(), line.value),
        }
    }
    request(method, host, path_of(parsed.path.unwrap_or("/"))?, headers)
}

/// What HTTP/1 forgives in a path is escaped, since the library takes less.
fn path_of(path: &str) -> Result<PathAndQuery, Fault> {
    path.parse().or_else(|_| {
        let escape = |byte: u8| match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'[' | b']' => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        };
        path.bytes().map(escape).collect::<String>().parse().map_err(|_| Fault::UpstreamInvalid)
    })
}

fn request(method: Method, host: &str, path: PathAndQuery, headers: HeaderMap) -> Result<Request<()>, Fault> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(host.parse().map_err(|_| Fault::BadHost)?);
    uri.path_and_query = Some(path);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Fault::BadHost)?;
    *request.version_mut() = HttpVersion::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The map's lines as those of a head.
pub(super) fn fields_of(headers: &HeaderMap) -> Fields<'_> {
    let lines: Vec<_> =
        headers.iter().map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }).collect();
    Fields::of(&lines)
}

/// Adds the lines of a section that ends in an empty line.
pub(super) fn insert_lines(headers: &mut HeaderMap, section: &[u8]) {
    for line in section.split(|byte| *byte == b'\n') {
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            append(headers, &line[..colon], line[colon + 1..].trim_ascii());
        }
    }
}

/// Adds a line that a parser has let through.
pub(super) fn append(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        // Fails only beyond 32,768 lines, which no limit here allows.
        let _ = headers.try_append(name, value);
    }
}

/// Takes out the trailers that may not be passed on.
pub(super) fn strip_trailers(mut trailers: HeaderMap) -> HeaderMap {
    let is_barred = |name: &&HeaderName| Field::is_barred_from_trailers(name.as_str().as_bytes());
    let barred: Vec<HeaderName> = trailers.keys().filter(is_barred).cloned().collect();
    for name in barred {
        trailers.remove(name);
    }
    trailers
}

/// Writes the trailers that may be passed on.
pub(super) fn put_trailers(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    for (name, value) in trailers.into_iter().flatten() {
        if !Field::is_barred_from_trailers(name.as_str().as_bytes()) {
            request_head::put(out, name.as_str(), value.as_bytes());
        }
    }
}
