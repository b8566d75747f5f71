//! The log as it should be, in the plainest way: what the property test compares the real one with.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ridealong_common::ids::ProducerId;
use ridealong_common::table::Table;

use crate::{Appended, Books, Entry, NewEntry, Position, RowCounts};

#[derive(Clone, Default)]
pub(super) struct Model {
    pub records: u64,
    pub log: Vec<Entry>,
    /// By who sent them: a producer, or nobody that numbers rows.
    rows: BTreeMap<(String, Table, Option<ProducerId>), RowCounts>,
    producers: BTreeMap<(String, ProducerId), Producer>,
    ids: BTreeSet<(String, Table, u128)>,
    conflicts: u64,
}

#[derive(Clone, Default)]
struct Producer {
    announced: u64,
    numbers: BTreeSet<u64>,
    recent: VecDeque<(u64, u32, u32)>,
}

impl Model {
    pub fn append(&mut self, entry: &NewEntry) -> Appended {
        self.records += 1;
        let tenant = entry.tenant.to_string();
        let mut duplicate_rows: BTreeSet<u32> = BTreeSet::new();
        if let Some(numbers) = &entry.numbers {
            let producer = self.producers.entry((tenant.clone(), numbers.producer)).or_default();
            let end = numbers.first + u64::from(entry.rows);
            producer.announced = producer.announced.max(entry.announced).max(end);
            duplicate_rows
                .extend((0..entry.rows).filter(|row| !producer.numbers.insert(numbers.first + u64::from(*row))));
            if duplicate_rows.len() == entry.rows as usize {
                let differs = |(first, rows, crc): &(u64, u32, u32)| {
                    (*first, *rows) == (numbers.first, entry.rows) && *crc != numbers.crc
                };
                self.conflicts += u64::from(producer.recent.iter().any(differs));
            } else {
                producer.recent.push_back((numbers.first, entry.rows, numbers.crc));
                producer.recent.drain(..producer.recent.len().saturating_sub(64));
            }
        }
        let duplicate_numbers = duplicate_rows.len() as u64;
        let quarantined_rows: BTreeSet<u32> =
            entry.quarantined_rows.iter().filter(|row| !duplicate_rows.contains(row)).copied().collect();
        for (row, id) in (0..).zip(entry.event_ids.iter().flatten()) {
            if !duplicate_rows.contains(&row)
                && !quarantined_rows.contains(&row)
                && !self.ids.insert((tenant.clone(), entry.table, id.as_u128()))
            {
                duplicate_rows.insert(row);
            }
        }
        let quarantined = quarantined_rows.len() as u32;
        let stored = entry.rows - duplicate_rows.len() as u32 - quarantined;
        let sender = entry.numbers.map(|numbers| numbers.producer);
        let duplicate_ids = duplicate_rows.len() as u64 - duplicate_numbers;
        *self.rows.entry((tenant, entry.table, sender)).or_default() +=
            RowCounts { stored: stored.into(), duplicate_numbers, duplicate_ids, quarantined: quarantined.into() };
        let duplicate_rows: Vec<u32> = duplicate_rows.into_iter().collect();
        let position = Position(self.records);
        if stored > 0 {
            self.log.push(Entry {
                position,
                tenant: entry.tenant.clone(),
                table: entry.table,
                received_at_us: entry.received_at_us,
                numbers: entry.numbers,
                announced: entry.announced,
                rows: entry.rows,
                skipped_rows: duplicate_rows
                    .iter()
                    .chain(&quarantined_rows)
                    .copied()
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
                payload: entry.payload.clone(),
            });
        }
        Appended { position: (stored > 0).then_some(position), stored, duplicate_rows, quarantined }
    }

    pub fn has_tables(&self, books: &Books) -> bool {
        let mut tables: BTreeMap<(String, Table), [u64; 3]> = BTreeMap::new();
        for ((tenant, table, _), rows) in &self.rows {
            let sums = tables.entry((tenant.clone(), *table)).or_default();
            *sums = [sums[0] + rows.stored, sums[1] + rows.duplicate(), sums[2] + rows.quarantined];
        }
        let found = books.tables.iter().map(|each| {
            let counts = [each.rows_stored, each.rows_duplicate, each.rows_quarantined];
            ((each.tenant.to_string(), each.table), counts)
        });
        found.collect::<BTreeMap<_, _>>() == tables
    }

    pub fn assert_books(&self, books: &Books) {
        assert_eq!((books.position.0, books.conflicts), (self.records, self.conflicts));
        assert_eq!(books.ids.count, self.ids.len() as u64);
        assert!(self.has_tables(books));
        assert_eq!(self.rows, rows_by_sender(books));
        assert_eq!(books.producers.len(), self.producers.len());
        let alarms = books.producers.iter().filter_map(|each| each.conflicts).map(|conflicts| conflicts.count);
        assert_eq!(alarms.sum::<u64>(), self.conflicts);
        for (book, ((tenant, id), producer)) in books.producers.iter().zip(&self.producers) {
            assert_eq!((&*book.tenant, book.producer), (tenant.as_str(), *id));
            assert_eq!((book.announced, book.received), (producer.announced, producer.numbers.len() as u64));
            let missing: Vec<u64> =
                (0..producer.announced).filter(|number| !producer.numbers.contains(number)).collect();
            assert_eq!(book.missing_ranges.iter().cloned().flatten().collect::<Vec<_>>(), missing);
        }
        assert_balanced(books);
    }
}

/// What a log's books say by sender.
fn rows_by_sender(books: &Books) -> BTreeMap<(String, Table, Option<ProducerId>), RowCounts> {
    let unnumbered = books.tables.iter().map(|each| ((each.tenant.to_string(), each.table, None), each.unnumbered));
    let numbered = books.producers.iter().flat_map(|each| {
        each.tables.iter().map(|(table, rows)| ((each.tenant.to_string(), *table, Some(each.producer)), *rows))
    });
    unnumbered.chain(numbered).filter(|(_, rows)| *rows != RowCounts::default()).collect()
}

/// The identities that hold of every log's books, at every moment.
pub(crate) fn assert_balanced(books: &Books) {
    for book in &books.producers {
        assert_eq!(book.announced, book.received + book.given_up + book.missing, "{book:?}");
        assert_eq!(book.received, book.rows().with_new_numbers() + book.unsplit, "{book:?}");
    }
    for table in &books.tables {
        let mut rows = table.unnumbered;
        rows += table.forgotten;
        let of_table = |(each, rows): &(Table, RowCounts)| (*each == table.table).then_some(*rows);
        let producers = books.producers.iter().filter(|each| each.tenant == table.tenant);
        producers.flat_map(|each| each.tables.iter().filter_map(of_table)).for_each(|counts| rows += counts);
        let counts = (table.rows_stored, table.rows_duplicate, table.rows_quarantined);
        assert_eq!(counts, (rows.stored, rows.duplicate(), rows.quarantined), "{table:?}");
    }
}
