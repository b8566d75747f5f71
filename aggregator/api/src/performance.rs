//! `GET /performance?service&route&window=5m`: requests by service and route, and the hosts they run on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use ridealong_common::settings::FromSetting;
use ridealong_common::time::Timestamp;
use ridealong_model::metrics::{AskedFilter, MetricsRequest, Moment};
use ridealong_model::query::{QueryRequest, ROWS_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::description::problems::{Fails, Metrics, Parameter, Tables};
use crate::failure::{unanswered, unmeasured};
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

/// Requests of one route of one service, exact at any sampling rate; times in milliseconds, percentiles within 1 %
#[derive(Serialize, ToSchema)]
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
    responses((status = 200, body = Performance, description = "Of the window"), Fails<(Parameter, Tables, Metrics)>))]
pub(crate) async fn performance(
    State(services): State<Services>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Performance>, Failure> {
    let window = window(filter.window.as_deref())?;
    let since = Timestamp(Timestamp::now().micros() - window.as_micros() as i64);
    let routes = routes(&services, &filter, window).await?;
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

/// From summaries, so exact at any sampling rate; those of the window's first seconds count whole.
async fn routes(services: &Services, filter: &Filter, window: Duration) -> Result<Vec<Route>, Failure> {
    let asked = [("service", &filter.service), ("route", &filter.route)].into_iter();
    let filters = asked.filter_map(|(field, value)| {
        let value = value.as_ref()?.as_str().into();
        Some(AskedFilter { field: field.to_owned(), op: "=".to_owned(), value: Some(value) })
    });
    let request = MetricsRequest {
        metrics: ROUTE_METRICS.map(str::to_owned).to_vec(),
        dimensions: vec!["service".to_owned(), "route".to_owned()],
        filters: filters.collect(),
        from: Moment::Ago(window),
        to: Moment::Ago(Duration::ZERO),
        granularity: None,
        cache_ttl: None,
    };
    let answer = services.metrics.answer(&services.tenant(), request).await.map_err(unmeasured)?;
    let mut routes: Vec<Measured> = read(&answer.rows_json)?;
    routes.sort_by(|one, other| {
        let named = |route: &Measured| (route.service.clone(), route.route.clone());
        other.request_count.cmp(&one.request_count).then_with(|| named(one).cmp(&named(other)))
    });
    Ok(routes.into_iter().map(Route::from).collect())
}

const ROUTE_METRICS: [&str; 7] =
    ["request_count", "error_rate", "latency_p50", "latency_p90", "latency_p95", "latency_p99", "latency_max"];

/// A row of the metrics' answer.
#[derive(Deserialize)]
struct Measured {
    service: Option<String>,
    route: Option<String>,
    request_count: u64,
    error_rate: Option<f64>,
    latency_p50: Option<f64>,
    latency_p90: Option<f64>,
    latency_p95: Option<f64>,
    latency_p99: Option<f64>,
    latency_max: Option<f64>,
}

impl From<Measured> for Route {
    fn from(measured: Measured) -> Self {
        Self {
            service: measured.service,
            route: measured.route,
            count: measured.request_count,
            error_rate: measured.error_rate,
            p50: measured.latency_p50,
            p90: measured.latency_p90,
            p95: measured.latency_p95,
            p99: measured.latency_p99,
            max: measured.latency_max,
        }
    }
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
    read(&answer.rows_json)
}

fn read<T: DeserializeOwned>(rows_json: &[u8]) -> Result<Vec<T>, Failure> {
    let unread = |error: serde_json::Error| Failure::new(500, "query-failed", "Query failed", error.to_string());
    serde_json::from_slice(rows_json).map_err(unread)
}
