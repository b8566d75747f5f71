//! The port to the tables.

use async_trait::async_trait;
use serde::Serialize;
use thiserror::Error;

/// What the API may ask of the lake.
#[async_trait]
pub trait Lake: Send + Sync {
    /// Returns when everything acknowledged before the call lies in Delta tables.
    async fn flush(&self) -> Result<(), FlushError>;

    /// Roughly how much of the log is acknowledged and not yet readable. Cheap.
    fn unread_bytes(&self) -> u64;

    fn status(&self) -> LakeStatus;
}

#[derive(Debug, Error)]
#[error("the lake could not be written: {0}")]
pub struct FlushError(pub String);

/// How far the lake is, counted where it happens.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LakeStatus {
    /// Log position up to which rows are readable.
    pub readable: u64,
    /// Log position up to which rows lie in Delta tables.
    pub committed: u64,
    pub hot_rows: u64,
    pub hot_bytes: u64,
    pub flushes: u64,
    pub flushes_failed: u64,
    /// Entries of the log that could not be read as rows: always 0, unless ingest let something through.
    pub unreadable: u64,
    pub last_error: Option<String>,
    /// Why the log cannot be read on: queries are refused as long as it lasts.
    pub log_error: Option<String>,
    pub tables: Vec<TableStatus>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableStatus {
    pub tenant: String,
    pub table: &'static str,
    pub hot_rows: u64,
    pub cold_rows: u64,
    /// Rows that are gone because their time was over: stored = hot + cold + deleted + dropped.
    pub dropped_rows: u64,
    pub cold_bytes: u64,
    /// Rows that were ever deleted.
    pub deleted: u64,
    pub files: u64,
    pub delta_version: Option<i64>,
    /// When the oldest of the hot rows was received.
    #[serde(skip)]
    pub oldest_hot_received_us: Option<i64>,
    /// The newest `timestamp` that a query can see.
    #[serde(skip)]
    pub newest_us: Option<i64>,
}
