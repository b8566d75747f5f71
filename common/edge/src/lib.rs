//! What the HTTP APIs of agent and aggregator share. Knows no service of either.
//!
//! [`failure`] turns problems into answers, [`body`] reads bounded bodies, [`parameters`] those of a URL, [`loopback`] keeps other machines' pages out
//! while no key exists, [`prometheus`] writes its text format, [`events`] reads and answers tracked events.

pub mod body;
pub mod events;
pub mod failure;
pub mod loopback;
pub mod parameters;
pub mod prometheus;

pub use failure::Failure;
