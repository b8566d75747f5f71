//! What the flusher does with whole files: they go to the archive, or for good.
//!
//! A table and its archive are two Delta tables, and no commit is of both. So a file is in the archive first and then gone
//! from the table; in between it is in both and counts once, as the table's. Queries get both sides in one step.

use std::collections::BTreeSet;

use super::{FlushFailure, Flusher};
use crate::delta::{Change, ChangeKind, DeltaError, DeltaLog};
use crate::hot::TableKey;
use crate::snapshot::ColdTable;

impl Flusher {
    /// Takes files to the archive, where copies of them lie already. Those that have gone meanwhile stay gone.
    pub(super) async fn archive(&mut self, key: &TableKey, names: &[String]) -> Result<(), FlushFailure> {
        self.make_certain(key).await?;
        self.open_archive(key).await?;
        let done = self.try_archive(key, names).await;
        // Also after a failure: any part of it may have happened.
        self.show(key)?;
        done
    }

    async fn try_archive(&mut self, key: &TableKey, names: &[String]) -> Result<(), FlushFailure> {
        let present = self.shared.tables.cold(key);
        let (Some(log), Some(archive)) = (self.logs.get_mut(key), self.archives.get_mut(key)) else { return Ok(()) };
        let names = among(names, &names_of(log)?);
        let there = names_of(archive)?;
        let new: Vec<String> = names.iter().filter(|name| !there.contains(*name)).cloned().collect();
        if !new.is_empty() {
            let (added, removed, transactions) = (log.additions(&new)?, Vec::new(), Vec::new());
            archive.commit_surely(Change { added, removed, transactions, kind: ChangeKind::Append }).await?;
        }
        let rows = present.rows_in(&names);
        remove(log, names, ChangeKind::Archive { rows }).await
    }

    /// Takes files away for good, wherever they lie. Their rows are counted once.
    pub(super) async fn drop_files(&mut self, key: &TableKey, names: &[String]) -> Result<(), FlushFailure> {
        self.make_certain(key).await?;
        self.log(key).await?;
        let done = self.try_drop(key, names).await;
        self.show(key)?;
        done
    }

    async fn try_drop(&mut self, key: &TableKey, names: &[String]) -> Result<(), FlushFailure> {
        let present = self.shared.tables.cold(key);
        let Some(log) = self.logs.get_mut(key) else { return Ok(()) };
        if let Some(archive) = self.archives.get_mut(key) {
            // A move that was not completed is first: otherwise both sides would count its rows.
            let there = names_of(archive)?;
            let both: Vec<String> = names_of(log)?.intersection(&there).cloned().collect();
            let rows = present.rows_in(&both);
            remove(log, both, ChangeKind::Archive { rows }).await?;
            let there = among(names, &there);
            let rows = present.rows_in(&there);
            remove(archive, there, ChangeKind::Drop { rows }).await?;
        }
        let names = among(names, &names_of(log)?);
        let rows = present.rows_in(&names);
        remove(log, names, ChangeKind::Drop { rows }).await
    }

    /// Lets queries see a table as it is now.
    pub(super) fn show(&self, key: &TableKey) -> Result<(), FlushFailure> {
        self.shared.tables.replace(key, self.cold(key)?);
        Ok(())
    }

    /// A table's present files, with those of its archive.
    pub(super) fn cold(&self, key: &TableKey) -> Result<ColdTable, DeltaError> {
        let Some(log) = self.logs.get(key) else { return Ok(ColdTable::default()) };
        cold(log, self.archives.get(key))
    }

    async fn open_archive(&mut self, key: &TableKey) -> Result<(), FlushFailure> {
        self.log(key).await?;
        if !self.archives.contains_key(key) {
            let place = self.shared.places.archive_of(key).ok_or(FlushFailure::NoArchive)?;
            let log = DeltaLog::open_or_make(&place, key.table, self.shared.wal.log_id()).await?;
            self.archives.insert(key.clone(), log);
        }
        Ok(())
    }
}

pub(crate) fn cold(log: &DeltaLog, archive: Option<&DeltaLog>) -> Result<ColdTable, DeltaError> {
    let cold = log.cold()?;
    match archive {
        Some(archive) => Ok(cold.with_archive(archive.cold()?)),
        None => Ok(cold),
    }
}

async fn remove(log: &mut DeltaLog, removed: Vec<String>, kind: ChangeKind) -> Result<(), FlushFailure> {
    if !removed.is_empty() {
        log.commit_surely(Change { added: Vec::new(), removed, transactions: Vec::new(), kind }).await?;
    }
    Ok(())
}

fn names_of(log: &DeltaLog) -> Result<BTreeSet<String>, DeltaError> {
    Ok(log.cold()?.files.into_iter().map(|file| file.name).collect())
}

fn among(names: &[String], there: &BTreeSet<String>) -> Vec<String> {
    names.iter().filter(|name| there.contains(*name)).cloned().collect()
}
