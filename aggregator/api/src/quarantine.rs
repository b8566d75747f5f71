//! `/quarantine`: what was set aside, to be looked at, corrected, and let in again.
//! SQL shows of each event the row that is in force.

mod cursor;
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
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::{refused, unanswered};
use crate::services::Services;

use self::cursor::Cursor;
use self::filter::{Asked, Filter, invalid};
use self::shape::{of_answer, shown};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// Events of one replay; more are left for the next, and said to be.
const REPLAY_MAX: usize = 5_000;
/// A replay stops after this, between two pages.
const REPLAY_TIME_MAX: Duration = Duration::from_secs(20);
/// Results shown of one replay.
const RESULTS_MAX: usize = 1_000;

pub(crate) async fn list(
    State(services): State<Services>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Value>, Failure> {
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(invalid(format!("limit must lie between 1 and {LIMIT_MAX}")));
    }
    let (rows, next) = page(&services, Filter::checked(asked)?, limit).await?;
    let next = next.map(|cursor| cursor.to_string());
    Ok(Json(json!({ "data": rows.iter().map(shown).collect::<Vec<_>>(), "nextCursor": next })))
}

pub(crate) async fn one(
    State(services): State<Services>,
    Path(event_id): Path<String>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(shown(&in_force(&services, event_id).await?)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    payload: Option<Map<String, Value>>,
    status: Option<String>,
}

pub(crate) async fn change(
    State(services): State<Services>,
    Path(event_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Replay {
    #[serde(default)]
    ids: Vec<String>,
    reason: Option<String>,
    table: Option<String>,
    #[serde(default)]
    all: bool,
    /// A dry run first, unless it says otherwise.
    #[serde(default = "yes")]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn replay(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
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

fn answer(receipts: &[ReplayReceipt], is_dry: bool, more: bool) -> Value {
    let count = |is: fn(&Replayed) -> bool| receipts.iter().filter(|receipt| is(&receipt.replayed)).count();
    let result = |receipt: &ReplayReceipt| {
        let id = receipt.event_id.to_string();
        match &receipt.replayed {
            Replayed::Stored if is_dry => json!({ "eventId": id, "status": "would_store" }),
            Replayed::Stored => json!({ "eventId": id, "status": "stored" }),
            Replayed::Duplicate => json!({ "eventId": id, "status": "duplicate" }),
            Replayed::Faulty { reason, detail } => {
                json!({ "eventId": id, "status": "quarantined", "reason": reason, "error": detail })
            }
        }
    };
    json!({
        "dryRun": is_dry,
        "total": receipts.len(),
        "stored": if is_dry { 0 } else { count(|it| *it == Replayed::Stored) },
        "wouldStore": if is_dry { count(|it| *it == Replayed::Stored) } else { 0 },
        "duplicate": count(|it| *it == Replayed::Duplicate),
        "quarantined": count(|it| matches!(it, Replayed::Faulty { .. })),
        "more": more,
        "results": receipts.iter().take(RESULTS_MAX).map(result).collect::<Vec<_>>(),
    })
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
           FROM quarantine WHERE {conditions} ORDER BY "timestamp" DESC, event_id DESC LIMIT {}"#,
        limit + 1
    );
    let request =
        params.into_iter().fold(QueryRequest { rows_max: limit + 1, ..QueryRequest::new(sql) }, QueryRequest::param);
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    let mut rows = of_answer(&answer.rows_json)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(Cursor::after);
    Ok((rows, next))
}
