//! What the last records changed, so that the books can be read as of a moment a little while ago: that of a query's
//! snapshot, which is behind the log by what its reader has not read yet.

use std::collections::{HashMap, VecDeque};

use ridealong_common::ids::ProducerId;
use ridealong_common::table::Table;

use super::Ledger;
use super::producers::Arrival;
use crate::books::{ProducerBooks, RowCounts, TableBooks, TenantBooks};
use crate::entry::Position;

/// Records that are remembered, about 150 bytes each: a reader is behind by milliseconds, which is far fewer.
const CHANGES_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Recent {
    changes: VecDeque<Change>,
}

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
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
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
    /// A tenant's books as of `position`; None when that is too long ago. Exact but for producers that were forgotten
    /// since: they are forgotten in it already.
    pub fn tenant_books(&self, tenant: &str, position: Position) -> Option<TenantBooks> {
        let position = position.min(self.position);
        if !self.recent.reaches(position, self.position) {
            return None;
        }
        let Some(number) = self.tenants.number(tenant) else {
            return Some(TenantBooks { position, ..TenantBooks::default() });
        };
        let of_tenant = self.tenants.get(number);
        let mine = self.producers.iter().filter(|((tenant, _), _)| *tenant == number);
        let books = TenantBooks {
            position,
            tables: of_tenant.books().collect(),
            producers: mine.map(|((_, id), producer)| producer.books(of_tenant.name.clone(), *id)).collect(),
            forgotten: of_tenant.forgotten,
        };
        let since = self.recent.after(position).filter(|change| change.tenant == number);
        Some(Rewind::new(books).back(since.rev()))
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
