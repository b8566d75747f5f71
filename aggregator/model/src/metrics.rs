//! The port to metrics: numbers over a range of time, by bucket and dimension, without SQL.

use std::time::Duration;

use async_trait::async_trait;
use ridealong_common::time::Timestamp;
use serde_json::Value;
use thiserror::Error;

use crate::tenant::TenantId;

/// Metrics of one question.
pub const METRICS_MAX: usize = 32;
/// Dimensions of one question.
pub const DIMENSIONS_MAX: usize = 8;
/// Filters of one question.
pub const FILTERS_MAX: usize = 32;
/// Values of one `in` or `not_in`.
pub const FILTER_VALUES_MAX: usize = 1_000;
/// Buckets of one answer.
pub const BUCKETS_MAX: u64 = 10_000;
/// Rows of one answer; what is more is left out, and the answer says so.
pub const ROWS_MAX: usize = 10_000;
pub const GRANULARITY_MIN: Duration = Duration::from_secs(1);
/// Answers that may be out of date by a caller's leave are not older than this.
pub const CACHE_TTL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// A question that takes longer is given up.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers questions about one tenant's rows.
#[async_trait]
pub trait MetricsEngine: Send + Sync {
    /// Sees every row acknowledged before the call, unless the request allows an older answer. Dropping the future stops
    /// the work.
    async fn answer(&self, tenant: &TenantId, request: MetricsRequest) -> Result<MetricsAnswer, MetricsError>;
}

/// A question as it was asked: names are not checked yet.
#[derive(Clone, Debug)]
pub struct MetricsRequest {
    pub metrics: Vec<String>,
    pub dimensions: Vec<String>,
    pub filters: Vec<AskedFilter>,
    /// Included.
    pub from: Moment,
    /// Not included.
    pub to: Moment,
    /// Length of a bucket; without one all of the range is one.
    pub granularity: Option<Duration>,
    /// How old an answer may be.
    pub cache_ttl: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AskedFilter {
    pub field: String,
    pub op: String,
    pub value: Option<Value>,
}

/// A point in time, or one that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    /// So long before the question.
    Ago(Duration),
}

#[derive(Clone, Debug)]
pub struct MetricsAnswer {
    /// A JSON array of objects: dimensions, `timestamp`, metrics.
    pub rows_json: Vec<u8>,
    /// Rows in it.
    pub rows: usize,
    /// Rows were left out.
    pub partial: bool,
    pub execution: Duration,
    /// How far behind now the answer may be: it has every row acknowledged before that.
    pub freshness: Duration,
    pub query_id: String,
    /// Nothing was computed.
    pub cache_hit: bool,
    /// Where the numbers come from: `rollups`, `summaries`, `rows`, joined by `+`.
    pub source: String,
    /// What the range became: summaries count whole intervals.
    pub range: (Timestamp, Timestamp),
    pub work: Work,
    /// What percentiles may be off by, relative; none when there are none.
    pub latency_error: Option<f64>,
    /// What counts of different values may be off by, relative; 0 when each is exact, none when there are none.
    pub distinct_error: Option<f64>,
}

/// What an answer took to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub files: u64,
    /// Cells of rollups that were merged.
    pub cells: u64,
    /// Rows that were read one by one.
    pub rows: u64,
}

impl Work {
    /// A file costs as much as some hundred cells, a row as much as some four.
    pub fn complexity(&self) -> &'static str {
        match self.files * 100 + self.cells + self.rows * 4 {
            0..100_000 => "low",
            100_000..4_000_000 => "medium",
            _ => "high",
        }
    }
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.cells += more.cells;
        self.rows += more.rows;
    }
}

#[derive(Debug, Error)]
pub enum MetricsError {
    /// Which key of the request, and how to mend it.
    #[error("{key}: {problem}")]
    Invalid { key: String, problem: String },
    #[error("the question was not answered within {0:?}; narrow its time range or take fewer dimensions")]
    TimedOut(Duration),
    #[error("the answer has more than {0} groups; take fewer dimensions, add filters or a coarser granularity")]
    TooManyGroups(usize),
    #[error("rows acknowledged before the question are not readable yet; try again")]
    Behind,
    #[error("too many questions are being answered, or memory is short; try again")]
    Busy,
    #[error("the store of the tables cannot be read now; try again: {0}")]
    Unread(String),
    #[error("the question failed: {0}")]
    Failed(String),
}

impl MetricsError {
    pub fn invalid(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), problem: problem.into() }
    }
}
