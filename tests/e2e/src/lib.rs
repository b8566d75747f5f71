//! A sandbox for end-to-end tests: the real programs on loopback ports, each in its own folder, killed and started again
//! at will. Knows the programs' outside only: commands, ports, HTTP.
//!
//! [`process`] runs a program; [`aggregator`] and [`agent`] are the two of them; [`upstream`] is a service that remembers
//! what it served, [`raw_origin`] one that reads its requests byte by byte; [`real_origin`] are those that people run, [`scripted`] plays any; [`wire`] is a connection on which anything can
//! be sent; [`api`] speaks JSON over HTTP; [`cutter`] is a bad network, [`faulty`] a bad store before [`moto`], which is a good one, and [`tmpfs`] a small disk; [`ledger`] asks for the books; [`live`] watches live numbers, [`load`] sends requests through a proxy; [`frames`] makes batches by
//! hand, sound and forged; [`events`] makes tracked events; [`exposition`] reads Prometheus' format; [`wait`] waits for conditions.

use std::path::PathBuf;

pub mod process;

pub mod agent;
pub mod aggregator;
pub mod moto;
pub mod raw_origin;
pub mod real_origin;
pub mod scripted;
pub mod upstream;

pub mod api;
pub mod cutter;
pub mod faulty;
pub mod http2;
pub mod tmpfs;
pub mod wait;
pub mod wire;

pub mod events;
pub mod exposition;
pub mod frames;
pub mod ledger;
pub mod live;
pub mod load;

pub use agent::Agent;
pub use aggregator::Aggregator;
pub use api::{Answer, Api};
pub use cutter::Cutter;
pub use faulty::Faulty;
pub use load::Load;
pub use moto::Moto;
pub use raw_origin::RawOrigin;
pub use real_origin::RealOrigin;
pub use scripted::Scripted;
pub use tmpfs::Tmpfs;
pub use upstream::Upstream;
pub use wait::{eventually, free_address};
pub use wire::Wire;

/// The folder of this package in the checkout that is tested, wherever the test was built.
#[allow(clippy::disallowed_methods, reason = "not a setting: cargo and nextest say where the package lies")]
pub fn package_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}
