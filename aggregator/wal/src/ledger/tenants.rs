//! Tenants by a small number, with the counts of their tables.

use std::collections::HashMap;
use std::sync::Arc;

use ridealong_common::table::Table;

use crate::books::TableBooks;
use crate::entry::LogId;
use crate::record::Record;

/// Far more than an aggregator serves: bounds what forged names could occupy.
pub(crate) const TENANTS_MAX: usize = 10_000;

pub(super) struct Tenants {
    log: LogId,
    by_name: HashMap<Arc<str>, u32>,
    list: Vec<Tenant>,
}

pub(super) struct Tenant {
    pub name: Arc<str>,
    pub counts: [Counts; Table::ALL.len()],
    salt: u128,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub stored: u64,
    pub duplicate: u64,
    pub quarantined: u64,
}

impl Tenants {
    pub fn new(log: LogId) -> Self {
        Self { log, by_name: HashMap::new(), list: Vec::new() }
    }

    /// A tenant without counts is in no book, so one made for an append that failed does not show.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let number = self.list.len() as u32;
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), number);
        self.list.push(Tenant { salt: self.log.salt(&name), name, counts: Default::default() });
        number
    }

    /// The same, unless there are too many.
    pub fn admit(&mut self, name: &str) -> Option<u32> {
        (self.list.len() < TENANTS_MAX || self.by_name.contains_key(name)).then(|| self.intern(name))
    }

    pub fn name(&self, tenant: u32) -> &Arc<str> {
        &self.list[tenant as usize].name
    }

    /// What the event ids of a table are mixed with. An event that was set aside may be sent again, mended, under its
    /// id, so equal ids of two tables are two ids.
    pub fn salt(&self, tenant: u32, table: Table) -> u128 {
        let apart = match table {
            Table::Events => 0,
            other => u128::from(other as u8) << 120,
        };
        self.list[tenant as usize].salt ^ apart
    }

    pub fn count(&mut self, tenant: u32, record: &Record<'_>) {
        let counts = &mut self.list[tenant as usize].counts[index(record.table)];
        let (duplicate, quarantined) = (record.duplicate_rows(), record.quarantined);
        counts.stored += u64::from(record.rows - duplicate - quarantined);
        counts.duplicate += u64::from(duplicate);
        counts.quarantined += u64::from(quarantined);
    }

    pub fn names(&self) -> Vec<Arc<str>> {
        self.list.iter().map(|tenant| tenant.name.clone()).collect()
    }

    pub fn list(&self) -> &[Tenant] {
        &self.list
    }

    pub fn restore_count(&mut self, tenant: u32, table: Table, counts: Counts) {
        self.list[tenant as usize].counts[index(table)] = counts;
    }

    pub fn books(&self) -> Vec<TableBooks> {
        let mut books: Vec<TableBooks> = self.list.iter().flat_map(Tenant::books).collect();
        books.sort_by(|a, b| (&a.tenant, a.table).cmp(&(&b.tenant, b.table)));
        books
    }
}

impl Tenant {
    /// The tables in which anything ever happened.
    pub fn tables(&self) -> impl Iterator<Item = (Table, Counts)> + '_ {
        Table::ALL.into_iter().zip(self.counts).filter(|(_, counts)| *counts != Counts::default())
    }

    fn books(&self) -> impl Iterator<Item = TableBooks> + '_ {
        self.tables().map(|(table, counts)| TableBooks {
            tenant: self.name.clone(),
            table,
            rows_stored: counts.stored,
            rows_duplicate: counts.duplicate,
            rows_quarantined: counts.quarantined,
        })
    }
}

fn index(table: Table) -> usize {
    Table::ALL.iter().position(|each| *each == table).expect("a table is one of all tables")
}
