//! Data files that no table names any more are deleted, in tables and archives, once they are old enough: written and
//! taken out of the table longer ago than [`vacuum_after`](crate::LakeOptions::vacuum_after). Queries that began before may
//! still read them, and a file that is being written is named by nobody yet. With them go what writers that were killed
//! have left unfinished on a local disk.
//!
//! delta-rs' own vacuum commits what it does, which only the flusher may; so the files are found here: the store's list
//! first, then the table's version, so that whatever was committed meanwhile is named.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use ridealong_engine::deltalake::logstore::object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use ridealong_engine::deltalake::{DeltaTableBuilder, DeltaTableError};
use ridealong_model::jobs::{JobFailure, Outcome};
use thiserror::Error;

use crate::flush::with_causes;
use crate::hot::Fill;
use crate::lake::Shared;
use crate::place::Place;
use crate::retain::Sum;
use crate::store::Files;

/// Folders in folders of a table: `date=…` and `_delta_log`, which has folders of its own at most.
const DEPTH_MAX: usize = 4;

#[derive(Debug, Error)]
enum VacuumError {
    #[error("cannot list {place}")]
    List { place: String, source: StoreError },
    #[error("cannot read which files the table at {place} names")]
    Read { place: String, source: Box<DeltaTableError> },
    #[error("cannot delete {name}")]
    Delete { name: String, source: StoreError },
    #[error("cannot look for unfinished files at {place}")]
    Unfinished { place: String, source: io::Error },
}

pub(crate) async fn run(shared: Arc<Shared>) -> Result<Outcome, JobFailure> {
    let options = &shared.options;
    let mut sum = Sum::default();
    for Fill { key, .. } in shared.tables.fills() {
        let place = match shared.places.of(&key).await {
            Ok(place) => place,
            Err(error) => {
                sum.add(&key, Err(JobFailure(with_causes(&error))));
                continue;
            }
        };
        for place in [Some(place), shared.places.archive_of(&key)].into_iter().flatten() {
            let done = vacuum(&place, options.vacuum_after).await;
            sum.add(&key, done.map_err(|error| JobFailure(with_causes(&error))));
        }
    }
    sum.done()
}

async fn vacuum(place: &Place, age: Duration) -> Result<Outcome, VacuumError> {
    let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let before_ms = chrono::DateTime::<chrono::Utc>::from(before).timestamp_millis();
    let found = old_files(place, before_ms).await?;
    let mut outcome = Outcome::default();
    if !found.is_empty()
        && let Some(named) = named(place, before_ms).await?
    {
        for (name, file) in found.into_iter().filter(|(name, _)| !named.contains(name)) {
            match place.store().delete(&place.file(&name)).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(source) => return Err(VacuumError::Delete { name, source }),
            }
            outcome.files_removed += 1;
            outcome.bytes += file.size;
        }
    }
    outcome.add(&unfinished(place, before).await?);
    outcome.tables = u64::from(outcome.files_removed > 0);
    Ok(outcome)
}

/// Data files that were written before that.
async fn old_files(place: &Place, before_ms: i64) -> Result<Vec<(String, ObjectMeta)>, VacuumError> {
    let root = place.path();
    let listed = place.store().list(Some(&root)).try_filter_map(|file| {
        let parts = file.location.prefix_match(&root).map(|parts| parts.map(|part| part.as_ref().to_owned()));
        let name = parts.map(|parts| parts.collect::<Vec<String>>().join("/"));
        let is_data = |name: &String| !name.starts_with('_') && name.ends_with(".parquet");
        let is_old = file.last_modified.timestamp_millis() < before_ms;
        let found = name.filter(|name| is_old && is_data(name)).map(|name| (name, file));
        std::future::ready(Ok(found))
    });
    listed.try_collect().await.map_err(|source| VacuumError::List { place: place.to_string(), source })
}

/// What the present version names, and what was taken out of the table since. None when there is no table: then nothing
/// is known of any file.
async fn named(place: &Place, since_ms: i64) -> Result<Option<BTreeSet<String>>, VacuumError> {
    let fail = |source| VacuumError::Read { place: place.to_string(), source: Box::new(source) };
    let table = DeltaTableBuilder::from_url(place.url().clone()).map_err(fail)?;
    let table = table.with_storage_backend(Arc::clone(place.store()), place.url().clone());
    let mut table = table.build().map_err(fail)?;
    if !table.verify_deltatable_existence().await.map_err(fail)? {
        return Ok(None);
    }
    table.load().await.map_err(fail)?;
    let state = table.snapshot().map_err(fail)?;
    let mut named: BTreeSet<String> =
        state.log_data().iter().map(|file| file.object_store_path().to_string()).collect();
    let log_store = table.log_store();
    let mut removed = state.all_tombstones(log_store.as_ref());
    while let Some(file) = removed.try_next().await.map_err(fail)? {
        // One without a time may have been removed just now.
        if file.deletion_timestamp().is_none_or(|at| at >= since_ms) {
            named.insert(file.path().into_owned());
        }
    }
    Ok(Some(named))
}

/// Deletes what was begun before that and never put in place.
async fn unfinished(place: &Place, before: SystemTime) -> Result<Outcome, VacuumError> {
    let Some((folder, files)) = place.local() else { return Ok(Outcome::default()) };
    let files = Arc::clone(files);
    let fail = |source| VacuumError::Unfinished { place: place.to_string(), source };
    let swept = tokio::task::spawn_blocking(move || {
        let mut outcome = Outcome::default();
        sweep(&*files, &folder, before, DEPTH_MAX, &mut outcome).map(|()| outcome)
    });
    swept.await.map_err(|error| fail(io::Error::other(error)))?.map_err(fail)
}

fn sweep(
    files: &dyn Files,
    folder: &FilePath,
    before: SystemTime,
    depth: usize,
    outcome: &mut Outcome,
) -> io::Result<()> {
    if depth == 0 || !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() {
            sweep(files, &entry.path(), before, depth - 1, outcome)?;
        } else if is_unfinished(&entry.file_name().to_string_lossy()) && about.modified()? < before {
            files.remove(&entry.path())?;
            outcome.files_removed += 1;
            outcome.bytes += about.len();
        }
    }
    Ok(())
}

/// As the store names what it has not put in place yet.
fn is_unfinished(name: &str) -> bool {
    let digits = name.rsplit_once('#').map(|(_, digits)| digits);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
