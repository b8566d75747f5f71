//! Is the agent alive, does it collect, and how well.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::LocalServices;

/// Share of the spool's limit from which on the state is degraded.
const SPOOL_DEGRADED: f64 = 0.8;

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The agent collects: a spool that cannot be written makes it not ready, an absent aggregator does not.
pub(super) async fn ready(State(services): State<LocalServices>) -> (StatusCode, String) {
    if services.stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: stopping\n".into());
    }
    match services.spool.status().failing {
        None => (StatusCode::OK, "ready\n".into()),
        Some(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: the spool cannot be written: {cause}\n")),
    }
}

pub(super) async fn health(State(services): State<LocalServices>) -> (StatusCode, Json<Value>) {
    let spool = services.spool.status();
    let filled = spool.disk_bytes as f64 / spool.disk_bytes_max.max(1) as f64;
    let delivery = services.shipper.lock().last_error.clone();
    let writing = spool.failing.as_ref().map_or("ok", |_| "failing");
    let space = if filled < SPOOL_DEGRADED { "ok" } else { "degraded" };
    let delivering = delivery.as_ref().map_or("ok", |_| "degraded");
    let checks = [
        ("spool-writes", writing, spool.failing.unwrap_or_else(|| "fine".into()), "failing while a write failed"),
        ("spool-space", space, format!("{:.1} % used", filled * 100.0), "degraded above 80 %"),
        ("delivery", delivering, delivery.unwrap_or_else(|| "fine".into()), "degraded while the last delivery failed"),
    ];
    let worst = ["failing", "degraded", "ok"].into_iter().find(|worst| checks.iter().any(|check| check.1 == *worst));
    let code = if worst == Some("failing") { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let shown = checks.map(|(name, status, value, threshold)| {
        json!({ "name": name, "status": status, "value": value, "threshold": threshold })
    });
    let uptime = services.started.elapsed().as_secs();
    (code, Json(json!({ "status": worst, "uptimeSeconds": uptime, "checks": shown })))
}
