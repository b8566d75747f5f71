//! Every path of the aggregator. All of them are added with `routes!`, which takes a handler with its description: no path
//! is served that `/openapi.json` does not describe.

use std::any::Any;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Uri;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use ridealong_edge::Failure;
use ridealong_edge::loopback::require_loopback_host;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::services::Services;
use crate::{
    batches, config, description, docs, events, export, flush, health, jobs, live, metrics, mutations, performance,
    prometheus, quarantine, query, realtime, recent, retention, stats, track,
};

pub fn router(services: Services) -> Router {
    let limit = services.limits.request_timeout;
    let (paths, document) = described().split_for_parts();
    paths
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        // Bodies are read by the handlers, each with its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(description::Served::new(&document)))
        .layer(from_fn(require_loopback_host))
        .layer(from_fn(move |request: Request, next: Next| in_time(limit, request, next)))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(services)
}

/// The API's description as text, without anything that serves it.
pub fn openapi() -> String {
    description::text(described().get_openapi())
}

fn described() -> OpenApiRouter<Services> {
    OpenApiRouter::with_openapi(description::base())
        .nest("/api/analytics", analytics())
        .routes(routes!(batches::batches))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(prometheus::metrics))
        .routes(routes!(description::openapi))
        .routes(routes!(docs::docs))
}

fn analytics() -> OpenApiRouter<Services> {
    OpenApiRouter::default()
        .routes(routes!(track::track))
        .routes(routes!(track::batch_track))
        .routes(routes!(events::list::list))
        .routes(routes!(events::counts::counts))
        .routes(routes!(events::get, events::patch, events::delete))
        .routes(routes!(recent::recent))
        .routes(routes!(realtime::realtime))
        .routes(routes!(live::socket::live))
        .routes(routes!(live::stream::stream))
        .routes(routes!(mutations::list, mutations::make))
        .routes(routes!(query::query))
        .routes(routes!(export::export))
        .routes(routes!(metrics::metrics))
        .routes(routes!(performance::performance))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::replay))
        .routes(routes!(quarantine::one, quarantine::change))
        .routes(routes!(health::health))
        .routes(routes!(stats::stats))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::one))
        .routes(routes!(jobs::run))
        .routes(routes!(flush::flush))
        .routes(routes!(config::get, config::put))
        .routes(routes!(retention::get, retention::put))
}

/// The head of the answer within the limit; its body may take longer.
async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            let detail = format!("no request may take longer than {limit:?}");
            Failure::new(408, "request-timeout", "Request took too long", detail).into_response()
        }
    }
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or_default();
    tracing::error!(panic = text, "a handler panicked");
    let detail = "a fault of the program; it is in its log";
    Failure::new(500, "panicked", "Fault of the program", detail).into_response()
}

async fn no_such_path(uri: Uri) -> Failure {
    Failure::new(404, "no-such-path", "No such path", format!("nothing is served at {}", uri.path()))
}

async fn no_such_method(uri: Uri) -> Failure {
    let detail = format!("{} takes another method; see /openapi.json or /docs", uri.path());
    Failure::new(405, "no-such-method", "Method not allowed", detail)
}
