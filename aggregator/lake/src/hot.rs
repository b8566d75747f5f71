//! The tables of all tenants: rows not yet in Delta, and the Delta version that they follow on.
//!
//! One lock holds them all, and nothing slow happens under it: appending pushes, pinning clones pointers, and a flush
//! swaps "these hot rows" for "this Delta version" in one step. So a snapshot is always consistent, across tables too, and
//! holds exactly what the log holds up to its position.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::compute::{max, min};
use ridealong_engine::datafusion::arrow::datatypes::TimestampMicrosecondType;
use ridealong_wal::Position;

use crate::mutations::{Action, Changed, Pending};
use crate::schema::{RECEIVED_AT, TIMESTAMP};
use crate::snapshot::{ColdTable, HotMark, Newer, Snapshot, TableSnapshot};

/// A table of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableKey {
    pub tenant: Arc<str>,
    pub table: Table,
}

#[derive(Debug, Default)]
pub(crate) struct HotTables {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_key: BTreeMap<TableKey, TableState>,
    /// Up to where the log has been read into them.
    position: Position,
    /// Changes ever made to any of them.
    changes: u64,
}

impl Tables {
    /// The table, for a change to it.
    fn changed(&mut self, key: &TableKey) -> Option<&mut TableState> {
        self.changes += 1;
        let table = self.by_key.get_mut(key)?;
        table.revision = self.changes;
        Some(table)
    }
}

#[derive(Debug)]
struct TableState {
    /// Another after each change of its rows or files, and never one that any table had before.
    revision: u64,
    /// Mutations that not every file has seen.
    pending: Vec<Pending>,
    /// Rows that were ever deleted.
    deleted: u64,
    hot: Vec<HotBatch>,
    /// How often batches have left or been replaced, and 1.
    hot_changes: u64,
    hot_since: Option<Instant>,
    hot_rows: usize,
    hot_bytes: usize,
    cold: Arc<ColdTable>,
    /// Up to where Delta holds the log's rows of this table.
    committed: Position,
    /// The newest `timestamp` in it, of hot and cold rows, µs.
    newest_us: Option<i64>,
}

#[derive(Clone, Debug)]
struct HotBatch {
    /// Up to where the log had been read before it.
    after: Position,
    /// Of the last entry in it.
    position: Position,
    rows: RecordBatch,
    bytes: usize,
    times: Times,
}

/// What the rows of a batch say about time, µs.
#[derive(Clone, Copy, Debug)]
struct Times {
    oldest_received_us: Option<i64>,
    newest_us: Option<i64>,
}

/// Rows to be flushed together.
pub(crate) struct Flushable {
    pub batches: Vec<RecordBatch>,
    pub up_to: Position,
}

/// How full a table is.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub key: TableKey,
    pub hot_rows: usize,
    pub hot_bytes: usize,
    pub hot_since: Option<Instant>,
    pub cold: Arc<ColdTable>,
    pub oldest_hot_received_us: Option<i64>,
    pub newest_us: Option<i64>,
}

impl HotTables {
    /// Adds a table as Delta has it.
    pub fn add(&self, key: TableKey, cold: ColdTable, committed: Position, changed: Changed) {
        let newest_us = cold.files.iter().filter_map(|file| Some(file.timestamps?.1)).max();
        let (hot, hot_since, hot_rows, hot_bytes) = (Vec::new(), None, 0, 0);
        let Changed { pending, deleted } = changed;
        let cold = Arc::new(marked(cold, &pending, deleted));
        let mut tables = self.tables.lock();
        tables.changes += 1;
        let state = TableState {
            revision: tables.changes,
            pending,
            deleted,
            hot,
            hot_changes: 1,
            hot_since,
            hot_rows,
            hot_bytes,
            cold,
            committed,
            newest_us,
        };
        tables.by_key.entry(key).or_insert(state);
    }

    pub fn contains(&self, key: &TableKey) -> bool {
        self.tables.lock().by_key.contains_key(key)
    }

    /// Whether Delta already holds what stands at this position of the log.
    pub fn holds(&self, key: &TableKey, position: Position) -> bool {
        self.tables.lock().by_key.get(key).is_some_and(|table| position <= table.committed)
    }

    /// Appends rows of the log, each table's up to its position, and says that the log was read up to `read`, in one
    /// step: a snapshot has all of it or nothing.
    pub fn append(&self, added: Vec<(TableKey, RecordBatch, Position)>, read: Position) {
        let added: Vec<_> = added.into_iter().map(|(key, rows, at)| (key, HotBatch::new(rows, at))).collect();
        let mut tables = self.tables.lock();
        let after = tables.position;
        for (key, mut batch) in added {
            batch.after = after;
            let Some(table) = tables.changed(&key) else { unreachable!("a table is added before rows") };
            assert!(table.hot.last().is_none_or(|last| last.position < batch.position), "the log is read in order");
            assert!(batch.position > table.committed, "what Delta holds is not appended again");
            table.hot_since.get_or_insert_with(Instant::now);
            table.hot_rows += batch.rows.num_rows();
            table.hot_bytes += batch.bytes;
            table.newest_us = table.newest_us.max(batch.times.newest_us);
            table.hot.push(batch);
        }
        tables.position = tables.position.max(read);
    }

    /// The oldest hot rows, about `bytes_max` of them; None when nothing is hot.
    pub fn flushable(&self, key: &TableKey, bytes_max: usize) -> Option<Flushable> {
        let tables = self.tables.lock();
        let hot = &tables.by_key.get(key)?.hot;
        let mut bytes = 0;
        let mut taken = hot.iter().take_while(|batch| {
            let fits = bytes == 0 || bytes + batch.bytes <= bytes_max;
            bytes += batch.bytes;
            fits
        });
        let first = taken.next()?;
        let mut flushable = Flushable { batches: vec![first.rows.clone()], up_to: first.position };
        for batch in taken {
            flushable.batches.push(batch.rows.clone());
            flushable.up_to = batch.position;
        }
        Some(flushable)
    }

    /// Whether rows up to a position of the log are still hot.
    pub fn is_hot(&self, key: &TableKey, up_to: Position) -> bool {
        let tables = self.tables.lock();
        tables.by_key.get(key).and_then(|table| table.hot.first()).is_some_and(|first| first.position <= up_to)
    }

    /// Hands over: the rows up to `up_to` are in this Delta version, and from now on they are read there.
    pub fn swap(&self, key: &TableKey, cold: ColdTable, up_to: Position) {
        let mut tables = self.tables.lock();
        let Some(table) = tables.changed(key) else { unreachable!("a table that was flushed is known") };
        table.hot.retain(|batch| batch.position > up_to);
        table.hot_changes += 1;
        table.hot_rows = table.hot.iter().map(|batch| batch.rows.num_rows()).sum();
        table.hot_bytes = table.hot.iter().map(|batch| batch.bytes).sum();
        table.hot_since = (!table.hot.is_empty()).then(Instant::now);
        table.cold = Arc::new(marked(cold, &table.pending, table.deleted));
        table.committed = up_to;
    }

    /// Either of both: the table holds the log's rows up to `position`, hot ones perhaps among them. False, and nothing
    /// changes, when nobody read the log just up to there: somebody else writes the table in the name of this log.
    pub fn settle(&self, key: &TableKey, cold: ColdTable, position: Position) -> bool {
        if self.holds(key, position) {
            self.replace(key, cold);
            return true;
        }
        let tables = self.tables.lock();
        let mut hot = tables.by_key.get(key).into_iter().flat_map(|table| &table.hot);
        let is_known =
            position <= tables.position && hot.all(|batch| batch.position <= position || position <= batch.after);
        drop(tables);
        if is_known {
            self.swap(key, cold, position);
        }
        is_known
    }

    /// The same rows in another Delta version, or rows that are meant to go are gone from it.
    pub fn replace(&self, key: &TableKey, cold: ColdTable) {
        if let Some(table) = self.tables.lock().changed(key) {
            table.cold = Arc::new(marked(cold, &table.pending, table.deleted));
        }
    }

    /// The rows in memory, each batch with its position, the files, and up to where the log has been read.
    pub fn look(&self, key: &TableKey) -> (Vec<(Position, RecordBatch)>, Arc<ColdTable>, Position) {
        let tables = self.tables.lock();
        let Some(table) = tables.by_key.get(key) else { return (Vec::new(), Arc::default(), tables.position) };
        let hot = table.hot.iter().map(|batch| (batch.position, batch.rows.clone())).collect();
        (hot, Arc::clone(&table.cold), tables.position)
    }

    pub fn cold(&self, key: &TableKey) -> Arc<ColdTable> {
        self.tables.lock().by_key.get(key).map(|table| Arc::clone(&table.cold)).unwrap_or_default()
    }

    pub fn has_file(&self, key: &TableKey, name: &str) -> bool {
        self.tables.lock().by_key.get(key).is_some_and(|table| table.cold.files.iter().any(|file| file.name == name))
    }

    pub fn keys(&self) -> Vec<TableKey> {
        self.tables.lock().by_key.keys().cloned().collect()
    }

    /// Puts a mutation in force: batches that it changes are replaced, and files carry it from now on. `deleted`: all rows
    /// that were ever deleted.
    pub fn mutate(&self, key: &TableKey, batches: Vec<(Position, RecordBatch)>, made: Pending, deleted: u64) {
        let batches = batches.into_iter().map(|(position, rows)| HotBatch::new(rows, position));
        let mut batches: BTreeMap<Position, HotBatch> = batches.map(|batch| (batch.position, batch)).collect();
        let mut tables = self.tables.lock();
        let Some(table) = tables.changed(key) else { return };
        for batch in &mut table.hot {
            if let Some(changed) = batches.remove(&batch.position) {
                *batch = HotBatch { after: batch.after, ..changed };
            }
        }
        table.hot_rows = table.hot.iter().map(|batch| batch.rows.num_rows()).sum();
        table.hot_bytes = table.hot.iter().map(|batch| batch.bytes).sum();
        table.hot_changes += 1;
        table.pending.push(made);
        table.deleted = deleted;
        table.cold = Arc::new(marked(ColdTable::clone(&table.cold), &table.pending, deleted));
    }

    /// Forgets mutations that are done, and no other: one may have been made meanwhile.
    pub fn forget(&self, done: &[u64]) {
        for table in self.tables.lock().by_key.values_mut() {
            table.pending.retain(|pending| !done.contains(&pending.mutation.number));
        }
    }

    /// All tables of a tenant at this moment.
    pub fn pin(&self, tenant: &str) -> Snapshot {
        let tables = self.tables.lock();
        let of_tenant = tables.by_key.iter().filter(|(key, _)| &*key.tenant == tenant);
        let revisions = of_tenant.clone().map(|(key, table)| (key.table, table.revision)).collect();
        let pinned = of_tenant.map(|(key, table)| TableSnapshot {
            table: key.table,
            hot: table.hot.iter().map(|batch| batch.rows.clone()).collect(),
            cold: Arc::clone(&table.cold),
        });
        Snapshot { tables: pinned.collect(), position: tables.position, revisions }
    }

    /// A table at this moment, of its hot rows only those that a caller has not seen. None when there is no such table.
    pub fn newer(&self, tenant: &str, table: Table, seen: HotMark) -> Option<Newer> {
        let tables = self.tables.lock();
        let (_, state) = tables.by_key.iter().find(|(key, _)| key.table == table && &*key.tenant == tenant)?;
        let is_all = seen.changes != state.hot_changes;
        let known = if is_all { 0 } else { seen.batches };
        let hot = state.hot.iter().skip(known).map(|batch| batch.rows.clone()).collect();
        let mark = HotMark { changes: state.hot_changes, batches: state.hot.len() };
        Some(Newer { hot, is_all, cold: Arc::clone(&state.cold), mark })
    }

    /// The files of all tables.
    pub fn files(&self) -> Vec<(Arc<str>, Table, Arc<ColdTable>)> {
        let tables = self.tables.lock();
        let of_all = tables.by_key.iter();
        of_all.map(|(key, state)| (Arc::clone(&key.tenant), key.table, Arc::clone(&state.cold))).collect()
    }

    /// Up to where the log is in Delta, when it has been read up to `readable`: a table with nothing hot holds no log.
    pub fn committed(&self, readable: Position) -> Position {
        let tables = self.tables.lock();
        let waiting = tables.by_key.values().filter(|table| !table.hot.is_empty()).map(|table| table.committed);
        waiting.min().unwrap_or(readable).min(readable)
    }

    /// The table that keeps most of the log from being let go.
    pub fn furthest_behind(&self) -> Option<TableKey> {
        let tables = self.tables.lock();
        let waiting = tables.by_key.iter().filter(|(_, table)| !table.hot.is_empty());
        waiting.min_by_key(|(_, table)| table.committed).map(|(key, _)| key.clone())
    }

    /// The table with most hot rows, when they take at least `bytes_min`.
    pub fn largest(&self, bytes_min: usize) -> Option<TableKey> {
        let tables = self.tables.lock();
        let (key, table) = tables.by_key.iter().max_by_key(|(_, table)| table.hot_bytes)?;
        (table.hot_bytes >= bytes_min).then(|| key.clone())
    }

    pub fn fills(&self) -> Vec<Fill> {
        let tables = self.tables.lock();
        let fills = tables.by_key.iter().map(|(key, table)| Fill {
            key: key.clone(),
            hot_rows: table.hot_rows,
            hot_bytes: table.hot_bytes,
            hot_since: table.hot_since,
            cold: Arc::clone(&table.cold),
            oldest_hot_received_us: table.hot.iter().filter_map(|batch| batch.times.oldest_received_us).min(),
            newest_us: table.newest_us,
        });
        fills.collect()
    }

    pub fn hot_bytes(&self) -> usize {
        self.tables.lock().by_key.values().map(|table| table.hot_bytes).sum()
    }

    pub fn tenants(&self) -> usize {
        let tables = self.tables.lock();
        let mut tenants: Vec<&str> = tables.by_key.keys().map(|key| &*key.tenant).collect();
        tenants.dedup();
        tenants.len()
    }
}

impl HotBatch {
    fn new(rows: RecordBatch, position: Position) -> Self {
        let times = |name| rows.column_by_name(name).and_then(|column| column.as_primitive_opt());
        let newest_us = times(TIMESTAMP).and_then(max::<TimestampMicrosecondType>);
        let oldest_received_us = times(RECEIVED_AT).and_then(min::<TimestampMicrosecondType>);
        let bytes = rows.get_array_memory_size();
        Self { after: Position(0), position, rows, bytes, times: Times { oldest_received_us, newest_us } }
    }
}

/// The files, each with what is pending of it.
fn marked(mut cold: ColdTable, pending: &[Pending], deleted: u64) -> ColdTable {
    cold.deleted = deleted;
    for file in &mut cold.files {
        let of_file = pending.iter().filter_map(|pending| Some((pending, *pending.files.get(&file.name)?)));
        let of_file: Vec<_> = of_file.collect();
        let deleting = of_file.iter().filter(|(pending, _)| matches!(pending.mutation.action, Action::Delete));
        file.masked = deleting.map(|(_, rows)| rows).sum();
        file.pending = of_file.iter().map(|(pending, _)| Arc::clone(&pending.mutation)).collect();
    }
    cold
}

#[cfg(test)]
pub(crate) mod tests;
