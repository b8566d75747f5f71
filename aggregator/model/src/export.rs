//! The port to exports: all rows of a statement or a table, as bytes of a format, as fast as they are taken.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;

use crate::query::{Param, QueryError, time_literal};
use crate::tenant::TenantId;

/// Exports at once, each beside the queries.
pub const EXPORTS_MAX: usize = 4;
/// An export ends after this, complete or not.
pub const EXPORT_TIME_MAX: Duration = Duration::from_secs(6 * 3_600);
/// A reader that takes nothing for so long is given up.
pub const EXPORT_IDLE_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct ExportRequest {
    pub sql: String,
    /// Values for `$1`, `$2` …
    pub params: Vec<Param>,
    pub format: ExportFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// RFC 4180, with a header line. A null is an empty field, an empty text is `""`.
    Csv,
    /// One JSON object a line, nulls included.
    Ndjson,
    /// Compressed with zstd, in row groups.
    Parquet,
    /// Arrow's streaming format.
    Arrow,
}

impl ExportFormat {
    pub const ALL: [Self; 4] = [Self::Csv, Self::Ndjson, Self::Parquet, Self::Arrow];

    /// Also what a file's name ends in.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Tables that are made of others, each with the time by which its rows are chosen.
const DERIVED: [(&str, &str); 2] = [("sessions", "started_at"), ("users", "last_seen")];

/// The statement for all columns of a table, of its rows from one time on and before another; or what is wrong.
pub fn table_statement(table: &str, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<String, String> {
    let stored = Table::ALL.into_iter().map(|table| (table.name(), "timestamp"));
    let tables: Vec<(&str, &str)> = stored.chain(DERIVED).collect();
    let Some((table, column)) = tables.iter().find(|(name, _)| *name == table) else {
        let names: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
        let table: String = table.chars().take(80).collect();
        return Err(format!("{table:?} is no table; there are: {}", names.join(", ")));
    };
    let from = from.map(|from| format!("\"{column}\" >= {}", time_literal(from)));
    let to = to.map(|to| format!("\"{column}\" < {}", time_literal(to)));
    let conditions: Vec<String> = from.into_iter().chain(to).collect();
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    Ok(format!("SELECT * FROM {table} WHERE {conditions}"))
}

/// The bytes. Whole only when it ends without an error; dropping it stops the work.
pub type ExportStream = Pin<Box<dyn Stream<Item = Result<Bytes, QueryError>> + Send>>;

#[async_trait]
pub trait Export: Send + Sync {
    /// Sees every row acknowledged before the call. What is wrong before there is a first row is told here.
    async fn export(&self, tenant: &TenantId, request: ExportRequest) -> Result<ExportStream, QueryError>;
}
