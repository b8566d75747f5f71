//! Rows in a list, and what they answer.

use std::collections::{BTreeMap, BTreeSet};

use ridealong_common::event::{Context, TrackedEvent};
use ridealong_common::ids::EventId;
use ridealong_common::rows::SummaryRow;
use ridealong_common::sketch::Sketch;
use ridealong_common::time::Timestamp;
use ridealong_model::metrics::{AskedFilter, MetricsAnswer, MetricsRequest, Moment};
use serde_json::{Map, Value, json};

use super::{HOUR, SECOND};

pub const SOURCES: [&str; 3] = ["shop", "Zürich", "日本 \"quoted\""];
pub const SERVICES: [&str; 2] = ["shop", "billing"];
pub const KINDS: [&str; 4] = ["click", "order", "search", "ünïcode"];
pub const COUNTRIES: [&str; 3] = ["CH", "DE", "JP"];
pub const ROUTES: [&str; 3] = ["/", "/orders/{id}", "/städte"];

#[derive(Default)]
pub struct Model {
    pub events: Vec<Event>,
    pub summaries: Vec<Summary>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub at: i64,
    pub source: Option<u8>,
    pub environment: Option<&'static str>,
    pub kind: u8,
    pub country: Option<u8>,
    pub user: Option<u8>,
    pub session: Option<u8>,
    pub version: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Summary {
    pub at: i64,
    pub service: u8,
    pub route: u8,
    pub status: Option<u16>,
    pub values: Vec<u64>,
    pub errors: u64,
    pub response_bytes: u64,
}

/// Mostly within a day, sometimes late, sometimes days away.
fn time(random: &mut fastrand::Rng, start: i64) -> i64 {
    match random.u32(0..10) {
        0 => start + random.i64(-40 * HOUR..70 * HOUR),
        1..4 => start + random.i64(0..60) * 10_000_003,
        _ => start + random.i64(0..26 * HOUR),
    }
}

impl Event {
    pub fn draw(random: &mut fastrand::Rng, start: i64) -> Self {
        let mut perhaps = |count: usize| (random.u32(0..8) > 0).then(|| random.u8(0..count as u8));
        let (source, country, user, session) =
            (perhaps(SOURCES.len()), perhaps(COUNTRIES.len()), perhaps(200), perhaps(250));
        Self {
            at: time(random, start),
            source,
            environment: [None, Some("live"), Some("")][random.usize(0..3)],
            kind: random.u8(0..KINDS.len() as u8),
            country,
            user,
            session,
            version: [None, Some("1"), Some("2")][random.usize(0..3)],
        }
    }

    pub fn tracked(&self) -> TrackedEvent {
        let named = |prefix: &str, number: Option<u8>| number.map(|number| format!("{prefix}-{number}"));
        let chosen = |names: &[&str], at: Option<u8>| at.map(|at| names[usize::from(at)].to_owned());
        TrackedEvent {
            event_id: EventId::draw(),
            timestamp: Timestamp(self.at),
            event_type: KINDS[usize::from(self.kind)].to_owned(),
            event_category: None,
            user_id: named("user", self.user),
            anonymous_id: None,
            session_id: named("session", self.session),
            properties: None,
            context: Context { country: chosen(&COUNTRIES, self.country), ..Context::default() },
            source: chosen(&SOURCES, self.source),
            version: self.version.map(str::to_owned),
            environment: self.environment.map(str::to_owned),
            schema_version: None,
            sent_at: None,
            corrections: None,
        }
    }

    fn column(&self, name: &str) -> Value {
        match name {
            "source" => json!(self.source.map(|at| SOURCES[usize::from(at)])),
            "environment" => json!(self.environment),
            "event_type" => json!(KINDS[usize::from(self.kind)]),
            "country" => json!(self.country.map(|at| COUNTRIES[usize::from(at)])),
            "version" => json!(self.version),
            "user_id" => json!(self.user.map(|user| format!("user-{user}"))),
            "platform" => Value::Null,
            other => panic!("no column {other}"),
        }
    }
}

impl Summary {
    pub fn draw(random: &mut fastrand::Rng, start: i64) -> Self {
        let status = [None, Some(200), Some(404), Some(503)][random.usize(0..4)];
        let values: Vec<u64> = (0..random.usize(1..30)).map(|_| (random.f64().powi(6) * 4e7) as u64).collect();
        let errors = if status.is_none_or(|status| status >= 500) { values.len() as u64 } else { 0 };
        Self {
            at: time(random, start).div_euclid(10 * SECOND) * 10 * SECOND,
            service: random.u8(0..SERVICES.len() as u8),
            route: random.u8(0..ROUTES.len() as u8),
            status,
            values,
            errors,
            response_bytes: random.u64(0..1 << 40),
        }
    }

    pub fn row(&self) -> SummaryRow {
        let mut duration_sketch = Sketch::new();
        self.values.iter().for_each(|value| duration_sketch.add(*value));
        SummaryRow {
            timestamp: Timestamp(self.at),
            route: ROUTES[usize::from(self.route)].into(),
            method: "GET".into(),
            status: self.status,
            count: self.values.len() as u64,
            error_count: self.errors,
            duration_sum_us: self.values.iter().sum(),
            duration_max_us: self.values.iter().copied().max().unwrap_or(0),
            duration_sketch,
            request_bytes: 0,
            response_bytes: self.response_bytes,
        }
    }

    fn column(&self, name: &str) -> Value {
        match name {
            "service" => json!(SERVICES[usize::from(self.service)]),
            "route" => json!(ROUTES[usize::from(self.route)]),
            "status" => json!(self.status),
            "method" => json!("GET"),
            "environment" => Value::Null,
            other => panic!("no column {other}"),
        }
    }
}

/// Of one bucket and one choice of dimensions.
#[derive(Default)]
struct Expected {
    events: u64,
    users: BTreeSet<u8>,
    sessions: BTreeSet<u8>,
    values: Vec<u64>,
    errors: u64,
    response_bytes: u64,
}

/// When the bucket begins, if there is one, and the dimensions as JSON.
type Key = (Option<i64>, Vec<String>);

/// Counts, sums and maxima are equal; different values too, since they are few; percentiles are within 1 % of the value of
/// their rank; rows come by time and then by dimensions.
pub fn assert_alike(asked: &MetricsRequest, answer: &MetricsAnswer, model: &Model) {
    let mut expected = expected(asked, model);
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&answer.rows_json).expect("JSON");
    assert_eq!(rows.len(), answer.rows);
    let mut last = i64::MIN;
    for row in &rows {
        let time =
            row.get("timestamp").map(|text| Timestamp::parse(text.as_str().expect("a text")).expect("a time").micros());
        assert!(time.is_none_or(|time| time >= last), "{asked:?}: rows are not in order of time");
        last = time.unwrap_or(last);
        let key = (time, asked.dimensions.iter().map(|name| row[name].to_string()).collect());
        let of_row = expected.remove(&key);
        assert_row(row, &of_row.unwrap_or_else(|| panic!("{asked:?} gave {row:?}, which is of no row")), asked);
    }
    assert!(expected.is_empty(), "{asked:?} lacks {:?}", expected.keys());
}

fn expected(asked: &MetricsRequest, model: &Model) -> BTreeMap<Key, Expected> {
    let (Moment::At(from), Moment::At(to)) = (asked.from, asked.to) else { panic!("times are fixed") };
    let (mut from, mut to) = (from.micros(), to.micros());
    let mut found: BTreeMap<Key, Expected> = BTreeMap::new();
    if asked.dimensions.is_empty() && asked.granularity.is_none() {
        found.insert((None, Vec::new()), Expected::default());
    }
    let key = |at: i64, column: &dyn Fn(&str) -> Value| {
        let passes = asked.filters.iter().all(|filter| passes(filter, &column(&filter.field)));
        let bucket = asked.granularity.map(|length| start_of(at, length.as_micros() as i64));
        passes.then(|| (bucket, asked.dimensions.iter().map(|name| column(name).to_string()).collect::<Vec<_>>()))
    };
    if asked.metrics[0] == "event_count" {
        for event in model.events.iter().filter(|event| (from..to).contains(&event.at)) {
            let Some(key) = key(event.at, &|name| event.column(name)) else { continue };
            let row = found.entry(key).or_default();
            row.events += 1;
            row.users.extend(event.user);
            row.sessions.extend(event.session);
        }
        return found;
    }
    // Summaries of whole intervals; the others are taken from rows of requests, and there are none here.
    let is_whole = asked.granularity.is_none_or(|length| length.as_secs().is_multiple_of(10));
    assert!(is_whole, "these lengths are multiples of 10 s");
    from = from.div_euclid(10 * SECOND) * 10 * SECOND;
    to = (to + 10 * SECOND - 1).div_euclid(10 * SECOND) * 10 * SECOND;
    for summary in model.summaries.iter().filter(|summary| (from..to).contains(&summary.at)) {
        let Some(key) = key(summary.at, &|name| summary.column(name)) else { continue };
        let row = found.entry(key).or_default();
        row.values.extend(&summary.values);
        row.errors += summary.errors;
        row.response_bytes += summary.response_bytes;
    }
    found
}

fn start_of(at: i64, length: i64) -> i64 {
    let monday = if length == 7 * 24 * HOUR { 4 * 24 * HOUR } else { 0 };
    (at - monday).div_euclid(length) * length + monday
}

fn assert_row(row: &Map<String, Value>, expected: &Expected, asked: &MetricsRequest) {
    let context = || format!("{asked:?} gave {row:?}");
    if asked.metrics[0] == "event_count" {
        let found = ["event_count", "unique_users", "unique_sessions"].map(|name| row[name].as_u64());
        let wanted = [expected.events, expected.users.len() as u64, expected.sessions.len() as u64];
        assert_eq!(found, wanted.map(Some), "{}", context());
        return;
    }
    let mut values = expected.values.clone();
    values.sort_unstable();
    let counted = ["request_count", "error_count", "response_bytes"].map(|name| row[name].as_u64());
    assert_eq!(counted, [values.len() as u64, expected.errors, expected.response_bytes].map(Some), "{}", context());
    assert_eq!(row["latency_max"].as_f64(), values.last().map(|max| *max as f64 / 1_000.0), "{}", context());
    for (name, q) in [("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)] {
        let Some(last) = values.len().checked_sub(1) else {
            assert!(row[name].is_null(), "{}", context());
            continue;
        };
        let exact = values[(q * last as f64).floor() as usize] as f64 / 1_000.0;
        let found = row[name].as_f64().expect("a number");
        assert!((found - exact).abs() <= exact * 0.01 + 1e-9, "{name} is {found}, not {exact}: {}", context());
    }
}

fn passes(filter: &AskedFilter, value: &Value) -> bool {
    let wanted = filter.value.as_ref().expect("a value");
    let texts = || value.as_str().zip(wanted.as_str());
    match filter.op.as_str() {
        "exists" => wanted.as_bool() == Some(!value.is_null()),
        _ if value.is_null() => false,
        "=" => value == wanted,
        "!=" => value != wanted,
        "in" => wanted.as_array().expect("a list").contains(value),
        "starts_with" => texts().is_some_and(|(value, wanted)| value.starts_with(wanted)),
        other => panic!("no op {other}"),
    }
}
