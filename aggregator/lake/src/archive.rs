//! Days older than a table keeps them at hand go to the archive: another place with the same tables, of the same names of
//! files. Queries read both. A file is copied first, then the flusher takes it over; killed anywhere in between, the next run
//! copies it again: what a killed process has left may not be on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use ridealong_engine::deltalake::logstore::object_store::{Error as StoreError, ObjectStoreExt, PutPayload};
use ridealong_model::jobs::{JobFailure, Outcome};
use thiserror::Error;

use crate::flush::{Request, with_causes};
use crate::hot::{Fill, TableKey};
use crate::lake::Shared;
use crate::place::Place;
use crate::retain::{Sum, day_in, gone, is_older};
use crate::snapshot::ColdFile;

#[derive(Debug, Error)]
enum CopyError {
    #[error("cannot read {name}")]
    Read { name: String, source: StoreError },
    #[error("cannot write {name} to the archive")]
    Write { name: String, source: StoreError },
    #[error("{name} has {found} bytes where the table says {expected}")]
    Size { name: String, found: u64, expected: u64 },
}

pub(crate) async fn run(shared: Arc<Shared>) -> Result<Outcome, JobFailure> {
    let now_us = chrono::Utc::now().timestamp_micros();
    let mut sum = Sum::default();
    for Fill { key, cold, .. } in shared.tables.fills() {
        let rule = shared.options.retention.retention(&key.tenant, key.table);
        let Some(age) = rule.archive_after else { continue };
        let old = cold.files.iter().filter(|file| !file.archived && is_older(file, age, now_us));
        let mut days: BTreeMap<Option<i32>, Vec<&ColdFile>> = BTreeMap::new();
        old.for_each(|file| days.entry(day_in(&file.name)).or_default().push(file));
        sum.add(&key, archive(&shared, &key, days.into_values()).await);
    }
    sum.done()
}

/// A commit for each day, the oldest first: what was copied is not copied again for want of the rest.
async fn archive(
    shared: &Shared,
    key: &TableKey,
    days: impl Iterator<Item = Vec<&ColdFile>>,
) -> Result<Outcome, JobFailure> {
    let mut outcome = Outcome::default();
    for files in days {
        let to = shared.places.archive_of(key);
        let to = to.ok_or_else(|| JobFailure("archiveAfter is set and there is no archive".into()))?;
        let from = shared.places.of(key).await.map_err(|error| JobFailure(with_causes(&error)))?;
        for file in &files {
            copy(&from, &to, file).await.map_err(|error| JobFailure(with_causes(&error)))?;
        }
        let names = files.iter().map(|file| file.name.clone()).collect();
        shared.ask(Request::archive(key.clone(), names)).await?;
        let done = gone(&files);
        outcome.add(&Outcome { tables: 0, files_added: done.files_removed, ..done });
        outcome.tables = 1;
    }
    Ok(outcome)
}

async fn copy(from: &Place, to: &Place, file: &ColdFile) -> Result<(), CopyError> {
    let ColdFile { name, bytes: expected, .. } = file;
    let (from, to) = ((from.store(), from.file(name)), (to.store(), to.file(name)));
    let read = |source| CopyError::Read { name: name.clone(), source };
    let bytes = from.0.get(&from.1).await.map_err(read)?.bytes().await.map_err(read)?;
    if bytes.len() as u64 != *expected {
        return Err(CopyError::Size { name: name.clone(), found: bytes.len() as u64, expected: *expected });
    }
    let written = to.0.put(&to.1, PutPayload::from(bytes)).await;
    written.map(drop).map_err(|source| CopyError::Write { name: name.clone(), source })
}

#[cfg(test)]
mod tests;
