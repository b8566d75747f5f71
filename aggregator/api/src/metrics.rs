//! `POST /metrics`: numbers over time, without SQL.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use ridealong_common::settings::FromSetting;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;
use ridealong_model::metrics::{AskedFilter, MetricsAnswer, MetricsRequest, Moment};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::description::problems::{Fails, JsonBody, Metrics};
use crate::description::shapes::MetricsAnswered;
use crate::failure::unmeasured;
use crate::services::Services;

/// A question with as many filters and values as it may have, and then some.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "metrics": ["request_count", "error_rate", "latency_p95"], "dimensions": ["route"],
    "filters": [{ "field": "service", "op": "=", "value": "shop" }],
    "timeRange": { "from": "now-6h", "to": "now" }, "granularity": "15m",
}))]
pub(crate) struct MetricsBody {
    /// Each once, of `event_count events_per_second unique_users unique_sessions request_count requests_per_second error_count
    /// error_rate latency_p50 latency_p90 latency_p95 latency_p99 latency_max request_bytes response_bytes cpu_utilization
    /// memory_utilization disk_utilization`
    #[schema(min_items = 1, max_items = 32, format = "metric")]
    metrics: Vec<String>,
    /// Columns, each once, that the tables of all metrics have
    #[serde(default)]
    #[schema(max_items = 8, format = "column")]
    dimensions: Vec<String>,
    /// All must hold
    #[serde(default)]
    #[schema(max_items = 32)]
    filters: Vec<MetricsFilter>,
    time_range: MetricsRange,
    /// Length of a bucket, whole seconds; without one all of the range is one; at most 10,000 buckets
    #[schema(pattern = "^[1-9][0-9]{0,4}(s|m|h|d)$", example = "15m")]
    granularity: Option<String>,
    /// How many seconds old the answer may be
    #[serde(rename = "cacheTTL", alias = "cacheTtl")]
    #[schema(minimum = 0, maximum = 86_400)]
    cache_ttl: Option<f64>,
}

/// A test of one column; null passes none but `exists` with false
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsFilter {
    #[schema(format = "column")]
    field: String,
    /// One of `= != in not_in < <= > >= contains starts_with exists`
    #[schema(format = "operator")]
    op: String,
    /// As the column is: a text, a number, true or false; a list of at most 1,000 with `in` and `not_in`
    value: Option<Value>,
}

/// From its first moment up to but not including its last
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsRange {
    /// RFC 3339, or `now`, or as `now-6h`
    #[schema(format = "moment")]
    from: String,
    #[schema(format = "moment")]
    to: String,
}

/// Metrics over time
///
/// Numbers by bucket and dimensions, without SQL: from rollups and summaries where these have what is asked for, from rows
/// otherwise. Sees every row acknowledged before.
#[utoipa::path(post, path = "/metrics", operation_id = "metrics", tag = "query", request_body = MetricsBody,
    responses((status = 200, body = MetricsAnswered, description = "The metrics"), Fails<(JsonBody, Metrics)>))]
pub(crate) async fn metrics(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let held = services.bodies.read(&headers, body, BODY_BYTES_MAX).await?;
    let request = checked(read_json(&held.bytes)?)?;
    let answer = services.metrics.answer(&services.tenant(), request).await.map_err(unmeasured)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], written(&answer)).into_response())
}

fn checked(body: MetricsBody) -> Result<MetricsRequest, Failure> {
    let granularity = body.granularity.as_deref().map(Duration::from_setting).transpose();
    let granularity = granularity.map_err(|problem| invalid(format!("granularity: {problem}")))?;
    let cache_ttl = body.cache_ttl.map(Duration::try_from_secs_f64).transpose();
    let cache_ttl = cache_ttl.map_err(|_| invalid("cacheTTL: must be a number of seconds, 0 or more".to_owned()))?;
    let filters = body.filters.into_iter();
    Ok(MetricsRequest {
        metrics: body.metrics,
        dimensions: body.dimensions,
        filters: filters.map(|MetricsFilter { field, op, value }| AskedFilter { field, op, value }).collect(),
        from: moment("timeRange.from", &body.time_range.from)?,
        to: moment("timeRange.to", &body.time_range.to)?,
        granularity,
        cache_ttl,
    })
}

/// RFC 3339, or `now`, or `now-6h`.
fn moment(key: &str, text: &str) -> Result<Moment, Failure> {
    let text = text.trim();
    let relative = match text.strip_prefix("now") {
        Some("") => Some(Duration::ZERO),
        Some(ago) => ago.strip_prefix('-').and_then(|ago| Duration::from_setting(ago).ok()),
        None => None,
    };
    let at = || Timestamp::parse(text).map(Moment::At);
    relative.map(Moment::Ago).or_else(at).ok_or_else(|| {
        invalid(format!("{key}: must be RFC 3339 as 2026-11-20T08:15:30Z, or now, or as now-6h; this is {text:?}"))
    })
}

fn invalid(detail: String) -> Failure {
    Failure::new(400, "invalid-metrics", "Question is not valid", detail)
}

/// The rows are JSON already: they are put in as they are.
fn written(answer: &MetricsAnswer) -> Vec<u8> {
    let milliseconds = |duration: Duration| duration.as_micros() as f64 / 1_000.0;
    let metadata = json!({
        "totalRows": answer.rows,
        "executionTime": milliseconds(answer.execution),
        "dataFreshness": milliseconds(answer.freshness),
        "queryId": answer.query_id,
        "cacheHit": answer.cache_hit,
        "dataSource": answer.source,
        "queryComplexity": answer.work.complexity(),
        "partial": answer.partial,
        "timeRange": { "from": answer.range.0.to_string(), "to": answer.range.1.to_string() },
        "filesRead": answer.work.files,
        "cellsRead": answer.work.cells,
        "rowsRead": answer.work.rows,
        "relativeError": { "latency": answer.latency_error, "distinct": answer.distinct_error },
    });
    let metadata = metadata.to_string();
    let mut body = Vec::with_capacity(answer.rows_json.len() + metadata.len() + 32);
    body.extend_from_slice(b"{\"data\":");
    body.extend_from_slice(&answer.rows_json);
    body.extend_from_slice(b",\"metadata\":");
    body.extend_from_slice(metadata.as_bytes());
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests;
