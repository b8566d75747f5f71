//! `GET /recent`: the newest events, `?limit&type&service`.

use axum::Json;
use axum::extract::State;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_model::query::{QueryRequest, ROWS_MAX};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::cursor::NEWEST_FIRST;
use crate::description::problems::{Fails, Parameter, Tables};
use crate::events::stored::{COLUMNS, StoredEvent, rows};
use crate::failure::unanswered;
use crate::parameter;
use crate::services::Services;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
const _: () = assert!(LIMIT_MAX <= ROWS_MAX);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    #[param(minimum = 1, maximum = 1_000, default = 50)]
    limit: Option<usize>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// The `source` of events
    service: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Recent {
    /// Newest first
    events: Vec<StoredEvent>,
}

/// The newest events
#[utoipa::path(get, path = "/recent", operation_id = "recent", tag = "events", params(Filter),
    responses((status = 200, body = Recent, description = "As many as there are"), Fails<(Parameter, Tables)>))]
pub(crate) async fn recent(
    State(services): State<Services>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Recent>, Failure> {
    let limit = parameter::limit(filter.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let mut request = QueryRequest { rows_max: limit, ..QueryRequest::new("") };
    let mut conditions = Vec::new();
    for (column, value) in [("event_type", filter.event_type), ("source", filter.service)] {
        if let Some(value) = value {
            request = request.param(value);
            conditions.push(format!("{column} = ${}", request.params.len()));
        }
    }
    let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    request.sql = format!("SELECT {COLUMNS} FROM events WHERE {condition} ORDER BY {NEWEST_FIRST} LIMIT {limit}");
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    Ok(Json(Recent { events: rows(&answer)?.into_iter().map(StoredEvent::from).collect() }))
}
