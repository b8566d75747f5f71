//! `GET /realtime?names=a,b`: the numbers of the last minute, once. The same as `/live` pushes.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_stream::{NumbersRequest, Scope};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::description::problems::{Fails, LiveMetrics, Parameter};
use crate::live::{LiveNumbers, metrics};
use crate::services::Services;

/// When asking again is worth it: what `/live` does by default.
const REFRESH: Duration = Duration::from_secs(1);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RealtimeParameters {
    /// Metrics, with commas between; all when it is not said
    #[param(format = "metric-list", example = "event_count,latency_p95")]
    names: Option<String>,
    /// The `source` of events, the service of requests and hosts
    service: Option<Box<str>>,
    environment: Option<Box<str>>,
}

/// The numbers of the last minute
///
/// Of the 60 seconds up to now, straight from the log: what was acknowledged a moment ago is in them. Requests count when they
/// happened, at any sampling rate; events when they came.
#[utoipa::path(get, path = "/realtime", operation_id = "realtime", tag = "live", params(RealtimeParameters),
    responses((status = 200, body = LiveNumbers, description = "All that were named"), Fails<(Parameter, LiveMetrics)>))]
pub(crate) async fn realtime(
    State(services): State<Services>,
    Parameters(parameters): Parameters<RealtimeParameters>,
) -> Result<Response, Failure> {
    let request = NumbersRequest {
        metrics: metrics("names", parameters.names.as_deref())?,
        scope: Scope { service: parameters.service, environment: parameters.environment },
        interval: REFRESH,
        is_message: false,
    };
    let body = services.live.numbers(&services.tenant(), &request).await;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}
