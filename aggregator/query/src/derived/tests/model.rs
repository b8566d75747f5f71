//! Sessions and users as one would write them down over all events, without a thought for speed or order of arrival.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate, Weekday};
use ridealong_common::event::TrackedEvent;
use ridealong_common::time::Timestamp;
use ridealong_lake::PAUSE_US;
use serde_json::{Value, json};
use uuid::Uuid;

fn known(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A user, or the anonymous visitor that an event without a user is of.
type Visitor<'a> = (Option<&'a str>, Option<&'a str>);

fn visitor(event: &TrackedEvent) -> Option<Visitor<'_>> {
    match (known(&event.user_id), known(&event.anonymous_id)) {
        (None, None) => None,
        (Some(user), _) => Some((Some(user), None)),
        (None, anonymous) => Some((None, anonymous)),
    }
}

type Read = fn(&TrackedEvent) -> Option<&str>;

fn values<'a>(events: &[&'a TrackedEvent], read: Read) -> Vec<(Timestamp, &'a str)> {
    events.iter().filter_map(|event| Some((event.timestamp, read(event)?))).collect()
}

fn earliest<'a>(events: &[&'a TrackedEvent], read: Read) -> Option<&'a str> {
    values(events, read).into_iter().min().map(|(_, text)| text)
}

fn latest<'a>(events: &[&'a TrackedEvent], read: Read) -> Option<&'a str> {
    values(events, read).into_iter().max().map(|(_, text)| text)
}

fn pages(events: &[&TrackedEvent]) -> usize {
    let is_page = |event: &TrackedEvent| {
        event.event_category.as_deref() == Some("page") || ["page", "page_view"].contains(&event.event_type.as_str())
    };
    events.iter().filter(|event| is_page(event)).count()
}

fn errors(events: &[&TrackedEvent]) -> usize {
    let is_error =
        |event: &TrackedEvent| event.event_category.as_deref() == Some("error") || event.event_type == "exception";
    events.iter().filter(|event| is_error(event)).count()
}

fn ends(events: &[&TrackedEvent]) -> (Timestamp, Timestamp) {
    let times = || events.iter().map(|event| event.timestamp);
    (times().min().expect("some"), times().max().expect("some"))
}

/// Events between which no pause is too long.
fn runs(mut events: Vec<&TrackedEvent>) -> Vec<Vec<&TrackedEvent>> {
    events.sort_by_key(|event| event.timestamp);
    let mut runs: Vec<Vec<&TrackedEvent>> = Vec::new();
    for event in events {
        match runs.last_mut() {
            Some(run) if event.timestamp.0 - run[run.len() - 1].timestamp.0 <= PAUSE_US => run.push(event),
            _ => runs.push(vec![event]),
        }
    }
    runs
}

/// `SELECT * FROM sessions ORDER BY session_id`
pub fn sessions(events: &[TrackedEvent]) -> Vec<Value> {
    let mut named: BTreeMap<&str, Vec<&TrackedEvent>> = BTreeMap::new();
    let mut unnamed: BTreeMap<Visitor<'_>, Vec<&TrackedEvent>> = BTreeMap::new();
    for event in events {
        match (known(&event.session_id), visitor(event)) {
            (Some(session), _) => named.entry(session).or_default().push(event),
            (None, Some(visitor)) => unnamed.entry(visitor).or_default().push(event),
            (None, None) => {}
        }
    }
    let mut rows: Vec<(String, Value)> =
        named.into_iter().map(|(id, events)| (id.to_owned(), session(id, &events))).collect();
    for (visitor, events) in unnamed {
        for run in runs(events) {
            let name = match visitor {
                (Some(user), _) => format!("ridealong:session:user:{}:{user}", ends(&run).0.0),
                (_, anonymous) => format!("ridealong:session:anonymous:{}:{}", ends(&run).0.0, anonymous.expect("one")),
            };
            let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string();
            rows.push((id.clone(), session(&id, &run)));
        }
    }
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn session(id: &str, events: &[&TrackedEvent]) -> Value {
    let (start, end) = ends(events);
    json!({
        "session_id": id,
        "user_id": earliest(events, |event| known(&event.user_id)),
        "anonymous_id": earliest(events, |event| known(&event.anonymous_id)),
        "source": earliest(events, |event| known(&event.source)),
        "started_at": start.to_string(),
        "ended_at": end.to_string(),
        "duration_us": end.0 - start.0,
        "event_count": events.len(),
        "page_count": pages(events),
        "error_count": errors(events),
        "entry_event_type": earliest(events, |event| Some(&event.event_type)),
        "exit_event_type": latest(events, |event| Some(&event.event_type)),
        "referrer": earliest(events, |event| known(&event.context.referrer)),
        "country": earliest(events, |event| known(&event.context.country)),
        "device_type": earliest(events, |event| known(&event.context.device_type)),
        "platform": earliest(events, |event| known(&event.context.platform)),
    })
}

/// `SELECT * FROM users ORDER BY user_id, anonymous_id`, nulls last.
pub fn users(events: &[TrackedEvent]) -> Vec<Value> {
    let mut visitors: BTreeMap<Visitor<'_>, Vec<&TrackedEvent>> = BTreeMap::new();
    for event in events {
        visitor(event).into_iter().for_each(|visitor| visitors.entry(visitor).or_default().push(event));
    }
    let (anonymous, identified): (Vec<_>, Vec<_>) = visitors.into_iter().partition(|((user, _), _)| user.is_none());
    identified.into_iter().chain(anonymous).map(|(visitor, events)| user(visitor, &events)).collect()
}

fn user((user, anonymous): Visitor<'_>, events: &[&TrackedEvent]) -> Value {
    let (first, last) = ends(events);
    let day = DateTime::from_timestamp_micros(first.0).expect("in range").date_naive();
    let week = day.iso_week();
    let monday = NaiveDate::from_isoywd_opt(week.year(), week.week(), Weekday::Mon).expect("in range");
    let named: BTreeSet<&str> = events.iter().filter_map(|event| known(&event.session_id)).collect();
    let unnamed = events.iter().copied().filter(|event| known(&event.session_id).is_none()).collect();
    json!({
        "user_id": user,
        "anonymous_id": anonymous,
        "first_seen": first.to_string(),
        "last_seen": last.to_string(),
        "cohort": monday.to_string(),
        "cohort_day": day.to_string(),
        "event_count": events.len(),
        "session_count": named.len() + runs(unnamed).len(),
        "page_count": pages(events),
        "error_count": errors(events),
        "first_source": earliest(events, |event| known(&event.source)),
        "first_referrer": earliest(events, |event| known(&event.context.referrer)),
        "country": latest(events, |event| known(&event.context.country)),
        "device_type": latest(events, |event| known(&event.context.device_type)),
        "platform": latest(events, |event| known(&event.context.platform)),
        "segment": null,
    })
}
