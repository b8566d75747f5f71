//! How long a body is, and which of the bytes at hand belong to it.

use super::chunked::{Chunked, Malformed, Run};

/// A body on its way, from its first byte to its end.
#[derive(Debug)]
pub enum Body {
    /// This many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
    /// Ends with its connection.
    UntilClose,
}

/// What the next bytes are to the body's reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Data(usize),
    /// Not of the body itself; what goes on in its place where the body stays in chunks is in [`Body::put_framing`].
    Framing(usize),
}

impl Body {
    pub const NONE: Body = Body::Length(0);

    pub fn chunked() -> Self {
        Body::Chunked(Chunked::new())
    }

    /// Whether its last byte has been seen. What ends with its connection never knows.
    pub fn is_done(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunked) => chunked.is_done(),
            Body::UntilClose => false,
        }
    }

    pub fn is_chunked(&self) -> bool {
        matches!(self, Body::Chunked(_))
    }

    pub fn ends_with_connection(&self) -> bool {
        matches!(self, Body::UntilClose)
    }

    /// The first piece of `bytes`, which must not be empty; the body must not be done.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        match self {
            Body::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= length as u64;
                Ok(Piece::Data(length))
            }
            Body::UntilClose => Ok(Piece::Data(bytes.len())),
            Body::Chunked(chunked) => chunked.scan(bytes).map(|run| match run {
                Run::Data(length) => Piece::Data(length),
                Run::Framing(length) => Piece::Framing(length),
            }),
        }
    }

    /// Moves to `out` the framing to be passed on, in place of what was read of it so far.
    pub fn put_framing(&mut self, out: &mut Vec<u8>) {
        if let Body::Chunked(chunked) = self {
            chunked.put_framing(out);
        }
    }

    /// The trailers that may pass, as lines with an empty one at the end, if there are any; once. They are part of the
    /// framing too.
    pub fn take_trailers(&mut self) -> Option<Vec<u8>> {
        match self {
            Body::Chunked(chunked) => chunked.take_trailers(),
            Body::Length(_) | Body::UntilClose => None,
        }
    }
}
