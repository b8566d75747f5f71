//! What live numbers look like; the package `ridealong-stream` writes them.
#![allow(dead_code, reason = "described, and held to what is really written by tests/e2e/tests/live.rs")]

use utoipa::ToSchema;

/// The numbers of the last minute
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct LiveNumbers {
    /// In the order in which they were named
    metrics: Vec<LiveNumber>,
    #[schema(format = DateTime)]
    timestamp: String,
    /// ms
    refresh_interval: u64,
    /// What the numbers cover; less than a minute when a start could not read all of it again
    window_seconds: f64,
}

#[derive(ToSchema)]
pub(crate) struct LiveNumber {
    #[schema(example = "events_per_second")]
    name: String,
    /// Null when there is nothing that it could be computed of
    value: Option<f64>,
    /// When it was computed; of a utilization when its newest sample came
    #[schema(format = DateTime)]
    timestamp: String,
    /// There when the value is an estimate
    #[schema(nullable = false)]
    estimated: Option<bool>,
}

/// A message of a stream, as server-sent events have it
#[derive(ToSchema)]
pub(crate) struct StreamMessage {
    /// What the WebSocket sends: JSON
    data: String,
    /// By which a stream goes on: `Last-Event-ID`
    #[schema(nullable = false)]
    id: Option<String>,
}
