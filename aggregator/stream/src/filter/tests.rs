use proptest::prelude::*;
use ridealong_common::table::Table;
use serde_json::{Value, json};

use super::*;
use crate::testing::tracked;

/// The fields of an event in the order of the filter's; few values, so that they meet.
type Fields = [Option<&'static str>; 6];

fn fields() -> impl Strategy<Value = Fields> {
    let value = || proptest::option::of(prop_oneof![Just("a"), Just("b"), Just("")]);
    (value(), value(), value(), value(), value(), value()).prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f])
}

fn event([kind, category, source, environment, user, session]: Fields) -> Value {
    json!({
        "eventType": kind.filter(|kind| !kind.is_empty()).unwrap_or("c"), "eventCategory": category, "source": source,
        "environment": environment, "userId": user, "sessionId": session,
    })
}

fn filter([kind, category, source, environment, user, session]: Fields) -> EventFilter {
    let owned = |text: Option<&str>| text.map(Into::into);
    EventFilter {
        event_type: owned(kind),
        category: owned(category),
        service: owned(source),
        environment: owned(environment),
        user_id: owned(user),
        session_id: owned(session),
    }
}

proptest! {
    /// Row by row the same as comparing the fields of each event.
    #[test]
    fn a_filter_lets_through_what_is_equal_in_every_field(
        events in proptest::collection::vec(fields(), 1..20),
        wanted in fields(),
    ) {
        let sent: Vec<Value> = events.iter().map(|fields| event(*fields)).collect();
        let block = tracked(&sent).check(Table::Events).expect("a block");
        let filter = filter(wanted);
        let matcher = filter.matcher(&block);
        let names = ["eventType", "eventCategory", "source", "environment", "userId", "sessionId"];
        for (row, event) in sent.iter().enumerate() {
            let holds = |(wanted, name): (Option<&str>, &str)| {
                wanted.is_none_or(|wanted| event[name].as_str() == Some(wanted))
            };
            let expected = wanted.into_iter().zip(names).all(holds);
            prop_assert_eq!(matcher.is_match(row), expected, "{:?} of {}", filter, event);
        }
    }
}
