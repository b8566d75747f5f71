//! HTTP of the aggregator. Adapters only: a handler translates a request, calls one service, translates the answer. HTTP
//! words stay here; SQL words that are part of an endpoint's meaning stay beside it.
//!
//! [`router`] is the map of all paths, [`description`] what they say of themselves.

mod batches;
mod config;
mod cursor;
mod description;
mod docs;
mod events;
mod export;
mod failure;
mod flush;
mod health;
mod jobs;
mod lag;
mod live;
mod metrics;
mod mutations;
mod parameter;
mod performance;
mod prometheus;
mod quarantine;
mod query;
mod realtime;
mod recent;
mod retention;
mod router;
mod services;
mod stats;
mod track;

pub use health::Disk;
pub use router::{openapi, router};
pub use services::{Limits, Services};
