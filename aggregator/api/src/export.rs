//! `GET /export`: all rows of a statement or a table as a file, streamed.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_model::export::{ExportFormat, ExportRequest, table_statement};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::description::problems::{Fails, Parameter, Sql};
use crate::failure::unanswered;
use crate::parameter::{self, invalid};
use crate::services::Services;

/// A URL may have 64 KiB, and a byte takes up to three of it.
const SQL_BYTES_MAX: usize = 8 << 10;

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// One statement that reads; either this or `table`
    #[param(format = "sql", min_length = 1, max_length = 8_192)]
    sql: Option<String>,
    /// All columns of a table: `events`, `requests`, `request_summaries`, `host_metrics`, `quarantine`, `sessions` or `users`
    #[param(example = "requests")]
    table: Option<String>,
    /// Of a table: `timestamp` (of sessions `started_at`, of users `last_seen`) at the earliest
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before then
    #[param(format = DateTime)]
    to: Option<String>,
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportFormat)]
pub(crate) enum Format {
    /// RFC 4180 with a header line; an empty field is null, `""` an empty text; no value is changed
    #[default]
    Csv,
    Ndjson,
    /// zstd, row groups of 131,072 rows
    Parquet,
    /// The streaming format
    Arrow,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Ndjson => Self::Ndjson,
            Format::Parquet => Self::Parquet,
            Format::Arrow => Self::Arrow,
        }
    }
}

/// All rows as a file
///
/// Of one snapshot, in no order but one that the statement asks for. No cap on rows, at most 6 hours and 4 at once; a reader that takes
/// nothing for a minute is given up. Ids are text; in CSV and NDJSON times are RFC 3339 in UTC with microseconds, in Parquet
/// and Arrow they are microseconds without a zone, in UTC. What goes wrong after the first row cuts the body: it never ends as if it
/// were complete.
#[utoipa::path(get, path = "/export", operation_id = "export", tag = "query", params(Asked),
    responses((status = 200, description = "The file", content(
        (String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))), Fails<(Parameter, Sql)>))]
pub(crate) async fn export(
    State(services): State<Services>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Failure> {
    let format = ExportFormat::from(asked.format);
    let name = asked.table.clone().unwrap_or_else(|| "query".to_owned());
    let sql = asked.statement()?;
    let request = ExportRequest { sql, params: Vec::new(), format };
    let bytes = services.export.export(&services.tenant(), request).await.map_err(unanswered)?;
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.name());
    let headers = [(CONTENT_TYPE, format.media_type().to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(bytes)).into_response())
}

impl Asked {
    fn statement(self) -> Result<String, Failure> {
        match (self.sql, self.table) {
            (Some(_), None) if self.from.is_some() || self.to.is_some() => {
                Err(invalid("from and to go with table; put them into the statement"))
            }
            (Some(sql), None) if sql.len() > SQL_BYTES_MAX => {
                Err(invalid(format!("sql has {} bytes, at most {SQL_BYTES_MAX} are taken in a URL", sql.len())))
            }
            (Some(sql), None) => Ok(sql),
            (None, Some(table)) => {
                let from = parameter::time("from", self.from.as_deref())?;
                let to = parameter::time("to", self.to.as_deref())?;
                table_statement(&table, from, to).map_err(invalid)
            }
            _ => Err(invalid("say what: either sql, one statement, or table, one of the tables")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_a_statement_or_a_table() {
        let asked = |sql: Option<&str>, table: Option<&str>, from: Option<&str>| {
            let [sql, table, from] = [sql, table, from].map(|text| text.map(str::to_owned));
            Asked { sql, table, from, ..Asked::default() }.statement()
        };
        assert_eq!(asked(Some("SELECT 1"), None, None).expect("a statement"), "SELECT 1");
        let sessions = asked(None, Some("sessions"), Some("2026-11-20T09:00:00+01:00")).expect("a statement");
        assert_eq!(sessions, r#"SELECT * FROM sessions WHERE "started_at" >= to_timestamp_micros(1795161600000000)"#);
        for (sql, table, from) in [
            (None, None, None),
            (Some("SELECT 1"), Some("events"), None),
            (Some("SELECT 1"), None, Some("2026-11-20T08:00:00Z")),
            (None, Some("events; DROP TABLE events"), None),
            (None, Some("visits"), None),
            (None, Some("events"), Some("today")),
        ] {
            assert!(asked(sql, table, from).is_err(), "{sql:?} {table:?} {from:?}");
        }
    }
}
