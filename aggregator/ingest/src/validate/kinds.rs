//! What the kinds of tracked events must hold. An event is of a kind when its type is the kind's and its category is the
//! kind's or none: a caller's own event that happens to have such a name is no such kind.

use ridealong_common::event::EventFault;
use serde_json::{Map, Value};

/// One kind: its types, its category, what its properties must and may hold.
struct Kind {
    types: &'static [&'static str],
    category: &'static str,
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    /// Another name that is as good, or the same.
    or: &'static str,
    holds: Holds,
    required: bool,
    wanted: &'static str,
}

#[derive(Clone, Copy)]
enum Holds {
    Text,
    Number { min: f64, max: f64 },
}

const POSITIVE: Holds = Holds::Number { min: 0.0, max: f64::MAX };

const KINDS: &[Kind] = &[
    Kind {
        types: &["interaction"],
        category: "ui",
        fields: &[
            required("action", "action", Holds::Text, "what the user did, for example \"click\""),
            required("target", "target", Holds::Text, "on what, for example \"#buy\""),
        ],
    },
    Kind {
        types: &["timing", "performance"],
        category: "performance",
        fields: &[
            required("operation", "operation", Holds::Text, "what took the time, for example \"checkout\""),
            required("durationMs", "duration_ms", POSITIVE, "how long it took, in milliseconds"),
        ],
    },
    Kind {
        types: &["exception"],
        category: "error",
        fields: &[required("name", "message", Holds::Text, "the error's name or its message")],
    },
    Kind {
        types: &["api_request"],
        category: "api",
        fields: &[
            required("method", "method", Holds::Text, "the request's method, for example \"GET\""),
            required("route", "path", Holds::Text, "the request's route or its path"),
            optional("status", "status", Holds::Number { min: 100.0, max: 599.0 }),
            optional("durationMs", "duration_ms", POSITIVE),
        ],
    },
];

const fn required(name: &'static str, or: &'static str, holds: Holds, wanted: &'static str) -> Field {
    Field { name, or, holds, required: true, wanted }
}

const fn optional(name: &'static str, or: &'static str, holds: Holds) -> Field {
    Field { name, or, holds, required: false, wanted: "" }
}

/// Whether events of this type and category are of a kind that asks for something.
pub(crate) fn is_of_a_kind(event_type: &str, category: Option<&str>) -> bool {
    kind(event_type, category).is_some()
}

/// What is wrong with the properties of an event of this type and category.
pub(crate) fn kind_fault(
    event_type: &str,
    category: Option<&str>,
    properties: Option<&Map<String, Value>>,
) -> Option<EventFault> {
    let kind = kind(event_type, category)?;
    kind.fields.iter().find_map(|field| field.fault(properties))
}

fn kind(event_type: &str, category: Option<&str>) -> Option<&'static Kind> {
    let is =
        |kind: &&Kind| kind.types.contains(&event_type) && category.is_none_or(|category| category == kind.category);
    KINDS.iter().find(is)
}

impl Field {
    fn fault(&self, properties: Option<&Map<String, Value>>) -> Option<EventFault> {
        let found = [self.name, self.or].into_iter().find_map(|name| {
            let value = properties?.get(name).filter(|value| !value.is_null())?;
            Some((name, value))
        });
        let named = |name: &str| format!("properties.{name}");
        let Some((name, value)) = found else {
            return self.required.then(|| EventFault::Missing { field: named(self.name), wanted: self.wanted });
        };
        let wrong = |expected| EventFault::Kind { field: named(name), expected, found: EventFault::kind_of(value) };
        match self.holds {
            Holds::Text => match value.as_str() {
                None => Some(wrong("a text")),
                Some(text) if text.trim().is_empty() && self.required => {
                    Some(EventFault::Missing { field: named(name), wanted: self.wanted })
                }
                Some(_) => None,
            },
            Holds::Number { min, max } => match value.as_f64() {
                None => Some(wrong("a number")),
                Some(number) if (min..=max).contains(&number) => None,
                Some(_) => Some(EventFault::Range { field: named(name), min, max }),
            },
        }
    }
}
