//! The tables of all tenants: rows not yet in Delta, and the Delta version that they follow on.
//!
//! One lock holds them all, and nothing slow happens under it: appending pushes, pinning clones pointers, and a flush
//! swaps "these hot rows" for "this Delta version" in one step. So a snapshot is always consistent, across tables too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_wal::Position;

use crate::snapshot::{ColdTable, Snapshot, TableSnapshot};

/// A table of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableKey {
    pub tenant: Arc<str>,
    pub table: Table,
}

#[derive(Debug, Default)]
pub(crate) struct HotTables {
    tables: Mutex<BTreeMap<TableKey, TableState>>,
}

#[derive(Debug)]
struct TableState {
    hot: Vec<HotBatch>,
    hot_since: Option<Instant>,
    hot_rows: usize,
    hot_bytes: usize,
    cold: Arc<ColdTable>,
    /// Up to where Delta holds the log's rows of this table.
    committed: Position,
}

#[derive(Clone, Debug)]
struct HotBatch {
    /// Of the last entry in it.
    position: Position,
    rows: RecordBatch,
    bytes: usize,
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
}

impl HotTables {
    /// Adds a table as Delta has it.
    pub fn add(&self, key: TableKey, cold: ColdTable, committed: Position) {
        let state =
            TableState { hot: Vec::new(), hot_since: None, hot_rows: 0, hot_bytes: 0, cold: Arc::new(cold), committed };
        self.tables.lock().entry(key).or_insert(state);
    }

    pub fn contains(&self, key: &TableKey) -> bool {
        self.tables.lock().contains_key(key)
    }

    /// Whether Delta already holds what stands at this position of the log.
    pub fn holds(&self, key: &TableKey, position: Position) -> bool {
        self.tables.lock().get(key).is_some_and(|table| position <= table.committed)
    }

    /// Appends rows of the log, each table's up to its position, in one step: a snapshot has all of them or none.
    pub fn append(&self, added: Vec<(TableKey, RecordBatch, Position)>) {
        let mut tables = self.tables.lock();
        for (key, rows, position) in added {
            let bytes = rows.get_array_memory_size();
            let Some(table) = tables.get_mut(&key) else { unreachable!("a table is added before rows") };
            assert!(table.hot.last().is_none_or(|last| last.position < position), "the log is read in order");
            assert!(position > table.committed, "what Delta holds is not appended again");
            table.hot_since.get_or_insert_with(Instant::now);
            table.hot_rows += rows.num_rows();
            table.hot_bytes += bytes;
            table.hot.push(HotBatch { position, rows, bytes });
        }
    }

    /// The oldest hot rows, about `bytes_max` of them; None when nothing is hot.
    pub fn flushable(&self, key: &TableKey, bytes_max: usize) -> Option<Flushable> {
        let tables = self.tables.lock();
        let hot = &tables.get(key)?.hot;
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
        tables.get(key).and_then(|table| table.hot.first()).is_some_and(|first| first.position <= up_to)
    }

    /// Hands over: the rows up to `up_to` are in this Delta version, and from now on they are read there.
    pub fn swap(&self, key: &TableKey, cold: ColdTable, up_to: Position) {
        let mut tables = self.tables.lock();
        let Some(table) = tables.get_mut(key) else { unreachable!("a table that was flushed is known") };
        table.hot.retain(|batch| batch.position > up_to);
        table.hot_rows = table.hot.iter().map(|batch| batch.rows.num_rows()).sum();
        table.hot_bytes = table.hot.iter().map(|batch| batch.bytes).sum();
        table.hot_since = (!table.hot.is_empty()).then(Instant::now);
        table.cold = Arc::new(cold);
        table.committed = up_to;
    }

    /// All tables of a tenant at this moment.
    pub fn pin(&self, tenant: &str) -> Snapshot {
        let tables = self.tables.lock();
        let of_tenant = tables.iter().filter(|(key, _)| &*key.tenant == tenant);
        let pinned = of_tenant.map(|(key, table)| TableSnapshot {
            table: key.table,
            hot: table.hot.iter().map(|batch| batch.rows.clone()).collect(),
            cold: Arc::clone(&table.cold),
        });
        Snapshot { tables: pinned.collect() }
    }

    /// Up to where the log is in Delta, when it has been read up to `readable`: a table with nothing hot holds no log.
    pub fn committed(&self, readable: Position) -> Position {
        let tables = self.tables.lock();
        let waiting = tables.values().filter(|table| !table.hot.is_empty()).map(|table| table.committed);
        waiting.min().unwrap_or(readable).min(readable)
    }

    /// The table that keeps most of the log from being let go.
    pub fn furthest_behind(&self) -> Option<TableKey> {
        let tables = self.tables.lock();
        let waiting = tables.iter().filter(|(_, table)| !table.hot.is_empty());
        waiting.min_by_key(|(_, table)| table.committed).map(|(key, _)| key.clone())
    }

    pub fn fills(&self) -> Vec<Fill> {
        let tables = self.tables.lock();
        let fills = tables.iter().map(|(key, table)| Fill {
            key: key.clone(),
            hot_rows: table.hot_rows,
            hot_bytes: table.hot_bytes,
            hot_since: table.hot_since,
            cold: Arc::clone(&table.cold),
        });
        fills.collect()
    }

    pub fn hot_bytes(&self) -> usize {
        self.tables.lock().values().map(|table| table.hot_bytes).sum()
    }

    pub fn tenants(&self) -> usize {
        let tables = self.tables.lock();
        let mut tenants: Vec<&str> = tables.keys().map(|key| &*key.tenant).collect();
        tenants.dedup();
        tenants.len()
    }
}

#[cfg(test)]
pub(crate) mod tests;
