//! `/live` (WebSocket) and `/live/stream` (server-sent events): numbers each interval and, with `events=true`, each event
//! that fits. Both take the same parameters and say the same messages:
//!
//! ```text
//! {"type":"metrics","metrics":[{"name","value","timestamp"}],"timestamp","refreshInterval","windowSeconds"}
//! {"type":"event","id","event":{…}}        id: to go on after it
//! {"type":"missed","count"}                events that this viewer was too slow for; null when nobody knows how many
//! ```
//!
//! `service` and `environment` narrow numbers and events, `type`, `category`, `userId` and `sessionId` events only.

mod shapes;
pub(crate) mod socket;
pub(crate) mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use ridealong_common::settings::FromSetting;
use ridealong_edge::Failure;
use ridealong_edge::loopback::require_own_origin;
use ridealong_stream::{
    EventFilter, EventMark, Metric, NumbersRequest, Scope, SubscribeError, Viewer, Wanted, WantedEvents,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::parameter::invalid;
use crate::services::Services;

pub(crate) use shapes::LiveNumbers;

const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// A viewer hears something at least so often, and must be heard by us as often over a WebSocket.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// A value of a filter.
const VALUE_BYTES_MAX: usize = 1_024;

/// What is not given: all metrics, no events, every second.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveParameters {
    /// Names with commas between; all when it is not said, none when it is empty
    #[param(format = "metric-list", example = "event_count,latency_p95")]
    metrics: Option<String>,
    /// Whether events are pushed, too
    #[serde(default)]
    events: bool,
    /// Between two messages with numbers, `100ms` to `60s`
    #[param(format = "push-interval", default = "1s")]
    interval: Option<String>,
    /// The `id` of an event: those after it come first
    #[param(format = "event-mark")]
    after: Option<String>,
    /// Of events
    #[serde(rename = "type")]
    event_type: Option<Box<str>>,
    /// Of events
    category: Option<Box<str>>,
    /// Of events (`source`) and numbers
    service: Option<Box<str>>,
    /// Of events and numbers
    environment: Option<Box<str>>,
    /// Of events
    #[serde(alias = "user_id")]
    user_id: Option<Box<str>>,
    /// Of events
    #[serde(alias = "session_id")]
    session_id: Option<Box<str>>,
}

impl LiveParameters {
    /// `last` is the id after which an event source goes on by itself.
    fn wanted(self, last: Option<EventMark>) -> Result<Wanted, Failure> {
        let scope = Scope { service: self.service.clone(), environment: self.environment.clone() };
        let metrics = metrics("metrics", self.metrics.as_deref())?;
        let interval = interval(self.interval.as_deref())?;
        let numbers = NumbersRequest { metrics, scope, interval, is_message: true };
        let after = self.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|error| invalid(format!("after: {error}")))?;
        let filter = EventFilter {
            event_type: self.event_type,
            category: self.category,
            service: self.service,
            environment: self.environment,
            user_id: self.user_id,
            session_id: self.session_id,
        };
        check_filter(&filter, self.events)?;
        let events = self.events.then_some(WantedEvents { filter, after: last.or(after) });
        Ok(Wanted { numbers: Some(numbers), events })
    }
}

fn check_filter(filter: &EventFilter, has_events: bool) -> Result<(), Failure> {
    let of_events = [
        ("type", &filter.event_type),
        ("category", &filter.category),
        ("userId", &filter.user_id),
        ("sessionId", &filter.session_id),
    ];
    let of_both = [("service", &filter.service), ("environment", &filter.environment)];
    for (name, value) in of_events.iter().chain(&of_both) {
        if value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(invalid(format!("{name} has more than {VALUE_BYTES_MAX} bytes")));
        }
    }
    match of_events.iter().find(|(_, value)| value.is_some() && !has_events) {
        Some((name, _)) => Err(invalid(format!("{name} chooses events, which come with events=true only"))),
        None => Ok(()),
    }
}

/// The metrics of a list; all without one.
pub(crate) fn metrics(parameter: &str, list: Option<&str>) -> Result<Arc<[Metric]>, Failure> {
    let Some(list) = list else { return Ok(Metric::ALL.into()) };
    let metrics = Metric::list(list)
        .map_err(|error| Failure::new(400, "no-such-metric", "No such metric", format!("{parameter}: {error}")))?;
    Ok(metrics.into())
}

fn interval(text: Option<&str>) -> Result<Duration, Failure> {
    let interval = text.map_or(Ok(INTERVAL_DEFAULT), Duration::from_setting);
    let interval = interval.map_err(|problem| invalid(format!("interval {problem}")))?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Err(invalid("interval must lie between 100ms and 60s"));
    }
    Ok(interval)
}

/// From here on every event that becomes durable reaches the viewer.
fn subscribe(
    services: &Services,
    headers: &HeaderMap,
    parameters: LiveParameters,
    last: Option<EventMark>,
) -> Result<Viewer, Failure> {
    require_own_origin(headers)?;
    let wanted = parameters.wanted(last)?;
    services.live.subscribe(&services.tenant(), wanted).map_err(|error| match error {
        SubscribeError::Viewers(_) => Failure::unavailable("too-many-viewers", error.to_string()),
        SubscribeError::Filters => Failure::unavailable("too-many-filters", error.to_string()),
    })
}

#[cfg(test)]
mod tests;
