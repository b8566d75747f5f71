//! `GET /events/stats?from&to&by`: how many events there are, by what they are.

use axum::Json;
use axum::extract::State;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_model::query::{QueryRequest, ROWS_MAX};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::list::range;
use crate::description::problems::{Fails, Parameter, Tables};
use crate::failure::unanswered;
use crate::parameter;
use crate::services::Services;

/// Groups of one answer; `total` is of all.
const GROUPS_MAX: usize = 1_000;
const _: () = assert!(GROUPS_MAX <= ROWS_MAX);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// When they happened, at the earliest
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before then
    #[param(format = DateTime)]
    to: Option<String>,
    #[serde(default)]
    #[param(inline)]
    by: By,
}

/// What is counted apart
#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EventGroup)]
pub(crate) enum By {
    #[default]
    Type,
    Category,
    Source,
    /// In UTC
    Day,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EventStats {
    by: By,
    /// All events of the range
    total: u64,
    /// Those with most events first; days in their order
    data: Vec<EventCount>,
    /// Whether there are more than 1,000 groups
    truncated: bool,
}

/// One group: the member that `by` names says which
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct EventCount {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    r#type: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    category: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    source: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    day: Option<Option<String>>,
    count: u64,
}

/// How many events
///
/// In a range of time, by type, category, source or day.
#[utoipa::path(get, path = "/events/stats", operation_id = "countEvents", tag = "events", params(Asked),
    responses((status = 200, body = EventStats, description = "Counts"), Fails<(Parameter, Tables)>))]
pub(crate) async fn counts(
    State(services): State<Services>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<EventStats>, Failure> {
    let request = QueryRequest { rows_max: GROUPS_MAX, ..QueryRequest::new(asked.sql()?) };
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    let unread = |error: serde_json::Error| Failure::new(500, "query-failed", "Query failed", error.to_string());
    let rows: Vec<Row> = serde_json::from_slice(&answer.rows_json).map_err(unread)?;
    let total = rows.first().map_or(0, |row| row.total);
    let data = rows.into_iter().map(|row| asked.by.entry(row)).collect();
    Ok(Json(EventStats { by: asked.by, total, data, truncated: answer.truncated }))
}

#[derive(Deserialize)]
struct Row {
    of: Option<String>,
    count: u64,
    total: u64,
}

impl Asked {
    fn sql(&self) -> Result<String, Failure> {
        let from = parameter::time("from", self.from.as_deref())?;
        let to = parameter::time("to", self.to.as_deref())?;
        let conditions: Vec<String> = range(from, to).collect();
        let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let (of, order) = match self.by {
            By::Type => ("event_type", "count DESC, of"),
            By::Category => ("event_category", "count DESC, of"),
            By::Source => ("source", "count DESC, of"),
            By::Day => (r#"CAST("timestamp" AS DATE)"#, "of"),
        };
        Ok(format!(
            "SELECT of, count, sum(count) OVER () AS total
             FROM (SELECT {of} AS of, count(*) AS count FROM events WHERE {conditions} GROUP BY 1) AS groups
             ORDER BY {order} LIMIT {}",
            GROUPS_MAX + 1
        ))
    }
}

impl By {
    fn entry(self, Row { of, count, .. }: Row) -> EventCount {
        let of = Some(of);
        match self {
            By::Type => EventCount { r#type: of, count, ..EventCount::default() },
            By::Category => EventCount { category: of, count, ..EventCount::default() },
            By::Source => EventCount { source: of, count, ..EventCount::default() },
            By::Day => EventCount { day: of, count, ..EventCount::default() },
        }
    }
}
