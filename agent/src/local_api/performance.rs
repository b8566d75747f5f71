//! `GET /performance?route&window=5m`: the last five minutes at most, from the summaries in memory.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use ridealong_common::settings::FromSetting;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use serde::Deserialize;
use serde_json::{Value, json};

use super::LocalServices;
use crate::summary::RouteTotals;

const WINDOW_MAX: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    route: Option<String>,
    window: Option<String>,
    /// Of one service only: accepted as at the aggregator, and equal to the agent's own or to nothing.
    service: Option<String>,
}

pub(super) async fn performance(
    State(services): State<LocalServices>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Value>, Failure> {
    let invalid = |detail: String| Failure::new(400, "invalid-parameter", "Parameter is not valid", detail);
    let window = filter.window.as_deref().map_or(Ok(WINDOW_MAX), Duration::from_setting);
    let window = window.map_err(|problem| invalid(format!("window {problem}")))?;
    if window.is_zero() || window > WINDOW_MAX {
        return Err(invalid("window must lie between 1s and 5m; the aggregator looks further back".into()));
    }
    let service = services.defaults.source.clone().unwrap_or_default();
    let ours = filter.service.is_none_or(|wanted| wanted == service);
    let since = Timestamp(Timestamp::now().micros() - window.as_micros() as i64);
    let routes = services.last_minutes.since(since);
    let wanted = routes.iter().filter(|(route, _)| ours && filter.route.as_ref().is_none_or(|wanted| wanted == *route));
    let rows: Vec<Value> = wanted.map(|(route, totals)| row(&service, route, totals)).collect();
    Ok(Json(json!({ "windowSeconds": window.as_secs(), "routes": rows })))
}

/// Times in milliseconds, percentiles within 1 %.
fn row(service: &str, route: &str, totals: &RouteTotals) -> Value {
    let quantile = |q| totals.sketch.quantile(q).map(|micros| micros / 1_000.0);
    json!({
        "service": service,
        "route": route,
        "count": totals.count,
        "errorRate": totals.errors as f64 / totals.count.max(1) as f64,
        "p50": quantile(0.5),
        "p90": quantile(0.9),
        "p95": quantile(0.95),
        "p99": quantile(0.99),
        "max": totals.duration_max_us as f64 / 1_000.0,
    })
}
