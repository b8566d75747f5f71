//! Bodies that no type of ours reads or writes: what both programs' doors share, and what is written as bytes.
#![allow(dead_code, reason = "described, and held to what is really written by the tests and by tests/api")]

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An event as a caller sends it
///
/// Only `eventType` is required; what is missing or null is filled. Names in snake_case are taken too; members that are not
/// named here are left out. A value of another type, or one that is too long, does not refuse the event: it is set aside, with its
/// fault, and its status is `quarantined`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"eventType": "order_placed", "userId": "u-17", "properties": {"amount": 12.5}}))]
pub(crate) struct Event {
    /// What happened
    #[schema(min_length = 1)]
    event_type: String,
    /// By which the event is stored once; what is no UUID becomes the UUIDv5 of it
    event_id: Option<String>,
    event_category: Option<String>,
    /// When it happened; when it came in, if it is missing
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    session_id: Option<String>,
    properties: Option<Map<String, Value>>,
    context: Option<EventContext>,
    /// Who sent it
    source: Option<String>,
    version: Option<String>,
    environment: Option<String>,
    schema_version: Option<TextOrNumber>,
    /// The sender's clock when it sent, by which `timestamp` can be corrected
    #[schema(format = DateTime)]
    sent_at: Option<String>,
}

/// Where an event happened
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventContext {
    user_agent: Option<String>,
    ip_address: Option<String>,
    device_type: Option<String>,
    platform: Option<String>,
    referrer: Option<String>,
    location: Option<EventLocation>,
    /// What the user has consented to
    consent: Option<Map<String, Value>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventLocation {
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    #[schema(minimum = -90, maximum = 90)]
    latitude: Option<f64>,
    #[schema(minimum = -180, maximum = 180)]
    longitude: Option<f64>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct EventBatch {
    /// One bad event does not refuse its neighbours
    #[schema(max_items = 5_000, value_type = Vec<Event>)]
    events: Vec<Value>,
}

/// What became of an event
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TrackAnswer {
    #[schema(format = "uuid")]
    event_id: String,
    status: TrackStatus,
    /// Why it was set aside
    #[schema(nullable = false)]
    error: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrackStatus {
    Stored,
    Duplicate,
    Quarantined,
    /// In a batch only: it is no event
    Refused,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BatchAnswer {
    total_events: u64,
    successful_events: u64,
    failed_events: u64,
    /// One for each event, in order
    results: Vec<BatchResult>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BatchResult {
    /// Null when it was refused
    #[schema(format = "uuid")]
    event_id: Option<String>,
    success: bool,
    status: TrackStatus,
    #[schema(nullable = false)]
    error: Option<String>,
}

/// Members of an event with their new values; null takes one away
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"properties": {"amount": 12, "note": null}}))]
pub(crate) struct EventChange {
    #[schema(min_length = 1, nullable = false)]
    event_type: Option<String>,
    event_category: Option<String>,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    session_id: Option<String>,
    properties: Option<Map<String, Value>>,
    context: Option<EventContext>,
    source: Option<String>,
    version: Option<String>,
    environment: Option<String>,
    schema_version: Option<TextOrNumber>,
}

/// What a tenant has set
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    corrections: Corrections,
    segments: Vec<Segment>,
    /// Where the tables lie, when not in the usual place
    #[schema(nullable = false, example = "s3://bucket/prefix")]
    location: Option<String>,
    #[schema(nullable = false)]
    retention: Option<RetentionRules>,
}

/// What is to be changed
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"corrections": {"clockSkew": true}}))]
pub(crate) struct SettingsChange {
    #[schema(nullable = false)]
    corrections: Option<CorrectionsChange>,
    /// All of them, in the order in which they are tried
    #[schema(nullable = false, max_items = 100)]
    segments: Option<Vec<Segment>>,
    /// `s3://BUCKET/PREFIX`, only as long as the tenant has no rows; null for the usual place
    #[schema(pattern = "^s3://[a-z0-9.-]{3,63}(/[A-Za-z0-9_.=-]+)*$")]
    location: Option<String>,
    #[schema(nullable = false)]
    retention: Option<RetentionRules>,
}

/// What may be changed in an event before it is stored; each change is logged in its row
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Corrections {
    /// Times of a sender whose clock is off are moved by how far it is off
    clock_skew: bool,
    /// Numbers that came as text, and texts that came as numbers, become what the field holds
    numbers_as_text: bool,
    /// Texts that are too long are cut
    oversize_text: bool,
    /// Countries become upper case; categories, environments, device types lower case
    casing: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CorrectionsChange {
    #[schema(nullable = false)]
    clock_skew: Option<bool>,
    #[schema(nullable = false)]
    numbers_as_text: Option<bool>,
    #[schema(nullable = false)]
    oversize_text: Option<bool>,
    #[schema(nullable = false)]
    casing: Option<bool>,
}

/// A named group of users: `users.segment` says which
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Segment {
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "loyal")]
    name: String,
    /// An SQL condition over the columns of `users`
    #[schema(format = "segment-condition", max_length = 4_096, example = "event_count >= 100")]
    when: String,
}

/// How long rows are kept, by the names of tables
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"events": {"dropAfter": "365d"}, "requests": {"dropAfter": "14d"}}))]
pub(crate) struct RetentionRules {
    #[schema(nullable = false)]
    events: Option<RetentionRule>,
    #[schema(nullable = false)]
    requests: Option<RetentionRule>,
    #[schema(nullable = false)]
    request_summaries: Option<RetentionRule>,
    #[schema(nullable = false)]
    host_metrics: Option<RetentionRule>,
    #[schema(nullable = false)]
    quarantine: Option<RetentionRule>,
}

/// Ages of at least an hour, each at most once; none means never
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetentionRule {
    #[schema(format = "age", example = "30d")]
    archive_after: Option<String>,
    #[schema(format = "age", example = "365d")]
    drop_after: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextOrNumber {
    Text(String),
    Number(f64),
}

/// A value
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(f64),
    Boolean(bool),
    Null,
}

/// The rows of a query, and how it went
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct QueryAnswered {
    /// One object a row, its keys in the order of the select
    data: Vec<Map<String, Value>>,
    columns: Vec<Column>,
    /// Null when `maxRows` stopped it
    total_rows: Option<u64>,
    truncated: bool,
    /// Milliseconds
    execution_time: f64,
    /// What ran, an indented step a line, with rows, times and files
    query_plan: String,
    query_id: String,
    /// It was worked out for an earlier query, from the same rows
    cache_hit: bool,
    /// Every row acknowledged longer ago than so many milliseconds is in it
    data_freshness: f64,
}

/// Metrics by bucket and dimensions, and how they were found
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsAnswered {
    /// One object a row: its dimensions, `timestamp` when there is a granularity, its metrics; by time, then by dimensions
    data: Vec<Map<String, Value>>,
    metadata: MetricsMetadata,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MetricsMetadata {
    /// Rows of `data`
    total_rows: u64,
    /// Milliseconds
    execution_time: f64,
    /// How many milliseconds ago every row acknowledged by then was certainly counted
    data_freshness: f64,
    query_id: String,
    /// Nothing was computed
    cache_hit: bool,
    /// `rollups`, `summaries`, `rows`, joined by `+`
    #[schema(example = "summaries")]
    data_source: String,
    /// `low`, `medium` or `high`: 100 a file, 1 a cell, 4 a row, below 100,000, below 4,000,000, above
    query_complexity: String,
    /// Rows were left out: there are more than 10,000
    partial: bool,
    time_range: MetricsAnsweredRange,
    files_read: u64,
    cells_read: u64,
    rows_read: u64,
    relative_error: MetricsError,
}

/// What was counted: summaries have whole intervals of 10 s
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsAnsweredRange {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
}

/// What estimates may be off by, relative; null when there are none
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsError {
    /// Of percentiles
    latency: Option<f64>,
    /// Of `unique_users` and `unique_sessions`; 0 when all are exact
    distinct: Option<f64>,
}

/// A column by its SQL name and type
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    name: String,
    #[schema(example = "bigint")]
    r#type: String,
}
