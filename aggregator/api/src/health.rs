//! Is it alive, is it ready, and how well is it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ridealong_model::budget::Account;
use ridealong_model::jobs::{JobStatus, JobsSource};
use ridealong_model::query::{QueryError, QueryRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::description::problems::{Fails, Nothing};
use crate::services::Services;

/// Below this share of free disk the state is degraded.
const DISK_FREE_DEGRADED: f64 = 0.10;
/// Below this it is failing: the log will soon be full.
const DISK_FREE_FAILING: f64 = 0.02;

/// Live numbers that are older are not live.
const LIVE_BEHIND_DEGRADED_MS: u64 = 5_000;

/// Asks for (free, total) bytes of the disk that holds the data.
#[derive(Clone)]
pub struct Disk(pub Arc<dyn Fn() -> std::io::Result<(u64, u64)> + Send + Sync>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthStatus)]
pub(crate) enum Status {
    Ok,
    Degraded,
    Failing,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthCheck)]
pub(crate) struct Check {
    #[schema(example = "disk")]
    name: &'static str,
    status: Status,
    /// As it is
    value: String,
    /// From where on it is worse
    threshold: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    /// The worst of all checks
    status: Status,
    uptime_seconds: u64,
    checks: Vec<Check>,
}

/// Whether the process runs
#[utoipa::path(get, path = "/healthz", operation_id = "alive", tag = "operation",
    responses((status = 200, body = String, description = "It runs"), Fails<Nothing>))]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether it accepts, and answers queries
#[utoipa::path(get, path = "/readyz", operation_id = "ready", tag = "operation",
    responses((status = 200, body = String, description = "Ready"), (status = 503, body = String, description = "Not ready, and why"),
        Fails<Nothing>))]
pub(crate) async fn ready(State(services): State<Services>) -> (StatusCode, String) {
    match services.engine.query(&services.tenant(), QueryRequest::new("SELECT 1")).await {
        Ok(_) => (StatusCode::OK, "ready\n".into()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")),
    }
}

/// How well it is
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "operation",
    responses((status = 200, body = Health, description = "`ok` or `degraded`"), (status = 503, body = Health, description = "`failing`"),
        Fails<Nothing>))]
pub(crate) async fn health(State(services): State<Services>) -> (StatusCode, Json<Health>) {
    let checks = [
        disk(&services),
        memory(&services),
        log(&services).await,
        flushes(&services),
        jobs(&services),
        live(&services),
        queries(&services).await,
    ];
    let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
    let code = if status == Status::Failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let uptime_seconds = services.started.elapsed().as_secs();
    (code, Json(Health { status, uptime_seconds, checks: checks.into() }))
}

fn disk(services: &Services) -> Check {
    let threshold = format!(
        "degraded below {:.0} % free, failing below {:.0} %",
        DISK_FREE_DEGRADED * 100.0,
        DISK_FREE_FAILING * 100.0
    );
    let (status, value) = match (services.disk.0)() {
        Ok((free, total)) => {
            let share = free as f64 / total.max(1) as f64;
            let status = match share {
                _ if share < DISK_FREE_FAILING => Status::Failing,
                _ if share < DISK_FREE_DEGRADED => Status::Degraded,
                _ => Status::Ok,
            };
            (status, format!("{:.1} % free ({} MiB)", share * 100.0, free >> 20))
        }
        Err(error) => (Status::Degraded, format!("cannot be asked: {error}")),
    };
    Check { name: "disk", status, value, threshold }
}

fn memory(services: &Services) -> Check {
    let budget = services.admission.budget();
    let status = match (budget.has_room(Account::Ingest, 0), budget.has_room(Account::Queries, 0)) {
        (true, _) => Status::Ok,
        (false, true) => Status::Degraded,
        (false, false) => Status::Failing,
    };
    let now = budget.status();
    let [resident, hot_rows, bytes_max] = [now.resident, now.hot_rows, now.bytes_max].map(|bytes| bytes >> 20);
    let value = format!("{resident} of {bytes_max} MiB, {hot_rows} of it rows, {} put off", now.refused);
    let threshold = "degraded while senders are put off, failing while queries are too".to_owned();
    Check { name: "memory", status, value, threshold }
}

async fn log(services: &Services) -> Check {
    let ingest = services.ingest.clone();
    let threshold = "degraded once an fsync has failed or at 3/4 of log-max, failing while it takes nothing".to_owned();
    let (status, value) = match tokio::task::spawn_blocking(move || ingest.books()).await {
        Ok(books) => {
            let is_long = books.bytes > books.bytes_max / 4 * 3;
            let (bytes, bytes_max) = (books.bytes >> 20, books.bytes_max >> 20);
            let status = match &books.refusing {
                Some(_) => Status::Failing,
                None if books.failed_syncs > 0 || is_long => Status::Degraded,
                None => Status::Ok,
            };
            let value = format!(
                "position {}, {bytes} of {bytes_max} MiB, {} failed fsyncs, {} refused as it was full{}",
                books.position.0,
                books.failed_syncs,
                books.refused_log_full,
                books.refusing.map(|why| format!(": {why}")).unwrap_or_default()
            );
            (status, value)
        }
        Err(error) => (Status::Failing, error.to_string()),
    };
    Check { name: "log", status, value, threshold }
}

fn flushes(services: &Services) -> Check {
    let status = services.lake.status();
    let (health, value) = match status.last_error {
        _ if status.log_error.is_some() => (Status::Failing, status.log_error.unwrap_or_default()),
        None => (Status::Ok, format!("{} flushes, {} rows hot", status.flushes, status.hot_rows)),
        Some(error) => (Status::Degraded, error),
    };
    Check {
        name: "lake",
        status: health,
        value,
        threshold: "degraded while the last flush failed, failing when the log cannot be read".into(),
    }
}

fn jobs(services: &Services) -> Check {
    let jobs = services.jobs.jobs();
    let failed = |job: &JobStatus| Some(format!("{}: {}", job.job, job.last.as_ref()?.result.as_ref().err()?));
    let failed: Vec<String> = jobs.iter().filter_map(failed).collect();
    let (status, value) = if failed.is_empty() {
        (Status::Ok, format!("{} runs", jobs.iter().map(|job| job.runs).sum::<u64>()))
    } else {
        (Status::Degraded, failed.join("; "))
    };
    Check { name: "jobs", status, value, threshold: "degraded when the last run of any has failed".into() }
}

fn live(services: &Services) -> Check {
    let now = services.live.status();
    let value = format!("{} of {} viewers, {} ms behind", now.viewers, now.viewers_max, now.behind_ms);
    let (status, value) = match now.log_error {
        Some(error) => (Status::Degraded, error),
        None if now.behind_ms > LIVE_BEHIND_DEGRADED_MS => (Status::Degraded, value),
        None => (Status::Ok, value),
    };
    let threshold = format!("degraded when live numbers are {} s behind", LIVE_BEHIND_DEGRADED_MS / 1_000);
    Check { name: "live", status, value, threshold }
}

async fn queries(services: &Services) -> Check {
    let answer = services.engine.query(&services.tenant(), QueryRequest::new("SELECT 1")).await;
    let (status, value) = match answer {
        Ok(answer) => (Status::Ok, format!("SELECT 1 in {:.1} ms", answer.execution.as_secs_f64() * 1_000.0)),
        Err(error @ (QueryError::Busy | QueryError::Behind)) => (Status::Degraded, error.to_string()),
        Err(error) => (Status::Failing, error.to_string()),
    };
    Check { name: "queries", status, value, threshold: "degraded when busy or behind, failing when one fails".into() }
}
