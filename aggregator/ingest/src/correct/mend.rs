//! Mending the field that a fault names, in the event as it was sent.

use ridealong_catalog::Corrections;
use ridealong_common::event::{EventFault, snake_case};
use serde_json::{Number, Value};

use super::Change;
use crate::quarantine::bounded;

/// What of a text that was cut is kept in the log of changes.
const BEFORE_BYTES_MAX: usize = 200;

/// Mends what the fault names, when the tenant wants it and it can be; None leaves the event as it is.
pub(crate) fn mended(event: &mut Value, fault: &EventFault, corrections: Corrections) -> Option<Change> {
    match fault {
        EventFault::Kind { field, expected, .. } if corrections.numbers_as_text => {
            let value = member(event, field)?;
            let after = retyped(value, expected)?;
            let before = std::mem::replace(value, after.clone());
            Some(Change { field: field.clone(), rule: "numbersAsText", before, after })
        }
        EventFault::TooLong { field, max, .. } if corrections.oversize_text => {
            let value = member(event, field)?;
            let text = value.as_str()?;
            let (bytes, before) = (text.len(), bounded(text.to_owned(), BEFORE_BYTES_MAX));
            let after = bounded(text.to_owned(), *max);
            let kept = bounded(after.clone(), BEFORE_BYTES_MAX);
            let length = after.len();
            *value = Value::String(after);
            let shown = |text: String, bytes: usize| Value::from(format!("{text}… ({bytes} bytes)"));
            let (before, after) = (shown(before, bytes), shown(kept, length));
            Some(Change { field: field.clone(), rule: "oversizeText", before, after })
        }
        _ => None,
    }
}

fn retyped(value: &Value, expected: &str) -> Option<Value> {
    match (value, expected) {
        (Value::String(text), "a number") => {
            let text = text.trim();
            let whole = text.parse::<i64>().ok().map(Number::from);
            whole.or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
        }
        (Value::Number(number), "a text") => Some(Value::String(number.to_string())),
        _ => None,
    }
}

/// The member at a path of camelCase names, each of which may stand in snake_case.
fn member<'a>(event: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(event, |value, name| {
        let members = value.as_object_mut()?;
        let key = if members.contains_key(name) { name.to_owned() } else { snake_case(name) };
        members.get_mut(&key)
    })
}
