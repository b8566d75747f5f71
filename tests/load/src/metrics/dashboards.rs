//! Questions as dashboards ask them, each of a range whose ends lie anywhere.

use fastrand::Rng;
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};

const HOUR: i64 = 3_600_000_000;

/// µs.
#[derive(Clone, Copy)]
pub struct Range {
    pub start: i64,
    pub end: i64,
}

/// One panel.
pub struct Dashboard {
    name: &'static str,
    metrics: &'static [&'static str],
    dimensions: &'static [&'static str],
    /// None for all of the data.
    hours: Option<i64>,
    granularity: Option<&'static str>,
    filter: Option<(&'static str, &'static str)>,
}

impl Dashboard {
    pub fn all() -> Vec<Self> {
        let panel = |name, metrics, dimensions, hours, granularity, filter| Self {
            name,
            metrics,
            dimensions,
            hours,
            granularity,
            filter,
        };
        vec![
            panel(
                "latency of a service, 1 h by minute",
                &["latency_p50", "latency_p95", "latency_p99"],
                &[],
                Some(1),
                Some("1m"),
                Some(("service", "service-1")),
            ),
            panel(
                "latency by route, 24 h",
                &["request_count", "error_rate", "latency_p95"],
                &["route"],
                Some(24),
                None,
                Some(("service", "service-0")),
            ),
            panel(
                "errors by service, all days by hour",
                &["request_count", "error_count", "error_rate"],
                &["service"],
                None,
                Some("1h"),
                None,
            ),
            panel("traffic, 6 h by minute", &["requests_per_second", "error_rate"], &[], Some(6), Some("1m"), None),
            panel("statuses, 24 h by 15 minutes", &["request_count"], &["status"], Some(24), Some("15m"), None),
            panel("events by type, all days by hour", &["event_count"], &["event_type"], None, Some("1h"), None),
            panel("events, 15 minutes by 10 s", &["event_count", "events_per_second"], &[], Some(1), Some("10s"), None),
            panel("users, all days by hour", &["unique_users", "unique_sessions"], &[], None, Some("1h"), None),
            panel("users by type, 24 h", &["unique_users", "event_count"], &["event_type"], Some(24), None, None),
            panel("users by country, all days", &["unique_users"], &["country"], None, None, None),
            panel(
                "overview, 24 h",
                &["event_count", "unique_users", "request_count", "error_rate", "latency_p99"],
                &[],
                Some(24),
                None,
                None,
            ),
        ]
    }

    /// Of a stretch that lies anywhere in the data.
    pub fn ask(&self, random: &mut Rng, range: Range) -> (&'static str, Value) {
        // All of the data but a little, which differs each time.
        let length = self.hours.map_or(range.end - range.start - HOUR, |hours| hours * HOUR);
        let length = length.min(range.end - range.start - 1);
        let from = random.i64(range.start..range.end - length);
        (self.name, self.body(from, from + length))
    }

    /// Up to the newest.
    pub fn ask_newest(&self, range: Range) -> (&'static str, Value) {
        let now = Timestamp::now().micros();
        (self.name, self.body(self.hours.map_or(range.start, |hours| now - hours * HOUR), now))
    }

    fn body(&self, from: i64, to: i64) -> Value {
        let filters: Vec<Value> =
            self.filter.iter().map(|(field, value)| json!({ "field": field, "op": "=", "value": value })).collect();
        json!({
            "metrics": self.metrics,
            "dimensions": self.dimensions,
            "filters": filters,
            "timeRange": { "from": Timestamp(from).to_string(), "to": Timestamp(to).to_string() },
            "granularity": self.granularity,
        })
    }
}
