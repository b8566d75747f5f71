//! A sandbox for end-to-end tests: the real programs on loopback ports, each in its own folder, killed and started again
//! at will. Knows the programs' outside only: commands, ports, HTTP.
//!
//! [`process`] runs a program; [`aggregator`] and [`agent`] are the two of them; [`upstream`] is a service that remembers
//! what it served; [`api`] speaks JSON over HTTP; [`load`] sends requests through a proxy; [`frames`] makes batches by
//! hand, sound and forged; [`events`] makes tracked events; [`wait`] waits for conditions.

pub mod process;

pub mod agent;
pub mod aggregator;
pub mod upstream;

pub mod api;
pub mod wait;

pub mod events;
pub mod frames;
pub mod load;

pub use agent::Agent;
pub use aggregator::Aggregator;
pub use api::{Answer, Api};
pub use load::Load;
pub use upstream::Upstream;
pub use wait::{eventually, free_address};
