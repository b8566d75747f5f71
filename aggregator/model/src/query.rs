//! The port to SQL.

use std::time::Duration;

use async_trait::async_trait;
use ridealong_common::time::Timestamp;
use serde::Serialize;
use thiserror::Error;

use crate::tenant::TenantId;

pub const ROWS_DEFAULT: usize = 1_000;
pub const ROWS_MAX: usize = 10_000;
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// One statement.
pub const SQL_BYTES_MAX: usize = 64 << 10;
/// One answer, as JSON.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(ROWS_DEFAULT <= ROWS_MAX);

/// One statement over one pinned snapshot of one tenant's tables. Reads only.
#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Sees every row acknowledged before the call. Dropping the future stops the work.
    async fn query(&self, tenant: &TenantId, request: QueryRequest) -> Result<QueryAnswer, QueryError>;

    /// How queries are doing.
    fn status(&self) -> QueryStatus {
        QueryStatus::default()
    }
}

/// Queries of all tenants since the program began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryStatus {
    pub running: u64,
    pub done: u64,
    pub failed: u64,
    pub timed_out: u64,
    /// Whoever asked has left.
    pub cancelled: u64,
    pub cache_hits: u64,
    /// Answers that several who asked at the same time have shared.
    pub shared: u64,
    pub cache_bytes: u64,
    /// Work that goes on although its query has ended.
    pub overdue_now: u64,
    pub overdue: u64,
    /// Ended because the program was short of memory.
    pub ended_for_memory: u64,
    /// How often all threads were stuck and others took their place.
    pub threads_replaced: u64,
}

#[derive(Clone, Debug)]
pub struct QueryRequest {
    pub sql: String,
    /// Values for `$1`, `$2` …
    pub params: Vec<Param>,
    pub timeout: Duration,
    pub rows_max: usize,
}

impl QueryRequest {
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), params: Vec::new(), timeout: TIMEOUT_DEFAULT, rows_max: ROWS_DEFAULT }
    }

    #[must_use]
    pub fn param(mut self, value: impl Into<Param>) -> Self {
        self.params.push(value.into());
        self
    }
}

/// A time as it stands in a statement. A literal of SQL has nanoseconds, and so no times before 1678 or after 2262.
pub fn time_literal(time: Timestamp) -> String {
    format!("to_timestamp_micros({})", time.micros())
}

#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Param::Text(text.to_owned())
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Param::Text(text)
    }
}

impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Param::Integer(number)
    }
}

#[derive(Clone, Debug)]
pub struct QueryAnswer {
    pub columns: Vec<AnswerColumn>,
    /// A JSON array of objects, each with its keys in the order of the select.
    pub rows_json: Vec<u8>,
    pub rows: usize,
    /// Whether `rows_max` stopped it.
    pub truncated: bool,
    pub execution: Duration,
    /// What ran, step by step, with rows and times.
    pub plan: String,
    pub query_id: String,
    /// It was worked out for an earlier query, from the same rows.
    pub cache_hit: bool,
    /// Every row acknowledged longer ago than this is in it.
    pub behind: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Clone, Debug, Error)]
pub enum QueryError {
    #[error("{0}")]
    Invalid(String),
    #[error("only reads are allowed here: {0}")]
    NotARead(String),
    #[error("the query did not finish within {0:?}; narrow its time range or raise timeoutMs (at most 30000)")]
    TimedOut(Duration),
    #[error("the query needs more memory than it may use: {0}")]
    TooLarge(String),
    #[error("memory is short at this moment; try again: {0}")]
    Short(String),
    #[error("rows acknowledged before the query are not readable yet; try again")]
    Behind,
    #[error("as many queries run as may run at once; try again")]
    Busy,
    #[error("the store of the tables cannot be read now; try again: {0}")]
    Unread(String),
    #[error("the query failed: {0}")]
    Failed(String),
}
