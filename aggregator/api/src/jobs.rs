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
use ridealong_model::jobs::{Job, JobState, JobStatus, JobsSource, LastRun};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::services::Services;

/// Below the limit of every request; who asks gets an answer rather than a timeout.
const WAIT_MAX: Duration = Duration::from_secs(50);

pub(crate) async fn list(State(services): State<Services>) -> Json<Value> {
    Json(json!({ "data": services.jobs.jobs().iter().map(shown).collect::<Vec<_>>(), "nextCursor": null }))
}

pub(crate) async fn one(State(services): State<Services>, Path(name): Path<String>) -> Result<Json<Value>, Failure> {
    Ok(Json(shown(&status(&services, known(&name)?)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    wait: Option<bool>,
}

pub(crate) async fn run(
    State(services): State<Services>,
    Path(name): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<(StatusCode, Json<Value>), Failure> {
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

fn shown(status: &JobStatus) -> Value {
    let time = |micros: Option<i64>| micros.map(|micros| Timestamp(micros).to_string());
    let since = match status.state {
        JobState::Running { since_us } => Some(since_us),
        _ => None,
    };
    let last = status.last.as_ref();
    let result = last.map(|run| run.result.as_ref());
    json!({
        "name": status.job.name(),
        "state": status.state.name(),
        "everySeconds": status.every.map(|every| every.as_secs()),
        "runs": status.runs,
        "failures": status.failures,
        "runningSince": time(since),
        "lastStarted": time(last.map(|run| run.started_us)),
        "lastFinished": time(last.map(|run| run.finished_us)),
        "lastDurationMs": last.map(LastRun::duration_ms),
        "lastResult": result.and_then(Result::ok),
        "lastError": result.and_then(Result::err),
        "nextRun": time(status.next_us),
    })
}
