//! The job that brings mutations into the files: a file with pending ones is written anew, as they make it, and takes the
//! place of the old one. Killed at any point, a file has either been replaced or not.

use std::sync::Arc;

use futures::StreamExt;
use ridealong_model::jobs::{JobFailure, Outcome};

use super::anew::visits_anew;
use super::seek::rows_of;
use crate::delta::{Change, ChangeKind};
use crate::flush::{Request, with_causes};
use crate::hot::TableKey;
use crate::lake::Shared;
use crate::snapshot::ColdFile;
use crate::write::TableWriter;

pub(crate) async fn rewrite(shared: &Arc<Shared>) -> Result<Outcome, JobFailure> {
    // What is read from the log again at a restart has to be changed again, so it should not be for long.
    if shared.mutations.waiting().iter().any(|(key, position)| shared.tables.is_hot(key, *position)) {
        let readable = *shared.readable.borrow();
        shared.ask(Request::flush(readable)).await?;
    }
    let mut sum = visits_anew(shared).await;
    for key in shared.tables.keys() {
        sum.add(&key, rewrite_table(shared, &key).await);
    }
    // What still stands in the log would be read as it was.
    let tables = &shared.tables;
    let settled = shared.mutations.settle(|key, position, files| {
        !tables.is_hot(key, position) && !files.keys().any(|name| tables.has_file(key, name))
    });
    tables.forget(&settled.map_err(JobFailure)?);
    sum.done()
}

async fn rewrite_table(shared: &Shared, key: &TableKey) -> Result<Outcome, JobFailure> {
    let mut outcome = Outcome::default();
    for file in shared.tables.cold(key).files.iter().filter(|file| !file.pending.is_empty()) {
        outcome.add(&rewrite_file(shared, key, file).await?);
    }
    outcome.tables = u64::from(outcome.files_removed > 0);
    Ok(outcome)
}

async fn rewrite_file(shared: &Shared, key: &TableKey, file: &ColdFile) -> Result<Outcome, JobFailure> {
    let fail = |error: &dyn std::error::Error| {
        JobFailure(format!("{}: {} cannot be written anew: {}", key.table.name(), file.name, with_causes(error)))
    };
    let columns: Vec<usize> = (0..key.table.columns().len()).collect();
    let mut rows = rows_of(shared.reading(), key.table, file, &columns, &[]).map_err(|error| fail(&error))?;
    let place = shared.places.of_file(key, file).await.map_err(|error| fail(&error))?;
    let mut writer = TableWriter::new(place, key.table);
    while let Some(batch) = rows.next().await {
        writer.write(&batch.map_err(|error| fail(&error))?).await.map_err(|error| fail(&error))?;
    }
    let added = writer.finish().await.map_err(|error| fail(&error))?;
    let mut outcome = Outcome { files_removed: 1, files_added: added.len() as u64, ..Outcome::default() };
    outcome.rows = file.rows;
    outcome.bytes = file.bytes;
    let seen = file.pending.last().map_or(0, |mutation| mutation.number);
    let removed = vec![file.name.clone()];
    let change = Change { added, removed, transactions: Vec::new(), kind: ChangeKind::Rewrite { seen } };
    shared.change(key, change).await?;
    Ok(outcome)
}
