//! How much of its past a table keeps: checkpoints, old versions, deleted files.
//!
//! Each commit is a file in the table's log; a checkpoint sums up all before it. Opening a table reads the last checkpoint
//! and what came after; committing lists the log. So checkpoints are frequent, and the log is short: versions of
//! [`DAYS`] days, but no more than [`VERSIONS_MAX`], however fast they come. Readers of those versions find their files
//! for the same time.
//!
//! Delta's library would list the log after each commit to see what may go. Here that is done after a checkpoint, and the
//! table is then read anew from it: what a table in memory knows of its log grows with each commit.

use std::collections::HashMap;

use ridealong_engine::deltalake::protocol::checkpoints::cleanup_expired_logs_for;
use ridealong_engine::deltalake::{DeltaTable, DeltaTableError};

/// Commits from one checkpoint to the next: at most so many small files are read when a table is opened.
const CHECKPOINT_COMMITS: u64 = 20;
/// Versions that can be read again. A flush each five minutes, with what compaction commits, makes some 350 a day.
pub(crate) const VERSIONS_MAX: u64 = 1_000;
const DAYS: u64 = 3;

/// What this program wants tables to be: whoever else works on one goes by it too.
pub(super) fn properties() -> [(&'static str, String); 4] {
    [
        ("delta.checkpointInterval", CHECKPOINT_COMMITS.to_string()),
        ("delta.logRetentionDuration", format!("interval {DAYS} days")),
        ("delta.deletedFileRetentionDuration", format!("interval {DAYS} days")),
        ("delta.enableExpiredLogCleanup", "true".to_owned()),
    ]
}

/// The table with these properties, which an earlier program may have set otherwise.
pub(super) async fn kept(delta: DeltaTable) -> Result<DeltaTable, DeltaTableError> {
    let found = delta.snapshot()?.metadata().configuration().clone();
    let other = properties().into_iter().filter(|(name, value)| found.get(*name) != Some(value));
    let other: HashMap<String, String> = other.map(|(name, value)| (name.to_owned(), value)).collect();
    if other.is_empty() { Ok(delta) } else { delta.set_tbl_properties().with_properties(other).await }
}

/// Whether a version comes with a checkpoint, as Delta's library counts.
pub(super) fn has_checkpoint(version: u64) -> bool {
    (version + 1).is_multiple_of(CHECKPOINT_COMMITS)
}

/// The table as its log says, without what it knows by now.
pub(super) async fn reread(delta: &DeltaTable) -> Result<DeltaTable, DeltaTableError> {
    let mut fresh = delta.clone();
    fresh.state = None;
    fresh.load().await?;
    Ok(fresh)
}

/// Deletes what is older than the log shall be: first by time, then by number. What is needed for the versions that stay
/// stays.
pub(super) async fn shorten(delta: &DeltaTable, versions_max: u64) -> Result<usize, DeltaTableError> {
    let version = delta.snapshot()?.version();
    let log = delta.log_store();
    let now_ms = chrono::Utc::now().timestamp_millis();
    let expired_ms = now_ms - chrono::Duration::days(DAYS as i64).num_milliseconds();
    let expired = cleanup_expired_logs_for(version, log.as_ref(), expired_ms, None).await?;
    let Some(oldest) = version.checked_sub(versions_max) else { return Ok(expired) };
    // Nothing is younger than now: the number alone counts. One hour more, as clocks of stores differ.
    let ahead_ms = now_ms + chrono::Duration::hours(1).num_milliseconds();
    Ok(expired + cleanup_expired_logs_for(oldest, log.as_ref(), ahead_ms, None).await?)
}

#[cfg(test)]
mod tests;
