//! The books as rows: door, log and producers, for one tenant.

use ridealong_common::table::Table;
use ridealong_model::ledger::{LedgerRow, LedgerSource, Stage, Unit};
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Position, ProducerBooks, ProducersForgotten, RowCounts, TableBooks};

use crate::door::Ingest;
use crate::tally::{Door, DoorTally};

impl LedgerSource for Ingest {
    fn ledger(&self, tenant: &TenantId, position: u64) -> Option<Vec<LedgerRow>> {
        let books = self.tenant_books(tenant, Position(position))?;
        let mut rows = Rows::default();
        let tally = self.tally();
        for (door, counts) in tally.of(tenant) {
            rows.door(door, counts, tally.since.micros());
        }
        books.producers.iter().for_each(|producer| rows.producer(producer));
        rows.forgotten(&books.forgotten);
        books.tables.iter().for_each(|table| rows.table(table));
        Some(rows.rows)
    }
}

#[derive(Default)]
struct Rows {
    rows: Vec<LedgerRow>,
}

impl Rows {
    /// Counts of nothing are left out.
    fn add(&mut self, row: LedgerRow) {
        if row.count > 0 {
            self.rows.push(row);
        }
    }

    fn door(&mut self, door: Door, counts: &DoorTally, since_us: i64) {
        let row = |outcome, reason, count, unit| LedgerRow {
            door: Some(door.name()),
            reason,
            unit,
            since_us: Some(since_us),
            ..blank(Stage::Door, outcome, count)
        };
        for (outcome, count) in [
            ("received", counts.received),
            ("answered", counts.answered()),
            ("abandoned", counts.abandoned),
            ("in_flight", counts.in_flight),
        ] {
            self.add(row(outcome, None, count, Unit::Rows));
        }
        for (reason, count) in &counts.refused {
            self.add(row("refused", Some(*reason), *count, Unit::Rows));
        }
        for (reason, count) in &counts.refused_batches {
            self.add(row("refused", Some(*reason), *count, Unit::Batches));
        }
    }

    fn producer(&mut self, books: &ProducerBooks) {
        let id = books.producer.to_string();
        let row = |stage, outcome, count| LedgerRow {
            door: Some(Door::Batches.name()),
            producer: Some(id.clone()),
            ..blank(stage, outcome, count)
        };
        self.add(row(Stage::Producer, "announced", books.announced));
        self.add(row(Stage::Log, "missing", books.missing));
        self.add(row(Stage::Log, "given_up", books.given_up));
        self.add(row(Stage::Log, "unsplit", books.unsplit));
        for (table, counts) in &books.tables {
            self.outcomes(*table, counts, &row(Stage::Log, "", 0));
        }
    }

    /// Their rows are with the tables.
    fn forgotten(&mut self, totals: &ProducersForgotten) {
        let row = |stage, outcome, count: u128| LedgerRow {
            door: Some(Door::Batches.name()),
            ..blank(stage, outcome, u64::try_from(count).unwrap_or(u64::MAX))
        };
        self.add(row(Stage::Producer, "announced", totals.announced));
        self.add(row(Stage::Log, "missing", totals.announced - totals.received - totals.given_up));
        self.add(row(Stage::Log, "given_up", totals.given_up));
    }

    fn table(&mut self, books: &TableBooks) {
        let row = |door: Option<Door>| LedgerRow { door: door.map(Door::name), ..blank(Stage::Log, "", 0) };
        // What is set aside has no door of its own: it came for another table.
        let unnumbered = (books.table != Table::Quarantine).then_some(Door::Events);
        self.outcomes(books.table, &books.unnumbered, &row(unnumbered));
        self.outcomes(books.table, &books.forgotten, &row(Some(Door::Batches)));
    }

    fn outcomes(&mut self, table: Table, counts: &RowCounts, like: &LedgerRow) {
        for (outcome, reason, count) in [
            ("stored", None, counts.stored),
            ("duplicate", Some("number"), counts.duplicate_numbers),
            ("duplicate", Some("event_id"), counts.duplicate_ids),
            ("quarantined", None, counts.quarantined),
        ] {
            self.add(LedgerRow { table: Some(table.name()), outcome, reason, count, ..like.clone() });
        }
    }
}

fn blank(stage: Stage, outcome: &'static str, count: u64) -> LedgerRow {
    LedgerRow {
        stage,
        door: None,
        producer: None,
        table: None,
        outcome,
        reason: None,
        unit: Unit::Rows,
        count,
        since_us: None,
    }
}
