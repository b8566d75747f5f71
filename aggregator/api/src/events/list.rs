//! `GET /events`: stored events, filtered, newest first, page by page.
//!
//! A page begins after the last row of the one before it, by time and id. So whatever comes in, is flushed or merged
//! meanwhile, no event that was there is left out and none is shown twice; one that comes in later and is older than
//! where the reader is shows up when it gets there.

use axum::Json;
use axum::extract::State;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_model::query::{QueryRequest, ROWS_MAX, time_literal};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::stored::{COLUMNS, StoredEvent, rows};
use crate::cursor::{Cursor, NEWEST_FIRST};
use crate::description::problems::{Fails, Parameter, Tables};
use crate::failure::unanswered;
use crate::parameter;
use crate::services::Services;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
const _: () = assert!(LIMIT_MAX < ROWS_MAX);

#[derive(Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    #[serde(rename = "type")]
    event_type: Option<String>,
    category: Option<String>,
    /// The `source` of events
    service: Option<String>,
    user_id: Option<String>,
    session_id: Option<String>,
    environment: Option<String>,
    /// When it happened, at the earliest
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before then
    #[param(format = DateTime)]
    to: Option<String>,
    #[param(minimum = 1, maximum = 1_000, default = 50)]
    limit: Option<usize>,
    /// What `nextCursor` said; the filters stay the same
    #[param(format = "cursor")]
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventPage {
    /// Newest first, events of one time by their ids
    data: Vec<StoredEvent>,
    /// Null: this was the last page
    next_cursor: Option<String>,
}

/// Stored events
///
/// Newest first. Whatever comes in meanwhile, no event is on two pages and none that was there is on none.
#[utoipa::path(get, path = "/events", operation_id = "listEvents", tag = "events", params(Asked),
    responses((status = 200, body = EventPage, description = "A page"), Fails<(Parameter, Tables)>))]
pub(crate) async fn list(
    State(services): State<Services>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<EventPage>, Failure> {
    let limit = parameter::limit(asked.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let filter = Filter::checked(asked)?;
    let answer = services.engine.query(&services.tenant(), filter.request(limit)).await.map_err(unanswered)?;
    let mut rows = rows(&answer)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor =
        rows.last().filter(|_| more).and_then(super::stored::Row::cursor).map(|cursor| cursor.to_string());
    Ok(Json(EventPage { data: rows.into_iter().map(StoredEvent::from).collect(), next_cursor }))
}

struct Filter {
    /// Columns with the values they must have.
    texts: Vec<(&'static str, String)>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    after: Option<Cursor>,
}

impl Filter {
    fn checked(asked: Asked) -> Result<Self, Failure> {
        let after = parameter::cursor(asked.cursor.as_deref())?;
        let from = parameter::time("from", asked.from.as_deref())?;
        let to = parameter::time("to", asked.to.as_deref())?;
        let texts = [
            ("event_type", asked.event_type),
            ("event_category", asked.category),
            ("source", asked.service),
            ("user_id", asked.user_id),
            ("session_id", asked.session_id),
            ("environment", asked.environment),
        ];
        let texts = texts.into_iter().filter_map(|(column, value)| Some((column, value?)));
        Ok(Self { texts: texts.collect(), from, to, after })
    }

    /// One row more than a page has, which tells whether there is another one.
    fn request(&self, limit: usize) -> QueryRequest {
        let mut conditions: Vec<String> =
            self.texts.iter().enumerate().map(|(at, (column, _))| format!("{column} = ${}", at + 1)).collect();
        conditions.extend(range(self.from, self.to));
        conditions.extend(self.after.map(|after| after.condition()));
        let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let sql =
            format!("SELECT {COLUMNS} FROM events WHERE {conditions} ORDER BY {NEWEST_FIRST} LIMIT {}", limit + 1);
        let request = QueryRequest { rows_max: limit + 1, ..QueryRequest::new(sql) };
        self.texts.iter().fold(request, |request, (_, value)| request.param(value.as_str()))
    }
}

/// From the first time on, before the second.
pub(super) fn range(from: Option<Timestamp>, to: Option<Timestamp>) -> impl Iterator<Item = String> {
    let from = from.map(|from| format!(r#""timestamp" >= {}"#, time_literal(from)));
    from.into_iter().chain(to.map(|to| format!(r#""timestamp" < {}"#, time_literal(to))))
}
