//! `GET /jobs`, `GET /jobs/{name}`: how what keeps the tables in order stands. `POST /jobs/{name}/run` runs one now: a run
//! that begins after the request, whatever runs at the moment. It is answered when the run has ended, or, with
//! `wait=false` or when it takes long, before: then `state` says where it is.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ridealong_common::settings::nearest;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_model::jobs::{Job, JobState, JobStatus, JobsSource, LastRun, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::description::problems::{Fails, JobRun, NamedJob, Nothing, Parameter};
use crate::services::Services;

/// Below the limit of every request; who asks gets an answer rather than a timeout.
const WAIT_MAX: Duration = Duration::from_secs(50);

/// How a job stands
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(crate) struct Shown {
    #[schema(example = "compact")]
    name: &'static str,
    /// `idle`, `waiting` or `running`
    #[schema(example = "idle")]
    state: &'static str,
    /// Null: only when somebody asks
    every_seconds: Option<u64>,
    runs: u64,
    failures: u64,
    #[schema(format = DateTime)]
    running_since: Option<String>,
    #[schema(format = DateTime)]
    last_started: Option<String>,
    #[schema(format = DateTime)]
    last_finished: Option<String>,
    last_duration_ms: Option<u64>,
    /// `tables`, `filesRemoved`, `filesAdded`, `rows`, `bytes` that it changed
    #[schema(value_type = Option<Object>)]
    last_result: Option<Outcome>,
    last_error: Option<String>,
    #[schema(format = DateTime)]
    next_run: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Jobs)]
pub(crate) struct List {
    data: Vec<Shown>,
    /// Always null: there are few
    next_cursor: Option<String>,
}

/// How all jobs stand
#[utoipa::path(get, path = "/jobs", operation_id = "listJobs", tag = "operation",
    responses((status = 200, body = List, description = "All of them"), Fails<Nothing>))]
pub(crate) async fn list(State(services): State<Services>) -> Json<List> {
    Json(List { data: services.jobs.jobs().iter().map(shown).collect(), next_cursor: None })
}

/// How one job stands
#[utoipa::path(get, path = "/jobs/{name}", operation_id = "getJob", tag = "operation",
    params(("name" = String, Path, description = "`compact`, `rewrite`, `archive`, `retain` or `vacuum`", example = "compact")),
    responses((status = 200, body = Shown, description = "How it stands"), Fails<NamedJob>))]
pub(crate) async fn one(State(services): State<Services>, Path(name): Path<String>) -> Result<Json<Shown>, Failure> {
    Ok(Json(shown(&status(&services, known(&name)?)?)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Whether to answer only when the run has ended
    #[param(default = true)]
    wait: Option<bool>,
}

/// Runs a job now
///
/// A run that begins after the request. 200 when it has ended; 202, with `wait=false` or after 50 s, when it has not.
#[utoipa::path(post, path = "/jobs/{name}/run", operation_id = "runJob", tag = "operation",
    params(("name" = String, Path, description = "`compact`, `rewrite`, `archive`, `retain` or `vacuum`", example = "compact"), Asked),
    responses((status = 200, body = Shown, description = "It has ended"), (status = 202, body = Shown, description = "It goes on"),
        Fails<(NamedJob, Parameter, JobRun)>))]
pub(crate) async fn run(
    State(services): State<Services>,
    Path(name): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<(StatusCode, Json<Shown>), Failure> {
    let job = known(&name)?;
    let answer = services.jobs.ask(job).map_err(|error| Failure::unavailable("busy", error.to_string()))?;
    let begun = || Ok((StatusCode::ACCEPTED, Json(shown(&status(&services, job)?))));
    if asked.wait == Some(false) {
        return begun();
    }
    match tokio::time::timeout(WAIT_MAX, answer).await {
        Err(_) => begun(),
        Ok(Err(_)) => Err(Failure::unavailable("stopping", "the program is being stopped")),
        Ok(Ok(run)) => {
            // Another may have ended since: the one that was asked for is shown.
            let status = JobStatus { last: Some(run), ..status(&services, job)? };
            Ok((StatusCode::OK, Json(shown(&status))))
        }
    }
}

fn known(name: &str) -> Result<Job, Failure> {
    Job::from_name(name).ok_or_else(|| {
        let names = Job::ALL.map(Job::name);
        let name: String = name.chars().take(80).collect();
        let hint = nearest(&name, names.into_iter()).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
        let detail = format!("{name:?} is no job{hint} There are: {}", names.join(", "));
        Failure::new(404, "no-such-job", "No such job", detail)
    })
}

fn status(services: &Services, job: Job) -> Result<JobStatus, Failure> {
    services.jobs.status(job).ok_or_else(|| Failure::unavailable("no-jobs", "jobs are not run here"))
}

fn shown(status: &JobStatus) -> Shown {
    let time = |micros: Option<i64>| micros.map(|micros| Timestamp(micros).to_string());
    let since = match status.state {
        JobState::Running { since_us } => Some(since_us),
        _ => None,
    };
    let last = status.last.as_ref();
    let result = last.map(|run| run.result.clone());
    Shown {
        name: status.job.name(),
        state: status.state.name(),
        every_seconds: status.every.map(|every| every.as_secs()),
        runs: status.runs,
        failures: status.failures,
        running_since: time(since),
        last_started: time(last.map(|run| run.started_us)),
        last_finished: time(last.map(|run| run.finished_us)),
        last_duration_ms: last.map(LastRun::duration_ms),
        last_result: result.clone().and_then(Result::ok),
        last_error: result.and_then(Result::err).map(|failure| failure.0),
        next_run: time(status.next_us),
    }
}
