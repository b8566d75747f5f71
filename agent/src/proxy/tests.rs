//! The proxy between real sockets: a client and a service written out byte by byte, so that each can misbehave.

mod clock;
mod drain;
mod faults;
mod flow;
mod heads;
mod http2;
mod limits;
mod reuse;
mod sandbox;
mod semantics;
mod slow;
mod units;
mod wire;
