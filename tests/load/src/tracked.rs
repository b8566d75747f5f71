//! Tracked events as a shop's web site would send them: some thousand visitors, sessions of about twenty events, a few
//! dozen user agents with ever new versions, properties of five members. Times and ids are now.

use anyhow::{Context, Result};
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};

const VISITORS: u32 = 20_000;
const PAGES: u32 = 1_400;
/// Versions of one browser that are in use at one time.
const VERSIONS: u32 = 40;
/// Between two events of one sender on average.
const GAP_US: f64 = 500.0;
/// How long a session lasts, and its events on average where events come in sessions.
const SESSION_US: i64 = 600_000_000;
const SESSION_EVENTS: f64 = 8.0;

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
    service: String,
    /// Ids made at the events' times, as callers do, and not all at once.
    whole: bool,
    gap_us: f64,
    /// Visitors at a time; without it all of them.
    at_once: Option<u32>,
    seed: u64,
}

impl Tracked {
    pub fn new(service: &str, seed: u64, start: Timestamp, whole: bool) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let (time_us, service) = (start.micros(), service.to_owned());
        Self { random, time_us, service, whole, gap_us: GAP_US, at_once: None, seed }
    }

    /// So far apart on average, and few visitors at a time, so that a session has some eight events.
    pub fn in_sessions(service: &str, seed: u64, start: Timestamp, gap_us: f64) -> Self {
        let events = SESSION_US as f64 / gap_us;
        let at_once = Some(((events / SESSION_EVENTS) as u32).clamp(1, VISITORS));
        Self { gap_us, at_once, ..Self::new(service, seed, start, true) }
    }

    /// Who is there, and in which of their sessions. Some come far more often than others.
    fn visitor(&mut self) -> (u32, String) {
        let window = self.time_us / SESSION_US;
        let Some(at_once) = self.at_once else {
            let visitor = self.random.u32(0..VISITORS);
            return (visitor, format!("session-{visitor}-{window}"));
        };
        let place = (window as u64) << 32 | self.seed << 16 | u64::from(self.random.u32(0..at_once));
        let mut place = fastrand::Rng::with_seed(place);
        let visitor = (place.f64().powi(3) * f64::from(VISITORS)) as u32;
        (visitor, random_id(&mut place).to_string())
    }

    /// As a caller would send it.
    pub fn json(&mut self) -> Value {
        self.time_us += (-self.gap_us * self.random.f64().max(1e-9).ln()) as i64;
        let (visitor, session) = self.visitor();
        let random = &mut self.random;
        let id = if self.whole { id_at(self.time_us, random) } else { EventId::draw() };
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
            "sessionId": session,
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

/// A UUIDv4, as most callers make for their sessions.
fn random_id(random: &mut fastrand::Rng) -> EventId {
    let high = random.u64(..) & !0xf000 | 0x4000;
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
