//! A tracked event: from JSON as a caller sends it to the row that is stored.
//!
//! camelCase, snake_case accepted too. Only `eventType` is required; what is missing or null is filled. Nothing is
//! corrected here: a field of another type is an error that names it.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::ids::EventId;
use crate::limits::{EVENT_BYTES_MAX, EVENT_DEPTH_MAX, EVENT_TEXT_BYTES_MAX};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub struct TrackedEvent {
    pub event_id: EventId,
    pub timestamp: Timestamp,
    pub event_type: String,
    pub event_category: Option<String>,
    pub user_id: Option<String>,
    pub anonymous_id: Option<String>,
    pub session_id: Option<String>,
    /// A JSON object, as text.
    pub properties: Option<String>,
    pub context: Context,
    pub source: Option<String>,
    pub version: Option<String>,
    pub environment: Option<String>,
    pub schema_version: Option<String>,
    /// The clock when it was sent, of the sender by whose clock `timestamp` is; not stored.
    pub sent_at: Option<Timestamp>,
    /// What the aggregator changed: a JSON array of {field, rule, before, after}, as text.
    pub corrections: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    pub user_agent: Option<String>,
    pub ip_address: Option<String>,
    pub device_type: Option<String>,
    pub platform: Option<String>,
    pub referrer: Option<String>,
    pub country: Option<String>,
    pub region: Option<String>,
    pub city: Option<String>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    /// A JSON object, as text.
    pub consent: Option<String>,
}

/// What a door fills in where the caller said nothing.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub source: Option<String>,
    pub version: Option<String>,
    pub environment: Option<String>,
}

#[derive(Debug, Error, PartialEq)]
pub enum EventFault {
    #[error("an event must be a JSON object, this is {0}")]
    NotAnObject(&'static str),
    #[error("eventType is missing: it names what happened, for example \"order_placed\"")]
    TypeMissing,
    #[error("{field} must be {expected}, this is {found}")]
    Kind { field: String, expected: &'static str, found: &'static str },
    #[error("{field} has {bytes} bytes, at most {max} are taken")]
    TooLong { field: String, bytes: usize, max: usize },
    #[error("{field} is nested deeper than {EVENT_DEPTH_MAX} levels")]
    TooDeep { field: String },
    #[error("{field} must be RFC 3339, for example 2026-11-20T08:15:30.123Z, this is {found:?}")]
    Time { field: String, found: String },
    #[error("{field} must lie between {min} and {}", if *.max == f64::MAX { "the largest number".to_owned() } else { .max.to_string() })]
    Range { field: String, min: f64, max: f64 },
    /// Only where a kind of event asks for it.
    #[error("{field} is missing: {wanted}")]
    Missing { field: String, wanted: &'static str },
}

impl EventFault {
    /// Whether it is no event at all; anything else is an event with a fault.
    pub fn is_no_event(&self) -> bool {
        match self {
            Self::NotAnObject(_) | Self::TypeMissing => true,
            Self::Kind { field, .. } => field == "eventType",
            _ => false,
        }
    }

    /// What a value is, in words.
    pub fn kind_of(value: &Value) -> &'static str {
        kind_of(value)
    }

    /// A short, stable word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAnObject(_) => "not_an_object",
            Self::TypeMissing => "no_event_type",
            Self::Kind { .. } => "wrong_type",
            Self::TooLong { .. } => "too_long",
            Self::TooDeep { .. } => "too_deep",
            Self::Time { .. } => "bad_time",
            Self::Range { .. } => "out_of_range",
            Self::Missing { .. } => "missing_field",
        }
    }
}

impl TrackedEvent {
    pub fn from_json(value: &Value, defaults: &Defaults, now: Timestamp) -> Result<Self, EventFault> {
        let root = Fields::of("", value)?;
        let event_type = root.text("eventType")?.filter(|text| !text.is_empty()).ok_or(EventFault::TypeMissing)?;
        let event_id = root.text("eventId")?.filter(|text| !text.is_empty());
        let timestamp = root.time("timestamp")?;
        Ok(Self {
            event_id: event_id.map_or_else(EventId::draw, |text| EventId::from_caller(&text)),
            timestamp: timestamp.unwrap_or(now),
            // Without a timestamp it is by our clock.
            sent_at: root.time("sentAt")?.filter(|_| timestamp.is_some()),
            corrections: None,
            event_type,
            event_category: root.text("eventCategory")?,
            user_id: root.text("userId")?,
            anonymous_id: root.text("anonymousId")?,
            session_id: root.text("sessionId")?,
            properties: root.json_object("properties")?,
            context: Context::from_json(&root)?,
            source: root.text("source")?.or_else(|| defaults.source.clone()),
            version: root.text("version")?.or_else(|| defaults.version.clone()),
            environment: root.text("environment")?.or_else(|| defaults.environment.clone()),
            schema_version: root.text_or_number("schemaVersion")?,
        })
    }

    /// Roughly what it takes in memory and in a block.
    pub fn size(&self) -> usize {
        let context = &self.context;
        let texts = [
            &self.event_category,
            &self.user_id,
            &self.anonymous_id,
            &self.session_id,
            &self.properties,
            &self.source,
            &self.version,
            &self.environment,
            &self.schema_version,
            &context.user_agent,
            &context.ip_address,
            &context.device_type,
            &context.platform,
            &context.referrer,
            &context.country,
            &context.region,
            &context.city,
            &context.consent,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        64 + self.event_type.len() + texts
    }
}

impl Context {
    fn from_json(root: &Fields<'_>) -> Result<Self, EventFault> {
        let Some(context) = root.object("context")? else { return Ok(Self::default()) };
        let location = context.object("location")?;
        let place = |name: &str| location.as_ref().map_or(Ok(None), |location| location.text(name));
        let degrees =
            |name: &str, max: f64| location.as_ref().map_or(Ok(None), |location| location.number(name, -max, max));
        Ok(Self {
            user_agent: context.text("userAgent")?,
            ip_address: context.text("ipAddress")?,
            device_type: context.text("deviceType")?,
            platform: context.text("platform")?,
            referrer: context.text("referrer")?,
            country: place("country")?,
            region: place("region")?,
            city: place("city")?,
            latitude: degrees("latitude", 90.0)?,
            longitude: degrees("longitude", 180.0)?,
            consent: context.json_object("consent")?,
        })
    }
}

/// The members of one JSON object, with the path for messages.
struct Fields<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(path: &str, value: &'a Value) -> Result<Self, EventFault> {
        let members = value.as_object().ok_or(EventFault::NotAnObject(kind_of(value)))?;
        Ok(Self { path: path.to_owned(), members })
    }

    /// The member in camelCase or, failing that, in snake_case; null counts as missing.
    fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.members.get(name).or_else(|| self.members.get(&snake_case(name)));
        found.filter(|value| !value.is_null())
    }

    fn named(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn kind_fault(&self, name: &str, expected: &'static str, found: &Value) -> EventFault {
        EventFault::Kind { field: self.named(name), expected, found: kind_of(found) }
    }

    fn text(&self, name: &str) -> Result<Option<String>, EventFault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.kind_fault(name, "a text", value))?;
        self.bounded(name, text.to_owned(), EVENT_TEXT_BYTES_MAX).map(Some)
    }

    fn text_or_number(&self, name: &str) -> Result<Option<String>, EventFault> {
        match self.get(name) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => self.text(name),
        }
    }

    fn number(&self, name: &str, min: f64, max: f64) -> Result<Option<f64>, EventFault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().ok_or_else(|| self.kind_fault(name, "a number", value))?;
        if (min..=max).contains(&number) {
            Ok(Some(number))
        } else {
            Err(EventFault::Range { field: self.named(name), min, max })
        }
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>, EventFault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match Timestamp::parse(&text) {
            Some(time) => Ok(Some(time)),
            None => Err(EventFault::Time { field: self.named(name), found: text }),
        }
    }

    fn object(&self, name: &str) -> Result<Option<Fields<'a>>, EventFault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let members = value.as_object().ok_or_else(|| self.kind_fault(name, "an object", value))?;
        Ok(Some(Fields { path: self.named(name), members }))
    }

    fn json_object(&self, name: &str) -> Result<Option<String>, EventFault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if !value.is_object() {
            return Err(self.kind_fault(name, "an object", value));
        }
        if depth_exceeds(value, EVENT_DEPTH_MAX) {
            return Err(EventFault::TooDeep { field: self.named(name) });
        }
        self.bounded(name, value.to_string(), EVENT_BYTES_MAX).map(Some)
    }

    fn bounded(&self, name: &str, text: String, max: usize) -> Result<String, EventFault> {
        match text.len() {
            bytes if bytes > max => Err(EventFault::TooLong { field: self.named(name), bytes, max }),
            _ => Ok(text),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A member's other name: `userId` as `user_id`.
pub fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Whether anything lies deeper than `levels`. Recurses no deeper than that itself.
fn depth_exceeds(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| depth_exceeds(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|member| depth_exceeds(member, levels - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
