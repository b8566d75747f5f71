//! A response's head. More is forgiven here than in a request: the service is trusted, old ones are sloppy, and every line
//! is written anew on the way.

use http::StatusCode;

use super::body::Body;
use super::field::{Field, members};
use super::request::{Connection, Fields, content_length};
use super::{HEADERS_MAX, Malformed, Version};

/// The largest head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseLimits {
    pub head_bytes_max: usize,
}

/// A head in the bytes that it was read from.
pub struct ResponseHead<'b> {
    pub status: StatusCode,
    pub reason: &'b str,
    pub fields: Fields<'b>,
    pub framing: Framing,
    /// Whether the connection may be used again, if the body has an end of its own.
    pub keeps_alive: bool,
    pub switches: bool,
    pub connection_names: Vec<&'b [u8]>,
    /// How many bytes of the input it took.
    pub length: usize,
}

/// What the head says of the body that a response to anything but HEAD has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    /// Codings whose end is not chunked, or nothing at all.
    UntilClose,
}

impl Framing {
    pub fn body(self) -> Body {
        match self {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::chunked(),
            Framing::UntilClose => Body::UntilClose,
        }
    }
}

impl ResponseLimits {
    /// The head at the start of `bytes`, or nothing if its end is not there yet.
    pub fn parse<'b>(&self, bytes: &'b [u8]) -> Result<Option<ResponseHead<'b>>, Malformed> {
        let mut lines = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        match parser.parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines) {
            Ok(httparse::Status::Complete(length)) if length <= self.head_bytes_max => check(&parsed, length).map(Some),
            Ok(httparse::Status::Partial) if bytes.len() <= self.head_bytes_max => Ok(None),
            _ => Err(Malformed),
        }
    }
}

fn check<'b>(parsed: &httparse::Response<'_, 'b>, length: usize) -> Result<ResponseHead<'b>, Malformed> {
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let fields = Fields::of(parsed.headers);
    let connection = Connection::of(&fields);
    let has_both = fields.has(Field::ContentLength) && fields.has(Field::TransferEncoding);
    let framing = framing(&fields, version)?;
    let keeps_alive = if version == Version::Http11 { !connection.close } else { connection.keep_alive };
    Ok(ResponseHead {
        status,
        reason: parsed.reason.unwrap_or_default(),
        framing,
        // Who frames twice may not agree with us on where the next response begins.
        keeps_alive: keeps_alive && !has_both,
        switches: connection.upgrade && fields.has(Field::Upgrade),
        connection_names: connection.names,
        fields,
        length,
    })
}

fn framing(fields: &Fields<'_>, version: Version) -> Result<Framing, Malformed> {
    if fields.has(Field::TransferEncoding) {
        if version == Version::Http10 {
            return Err(Malformed);
        }
        let last = fields.values(Field::TransferEncoding).flat_map(members).last();
        let is_chunked = last.is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
        return Ok(if is_chunked { Framing::Chunked } else { Framing::UntilClose });
    }
    let mut lengths = fields.values(Field::ContentLength).flat_map(|value| value.split(|byte| *byte == b','));
    let Some(first) = lengths.next() else { return Ok(Framing::UntilClose) };
    let length = content_length(first.trim_ascii()).ok_or(Malformed)?;
    // Said twice alike is said once (RFC 9110, 8.6).
    if lengths.all(|other| content_length(other.trim_ascii()) == Some(length)) {
        Ok(Framing::Length(length))
    } else {
        Err(Malformed)
    }
}
