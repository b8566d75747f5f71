//! An event as every answer shows it: what is not there is left out.

use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_model::query::QueryAnswer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::cursor::Cursor;

/// The columns of `events` that an answer shows, as SQL.
pub(crate) const COLUMNS: &str = r#"event_id, "timestamp", received_at, event_type, event_category, user_id,
    anonymous_id, session_id, properties, source, "version", environment, schema_version, corrections, user_agent,
    ip_address, device_type, platform, referrer, consent, country, region, city, latitude, longitude"#;

/// A row of these columns.
#[derive(Deserialize)]
pub(crate) struct Row {
    event_id: String,
    timestamp: String,
    received_at: Option<String>,
    event_type: Option<String>,
    event_category: Option<String>,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    session_id: Option<String>,
    properties: Option<String>,
    source: Option<String>,
    version: Option<String>,
    environment: Option<String>,
    schema_version: Option<String>,
    corrections: Option<String>,
    user_agent: Option<String>,
    ip_address: Option<String>,
    device_type: Option<String>,
    platform: Option<String>,
    referrer: Option<String>,
    consent: Option<String>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// A stored event
///
/// What is not known is left out.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredEvent {
    #[schema(format = "uuid")]
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_category: Option<String>,
    #[schema(format = DateTime)]
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    anonymous_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    properties: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    schema_version: Option<String>,
    /// What was changed in it when it came in: `{field, rule, before, after}`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>)]
    corrections: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    context: Option<StoredContext>,
}

#[derive(Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    device_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    referrer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    consent: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    location: Option<StoredLocation>,
}

#[derive(Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct StoredLocation {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    longitude: Option<f64>,
}

/// The rows of an answer to a select of [`COLUMNS`].
pub(crate) fn rows(answer: &QueryAnswer) -> Result<Vec<Row>, Failure> {
    let unread = |error: serde_json::Error| Failure::new(500, "query-failed", "Query failed", error.to_string());
    serde_json::from_slice(&answer.rows_json).map_err(unread)
}

impl Row {
    /// Where a page ends that this is the last row of.
    pub fn cursor(&self) -> Option<Cursor> {
        let event_id: EventId = self.event_id.parse().ok()?;
        Some(Cursor { timestamp: Timestamp::parse(&self.timestamp)?, event_id })
    }
}

impl From<Row> for StoredEvent {
    fn from(row: Row) -> Self {
        let Row { country, region, city, latitude, longitude, .. } = row;
        let location = Some(StoredLocation { country, region, city, latitude, longitude });
        let context = StoredContext {
            user_agent: row.user_agent,
            ip_address: row.ip_address,
            device_type: row.device_type,
            platform: row.platform,
            referrer: row.referrer,
            consent: row.consent.map(json),
            location: location.filter(|location| *location != StoredLocation::default()),
        };
        Self {
            event_id: row.event_id,
            event_type: row.event_type,
            event_category: row.event_category,
            timestamp: row.timestamp,
            received_at: row.received_at,
            user_id: row.user_id,
            anonymous_id: row.anonymous_id,
            session_id: row.session_id,
            properties: row.properties.map(json),
            source: row.source,
            version: row.version,
            environment: row.environment,
            schema_version: row.schema_version,
            corrections: row.corrections.map(json),
            context: Some(context).filter(|context| *context != StoredContext::default()),
        }
    }
}

/// Stored as text, shown as what it is.
fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
