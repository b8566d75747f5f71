//! Tracked events as a shop's web site would send them: some thousand visitors, sessions of about twenty events, a few
//! dozen user agents with ever new versions, properties of five members. Times and ids are now.

use anyhow::{Context, Result};
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};

use crate::workload::GAP_US;

const VISITORS: u32 = 20_000;
const PAGES: u32 = 1_400;
/// Versions of one browser that are in use at one time.
const VERSIONS: u32 = 40;

const KINDS: [(&str, &str, u32); 6] = [
    ("page_view", "page", 60),
    ("product_viewed", "shop", 20),
    ("search", "shop", 10),
    ("added_to_cart", "shop", 6),
    ("order_placed", "shop", 2),
    ("video_played", "media", 2),
];

/// `{}` is a version.
const USER_AGENTS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.4 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html) v{}",
];

/// The events of one sender, without end.
pub struct Tracked {
    random: fastrand::Rng,
    time_us: i64,
    gap_us: f64,
    service: String,
    /// Ids made at the events' times, as callers do, and not all at once.
    whole: bool,
}

impl Tracked {
    pub fn new(service: &str, seed: u64, start: Timestamp, whole: bool) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            time_us: start.micros(),
            gap_us: GAP_US,
            service: service.to_owned(),
            whole,
        }
    }

    /// With so long, µs, between two events on average.
    #[must_use]
    pub fn every(self, gap_us: f64) -> Self {
        Self { gap_us, ..self }
    }

    /// As a caller would send it.
    pub fn json(&mut self) -> Value {
        let random = &mut self.random;
        self.time_us += (-self.gap_us * random.f64().max(1e-9).ln()) as i64;
        let id = if self.whole { id_at(self.time_us, random) } else { EventId::draw() };
        let visitor = random.u32(0..VISITORS);
        let version = (90 + random.u32(0..VERSIONS)).to_string();
        let user_agent = USER_AGENTS[random.usize(0..USER_AGENTS.len())].replace("{}", &version);
        let (event_type, category) = kind(random);
        let page = random.u32(0..PAGES);
        json!({
            "eventId": id.to_string(),
            "timestamp": Timestamp(self.time_us).to_string(),
            "eventType": event_type,
            "eventCategory": category,
            "userId": format!("user-{visitor}"),
            "sessionId": format!("session-{visitor}-{}", self.time_us / 600_000_000),
            "properties": {
                "path": format!("/articles/{page}"),
                "title": format!("Article number {page}"),
                "price": f64::from(random.u32(100..20_000)) / 100.0,
                "quantity": random.u32(1..5),
                "member": random.bool(),
            },
            "context": {
                "userAgent": user_agent,
                "ipAddress": format!("203.{}.{}.{}", visitor % 256, visitor / 256, page % 256),
                "referrer": "https://www.example.com/search",
            },
            "source": self.service,
            "version": "1.0.0",
            "environment": "load",
        })
    }

    /// As an agent's API has read it.
    pub fn event(&mut self) -> Result<TrackedEvent> {
        let now = Timestamp(self.time_us);
        TrackedEvent::from_json(&self.json(), &Defaults::default(), now).context("an event made up here is no event")
    }
}

/// A UUIDv7 whose random bits are all drawn.
fn id_at(time_us: i64, random: &mut fastrand::Rng) -> EventId {
    let high = ((time_us / 1_000) as u64) << 16 | 0x7000 | random.u64(0..0x1000);
    EventId::from_u128(u128::from(high) << 64 | u128::from(0b10 << 62 | random.u64(0..1 << 62)))
}

fn kind(random: &mut fastrand::Rng) -> (&'static str, &'static str) {
    let mut at = random.u32(0..100);
    for (event_type, category, share) in KINDS {
        if at < share {
            return (event_type, category);
        }
        at -= share;
    }
    unreachable!("the shares add up to a hundred")
}
