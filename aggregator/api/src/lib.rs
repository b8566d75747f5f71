//! HTTP of the aggregator. Adapters only: a handler translates a request, calls one service, translates the answer. HTTP
//! words stay here; SQL words that are part of an endpoint's meaning stay beside it.
//!
//! [`router`] is the map of all paths.

mod batches;
mod config;
mod event;
mod events;
mod failure;
mod flush;
mod health;
mod jobs;
mod lag;
mod metrics;
mod mutations;
mod performance;
mod prometheus;
mod quarantine;
mod query;
mod recent;
mod retention;
mod router;
mod services;
mod stats;

pub use health::Disk;
pub use router::router;
pub use services::{Limits, Services};
