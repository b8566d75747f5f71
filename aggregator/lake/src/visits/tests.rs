use std::time::Instant;

use proptest::prelude::*;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_wal::{Entry, Position};
use serde_json::json;

use super::*;
use crate::convert::rows_of;

const MINUTE_US: i64 = 60_000_000;

pub(crate) fn event(user: Option<&str>, session: Option<&str>, at_us: i64) -> TrackedEvent {
    let event = json!({ "eventType": "click", "userId": user, "sessionId": session });
    TrackedEvent::from_json(&event, &Defaults::default(), Timestamp(at_us)).expect("an event")
}

fn batch(events: &[TrackedEvent]) -> RecordBatch {
    let entry = Entry {
        position: Position(1),
        tenant: "default".into(),
        table: Table::Events,
        received_at_us: 7,
        numbers: None,
        announced: 0,
        rows: events.len() as u32,
        skipped_rows: Vec::new(),
        payload: TrackedEvent::block(events).encode().expect("encodes").into(),
    };
    rows_of(&entry).expect("converts")
}

fn visits(batch: &RecordBatch) -> Vec<Visit<'_>> {
    let rows = Rows::of_visits(batch);
    let mut visits: Vec<_> = (0..rows.len()).map(|row| rows.visit(row)).collect();
    visits.sort_by_key(|visit| (visit.key, visit.first));
    visits
}

fn ends(events: &[TrackedEvent]) -> Vec<(i64, i64, i64)> {
    let found = of_events(&[batch(events)]).expect("fits").expect("somebody");
    visits(&found).iter().map(|visit| (visit.first / MINUTE_US, visit.last / MINUTE_US, visit.events)).collect()
}

#[test]
fn a_pause_of_more_than_half_an_hour_ends_a_visit_unless_a_session_is_named() {
    let at = |user, session, minutes: &[i64]| -> Vec<TrackedEvent> {
        minutes.iter().map(|minute| event(user, session, minute * MINUTE_US)).collect()
    };
    assert_eq!(ends(&at(Some("u"), None, &[0, 90, 30, 61, 10])), [(0, 30, 3), (61, 90, 2)]);
    assert_eq!(ends(&at(Some("u"), Some("s"), &[0, 90, 1_000])), [(0, 1_000, 3)]);
    let exact = [event(Some("u"), None, 0), event(Some("u"), None, PAUSE_US)];
    assert_eq!(ends(&exact), [(0, 30, 2)]);
    let more = [event(Some("u"), None, 0), event(Some("u"), None, PAUSE_US + 1)];
    assert_eq!(ends(&more), [(0, 0, 1), (30, 30, 1)]);
}

#[test]
fn events_that_name_nobody_make_no_visit() {
    let events = [event(None, None, 0), event(Some(""), Some(""), 0)];
    assert_eq!(of_events(&[batch(&events)]).expect("fits"), None);
    assert_eq!(of_events(&[]).expect("fits"), None);
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::sample::select(texts).prop_map(str::to_owned))
}

fn events() -> impl Strategy<Value = Vec<TrackedEvent>> {
    let who = (one_of(&["a", "b"]), one_of(&["x", "y", ""]), one_of(&["s", "t"]));
    let what = (proptest::sample::select(&["click", "page", "exception"][..]), one_of(&["page", "error"]));
    let around = (one_of(&["DE", "FR"]), one_of(&["https://a", "https://b"]));
    let one =
        (who, what, around, -8i64..8, 0i64..3).prop_map(|((user, anonymous, session), what, around, tens, us)| {
            let mut event = event(None, None, tens * 10 * MINUTE_US + us);
            (event.user_id, event.anonymous_id, event.session_id) = (user, anonymous, session);
            (event.event_type, event.event_category) = (what.0.into(), what.1);
            (event.context.country, event.context.referrer) = around;
            event
        });
    proptest::collection::vec(one, 1..60)
}

proptest! {
    /// However the events were read, and whatever was joined in between, the visits are the same.
    #[test]
    fn visits_add_up_in_any_order_and_grouping(events in events(), cuts in proptest::collection::vec(1usize..9, 1..9)) {
        let whole = of_events(&[batch(&events)]).expect("fits");
        let mut parts = Vec::new();
        let (mut rest, mut cuts) = (&events[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (part, others) = rest.split_at((*cuts.next().expect("endless")).min(rest.len()));
            parts.extend(of_events(&[batch(part)]).expect("fits"));
            rest = others;
            if parts.len().is_multiple_of(3) && !parts.is_empty() {
                parts = vec![merged(&parts).expect("fits")];
            }
        }
        let Some(whole) = whole else {
            prop_assert!(parts.is_empty());
            return Ok(());
        };
        parts.reverse();
        let pieces = merged(&parts).expect("fits");
        prop_assert_eq!(visits(&pieces), visits(&whole));
        let named = |event: &&TrackedEvent| {
            [&event.user_id, &event.anonymous_id, &event.session_id].iter().any(|id| id.as_deref().is_some_and(|id| !id.is_empty()))
        };
        let counted: i64 = visits(&whole).iter().map(|visit| visit.events).sum();
        prop_assert_eq!(counted as usize, events.iter().filter(named).count());
    }
}

/// `cargo nextest run -p ridealong-lake --run-ignored only --no-capture`
#[test]
#[ignore = "prints what visits cost; asserts nothing about it"]
fn the_cost_of_a_million_events() {
    const ROWS: usize = 10_000;
    for (users, what) in [(50_000, "50,000 users, no session ids"), (200, "200 users, no session ids")] {
        let batches: Vec<RecordBatch> = (0..100)
            .map(|part| {
                let events: Vec<TrackedEvent> = (0..ROWS)
                    .map(|row| {
                        let user = format!("user-{}", fastrand_like(part * ROWS + row) % users);
                        let mut event = event(Some(&user), None, (part * ROWS + row) as i64 * 5);
                        event.source = Some("shop".into());
                        event.context.country = Some("DE".into());
                        event.context.platform = Some("web".into());
                        event
                    })
                    .collect();
                batch(&events)
            })
            .collect();
        let started = Instant::now();
        let parts: Vec<RecordBatch> =
            batches.iter().filter_map(|batch| of_events(std::slice::from_ref(batch)).expect("fits")).collect();
        let derived = started.elapsed();
        let visits: usize = parts.iter().map(RecordBatch::num_rows).sum();
        let started = Instant::now();
        let fewer = merged(&parts).expect("fits");
        println!(
            "{what}: 1,000,000 events in {derived:?} → {} visits; joined at the flush in {:?} → {}",
            visits,
            started.elapsed(),
            fewer.num_rows()
        );
    }
}

/// Numbers without a pattern, the same in every run.
fn fastrand_like(seed: usize) -> usize {
    (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) as usize >> 8
}

/// Visits as text, in an order of their own.
pub(crate) fn shown(batch: &RecordBatch) -> Vec<String> {
    visits(batch).iter().map(|visit| format!("{visit:?}")).collect()
}
