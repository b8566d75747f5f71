//! What the log knows about its own content: which numbers of which producer and which event ids are held, and how many
//! rows were stored or duplicate. Built from records alone, in log order: [`Ledger::apply`] is the same for a record that
//! was just synced and for one that is replayed, so a restart cannot change an answer.
//!
//! [`Ledger::decide`] only looks; what it grants before the fsync is kept in a [`Provisional`] that is thrown away with
//! the group, whether it became durable (then it was applied) or not (then it is as if it had never been).
//!
//! Producers are kept by tenant: nobody can use up another tenant's numbers.

mod decide;
mod ids;
mod intervals;
mod producers;
mod recent;
mod snapshot;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use ridealong_common::table::Table;

use crate::books::{Books, IdsBooks, ProducersForgotten, RowCounts, TableBooks};
use crate::entry::{LogId, Position};
use crate::record::Record;

pub(crate) use decide::{Decision, Provisional};
pub(crate) use recent::TenantMoment;
pub(crate) use snapshot::Restoring;

use ids::Ids;
use producers::{Producer, ProducerKey, Producers};
use recent::{Change, Recent};
use tenants::Tenants;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub ids_max: usize,
    pub ids_window: Duration,
    pub producers_max: usize,
    pub intervals_max: usize,
}

pub(crate) struct Ledger {
    /// The last record that is accounted for.
    position: Position,
    conflicts: u64,
    records_lost: u64,
    tenants: Tenants,
    producers: Producers,
    ids: Ids,
    recent: Recent,
}

impl Ledger {
    pub fn new(log: LogId, limits: Limits) -> Self {
        Self {
            position: Position::NONE,
            conflicts: 0,
            records_lost: 0,
            tenants: Tenants::new(log),
            producers: Producers::new(limits.producers_max, limits.intervals_max),
            ids: Ids::new(limits.ids_max, limits.ids_window),
            recent: Recent::default(),
        }
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// A ledger that knows nothing of what came up to `position`.
    pub fn begin_after(&mut self, position: Position) {
        assert!(self.position == Position::NONE, "only a new ledger begins later");
        self.position = position;
    }

    /// Records that were accounted for cannot be read any more.
    pub fn count_lost(&mut self, records: u64) {
        self.records_lost += records;
    }

    /// Accounts for a durable record, the next one.
    pub fn apply(&mut self, record: &Record<'_>) {
        if let Some(gap) = record.gap() {
            assert!(gap.first <= self.position.next() && gap.last > self.position, "gaps are applied in log order");
            self.position = gap.last;
            self.records_lost += gap.lost;
            return;
        }
        assert_eq!(record.position, self.position.next(), "records are applied in log order");
        self.position = record.position;
        self.conflicts += u64::from(record.conflict);
        let tenant = self.tenants.intern(record.tenant);
        let producer = record
            .numbers
            .as_ref()
            .map(|numbers| (numbers.producer, self.producers.apply((tenant, numbers.producer), numbers, record)));
        let rows = producer.as_ref().map_or_else(|| record.row_counts(None), |(_, arrival)| arrival.rows);
        self.tenants.count(tenant, record.table, rows, producer.is_some());
        let change = Change {
            position: record.position,
            received_at_us: record.received_at_us,
            tenant,
            table: record.table,
            rows,
            producer,
        };
        if record.in_place_of_events {
            let rows = RowCounts { stored: 0, quarantined: rows.stored, ..rows };
            self.tenants.count(tenant, Table::Events, rows, false);
            self.recent.push(Change { table: Table::Events, rows, producer: None, ..change.clone() });
        }
        self.recent.push(change);
        for ((tenant, _), producer) in self.producers.forget_oldest() {
            let tenant = self.tenants.get_mut(tenant);
            tenant.forgotten.add(&producer);
            producer.tables.iter().for_each(|(table, rows)| tenant.table_mut(*table).forgotten += *rows);
        }
        let salt = self.tenants.salt(tenant, record.table);
        for id in record.ids.as_deref().unwrap_or_default() {
            self.ids.insert(id.as_u128() ^ salt, record.received_at_us);
        }
        self.ids.expire(record.received_at_us);
    }

    /// One moment of it, to be written out as books without holding it.
    pub fn moment(&self) -> Moment {
        Moment {
            position: self.position,
            conflicts: self.conflicts,
            records_lost: self.records_lost,
            tables: self.tenants.books(),
            ids: self.ids.books(),
            tenants: self.tenants.names(),
            producers: self.producers.shared(),
            producers_forgotten: self.producers.forgotten(),
            forgotten: self.forgotten(),
        }
    }

    fn forgotten(&self) -> Vec<(Arc<str>, ProducersForgotten)> {
        let some = self.tenants.list().iter().filter(|tenant| tenant.forgotten.producers > 0);
        let mut forgotten: Vec<_> = some.map(|tenant| (tenant.name.clone(), tenant.forgotten)).collect();
        forgotten.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        forgotten
    }

    /// When the oldest stored row after `position` was received; None when there is none.
    pub fn oldest_stored_after(&self, position: Position) -> Option<i64> {
        self.recent.oldest_stored_after(position)
    }
}

/// See [`Ledger::moment`].
pub(crate) struct Moment {
    position: Position,
    conflicts: u64,
    records_lost: u64,
    tables: Vec<TableBooks>,
    ids: IdsBooks,
    tenants: Vec<Arc<str>>,
    producers: Vec<(ProducerKey, Arc<Producer>)>,
    producers_forgotten: ProducersForgotten,
    forgotten: Vec<(Arc<str>, ProducersForgotten)>,
}

impl Moment {
    /// Fills in what the ledger knew; the files are counted elsewhere.
    pub fn write_books(self, books: &mut Books) {
        books.position = self.position;
        books.conflicts = self.conflicts;
        books.records_lost = self.records_lost;
        books.tables = self.tables;
        books.ids = self.ids;
        books.producers_forgotten = self.producers_forgotten;
        books.forgotten = self.forgotten;
        let tenants = self.tenants;
        let producers = self.producers.iter();
        books.producers =
            producers.map(|((tenant, id), each)| each.books(tenants[*tenant as usize].clone(), *id)).collect();
        books.producers.sort_unstable_by(|a, b| (&a.tenant, a.producer).cmp(&(&b.tenant, b.producer)));
    }
}

#[cfg(test)]
mod tests;
