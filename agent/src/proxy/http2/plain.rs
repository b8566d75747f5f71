//! The sides of an exchange that speak HTTP/1: a client whose service speaks HTTP/2, or a service whose client does.

mod client;
mod service;

use bytes::Bytes;
use http::HeaderMap;
use ridealong_http1::{Body, Malformed, Piece};

use super::request::insert_lines;
use super::sides::Part;

pub(super) use client::PlainClient;
pub(super) use service::{Framed, PlainService};

/// Waiting to be written, before more of a body is taken.
const OUTBOX_BYTES_MAX: usize = 16 * 1024;

/// What `bytes` hold of a body, up to the first piece of data, or its end; and how many of them that took.
fn part_of(body: &mut Body, bytes: &[u8]) -> Result<(Option<Part>, usize), Malformed> {
    let mut used = 0;
    while used < bytes.len() && !body.is_done() {
        match body.next(&bytes[used..])? {
            Piece::Data(length) => {
                let data = Bytes::copy_from_slice(&bytes[used..used + length]);
                let last = matches!(body, Body::Length(0));
                return Ok((Some(Part::Data { bytes: data, last }), used + length));
            }
            Piece::Framing(length) => used += length,
        }
    }
    Ok((body.is_done().then(|| end_of(body)), used))
}

fn end_of(body: &mut Body) -> Part {
    let mut trailers = HeaderMap::new();
    if let Some(lines) = body.take_trailers() {
        insert_lines(&mut trailers, &lines);
    }
    if trailers.is_empty() { Part::End } else { Part::Trailers(trailers) }
}
