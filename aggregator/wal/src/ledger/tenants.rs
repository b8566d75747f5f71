//! Tenants by a small number, with the counts of their tables.

use std::collections::HashMap;
use std::sync::Arc;

use ridealong_common::table::Table;

use crate::books::{ProducersForgotten, RowCounts, TableBooks};
use crate::entry::LogId;

/// Far more than an aggregator serves: bounds what forged names could occupy.
pub(crate) const TENANTS_MAX: usize = 10_000;

pub(super) struct Tenants {
    log: LogId,
    by_name: HashMap<Arc<str>, u32>,
    list: Vec<Tenant>,
}

#[derive(Clone)]
pub(super) struct Tenant {
    pub name: Arc<str>,
    tables: [TableCounts; Table::ALL.len()],
    pub forgotten: ProducersForgotten,
    salt: u128,
}

/// Of one table, each counted by itself: `rows` = `unnumbered` + `forgotten` + those of the producers in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableCounts {
    pub rows: RowCounts,
    pub unnumbered: RowCounts,
    pub forgotten: RowCounts,
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
        let (tables, forgotten) = Default::default();
        self.list.push(Tenant { salt: self.log.salt(&name), name, tables, forgotten });
        number
    }

    /// The same, unless there are too many.
    pub fn admit(&mut self, name: &str) -> Option<u32> {
        (self.list.len() < TENANTS_MAX || self.by_name.contains_key(name)).then(|| self.intern(name))
    }

    pub fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
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

    pub fn count(&mut self, tenant: u32, table: Table, rows: RowCounts, numbered: bool) {
        let counts = self.list[tenant as usize].table_mut(table);
        counts.rows += rows;
        if !numbered {
            counts.unnumbered += rows;
        }
    }

    pub fn names(&self) -> Vec<Arc<str>> {
        self.list.iter().map(|tenant| tenant.name.clone()).collect()
    }

    pub fn list(&self) -> &[Tenant] {
        &self.list
    }

    pub fn get(&self, tenant: u32) -> &Tenant {
        &self.list[tenant as usize]
    }

    pub fn get_mut(&mut self, tenant: u32) -> &mut Tenant {
        &mut self.list[tenant as usize]
    }

    pub fn books(&self) -> Vec<TableBooks> {
        let mut books: Vec<TableBooks> = self.list.iter().flat_map(Tenant::books).collect();
        books.sort_by(|a, b| (&a.tenant, a.table).cmp(&(&b.tenant, b.table)));
        books
    }
}

impl Tenant {
    /// The tables in which anything ever happened.
    pub fn tables(&self) -> impl Iterator<Item = (Table, TableCounts)> + '_ {
        Table::ALL.into_iter().zip(self.tables).filter(|(_, counts)| *counts != TableCounts::default())
    }

    pub fn table_mut(&mut self, table: Table) -> &mut TableCounts {
        let index = Table::ALL.iter().position(|each| *each == table).expect("a table is one of all tables");
        &mut self.tables[index]
    }

    pub fn books(&self) -> impl Iterator<Item = TableBooks> + '_ {
        self.tables().map(|(table, counts)| TableBooks {
            tenant: self.name.clone(),
            table,
            rows_stored: counts.rows.stored,
            rows_duplicate: counts.rows.duplicate(),
            rows_quarantined: counts.rows.quarantined,
            unnumbered: counts.unnumbered,
            forgotten: counts.forgotten,
        })
    }
}
