//! Clients that speak HTTP/1: their requests one after the other, each over a relay to a service that speaks it too, or
//! through the bridge to one that does not.

pub(super) mod client;
pub(super) mod exchanges;
pub(super) mod outbox;
pub(super) mod relay;
pub(super) mod request;
pub(super) mod request_head;
pub(super) mod response_head;
mod tunnel;

pub(super) use exchanges::serve;
