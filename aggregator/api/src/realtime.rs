//! `GET /realtime?names=a,b`: the numbers of the last minute, once. The same as `/live` pushes.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_stream::{NumbersRequest, Scope};
use serde::Deserialize;

use crate::live::metrics;
use crate::services::Services;

/// When asking again is worth it: what `/live` does by default.
const REFRESH: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RealtimeParameters {
    names: Option<String>,
    service: Option<Box<str>>,
    environment: Option<Box<str>>,
}

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
    let body = services.live.numbers(&services.tenant(), &request);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}
