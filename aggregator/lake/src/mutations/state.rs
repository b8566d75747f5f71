//! What is not done, in memory as it is in the journal, with conditions ready to be evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_common::table::{ColumnKind, Table};
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::common::Result as EngineResult;
use ridealong_engine::datafusion::common::ScalarValue;
use ridealong_engine::datafusion::prelude::SessionContext;
use ridealong_model::mutation::MutationStatus;
use ridealong_wal::disk::Disk;
use ridealong_wal::journal::JournalError;
use ridealong_wal::{LogId, Position};
use serde_json::Value;
use thiserror::Error;

use super::condition;
use super::journal::{Entry, Journal, Kept, Record};
use super::mutation::{Action, Mutation, Ready};
use super::people::People;
use crate::hot::TableKey;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("mutation {number} of the file \"mutations\" cannot be applied by this program: {why}")]
    Unknown { number: u64, why: String },
}

/// A mutation, and the files that still hold rows as they were before it.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub mutation: Arc<Mutation>,
    /// By name, with the number of such rows.
    pub files: Arc<BTreeMap<String, u64>>,
}

/// What mutations have done to a table.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Those that not every file has seen, oldest first.
    pub pending: Vec<Pending>,
    /// Rows that were ever deleted.
    pub deleted: u64,
}

pub(crate) struct Mutations {
    pub session: SessionContext,
    log: LogId,
    /// Up to here of the log a restart has to apply some of them; what comes later has seen all.
    replay_to: Position,
    inner: Mutex<Inner>,
}

struct Inner {
    journal: Journal,
    kept: Kept,
    ready: BTreeMap<u64, (TableKey, Pending)>,
}

impl Mutations {
    pub fn open(disk: Arc<dyn Disk>, session: SessionContext, log: LogId) -> Result<Self, OpenError> {
        let (journal, kept) = Journal::open(disk)?;
        let mut ready = BTreeMap::new();
        for record in kept.records.values() {
            let made = made(record, &session);
            ready.insert(record.number, made.map_err(|why| OpenError::Unknown { number: record.number, why })?);
        }
        let ours = kept.records.values().filter(|record| record.log == log.to_string());
        let replay_to = Position(ours.map(|record| record.position).max().unwrap_or(0));
        Ok(Self { session, log, replay_to, inner: Mutex::new(Inner { journal, kept, ready }) })
    }

    /// Makes one durable, and ready. From then on a restart applies it.
    pub fn begin(&self, record: impl FnOnce(u64) -> Record) -> Result<Pending, String> {
        let mut inner = self.inner.lock();
        let record = record(inner.kept.last + 1);
        let (key, pending) = made(&record, &self.session)?;
        let number = record.number;
        inner.append(Entry::Begun(Box::new(record)))?;
        inner.ready.insert(number, (key, pending.clone()));
        Ok(pending)
    }

    /// That visits were made anew of all that was begun up to `number`.
    pub fn visited(&self, tenant: &str, number: u64) -> Result<(), String> {
        self.inner.lock().append(Entry::Visited { tenant: tenant.to_owned(), number })
    }

    /// The tables with mutations that are not done, each with the last position of the log that one holds for.
    pub fn waiting(&self) -> Vec<(TableKey, Position)> {
        let inner = self.inner.lock();
        let ours = inner.kept.records.values().filter(|record| record.log == self.log.to_string());
        ours.filter_map(|record| Some((inner.ready.get(&record.number)?.0.clone(), Position(record.position))))
            .collect()
    }

    /// Lets go of what is done, as `is_done` says of its table, the last position that it holds for, and its files; the
    /// numbers of these.
    pub fn settle(
        &self,
        is_done: impl Fn(&TableKey, Position, &BTreeMap<String, u64>) -> bool,
    ) -> Result<Vec<u64>, String> {
        let mut inner = self.inner.lock();
        let done = inner.kept.records.values().filter(|record| {
            let Some((key, pending)) = inner.ready.get(&record.number) else { return false };
            // Of another log nothing is ever read again.
            let position = if record.log == self.log.to_string() { record.position } else { 0 };
            record.people.is_none() && is_done(key, Position(position), &pending.files)
        });
        let done: Vec<u64> = done.map(|record| record.number).collect();
        for number in &done {
            inner.append(Entry::Done { number: *number })?;
            inner.ready.remove(number);
        }
        Ok(done)
    }

    /// What has been done to a table.
    pub fn changed(&self, key: &TableKey) -> Changed {
        let of = (key.tenant.to_string(), key.table.name().to_owned());
        let inner = self.inner.lock();
        let pending = inner.ready.values().filter(|(of, _)| of == key).map(|(_, pending)| pending.clone());
        Changed { pending: pending.collect(), deleted: inner.kept.deleted.get(&of).copied().unwrap_or(0) }
    }

    /// Whose visits are to be made anew, by tenant, and the last mutation that names them.
    pub fn unvisited(&self) -> BTreeMap<String, (People, u64)> {
        let mut found: BTreeMap<String, (People, u64)> = BTreeMap::new();
        for record in self.inner.lock().kept.records.values() {
            if let Some(people) = &record.people {
                let (all, last) = found.entry(record.tenant.clone()).or_default();
                all.add(people);
                *last = record.number;
            }
        }
        found
    }

    /// The last of a table that is not done; 0 when all are.
    pub fn last_of(&self, key: &TableKey) -> u64 {
        let inner = self.inner.lock();
        inner.ready.iter().rfind(|(_, (of, _))| of == key).map_or(0, |(number, _)| *number)
    }

    pub fn statuses(&self, tenant: &str, is_left: impl Fn(&TableKey, &str) -> bool) -> Vec<MutationStatus> {
        let inner = self.inner.lock();
        let of_tenant = inner.kept.records.values().filter(|record| record.tenant == tenant);
        let statuses = of_tenant.filter_map(|record| {
            let (key, pending) = inner.ready.get(&record.number)?;
            Some(MutationStatus {
                number: record.number,
                at_us: record.at_us,
                table: key.table.name(),
                condition: record.condition.clone(),
                deletes: record.set.is_none(),
                rows: record.rows,
                files_left: pending.files.keys().filter(|name| is_left(key, name)).count() as u64,
            })
        });
        statuses.collect()
    }

    /// Rows read from the log again as they are after what was begun when they had been read before.
    pub fn replayed(&self, key: &TableKey, at: Position, rows: RecordBatch) -> EngineResult<RecordBatch> {
        if at > self.replay_to {
            return Ok(rows);
        }
        let inner = self.inner.lock();
        let log = self.log.to_string();
        let after = inner.kept.records.values().filter(|record| record.log == log && record.position >= at.0);
        let mut rows = rows;
        for record in after {
            let Some((_, pending)) = inner.ready.get(&record.number).filter(|(of, _)| of == key) else { continue };
            let ready = Ready::new(&pending.mutation, &rows, &self.session.state())?;
            let matching = ready.matching(&rows)?;
            rows = ready.apply(&rows, &matching)?;
        }
        Ok(rows)
    }
}

impl Inner {
    fn append(&mut self, entry: Entry) -> Result<(), String> {
        let unwritten = |error: std::io::Error| {
            format!(
                "the file of mutations could not be written: {error}; it is not in force, after a restart it may be"
            )
        };
        self.kept.take(entry.clone());
        let appended = self.journal.append(&entry, &self.kept).map_err(unwritten);
        if appended.is_err()
            && let Entry::Begun(record) = &entry
        {
            // Its number is not given again.
            self.kept.undo(record);
        }
        appended
    }
}

fn made(record: &Record, session: &SessionContext) -> Result<(TableKey, Pending), String> {
    let table = Table::from_name(&record.table).ok_or_else(|| format!("there is no table {}", record.table))?;
    let filter = condition::read(&record.condition, table, session).map_err(|error| error.to_string())?;
    let action = match &record.set {
        None => Action::Delete,
        Some(values) => {
            let values = values.iter().map(|(name, value)| Ok((name.clone(), scalar(table, name, value)?)));
            Action::Set(values.collect::<Result<_, String>>()?)
        }
    };
    let mutation = Arc::new(Mutation { number: record.number, filter, action });
    let key = TableKey { tenant: Arc::from(record.tenant.as_str()), table };
    Ok((key, Pending { mutation, files: Arc::new(record.files.clone()) }))
}

/// A new value for a column, or why it cannot be.
pub(crate) fn scalar(table: Table, name: &str, value: &Value) -> Result<ScalarValue, String> {
    let column = table.columns().iter().find(|column| column.name == name);
    let column = column.ok_or_else(|| format!("{} has no column {name}", table.name()))?;
    let kind = match column.kind {
        ColumnKind::Id | ColumnKind::Time | ColumnKind::Sketch => {
            return Err(format!(
                "{name} cannot be changed: rows are found and ordered by it; delete them and send others"
            ));
        }
        ColumnKind::Text => "a text",
        ColumnKind::Integer => "an integer",
        ColumnKind::Float => "a number",
        ColumnKind::Boolean => "true or false",
    };
    let scalar = match (column.kind, value) {
        (_, Value::Null) if !column.nullable => return Err(format!("{name} cannot be null")),
        (ColumnKind::Text, Value::Null) => Some(ScalarValue::Utf8(None)),
        (ColumnKind::Integer, Value::Null) => Some(ScalarValue::Int64(None)),
        (ColumnKind::Float, Value::Null) => Some(ScalarValue::Float64(None)),
        (_, Value::Null) => Some(ScalarValue::Boolean(None)),
        (ColumnKind::Text, Value::String(text)) => Some(ScalarValue::Utf8(Some(text.clone()))),
        (ColumnKind::Integer, value) => value.as_i64().map(|number| ScalarValue::Int64(Some(number))),
        (ColumnKind::Float, value) => value.as_f64().map(|number| ScalarValue::Float64(Some(number))),
        (ColumnKind::Boolean, value) => value.as_bool().map(|value| ScalarValue::Boolean(Some(value))),
        _ => None,
    };
    scalar.ok_or_else(|| format!("{name} must be {kind}"))
}
