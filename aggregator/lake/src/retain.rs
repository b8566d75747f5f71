//! Days go whole when their end is older than a table keeps its rows: from the table and from its archive. Nothing is
//! read; a file belongs to the day that its name says.
//!
//! Visits go as events do. A session that began on a day that went and goes on into one that stayed is shown from its first
//! visit of the day that stayed.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use ridealong_model::jobs::{JobFailure, Outcome};

use crate::flush::Request;
use crate::hot::{Fill, TableKey};
use crate::lake::Shared;
use crate::schema::DATE;
use crate::snapshot::ColdFile;
use crate::write::day_of;

pub(crate) async fn run(shared: Arc<Shared>) -> Result<Outcome, JobFailure> {
    let now_us = chrono::Utc::now().timestamp_micros();
    let mut sum = Sum::default();
    for Fill { key, cold, .. } in shared.tables.fills() {
        let rule = shared.options.retention.retention(&key.tenant, key.table);
        let Some(age) = rule.drop_after else { continue };
        let old: Vec<&ColdFile> = cold.files.iter().filter(|file| is_older(file, age, now_us)).collect();
        sum.add(&key, drop_files(&shared, &key, &old).await);
    }
    sum.done()
}

async fn drop_files(shared: &Shared, key: &TableKey, files: &[&ColdFile]) -> Result<Outcome, JobFailure> {
    if files.is_empty() {
        return Ok(Outcome::default());
    }
    let names = files.iter().map(|file| file.name.clone()).collect();
    shared.ask(Request::drop(key.clone(), names)).await?;
    Ok(gone(files))
}

/// What a table has lost with these files.
pub(crate) fn gone(files: &[&ColdFile]) -> Outcome {
    Outcome {
        tables: 1,
        files_removed: files.len() as u64,
        files_added: 0,
        rows: files.iter().map(|file| file.rows.saturating_sub(file.masked)).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
    }
}

/// Whether the day of a file ended longer ago than `age`.
pub(crate) fn is_older(file: &ColdFile, age: Duration, now_us: i64) -> bool {
    let age_us = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    day_in(&file.name).is_some_and(|day| day < day_of(now_us.saturating_sub(age_us)))
}

/// The day that a file's name says; None for names that were not given here.
pub(crate) fn day_in(name: &str) -> Option<i32> {
    let date = name.strip_prefix(DATE)?.strip_prefix('=')?.split('/').next()?;
    let date: NaiveDate = date.parse().ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// What a job has done table by table. A failure in one keeps no other from being worked on; the first is told.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    outcome: Outcome,
    failure: Option<JobFailure>,
}

impl Sum {
    pub fn add(&mut self, key: &TableKey, done: Result<Outcome, JobFailure>) {
        match done {
            Ok(outcome) => self.outcome.add(&outcome),
            Err(JobFailure(why)) => {
                let told = JobFailure(format!("{} of {}: {why}", key.table.name(), key.tenant));
                tracing::error!(error = %told, "a table was left as it is");
                self.failure.get_or_insert(told);
            }
        }
    }

    pub fn done(self) -> Result<Outcome, JobFailure> {
        self.failure.map_or(Ok(self.outcome), Err)
    }
}

#[cfg(test)]
mod tests;
