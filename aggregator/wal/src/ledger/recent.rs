//! What the last records changed, so that the books can be read as of a moment a little while ago: that of a query's
//! snapshot, which is behind the log by what its reader has not read yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ridealong_common::ids::ProducerId;
use ridealong_common::table::Table;

use super::Ledger;
use super::producers::{Arrival, Producer};
use crate::books::{ProducerBooks, ProducersForgotten, RowCounts, TableBooks, TenantBooks};
use crate::entry::Position;

/// Records that are remembered, about 150 bytes each: a reader is behind by milliseconds, which is far fewer.
const CHANGES_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Recent {
    changes: VecDeque<Change>,
}

#[derive(Clone)]
pub(super) struct Change {
    pub position: Position,
    pub received_at_us: i64,
    pub tenant: u32,
    pub table: Table,
    pub rows: RowCounts,
    pub producer: Option<(ProducerId, Arrival)>,
}

impl Recent {
    pub fn push(&mut self, change: Change) {
        if self.changes.len() >= CHANGES_MAX {
            let gone = self.changes.pop_front().map(|change| change.position);
            // A record has one or two changes, which go together.
            self.changes.pop_front_if(|next| Some(next.position) == gone);
        }
        self.changes.push_back(change);
    }

    /// The changes after `position`, oldest first.
    fn after(&self, position: Position) -> impl DoubleEndedIterator<Item = &Change> {
        let from = self.changes.partition_point(|change| change.position <= position);
        self.changes.range(from..)
    }

    pub fn oldest_stored_after(&self, position: Position) -> Option<i64> {
        self.after(position).find(|change| change.rows.stored > 0).map(|change| change.received_at_us)
    }

    /// Whether every change after `position`, up to `now`, is remembered.
    fn reaches(&self, position: Position, now: Position) -> bool {
        position >= now || self.changes.front().is_some_and(|first| first.position <= position.next())
    }
}

impl Ledger {
    /// What a tenant's books as of `position` are made of; None when that is too long ago.
    pub fn tenant_moment(&self, tenant: &str, position: Position) -> Option<TenantMoment> {
        let position = position.min(self.position);
        if !self.recent.reaches(position, self.position) {
            return None;
        }
        let number = self.tenants.number(tenant);
        let of_tenant = number.map(|number| self.tenants.get(number));
        Some(TenantMoment {
            position,
            tenant: tenant.into(),
            tables: of_tenant.map(|tenant| tenant.books().collect()).unwrap_or_default(),
            forgotten: of_tenant.map(|tenant| tenant.forgotten).unwrap_or_default(),
            producers: number.map(|number| self.producers.shared_of(number)).unwrap_or_default(),
            since: self.recent.after(position).filter(|change| Some(change.tenant) == number).cloned().collect(),
        })
    }
}

/// One tenant's part of the ledger, to be written out as books without holding it.
pub(crate) struct TenantMoment {
    position: Position,
    tenant: Arc<str>,
    tables: Vec<TableBooks>,
    forgotten: ProducersForgotten,
    producers: Vec<(ProducerId, Arc<Producer>)>,
    /// What came after the position, oldest first.
    since: Vec<Change>,
}

impl TenantMoment {
    /// Exact but for producers that were forgotten since: they are forgotten in it already.
    pub fn books(self) -> TenantBooks {
        let producers = self.producers.iter().map(|(id, producer)| producer.books(self.tenant.clone(), *id));
        let books = TenantBooks {
            position: self.position,
            producers: producers.collect(),
            tables: self.tables,
            forgotten: self.forgotten,
        };
        Rewind::new(books).back(self.since.iter().rev())
    }
}

/// Books on their way back in time.
struct Rewind {
    books: TenantBooks,
    producers: HashMap<ProducerId, usize>,
}

impl Rewind {
    fn new(books: TenantBooks) -> Self {
        let producers = books.producers.iter().enumerate().map(|(at, each)| (each.producer, at)).collect();
        Self { books, producers }
    }

    /// Takes back changes, the newest first.
    fn back<'a>(mut self, changes: impl Iterator<Item = &'a Change>) -> TenantBooks {
        for change in changes {
            let Some(table) = self.books.tables.iter_mut().find(|each| each.table == change.table) else { continue };
            take_back(table, change.rows);
            match &change.producer {
                None => table.unnumbered -= change.rows,
                Some((id, arrival)) => {
                    let producer = self.producers.get(id).map(|at| &mut self.books.producers[*at]);
                    if !producer.is_some_and(|producer| un_arrive(producer, change, arrival)) {
                        table.forgotten -= change.rows;
                    }
                }
            }
        }
        self.books.producers.sort_unstable_by_key(|each| each.producer);
        self.books
    }
}

fn take_back(table: &mut TableBooks, rows: RowCounts) {
    table.rows_stored -= rows.stored;
    table.rows_duplicate -= rows.duplicate();
    table.rows_quarantined -= rows.quarantined;
}

/// False when it is not this producer's: one of the same id, that was forgotten since.
fn un_arrive(producer: &mut ProducerBooks, change: &Change, arrival: &Arrival) -> bool {
    let rows = producer.tables.iter_mut().find(|(table, _)| *table == change.table).map(|(_, rows)| rows);
    let Some(rows) = rows.filter(|rows| rows.received() >= change.rows.received()) else { return false };
    *rows -= change.rows;
    producer.announced = arrival.announced_before;
    producer.received -= arrival.received;
    producer.given_up = arrival.given_up_before;
    producer.missing = producer.announced - producer.received - producer.given_up;
    // They are named as of now, in `Books`.
    producer.missing_ranges.clear();
    true
}
