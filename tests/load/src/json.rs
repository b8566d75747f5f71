//! `json`: the doors for JSON events under load, as services and browsers use them.

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};

use crate::delivery::Door;
use crate::frames::{Encoded, Kind};
use crate::measured::{How, Load, measure};
use crate::target::Which;
use crate::tracked::Tracked;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
    /// Events in all
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    events: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    connections: u64,
    /// Events of one POST /batch-track
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    batch: u64,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let service = format!("load-{:08x}", fastrand::u32(..));
    let bodies = bodies(&options, &service);
    let target = options.which.start(binaries)?;
    let door = Door {
        url: format!("{}/api/analytics/batch-track", target.url),
        media_type: "application/json",
        stored: &["successfulEvents"],
    };
    measure(&target, Load { kind: Kind::Events, service, door, bodies }, &options.how).await
}

fn bodies(options: &Options, service: &str) -> Vec<Vec<Encoded>> {
    let of_connection = |at: u64| {
        let mut left = options.events / options.connections + u64::from(at < options.events % options.connections);
        let mut tracked = Tracked::new(service, options.seed.wrapping_add(at), Timestamp::now(), false);
        let mut bodies = Vec::new();
        while left > 0 {
            let rows = left.min(options.batch);
            let events: Vec<Value> = (0..rows).map(|_| tracked.json()).collect();
            bodies.push(Encoded { bytes: Bytes::from(json!({ "events": events }).to_string()), rows });
            left -= rows;
        }
        bodies
    };
    (0..options.connections).map(of_connection).collect()
}
