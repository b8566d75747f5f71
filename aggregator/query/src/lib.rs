//! SQL over one pinned snapshot.
//!
//! In reading order: [`Engine`] takes a statement, pins a snapshot of the lake and runs it on threads of its own; a
//! [`session`] holds the caller's tables and nothing else; [`system`] has those about the system itself;
//! [`provider`] scans one table of the snapshot, hot and cold, with [`stored_filter`]s;
//! [`derived`] makes `sessions` and `users` of visits, with [`segments`] by rule;
//! [`answer`] turns the result into JSON; [`percentile`] and [`uuid_text`] are the functions we add, [`date_trunc`] one
//! that we make quicker.
//!
//! [`export`] makes files of all the rows of a statement.
//!
//! Reads only: [`guard`] refuses whatever is not a query. [`limits`] end what takes too long or too much.

mod answer;
mod date_trunc;
mod derived;
mod engine;
mod export;
mod guard;
mod in_force;
mod limits;
mod percentile;
mod provider;
mod segments;
mod session;
mod system;
mod uuid_text;

pub use engine::{Engine, EngineOptions, StartError};
pub use export::Exporter;
