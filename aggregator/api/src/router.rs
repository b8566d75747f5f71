//! Every path of the aggregator.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::services::Services;
use crate::{
    batches, config, event, events, flush, health, jobs, metrics, mutations, performance, prometheus, quarantine,
    query, recent, retention, stats,
};
use ridealong_edge::Failure;
use ridealong_edge::loopback::require_loopback_host;

pub fn router(services: Services) -> Router {
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, services.limits.request_timeout);
    let analytics = Router::new()
        .route("/track", post(events::track))
        .route("/batch-track", post(events::batch_track))
        .route("/events/{eventId}", get(event::get).patch(event::patch).delete(event::delete))
        .route("/mutations", get(mutations::list).post(mutations::make))
        .route("/config", get(config::get).put(config::put))
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/replay", post(quarantine::replay))
        .route("/quarantine/{eventId}", get(quarantine::one).patch(quarantine::change))
        .route("/query", post(query::query))
        .route("/metrics", post(metrics::metrics))
        .route("/health", get(health::health))
        .route("/stats", get(stats::stats))
        .route("/performance", get(performance::performance))
        .route("/recent", get(recent::recent))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{name}", get(jobs::one))
        .route("/jobs/{name}/run", post(jobs::run))
        .route("/retention", get(retention::get).put(retention::put))
        .route("/flush", post(flush::flush));
    Router::new()
        .nest("/api/analytics", analytics)
        .route("/v1/batches", post(batches::batches))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(prometheus::metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        // Bodies are read by the handlers, each with its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(require_loopback_host))
        .layer(timeout)
        .layer(CatchPanicLayer::new())
        .with_state(services)
}

async fn no_such_path(uri: Uri) -> Failure {
    Failure::new(404, "no-such-path", "No such path", format!("nothing is served at {}", uri.path()))
}

async fn no_such_method(uri: Uri) -> Failure {
    let detail = format!("{} takes another method; see the list of paths in the README", uri.path());
    Failure::new(405, "no-such-method", "Method not allowed", detail)
}
