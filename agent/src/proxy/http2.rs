//! HTTP/2 without TLS, by prior knowledge: with clients on the port that HTTP/1 uses too, and with services at `h2c://`.
//!
//! Frames, windows and header compression are the h2 crate's; what a request is allowed to say, what is added to it and how
//! it is recorded are the rules of the HTTP/1 side, applied to the same parsed head. One task drives both sides of an
//! exchange ([`bridge`]), whichever protocol each speaks, and holds one piece of each body at most: a window is opened
//! again only when what came through it has been handed on.
//!
//! ```text
//!   client                                  service
//!   session ──► StreamClient ─┐        ┌─► StreamService ◄── links
//!                             ├ bridge ┤
//!   exchanges ─► PlainClient ─┘        └─► PlainService  ◄── upstream
//! ```
//! HTTP/1 on both sides never comes here.

mod bridge;
mod clock;
mod exchange;
mod links;
mod opened;
mod plain;
mod request;
mod response;
mod rewound;
mod session;
mod sides;
mod stream_client;
mod stream_service;
mod upload;

pub(super) use clock::Clocks;
pub(super) use exchange::of_http1;
pub(super) use links::Links;
pub(super) use session::serve;

/// Requests at once on one connection. RFC 9113 asks for 100 at least; browsers and gRPC clients open another connection
/// when they want more.
const STREAMS_MAX: u32 = 128;
/// What a client may send of one body before the service takes it: at 50 ms to the client, 5 MB a second.
const CLIENT_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// What one connection of a client can make us hold, however many streams it opens.
const CLIENT_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What a service may send of one body before the client takes it. The service is near, so that little is on its way.
const SERVICE_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Enough for every stream's window: clients share the connection, and one that reads slowly must not stop the others.
const SERVICE_CONNECTION_WINDOW_BYTES: u32 = SERVICE_STREAM_WINDOW_BYTES * STREAMS_MAX;
/// Handed to a connection and not yet written, for each stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
