//! The live numbers as they are shown, computed and written once for all who ask for the same within a tenth of a second.
//!
//! | metric | of the last 60 s |
//! |---|---|
//! | `event_count` | events that came |
//! | `events_per_second`, `requests_per_second` | the counts, by the seconds that the window covers |
//! | `unique_users`, `unique_sessions` | different `user_id`, `session_id`; marked `estimated` above the bound of exact counting |
//! | `request_count`, `error_count`, `request_bytes`, `response_bytes` | requests that happened, from the summaries: exact at any sampling rate |
//! | `error_rate` | errors by requests; null without requests |
//! | `latency_…` | ms, within 1 % (`latency_max` exact); null without requests |
//! | `cpu_utilization`, `memory_utilization`, `disk_utilization` | by the newest sample of each host, not older than five minutes: mean of processors, share of all memory and disk; null without hosts |
//!
//! The window is the second that is running and the 59 before it. `timestamp` of a metric is the moment it is computed,
//! of a utilization the time its newest sample came. Null is what cannot be known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ridealong_common::sketch::Sketch;
use ridealong_common::time::Timestamp;
use ridealong_wal::Position;
use serde_json::{Map, Value, json};

use crate::metric::Metric;
use crate::window::{Answerable, DistinctCount, SECOND_US, Scope, Sums, TenantWindow, Utilization, WINDOW_SECONDS};

/// What was computed is said again for so long.
const SHARED_FOR_US: i64 = 100_000;
/// Answers kept to be said again; past it all are computed anew.
const SHARED_MAX: usize = 4_096;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumbersRequest {
    pub metrics: Arc<[Metric]>,
    pub scope: Scope,
    /// Said in the answer.
    pub interval: Duration,
    /// Whether the answer says what it is, among others.
    pub is_message: bool,
}

/// What was computed, for others who ask for the same at the same time.
#[derive(Default)]
pub(crate) struct SharedNumbers {
    written: Mutex<HashMap<(Arc<str>, NumbersRequest), Written>>,
}

struct Written {
    /// Which tenth of a second.
    slot: i64,
    /// How far the log was read by then.
    read: Position,
    json: Bytes,
}

/// When numbers are said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saying {
    pub now_us: i64,
    /// How far the log was read before.
    pub read: Position,
    /// What was said is good enough when the log had been read so far.
    pub at_least: Position,
}

impl SharedNumbers {
    /// What was said in this tenth of a second, or what `compute` says now.
    pub fn say(
        &self,
        tenant: &Arc<str>,
        request: &NumbersRequest,
        saying: Saying,
        compute: impl FnOnce() -> Value,
    ) -> Bytes {
        let slot = saying.now_us.div_euclid(SHARED_FOR_US);
        let mut written = self.written.lock();
        let key = (Arc::clone(tenant), request.clone());
        if let Some(known) = written.get(&key)
            && known.slot == slot
            && known.read >= saying.at_least
        {
            return known.json.clone();
        }
        if written.len() >= SHARED_MAX {
            written.clear();
        }
        let json = Bytes::from(compute().to_string());
        written.insert(key, Written { slot, read: saying.read, json: json.clone() });
        json
    }

    /// Drops what nobody will ask for again.
    pub fn forget(&self, now_us: i64) {
        let slot = now_us.div_euclid(SHARED_FOR_US);
        self.written.lock().retain(|_, written| written.slot + 1 >= slot);
    }
}

/// The numbers of one moment. `covered_from_us` is since when nothing is missing.
pub(crate) fn shown(
    window: Option<&TenantWindow>,
    request: &NumbersRequest,
    now_us: i64,
    covered_from_us: i64,
) -> Value {
    let begin = (now_us.div_euclid(SECOND_US) + 1 - WINDOW_SECONDS) * SECOND_US;
    let seconds = (now_us - begin.max(covered_from_us)).max(SECOND_US) as f64 / SECOND_US as f64;
    let moment = Moment::of(window, request, now_us, seconds);
    let metrics: Vec<Value> = request.metrics.iter().map(|metric| moment.metric(*metric)).collect();
    let mut shown = Map::new();
    if request.is_message {
        shown.insert("type".to_owned(), json!("metrics"));
    }
    shown.insert("metrics".to_owned(), Value::Array(metrics));
    shown.insert("timestamp".to_owned(), json!(Timestamp(now_us).to_string()));
    shown.insert("refreshInterval".to_owned(), json!(request.interval.as_millis() as u64));
    shown.insert("windowSeconds".to_owned(), json!((seconds * 10.0).round() / 10.0));
    Value::Object(shown)
}

/// All that the metrics of one request need.
struct Moment {
    now_us: i64,
    seconds: f64,
    /// None when it cannot be known.
    sums: Option<Sums>,
    latencies: Sketch,
    users: Option<DistinctCount>,
    sessions: Option<DistinctCount>,
    utilization: Option<Utilization>,
}

impl Moment {
    fn of(window: Option<&TenantWindow>, request: &NumbersRequest, now_us: i64, seconds: f64) -> Self {
        use Metric::*;
        let asked = |some: &[Metric]| some.iter().any(|metric| request.metrics.contains(metric));
        let Some(window) = window else { return Self::empty(now_us, seconds) };
        let known = window.of(&request.scope, now_us);
        let if_asked = |some: &[Metric]| known.as_ref().filter(|_| asked(some));
        Self {
            sums: known.as_ref().map(Answerable::sums),
            latencies: if_asked(&[LatencyP50, LatencyP90, LatencyP95, LatencyP99])
                .map(Answerable::latencies)
                .unwrap_or_default(),
            users: if_asked(&[UniqueUsers]).map(Answerable::users),
            sessions: if_asked(&[UniqueSessions]).map(Answerable::sessions),
            utilization: window.utilization(&request.scope, now_us),
            now_us,
            seconds,
        }
    }

    /// Nothing came.
    fn empty(now_us: i64, seconds: f64) -> Self {
        let none = Some(DistinctCount { count: 0, is_estimate: false });
        Self {
            now_us,
            seconds,
            sums: Some(Sums::default()),
            latencies: Sketch::new(),
            users: none,
            sessions: none,
            utilization: None,
        }
    }

    fn metric(&self, metric: Metric) -> Value {
        use Metric::*;
        let sum = |of: fn(&Sums) -> u64| json!(self.sums.as_ref().map(of));
        let a_second = |of: fn(&Sums) -> u64| json!(self.sums.as_ref().map(|sums| of(sums) as f64 / self.seconds));
        let requested = self.sums.as_ref().filter(|sums| sums.requests > 0);
        let latency = |quantile| json!(self.latencies.quantile(quantile).map(|micros| micros / 1_000.0));
        let (mut timestamp, mut is_estimate) = (self.now_us, false);
        let mut count = |distinct: Option<DistinctCount>| {
            is_estimate = distinct.is_some_and(|distinct| distinct.is_estimate);
            json!(distinct.map(|distinct| distinct.count))
        };
        let mut used = |of: fn(&Utilization) -> Option<f64>| {
            timestamp = self.utilization.map_or(timestamp, |utilization| utilization.received_at_us);
            json!(self.utilization.as_ref().and_then(of))
        };
        let value = match metric {
            EventCount => sum(|sums| sums.events),
            EventsPerSecond => a_second(|sums| sums.events),
            UniqueUsers => count(self.users),
            UniqueSessions => count(self.sessions),
            RequestCount => sum(|sums| sums.requests),
            RequestsPerSecond => a_second(|sums| sums.requests),
            ErrorCount => sum(|sums| sums.errors),
            ErrorRate => json!(requested.map(|sums| sums.errors as f64 / sums.requests as f64)),
            LatencyP50 => latency(0.5),
            LatencyP90 => latency(0.9),
            LatencyP95 => latency(0.95),
            LatencyP99 => latency(0.99),
            LatencyMax => json!(requested.map(|sums| sums.latency_max_us as f64 / 1_000.0)),
            RequestBytes => sum(|sums| sums.request_bytes),
            ResponseBytes => sum(|sums| sums.response_bytes),
            CpuUtilization => used(|utilization| Some(utilization.cpu)),
            MemoryUtilization => used(|utilization| utilization.memory),
            DiskUtilization => used(|utilization| utilization.disk),
        };
        let mut shown = json!({ "name": metric.name(), "value": value, "timestamp": Timestamp(timestamp).to_string() });
        if is_estimate {
            shown["estimated"] = json!(true);
        }
        shown
    }
}

#[cfg(test)]
mod tests;
