//! HTTP/1 as bytes: reading heads, following bodies. No sockets, no time, no policy beyond the grammar.
//!
//! The proxy passes on the bytes that it read, not a new rendering of them, so whatever it lets through must mean the same
//! to everyone behind it. Hence the rules here are those of RFC 9112 without its leniencies: line ends are CRLF, framing is
//! said once and in one way. Where two readers could disagree, the message is refused.

mod body;
mod chunked;
mod field;
mod host;
mod request;
mod response;

#[cfg(test)]
mod tests;

pub use body::{Body, Piece};
pub use chunked::{Malformed, put_chunk_size};
pub use field::{Field, members};
pub use host::is_valid_host;
pub use request::{Fields, Refusal, RequestHead, RequestParser, RequestTarget};
pub use response::{Framing, ResponseHead, ResponseLimits};

/// The second digit of `HTTP/1.x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    pub const fn text(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

/// The most headers that any limit may allow: what a head is parsed into lies on the stack.
pub const HEADERS_MAX: usize = 256;
