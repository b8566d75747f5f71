//! The agent's own API, for the service beside it and for whoever looks after the agent. Adapters only.

mod config;
mod events;
mod health;
mod performance;
mod serve;
mod stats;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::Uri;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Json, body::Body};
use parking_lot::Mutex;
use ridealong_common::event::Defaults;
use ridealong_common::ids::ProducerId;
use ridealong_edge::Failure;
use ridealong_edge::body::Bodies;
use ridealong_edge::loopback::require_loopback_host;
use serde_json::{Value, json};

use crate::books::Books;
use crate::live::Live;
use crate::proxy::Counters;
use crate::shipper::ShipperStatus;
use crate::spool::{Spool, SpoolStatus};
use crate::summary::LastMinutes;
use events::Recent;

pub use serve::serve;

/// A flush that takes longer is given up: the aggregator is away or far behind.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
const FLUSH_SETTLE: Duration = Duration::from_millis(20);
const FLUSH_LOOK: Duration = Duration::from_millis(20);

/// What the handlers call.
#[derive(Clone)]
pub struct LocalServices {
    pub producer: ProducerId,
    pub spool: Spool,
    pub books: Arc<Books>,
    pub shipper: Arc<Mutex<ShipperStatus>>,
    pub proxy: Arc<Counters>,
    pub live: Live,
    /// Set when the agent stops: it is not ready any more.
    pub stopping: Arc<AtomicBool>,
    pub last_minutes: Arc<LastMinutes>,
    pub defaults: Arc<Defaults>,
    pub recent: Arc<Recent>,
    pub bodies: Bodies,
    pub started: Instant,
}

pub fn router(services: LocalServices) -> Router {
    let analytics = Router::new()
        .route("/track", post(events::track))
        .route("/batch-track", post(events::batch_track))
        .route("/recent", get(events::recent))
        .route("/health", get(health::health))
        .route("/stats", get(stats::stats))
        .route("/performance", get(performance::performance))
        .route("/config", get(config::get).put(config::put))
        .route("/flush", post(flush));
    Router::new()
        .nest("/api/analytics", analytics)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(stats::metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(require_loopback_host))
        .with_state(services)
}

async fn no_such_path(uri: Uri) -> Failure {
    let detail = format!("the agent serves nothing at {}; the aggregator may", uri.path());
    Failure::new(404, "no-such-path", "No such path", detail)
}

async fn no_such_method(uri: Uri) -> Failure {
    Failure::new(405, "no-such-method", "Method not allowed", format!("{} takes another method", uri.path()))
}

/// Answers when everything recorded before it is acknowledged by the aggregator.
async fn flush(State(services): State<LocalServices>, _: Body) -> Result<Json<Value>, Failure> {
    let delivered = async {
        // A client can have a response's last byte a moment before the proxy thread has recorded it.
        tokio::time::sleep(FLUSH_SETTLE).await;
        // Rows of the proxy threads reach the spool with their next tick.
        for (recorder, recorded) in services.books.recorded() {
            while recorder.exchanges_offered() < recorded {
                tokio::time::sleep(FLUSH_LOOK).await;
            }
        }
        services.spool.commit().await;
        let SpoolStatus { bulk, kept, .. } = services.spool.status();
        let mut changes = services.spool.watch();
        let all =
            |now: &SpoolStatus| now.bulk.delivered_to >= bulk.written_to && now.kept.delivered_to >= kept.written_to;
        changes.wait_for(all).await.is_ok()
    };
    match tokio::time::timeout(FLUSH_TIMEOUT, delivered).await {
        Ok(true) => Ok(Json(json!({ "pending": services.books.snapshot().pending }))),
        Ok(false) => Err(Failure::unavailable("stopping", "the agent is stopping")),
        Err(_) => {
            let cause = services.shipper.lock().last_error.clone();
            let detail = cause.unwrap_or_else(|| "the backlog is larger than 30 s of delivery".into());
            Err(Failure::unavailable("not-delivered", detail))
        }
    }
}
