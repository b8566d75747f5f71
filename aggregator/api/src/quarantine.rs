//! `/quarantine`: what was set aside, to be looked at, corrected, and let in again.
//! SQL shows of each event the row that is in force.

mod filter;
mod shape;

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;
use ridealong_edge::parameters::Parameters;
use ridealong_ingest::{PAYLOAD_BYTES_MAX, QuarantineRow, ReplayReceipt, Replayed, Standing};
use ridealong_model::query::QueryRequest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::cursor::{Cursor, NEWEST_FIRST};
use crate::description::problems::{
    Fails, JsonBody, Log, Parameter, Replay as Replaying, SetAside, SetAsideChange, Tables,
};
use crate::failure::{refused, unanswered};
use crate::parameter::{self, invalid};
use crate::services::Services;

use self::filter::{Asked, Filter};
use self::shape::{Shown, of_answer, shown};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// Events of one replay; more are left for the next, and said to be.
const REPLAY_MAX: usize = 5_000;
/// A replay stops after this, between two pages.
const REPLAY_TIME_MAX: Duration = Duration::from_secs(20);
/// Results shown of one replay.
const RESULTS_MAX: usize = 1_000;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    /// Newest first
    data: Vec<Shown>,
    /// Null: this was the last page
    next_cursor: Option<String>,
}

/// Events that were set aside
#[utoipa::path(get, path = "/quarantine", operation_id = "listQuarantine", tag = "quarantine", params(Asked),
    responses((status = 200, body = Page, description = "A page"), Fails<(Parameter, Tables)>))]
pub(crate) async fn list(
    State(services): State<Services>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page>, Failure> {
    let limit = parameter::limit(asked.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let (rows, next) = page(&services, Filter::checked(asked)?, limit).await?;
    let next_cursor = next.map(|cursor| cursor.to_string());
    Ok(Json(Page { data: rows.iter().map(shown).collect(), next_cursor }))
}

/// One event that was set aside
#[utoipa::path(get, path = "/quarantine/{eventId}", operation_id = "getQuarantined", tag = "quarantine",
    params(("eventId" = String, Path, max_length = 1_024)),
    responses((status = 200, body = Shown, description = "As it stands"), Fails<(Parameter, SetAside, Tables)>))]
pub(crate) async fn one(
    State(services): State<Services>,
    Path(event_id): Path<String>,
) -> Result<Json<Shown>, Failure> {
    Ok(Json(shown(&in_force(&services, event_id).await?)))
}

/// Either the corrected event, or what becomes of it
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = QuarantineChange, example = json!({"status": "discarded"}))]
pub(crate) struct Change {
    payload: Option<Map<String, Value>>,
    /// `discarded` or `open`
    #[schema(example = "discarded")]
    status: Option<String>,
}

/// Corrects or discards what was set aside
#[utoipa::path(patch, path = "/quarantine/{eventId}", operation_id = "changeQuarantined", tag = "quarantine",
    params(("eventId" = String, Path, max_length = 1_024)), request_body = Change,
    responses((status = 200, body = Shown, description = "As it stands"),
        Fails<((Parameter, JsonBody), (SetAside, SetAsideChange), Tables, Log)>))]
pub(crate) async fn change(
    State(services): State<Services>,
    Path(event_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Failure> {
    let held = services.bodies.read(&headers, body, PAYLOAD_BYTES_MAX + 1_024).await?;
    let change: Change = read_json(&held.bytes)?;
    let mut row = in_force(&services, event_id).await?;
    if row.standing == Standing::Replayed {
        let detail = "it was replayed: it is stored, and changed there";
        return Err(Failure::new(409, "already-replayed", "Already replayed", detail));
    }
    let standing = match (change.status.as_deref(), &change.payload) {
        (None, Some(_)) => Standing::Corrected,
        (Some("discarded"), None) => Standing::Discarded,
        (Some("open"), None) => Standing::Open,
        _ => {
            let detail = "send either payload, the corrected event, or status, \"discarded\" or \"open\"";
            return Err(Failure::new(400, "invalid-change", "Not a change", detail));
        }
    };
    if let Some(payload) = change.payload {
        row.payload = Some(Value::Object(payload).to_string());
    }
    let id = row.event_id.to_string();
    let changed = services.ingest.change_quarantined(&services.tenant(), row, standing).await.map_err(refused)?;
    if !changed {
        let detail = "another change of it came first; read it again";
        return Err(Failure::new(409, "changed-meanwhile", "Changed meanwhile", detail));
    }
    Ok(Json(shown(&in_force(&services, id).await?)))
}

/// Which ones: by their ids, by reason or table, or all that are open or corrected
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReplayAsked, example = json!({"reason": "bad_time", "dryRun": false}))]
pub(crate) struct Replay {
    #[serde(default)]
    #[schema(max_items = 5_000)]
    ids: Vec<String>,
    reason: Option<String>,
    table: Option<String>,
    #[serde(default)]
    all: bool,
    /// A dry run first, unless it says otherwise.
    #[serde(default = "yes")]
    #[schema(default = true)]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

/// What came of a replay
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReplayAnswer)]
pub(crate) struct ReplayAnswer {
    dry_run: bool,
    total: usize,
    stored: usize,
    would_store: usize,
    duplicate: usize,
    /// Faulty as before
    quarantined: usize,
    /// Whether some are left for another replay
    more: bool,
    /// The first 1,000
    results: Vec<ReplayResult>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayResult {
    #[schema(format = "uuid")]
    event_id: String,
    /// `stored`, `would_store`, `duplicate` or `quarantined`
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// Lets in again what was set aside
///
/// As it is now, with the id it was set aside with, so it is stored once. A dry run unless `dryRun` is false.
#[utoipa::path(post, path = "/quarantine/replay", operation_id = "replayQuarantined", tag = "quarantine",
    request_body = Replay,
    responses((status = 200, body = ReplayAnswer, description = "What came of it"), Fails<(JsonBody, Replaying, Tables, Log)>))]
pub(crate) async fn replay(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReplayAnswer>, Failure> {
    let held = services.bodies.read(&headers, body, 1 << 20).await?;
    let asked: Replay = read_json(&held.bytes)?;
    if asked.ids.is_empty() && asked.reason.is_none() && asked.table.is_none() && !asked.all {
        let detail = "say what: ids, a list of event ids; reason or table; or all: true";
        return Err(Failure::new(400, "nothing-to-replay", "Nothing to replay", detail));
    }
    if asked.ids.len() > REPLAY_MAX {
        return Err(invalid(format!("at most {REPLAY_MAX} ids at once")));
    }
    let is_dry = asked.dry_run;
    let began = Instant::now();
    let mut filter = Filter::to_replay(asked.ids, asked.reason, asked.table)?;
    let mut receipts: Vec<ReplayReceipt> = Vec::new();
    let more = loop {
        let (rows, next) = page(&services, filter.clone(), LIMIT_MAX).await?;
        receipts.extend(services.ingest.replay(&services.tenant(), rows, is_dry).await.map_err(refused)?);
        match next {
            None => break false,
            Some(_) if receipts.len() >= REPLAY_MAX || began.elapsed() > REPLAY_TIME_MAX => break true,
            Some(next) => filter.after = Some(next),
        }
    };
    Ok(Json(answer(&receipts, is_dry, more)))
}

fn answer(receipts: &[ReplayReceipt], dry_run: bool, more: bool) -> ReplayAnswer {
    let count = |is: fn(&Replayed) -> bool| receipts.iter().filter(|receipt| is(&receipt.replayed)).count();
    let sound = count(|it| *it == Replayed::Stored);
    ReplayAnswer {
        dry_run,
        total: receipts.len(),
        stored: if dry_run { 0 } else { sound },
        would_store: if dry_run { sound } else { 0 },
        duplicate: count(|it| *it == Replayed::Duplicate),
        quarantined: count(|it| matches!(it, Replayed::Faulty { .. })),
        more,
        results: receipts.iter().take(RESULTS_MAX).map(|receipt| result(receipt, dry_run)).collect(),
    }
}

fn result(receipt: &ReplayReceipt, dry_run: bool) -> ReplayResult {
    let event_id = receipt.event_id.to_string();
    let (status, reason, error) = match &receipt.replayed {
        Replayed::Stored if dry_run => ("would_store", None, None),
        Replayed::Stored => ("stored", None, None),
        Replayed::Duplicate => ("duplicate", None, None),
        Replayed::Faulty { reason, detail } => ("quarantined", Some(reason.to_string()), Some(detail.to_string())),
    };
    ReplayResult { event_id, status, reason, error }
}

/// The row of an event that is in force.
async fn in_force(services: &Services, event_id: String) -> Result<QuarantineRow, Failure> {
    let missing =
        || Failure::new(404, "not-in-quarantine", "Not in quarantine", format!("{event_id} was not set aside"));
    let (mut rows, _) = page(services, Filter::one(&event_id)?, 1).await?;
    rows.pop().ok_or_else(missing)
}

/// Rows in force, newest first, and where the next page begins.
async fn page(
    services: &Services,
    filter: Filter,
    limit: usize,
) -> Result<(Vec<QuarantineRow>, Option<Cursor>), Failure> {
    let (conditions, params) = filter.conditions();
    let sql = format!(
        r#"SELECT event_id, "timestamp", source_table, reason, detail, payload, source, event_type, status, revision
           FROM quarantine WHERE {conditions} ORDER BY {NEWEST_FIRST} LIMIT {}"#,
        limit + 1
    );
    let request =
        params.into_iter().fold(QueryRequest { rows_max: limit + 1, ..QueryRequest::new(sql) }, QueryRequest::param);
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    let mut rows = of_answer(&answer.rows_json)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| Cursor { timestamp: row.timestamp, event_id: row.event_id });
    Ok((rows, next))
}
