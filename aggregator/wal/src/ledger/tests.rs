#![allow(clippy::unwrap_used, reason = "tests")]

use ridealong_common::ids::EventId;
use ridealong_common::table::Table;

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::testing::{
    append, duplicate, entries, identified, numbered, open, open_with, options, producer, stored, wait,
};
use crate::wal::model::assert_balanced;
use crate::{Appended, NewEntry, Numbers};

#[test]
fn a_range_that_is_held_is_a_duplicate_whole_or_in_part() {
    let (wal, _) = open(&MemoryDisk::default());
    assert_eq!(append(&wal, numbered(0, 4)), Ok(stored(1, 4)));
    assert_eq!(append(&wal, numbered(0, 4)), Ok(duplicate(4)));
    assert_eq!(append(&wal, numbered(1, 2)), Ok(duplicate(2)));
    assert_eq!(append(&wal, numbered(10, 2)), Ok(stored(4, 2)));
    let partly = Appended { position: Some(Position(5)), stored: 6, duplicate_rows: vec![0, 7], quarantined: 0 };
    assert_eq!(append(&wal, numbered(3, 8)), Ok(partly));
    let books = wal.books();
    assert_eq!((books.tables[0].rows_stored, books.tables[0].rows_duplicate), (12, 8));
    let producer = &books.producers[0];
    assert_eq!((producer.announced, producer.received, producer.missing), (12, 12, 0));
    assert_eq!(books.conflicts, 0);
}

#[test]
fn the_same_numbers_with_other_content_raise_an_alarm() {
    let (wal, _) = open(&MemoryDisk::default());
    let mut forged = numbered(0, 4);
    forged.numbers = Some(Numbers { crc: 99, ..forged.numbers.unwrap() });
    append(&wal, numbered(0, 4)).unwrap();
    assert_eq!(append(&wal, forged), Ok(duplicate(4)));
    assert_eq!(wal.books().conflicts, 1);
}

#[test]
fn missing_numbers_are_named() {
    let (wal, _) = open(&MemoryDisk::default());
    append(&wal, numbered(5, 2)).unwrap();
    append(&wal, NewEntry { announced: 20, ..numbered(10, 1) }).unwrap();
    let producer = &wal.books().producers[0];
    assert_eq!((producer.announced, producer.received, producer.missing), (20, 3, 17));
    assert_eq!(producer.missing_ranges, [0..5, 7..10, 11..20]);
}

#[test]
fn an_id_is_stored_once_for_each_tenant() {
    let (wal, _) = open(&MemoryDisk::default());
    let twice_in_one = Appended { position: Some(Position(1)), stored: 2, duplicate_rows: vec![2], quarantined: 0 };
    assert_eq!(append(&wal, identified(&[1, 2, 1])), Ok(twice_in_one));
    let one_new = Appended { position: Some(Position(2)), stored: 1, duplicate_rows: vec![0], quarantined: 0 };
    assert_eq!(append(&wal, identified(&[2, 3])), Ok(one_new));
    assert_eq!(append(&wal, NewEntry { tenant: "other".into(), ..identified(&[1, 2]) }), Ok(stored(3, 2)));
    assert_eq!(append(&wal, identified(&[3, 1])), Ok(duplicate(2)));
    assert_eq!(wal.books().ids.count, 5);
}

#[test]
fn numbers_and_ids_count_together() {
    let (wal, _) = open(&MemoryDisk::default());
    let both = |first, ids: &[u128]| NewEntry {
        event_ids: Some(ids.iter().map(|id| EventId::from_u128(*id)).collect()),
        ..numbered(first, ids.len() as u32)
    };
    assert_eq!(append(&wal, both(0, &[1, 2])), Ok(stored(1, 2)));
    // Row 0 has a held number, row 1 a seen id; the id of row 0 must not be remembered from here.
    let last_only = Appended { position: Some(Position(2)), stored: 1, duplicate_rows: vec![0, 1], quarantined: 0 };
    assert_eq!(append(&wal, both(1, &[9, 1, 3])), Ok(last_only));
    assert_eq!(append(&wal, identified(&[9])), Ok(stored(3, 1)));
    // All ids were seen: the numbers are received all the same.
    assert_eq!(append(&wal, both(4, &[1, 2])), Ok(duplicate(2)));
    assert_eq!(wal.books().producers[0].received, 6);
}

#[test]
fn a_tenant_cannot_use_up_the_numbers_of_another() {
    let (wal, _) = open(&MemoryDisk::default());
    append(&wal, NewEntry { tenant: "mallory".into(), ..numbered(0, 4) }).unwrap();
    assert_eq!(append(&wal, numbered(0, 4)), Ok(stored(2, 4)));
}

#[test]
fn gaps_and_producers_are_bounded_and_counted() {
    let disk = MemoryDisk::default();
    let tight = || crate::WalOptions { intervals_max: 3, producers_max: 2, ..options() };
    let (wal, _) = open_with(tight(), &disk).unwrap();
    for first in [0, 10, 20, 30] {
        append(&wal, numbered(first, 1)).unwrap();
    }
    let books = wal.books();
    assert_eq!((books.producers[0].given_up, books.producers[0].missing), (9, 18));
    assert_eq!(append(&wal, numbered(5, 1)), Ok(duplicate(1)));
    for number in [2, 3] {
        let numbers = Some(Numbers { producer: producer(number), first: 0, crc: 0 });
        append(&wal, NewEntry { numbers, announced: 0, ..numbered(0, 1) }).unwrap();
    }
    let books = wal.books();
    assert_eq!(books.producers.iter().map(|each| each.producer).collect::<Vec<_>>(), [producer(2), producer(3)]);
    assert_eq!((books.producers_forgotten.producers, books.producers_forgotten.received), (1, 4));
    assert_eq!(books.forgotten, [("acme".into(), books.producers_forgotten)]);
    assert_eq!((books.tables[0].forgotten.stored, books.tables[0].forgotten.duplicate_numbers), (4, 1));
    assert_balanced(&books);
    wal.close();
    let replayed = open_with(tight(), &disk).unwrap().0.books();
    assert_eq!(replayed, books);
}

#[test]
fn rows_set_aside_are_counted_once_and_may_come_again_mended() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    let entry = || NewEntry { quarantined_rows: vec![0, 2], ..numbered(0, 3) };
    let first = Appended { position: Some(Position(1)), stored: 1, duplicate_rows: vec![], quarantined: 2 };
    assert_eq!(append(&wal, entry()), Ok(first));
    assert_eq!(append(&wal, entry()), Ok(duplicate(3)));
    let none = Appended { position: None, stored: 0, duplicate_rows: vec![0], quarantined: 1 };
    assert_eq!(append(&wal, NewEntry { quarantined_rows: vec![0, 1], ..numbered(2, 2) }), Ok(none));
    // The id of an event that was set aside is free for the event itself, and the other way round.
    append(&wal, NewEntry { table: Table::Quarantine, ..identified(&[5]) }).unwrap();
    assert_eq!(append(&wal, identified(&[5])), Ok(stored(5, 1)));
    assert_eq!(append(&wal, NewEntry { table: Table::Quarantine, ..identified(&[5]) }), Ok(duplicate(1)));
    assert_eq!(entries(&wal)[0].skipped_rows, [0, 2]);
    let books = wal.books();
    let requests = &books.tables[0];
    assert_eq!((requests.rows_stored, requests.rows_duplicate, requests.rows_quarantined), (1, 4, 3));
    assert_eq!((books.producers[0].announced, books.producers[0].received, books.producers[0].missing), (4, 4, 0));
    wal.release(wal.durable()).unwrap();
    wal.close();
    assert_eq!(open(&disk).0.books().tables, books.tables);
}

/// Both entries are decided before the first one closes the gap that the second one fills.
#[test]
fn a_gap_given_up_in_the_group_that_fills_it_is_none() {
    let disk = MemoryDisk::default();
    let tight = || crate::WalOptions { intervals_max: 3, ..options() };
    let (wal, _) = open_with(tight(), &disk).unwrap();
    for first in [0, 10, 20] {
        append(&wal, numbered(first, 1)).unwrap();
    }
    disk.hold_syncs();
    let held = wal.submit(numbered(21, 1)).unwrap();
    disk.until_held();
    let answers = [wal.submit(numbered(30, 1)).unwrap(), wal.submit(numbered(5, 2)).unwrap()];
    disk.release_syncs();
    wait(held).unwrap();
    for answer in answers {
        assert!(wait(answer).unwrap().stored > 0);
    }
    let books = wal.books();
    let of = &books.producers[0];
    assert_eq!((of.announced, of.received, of.given_up, of.missing), (31, 7, 7, 17));
    assert_eq!(of.rows().stored, 7);
    assert_balanced(&books);
    wal.close();
    assert_eq!(open_with(tight(), &disk).unwrap().0.books(), books);
}

#[test]
fn alarms_are_kept_with_who_raised_them() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    let other = |first, at| NewEntry {
        numbers: Some(Numbers { crc: 99, ..numbered(first, 4).numbers.unwrap() }),
        received_at_us: at,
        ..numbered(first, 4)
    };
    for first in [0, 4, 8] {
        append(&wal, numbered(first, 4)).unwrap();
    }
    for (first, at) in [(4, 10), (0, 20), (8, 30)] {
        append(&wal, other(first, at)).unwrap();
    }
    let conflicts = wal.books().producers[0].conflicts;
    let conflict = |first, at_us| crate::Conflict { first, rows: 4, at_us };
    let expected = crate::Conflicts { count: 3, first: conflict(4, 10), last: conflict(8, 30) };
    assert_eq!(conflicts, Some(expected));
    let books = wal.books();
    wal.release(wal.durable()).unwrap();
    wal.close();
    let (wal, report) = open(&disk);
    assert_eq!(wal.books().producers, books.producers, "{report:?}");
}

/// Of a position further back than is remembered there are no books, rather than wrong ones.
#[test]
fn books_too_long_ago_are_refused() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    for first in 0..3 {
        append(&wal, numbered(first, 1)).unwrap();
    }
    assert_eq!(wal.tenant_books("acme", Position(1)).unwrap().tables[0].rows_stored, 1);
    assert_eq!(wal.oldest_stored_after(Position(1)), Some(1_000_000));
    wal.release(wal.durable()).unwrap();
    append(&wal, numbered(0, 90)).unwrap();
    for first in 0..200 {
        append(&wal, numbered(first * 100, 90)).unwrap();
    }
    wal.release(wal.durable()).unwrap();
    wal.close();
    let (wal, _) = open(&disk);
    assert_eq!(wal.tenant_books("acme", Position(1)), None);
    let now = wal.tenant_books("acme", wal.durable()).unwrap();
    assert_eq!(now.tables, wal.books().tables);
    assert_eq!(wal.tenant_books("nobody", wal.durable()).unwrap().tables, []);
}

#[test]
fn events_set_aside_without_numbers_are_counted_as_events() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    append(&wal, identified(&[1])).unwrap();
    let before = wal.durable();
    let faulty = || NewEntry { table: Table::Quarantine, in_place_of_events: true, ..identified(&[5, 6]) };
    assert_eq!(append(&wal, faulty()), Ok(stored(2, 2)));
    assert_eq!(append(&wal, faulty()), Ok(duplicate(2)));
    let events = |tables: &[crate::TableBooks]| {
        let events = tables.iter().find(|table| table.table == Table::Events).unwrap().clone();
        assert_eq!(events.unnumbered.quarantined, events.rows_quarantined);
        (events.rows_stored, events.rows_duplicate, events.rows_quarantined)
    };
    let books = wal.books();
    assert_eq!(events(&books.tables), (1, 2, 2));
    let then = wal.tenant_books("acme", before).unwrap();
    assert_eq!(events(&then.tables), (1, 0, 0), "counted back to before");
    wal.close();
    assert_eq!(open(&disk).0.books().tables, books.tables);
}
