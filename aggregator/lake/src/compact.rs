//! Compaction: small files become larger ones, sorted by time.
//!
//! [`plan`] says which files are to be merged, [`merge`](mod@merge) writes what they become, and the flusher commits it
//! between two flushes. Nothing is read from a table that a query does not read, and nothing is removed from it before
//! what replaces it is stored: a run that dies at any point leaves files that no version names, and no more. Whoever
//! deletes such files finds them.
//!
//! Not here: when it is run; deleting the files that are merged.

mod merge;
mod plan;
mod source;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use ridealong_engine::deltalake::kernel::Add;
use ridealong_engine::deltalake::logstore::object_store::ObjectStoreExt;
use ridealong_model::jobs::{JobFailure, Outcome};
use tokio::sync::Mutex;

use crate::delta::{Change, ChangeKind};
use crate::flush::with_causes;
use crate::hot::TableKey;
use crate::lake::Shared;
use crate::retain::Sum;
use crate::snapshot::ColdFile;

use merge::merge;
use plan::{Merge, plan};

/// Files of a table at which the flusher asks for a run that nobody else has asked for.
pub(crate) const FILES_CROWDED: usize = 100;
/// After a run that the flusher has asked for, before the next one.
const PAUSE: Duration = Duration::from_secs(10);
/// A plan leads to another one, as files come in or do not fit into memory at once. More in a run are for the next.
const ROUNDS_MAX: usize = 32;

/// Merges what is due in all tables. What fails is left for the next run.
pub(crate) async fn run(shared: &Shared) -> Result<Outcome, JobFailure> {
    let mut sum = Sum::default();
    for key in shared.tables.keys() {
        sum.add(&key, run_table(shared, &key).await);
    }
    sum.done()
}

/// Runs whenever the flusher finds too many files, until the lake is closed.
pub(crate) async fn relieve(shared: Arc<Shared>, one_job: Arc<Mutex<()>>) {
    let work = async {
        loop {
            shared.crowded.notified().await;
            {
                let _alone = one_job.lock().await;
                // It has been logged, and there will be another flush.
                let _ = run(&shared).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shared.closing.cancelled() => {}
    }
}

async fn run_table(shared: &Shared, key: &TableKey) -> Result<Outcome, JobFailure> {
    let mut outcome = Outcome::default();
    for _ in 0..ROUNDS_MAX {
        let cold = shared.tables.cold(key);
        let present: Vec<ColdFile> = cold.files.iter().filter(|file| !file.archived).cloned().collect();
        let due = plan(&present, chrono::Utc::now().timestamp_micros());
        if due.is_empty() {
            break;
        }
        let mut failure = None;
        for due in due {
            // A file that cannot be read keeps its own hour or day from being merged, and no other.
            if let Err(error) = run_merge(shared, key, &due, &mut outcome).await {
                failure.get_or_insert(error);
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
    }
    outcome.tables = u64::from(outcome.files_removed > 0);
    Ok(outcome)
}

async fn run_merge(shared: &Shared, key: &TableKey, due: &Merge, outcome: &mut Outcome) -> Result<(), JobFailure> {
    let place = shared.places.of(key).await.map_err(|error| JobFailure(with_causes(&error)))?;
    let mut added = Vec::new();
    let merged = merge(&place, key.table, due, &mut added).await.map_err(|error| JobFailure(with_causes(&error)));
    // Rows may have been deleted or corrected while it was written: what is left to do is for the next run.
    if merged.is_err() || !are_present(shared, key, due) {
        for file in &added {
            // One that stays is named by no version, and goes with others of its kind.
            let _ = place.store().delete(&place.file(&file.path)).await;
        }
        return merged;
    }
    let (files, bytes) = (added.len() as u64, added.iter().map(size).sum::<u64>());
    let removed: Vec<String> = due.files.iter().map(|file| file.name.clone()).collect();
    let change = Change { added, removed, transactions: Vec::new(), kind: ChangeKind::Rearrange };
    shared.change(key, change).await?;
    outcome.files_removed += due.files.len() as u64;
    outcome.files_added += files;
    outcome.rows += due.rows();
    outcome.bytes += bytes;
    Ok(())
}

/// Whether the files are in the table as they were when they were read.
fn are_present(shared: &Shared, key: &TableKey, due: &Merge) -> bool {
    let cold = shared.tables.cold(key);
    let is_as_read = |name: &str| cold.files.iter().any(|file| file.name == name && file.pending.is_empty());
    due.files.iter().all(|file| is_as_read(&file.name))
}

fn size(file: &Add) -> u64 {
    u64::try_from(file.size).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests;
