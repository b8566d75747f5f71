//! Events in any order, with repeats, flushes, stops and crashes in between, against the model.

use proptest::prelude::*;
use ridealong_common::event::TrackedEvent;
use serde_json::{Value, json};

use super::model;
use super::{MINUTE_US, Sandbox, event};

#[derive(Clone, Debug)]
enum Step {
    Track(Vec<TrackedEvent>),
    /// Some of what was sent already, once more.
    Repeat(usize),
    Flush,
    Restart,
    Crash,
    Compare,
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(proptest::sample::select(texts))
}

fn events() -> impl Strategy<Value = Vec<TrackedEvent>> {
    let who = (one_of(&["a", "b"]), one_of(&["x", "y", ""]), proptest::option::weighted(0.3, Just("s")));
    let what = (proptest::sample::select(&["click", "page", "page_view", "exception"][..]), one_of(&["page", "error"]));
    let around = (one_of(&["DE", "FR"]), one_of(&["https://a", ""]), one_of(&["web", "ios"]), one_of(&["shop", "app"]));
    // Around 1970, some minutes more or less than a pause apart, some at the same time.
    let when = (-30i64..30, -1i64..2).prop_map(|(tens, us)| tens * 10 * MINUTE_US + us);
    let one = (who, what, around, when).prop_map(|((user, anonymous, session), what, around, at)| {
        let value = json!({
            "eventType": what.0, "eventCategory": what.1, "userId": user, "anonymousId": anonymous,
            "sessionId": session, "source": around.3,
            "context": { "referrer": around.1, "platform": around.2, "deviceType": around.2,
                         "location": { "country": around.0 } },
        });
        event(value, at)
    });
    proptest::collection::vec(one, 1..12)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => events().prop_map(Step::Track),
        2 => (0usize..20).prop_map(Step::Repeat),
        2 => Just(Step::Flush),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => Just(Step::Compare),
    ];
    proptest::collection::vec(step, 1..16)
}

fn compare(sandbox: &Sandbox, sent: &[TrackedEvent]) -> Result<(), TestCaseError> {
    let sessions = sandbox.rows("SELECT * FROM sessions ORDER BY session_id");
    prop_assert_eq!(sessions, Value::Array(model::sessions(sent)));
    let users = sandbox.rows("SELECT * FROM users ORDER BY user_id NULLS LAST, anonymous_id");
    prop_assert_eq!(&users, &Value::Array(model::users(sent)));
    // What filters fix gives the same rows as they do afterwards.
    let of = |rows: &[Value], column: &str, value: &str| -> Vec<Value> {
        rows.iter().filter(|row| row[column] == value).cloned().collect()
    };
    for (table, column, value) in [
        ("users", "user_id", "a"),
        ("users", "anonymous_id", "x"),
        ("sessions", "user_id", "a"),
        ("sessions", "anonymous_id", "x"),
        ("sessions", "session_id", "s"),
        ("sessions", "country", "DE"),
        ("sessions", "platform", "web"),
    ] {
        let (all, order) = match table {
            "users" => (model::users(sent), "user_id NULLS LAST, anonymous_id"),
            _ => (model::sessions(sent), "session_id"),
        };
        let found = sandbox.rows(&format!("SELECT * FROM {table} WHERE {column} = '{value}' ORDER BY {order}"));
        prop_assert_eq!(found, Value::Array(of(&all, column, value)), "{} by {}", table, column);
    }
    for row in model::sessions(sent).iter().take(2) {
        let id = row["session_id"].as_str().expect("a text");
        let found = sandbox.rows(&format!("SELECT * FROM sessions WHERE session_id IN ('{id}', 'none')"));
        prop_assert_eq!(found, json!([row]));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn sql_answers_as_the_model_does(steps in steps()) {
        let mut sandbox = Sandbox::new();
        let mut sent: Vec<TrackedEvent> = Vec::new();
        for step in steps.into_iter().chain([Step::Compare]) {
            match step {
                Step::Track(events) => {
                    sandbox.track(&events);
                    sent.extend(events);
                }
                Step::Repeat(from) => match sent.get(from..) {
                    Some(again) if !again.is_empty() => sandbox.track(again),
                    _ => {}
                },
                Step::Flush => sandbox.flush(),
                Step::Restart => sandbox.restart(),
                Step::Crash => sandbox.crash(),
                Step::Compare => compare(&sandbox, &sent)?,
            }
        }
    }
}
