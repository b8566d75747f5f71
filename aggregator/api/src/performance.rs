//! `GET /performance?service&route&window=5m`: requests by service and route, and the hosts they run on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use ridealong_common::settings::FromSetting;
use ridealong_common::time::Timestamp;
use ridealong_model::query::{QueryRequest, ROWS_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::description::problems::{Fails, Parameter, Tables};
use crate::failure::unanswered;
use crate::parameter::invalid;
use crate::services::Services;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;

const WINDOW_DEFAULT: Duration = Duration::from_secs(300);
const WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    service: Option<String>,
    route: Option<String>,
    /// How far back, 1s to 24h
    #[param(format = "duration-to-a-day", default = "5m", example = "5m")]
    window: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Performance {
    window_seconds: u64,
    /// Those with most requests first
    routes: Vec<Route>,
    hosts: Vec<Host>,
}

/// Requests of one route of one service; times in milliseconds, percentiles within 1 %
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    service: Option<String>,
    route: Option<String>,
    count: u64,
    /// 0 to 1
    error_rate: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

/// A host: CPU on average, the rest as last seen
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Host {
    host: Option<String>,
    service: Option<String>,
    /// 0 to 1
    cpu_utilization: Option<f64>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    disk_used_bytes: Option<u64>,
    disk_total_bytes: Option<u64>,
}

/// Latency and errors by service and route, and the hosts
#[utoipa::path(get, path = "/performance", operation_id = "performance", tag = "query", params(Filter),
    responses((status = 200, body = Performance, description = "Of the window"), Fails<(Parameter, Tables)>))]
pub(crate) async fn performance(
    State(services): State<Services>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Performance>, Failure> {
    let window = window(filter.window.as_deref())?;
    let since = Timestamp(Timestamp::now().micros() - window.as_micros() as i64);
    let routes = rows(&services, routes(&filter, since)).await?;
    let hosts = rows(&services, hosts(&filter, since)).await?;
    Ok(Json(Performance { window_seconds: window.as_secs(), routes, hosts }))
}

fn window(text: Option<&str>) -> Result<Duration, Failure> {
    let window = text.map_or(Ok(WINDOW_DEFAULT), Duration::from_setting);
    let window = window.map_err(|problem| invalid(format!("window {problem}")))?;
    if window.is_zero() || window > WINDOW_MAX {
        return Err(invalid("window must lie between 1s and 24h"));
    }
    Ok(window)
}

/// Percentiles are within 1 % of the true value; times in milliseconds.
fn routes(filter: &Filter, since: Timestamp) -> QueryRequest {
    let mut request = QueryRequest { rows_max: ROWS_MAX, ..QueryRequest::new("") };
    let mut condition = format!("timestamp >= to_timestamp_micros({})", since.micros());
    for (column, value) in [("service", &filter.service), ("route", &filter.route)] {
        if let Some(value) = value {
            request = request.param(value.as_str());
            condition.push_str(&format!(" AND {column} = ${}", request.params.len()));
        }
    }
    request.sql = format!(
        r#"SELECT service, route, count(*) AS count,
                  avg(CASE WHEN error IS NOT NULL OR status >= 500 THEN 1.0 ELSE 0.0 END) AS "errorRate",
                  percentile(0.5, duration_us) / 1000 AS p50, percentile(0.9, duration_us) / 1000 AS p90,
                  percentile(0.95, duration_us) / 1000 AS p95, percentile(0.99, duration_us) / 1000 AS p99,
                  max(duration_us) / 1000.0 AS max
           FROM requests WHERE {condition} GROUP BY service, route ORDER BY count DESC, service, route"#
    );
    request
}

fn hosts(filter: &Filter, since: Timestamp) -> QueryRequest {
    let mut request = QueryRequest { rows_max: ROWS_MAX, ..QueryRequest::new("") };
    let mut condition = format!("timestamp >= to_timestamp_micros({})", since.micros());
    if let Some(service) = &filter.service {
        request = request.param(service.as_str());
        condition.push_str(" AND service = $1");
    }
    request.sql = format!(
        r#"SELECT host, service, avg(cpu_utilization) AS "cpuUtilization",
                  last_value(memory_used_bytes ORDER BY timestamp) AS "memoryUsedBytes",
                  last_value(memory_total_bytes ORDER BY timestamp) AS "memoryTotalBytes",
                  last_value(disk_used_bytes ORDER BY timestamp) AS "diskUsedBytes",
                  last_value(disk_total_bytes ORDER BY timestamp) AS "diskTotalBytes"
           FROM host_metrics WHERE {condition} GROUP BY host, service ORDER BY host, service"#
    );
    request
}

async fn rows<T: DeserializeOwned>(services: &Services, request: QueryRequest) -> Result<Vec<T>, Failure> {
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    let unread = |error: serde_json::Error| Failure::new(500, "query-failed", "Query failed", error.to_string());
    serde_json::from_slice(&answer.rows_json).map_err(unread)
}
