//! When the lake's jobs run, and how they went. Knows no engine and no HTTP.
//!
//! [`Jobs`] runs one at a time, each when its time has come or somebody asks; the `board` says which is next and how each
//! stands; what is `kept` of it lasts longer than the process.

mod board;
mod jobs;
mod kept;

pub use board::Schedule;
pub use jobs::{Answer, Jobs, TooMany};
