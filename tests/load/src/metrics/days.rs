//! Days of data: events of some thousand users with sessions, and summaries of every 10 s as agents send them.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use fastrand::Rng;
use ridealong_common::block::Block;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::{Context as EventContext, TrackedEvent};
use ridealong_common::frame::Frame;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::{Resource, SummaryRow};
use ridealong_common::sketch::Sketch;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;

use crate::frames::Encoded;

const DAY_US: i64 = 86_400_000_000;
const INTERVAL_US: i64 = 10_000_000;
const ROWS_A_CHUNK: usize = 1_000;
const USERS: u32 = 50_000;
/// A user's events within this are of one session.
const SESSION_US: i64 = 1_800_000_000;
const KINDS: [(&str, &str); 8] = [
    ("page_view", "page"),
    ("click", "ui"),
    ("search", "shop"),
    ("product_viewed", "shop"),
    ("added_to_cart", "shop"),
    ("order_placed", "shop"),
    ("video_played", "media"),
    ("login", "account"),
];
const COUNTRIES: [&str; 20] = [
    "US", "DE", "FR", "GB", "CH", "AT", "IT", "ES", "NL", "BE", "SE", "NO", "DK", "FI", "PL", "CZ", "JP", "IN", "BR",
    "CA",
];
const DEVICES: [(&str, &str); 4] =
    [("desktop", "Windows"), ("desktop", "macOS"), ("mobile", "iOS"), ("mobile", "Android")];

#[derive(Args, Clone)]
pub struct Days {
    /// Events in all
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub events: u64,
    /// Over so many days, the last of which ends now
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    days: u64,
    /// Services, each with an agent
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    services: u64,
    /// Routes of a service
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=500))]
    routes: u64,
    /// Rows of one route in one interval of 10 s: an agent sends what it has with each group commit, ten times a second
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=100))]
    parts: u64,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl Days {
    pub fn micros(&self) -> i64 {
        self.days as i64 * DAY_US
    }

    /// When the data ends: now, or when it was made.
    pub fn end(&self, data: &Path) -> Result<i64> {
        match std::fs::read_to_string(data.join("made")) {
            Ok(text) => text.trim().parse().context("the data's file made is damaged"),
            Err(_) => Ok(Timestamp::now().micros() / INTERVAL_US * INTERVAL_US),
        }
    }

    /// Of each interval and route, one of what went well, and now and then one of what did not.
    pub fn summaries(&self) -> u64 {
        let intervals = (self.micros() / INTERVAL_US) as u64;
        intervals * self.services * (self.routes * self.parts + 1)
    }

    pub fn event_frames(&self, end: i64) -> Result<Vec<Vec<Encoded>>> {
        let mut random = Rng::with_seed(self.seed);
        let (start, gap) = (end - self.micros(), self.micros() as f64 / self.events as f64);
        let rows = (0..self.events).map(|at| event(&mut random, start + (at as f64 * gap) as i64));
        frames(Table::Events, rows, TrackedEvent::block)
    }

    pub fn summary_frames(&self, end: i64) -> Result<Vec<Vec<Encoded>>> {
        let mut all = Vec::new();
        for service in 0..self.services {
            let mut random = Rng::with_seed(self.seed + service);
            let resource = Resource {
                service: format!("service-{service}"),
                version: Some("1.0.0".to_owned()),
                environment: Some("load".to_owned()),
                host: format!("host-{}", service % 3),
            };
            let start = end - self.micros();
            let rows = (0..self.micros() / INTERVAL_US).flat_map(|interval| {
                let at = Timestamp(start + interval * INTERVAL_US);
                let failed = summary(&mut random, at, 0, 500);
                let well: Vec<SummaryRow> = (0..self.routes * self.parts)
                    .map(|at_route| summary(&mut random, at, at_route % self.routes, 200))
                    .collect();
                well.into_iter().chain([failed])
            });
            all.extend(frames(Table::RequestSummaries, rows, |rows| SummaryRow::block(rows, &resource))?);
        }
        Ok(all)
    }
}

/// Frames of events of now, a minute of them.
pub fn coming(seed: u64, rate: u64) -> Result<Vec<Vec<Encoded>>> {
    let mut random = Rng::with_seed(seed + 1);
    let (start, gap) = (Timestamp::now().micros(), 1e6 / rate as f64);
    let rows = (0..rate * 60).map(|at| event(&mut random, start + (at as f64 * gap) as i64));
    frames(Table::Events, rows, TrackedEvent::block)
}

fn event(random: &mut Rng, at: i64) -> TrackedEvent {
    let (event_type, category) = KINDS[(random.f64().powi(2) * KINDS.len() as f64) as usize];
    let user = (random.f64().powi(2) * f64::from(USERS)) as u32;
    let (device, platform) = DEVICES[user as usize % DEVICES.len()];
    let country = COUNTRIES[user as usize % COUNTRIES.len()];
    TrackedEvent {
        event_id: EventId::from_u128(
            u128::from((at / 1_000) as u64) << 80 | 0x7 << 76 | 0b10 << 62 | u128::from(random.u64(0..1 << 62)),
        ),
        timestamp: Timestamp(at),
        event_type: event_type.to_owned(),
        event_category: Some(category.to_owned()),
        user_id: Some(format!("user-{user}")),
        anonymous_id: None,
        session_id: Some(format!("session-{user}-{}", at / SESSION_US)),
        properties: Some(format!("{{\"page\":{}}}", random.u32(0..1_000))),
        context: EventContext {
            country: Some(country.to_owned()),
            device_type: Some(device.to_owned()),
            platform: Some(platform.to_owned()),
            ..EventContext::default()
        },
        source: Some(["web", "app", "shop"][user as usize % 3].to_owned()),
        version: Some("1.0.0".to_owned()),
        environment: Some("load".to_owned()),
        schema_version: None,
        sent_at: None,
        corrections: None,
    }
}

fn summary(random: &mut Rng, at: Timestamp, route: u64, status: u16) -> SummaryRow {
    let count = if status < 500 { random.u64(1..12) } else { random.u64(1..3) };
    let mut duration_sketch = Sketch::new();
    let (mut sum, mut max) = (0, 0);
    for _ in 0..count {
        let value = (400.0 * (random.f64() * 1.5).exp() / random.f64().max(1e-3).sqrt()) as u64 * (1 + route % 5);
        duration_sketch.add(value);
        (sum, max) = (sum + value, max.max(value));
    }
    SummaryRow {
        timestamp: at,
        route: format!("/route-{route}/{{id}}").into(),
        method: "GET".into(),
        status: Some(status),
        count,
        error_count: if status < 500 { 0 } else { count },
        duration_sum_us: sum,
        duration_max_us: max,
        duration_sketch,
        request_bytes: count * 200,
        response_bytes: count * 4_000,
    }
}

/// Frames of one producer, a chunk each.
fn frames<T>(table: Table, rows: impl Iterator<Item = T>, block: impl Fn(&[T]) -> Block) -> Result<Vec<Vec<Encoded>>> {
    let producer = ProducerId::draw();
    let (mut frames, mut first, mut waiting) = (Vec::new(), 0u64, Vec::with_capacity(ROWS_A_CHUNK));
    let mut rows = rows.peekable();
    while let Some(row) = rows.next() {
        waiting.push(row);
        if waiting.len() < ROWS_A_CHUNK && rows.peek().is_some() {
            continue;
        }
        let chunk = Chunk::new(producer, table, first, &block(&waiting)).context("a chunk is over a limit")?;
        first += waiting.len() as u64;
        let frame = Frame { producer, announced: first, sent_at_us: Timestamp::now().micros(), chunks: vec![chunk] };
        let bytes = frame.encode().context("a frame is over a limit")?;
        frames.push(Encoded { bytes: Bytes::from(bytes), rows: waiting.len() as u64 });
        waiting.clear();
    }
    Ok(vec![frames])
}
