#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::release::checkpoint;
use crate::testing::{append, entries, identified, numbered, open, open_with, options, stored, try_open};
use crate::{Entry, NewEntry, Wal};

fn limits() -> Limits {
    Limits { ids_max: 1 << 20, ids_window: Duration::from_secs(1_000), producers_max: 100, intervals_max: 100 }
}

fn salvaged(disk: &MemoryDisk) -> (Salvaged, MemoryDisk) {
    let aside = MemoryDisk::default();
    (salvage(disk, &aside, limits()).unwrap(), aside)
}

/// Forty records in many segments, each of its own group.
fn log() -> (MemoryDisk, Vec<Entry>) {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    for number in 0..20 {
        append(&wal, numbered(number * 5, 5)).unwrap();
        append(&wal, identified(&(0..10).map(|id| u128::from(number * 10 + id)).collect::<Vec<_>>())).unwrap();
    }
    wal.close();
    (disk.clone(), entries(&wal))
}

fn segments(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    disk.contents().into_iter().filter(|(name, _)| name.ends_with(".log")).collect()
}

fn again(entry: &Entry) -> NewEntry {
    let first = entry.numbers.unwrap().first;
    numbered(first, entry.rows)
}

/// After a salvage: every entry that is left is one that was there, in place; what is gone is as much as was said; what
/// was lost and is sent again is stored, what was not is not; new positions are above all that there were.
fn assert_salvaged(disk: &MemoryDisk, all: &[Entry], said: &Salvaged) -> Wal {
    let (wal, _) = try_open(disk).unwrap();
    let left = entries(&wal);
    assert!(left.iter().all(|entry| all.contains(entry)));
    let lost: Vec<&Entry> = all.iter().filter(|entry| !left.contains(entry)).collect();
    assert!(said.records_lost <= lost.len() as u64, "{said:?}");
    assert_eq!(wal.books().records_lost, said.records_lost);
    let top = all.last().unwrap().position;
    for entry in all.iter().filter(|entry| entry.numbers.is_some()) {
        let appended = append(&wal, again(entry)).unwrap();
        let is_lost = lost.contains(&entry);
        assert_eq!(appended.stored, if is_lost { entry.rows } else { 0 }, "{entry:?}");
        if is_lost && said.records_lost > 0 {
            assert!(appended.position.unwrap() > top.min(Position(said.records_lost)));
        }
    }
    let books = wal.books();
    assert_eq!((books.producers[0].received, books.producers[0].missing), (100, 0));
    wal
}

#[test]
fn a_sound_log_is_left_as_it_is() {
    let (disk, _) = log();
    let before = disk.contents();
    let (said, aside) = salvaged(&disk);
    assert_eq!((said, aside.contents().len(), disk.contents()), (Salvaged::default(), 0, before));
    assert_eq!(salvaged(&MemoryDisk::default()).0, Salvaged::default());
}

/// Each byte of each segment in turn.
#[test]
fn every_damaged_byte_costs_one_record_at_most() {
    let (disk, all) = log();
    let files = segments(&disk);
    for (name, bytes) in &files {
        for at in (0..bytes.len()).step_by(7) {
            let copy = disk.copy();
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            copy.put(name, damaged.clone());
            let refused = try_open(&copy).is_err();
            let (said, aside) = salvaged(&copy);
            assert_eq!(!said.parts.is_empty(), refused, "{name} {at}");
            assert!(said.records_lost <= 1 && said.parts.len() <= 1 && !said.checkpoint_lost);
            for part in &said.parts {
                let copied = &aside.contents()[part.copy.as_ref().unwrap()];
                let range = part.offset as usize..(part.offset + part.bytes) as usize;
                assert!(part.file == *name && range.contains(&at) && damaged[range] == copied[..]);
                let index = String::from_utf8(aside.contents()["index.txt"].clone()).unwrap();
                assert!(index.contains(name) && index.contains(&format!("offset={}", part.offset)), "{index}");
            }
            let wal = assert_salvaged(&copy, &all, &said);
            let books = wal.books();
            wal.close();
            // From now on it is a log like any other.
            assert_eq!(salvaged(&copy).0, Salvaged::default());
            assert_eq!(open(&copy).0.books().tables, books.tables);
        }
    }
}

/// Every length that a segment can have been cut to, and every segment missing.
#[test]
fn what_is_cut_off_or_missing_is_given_up_and_its_positions_stay_unused() {
    let (disk, all) = log();
    let files = segments(&disk);
    for (place, (name, bytes)) in files.iter().enumerate() {
        for length in (0..bytes.len()).step_by(37) {
            let copy = disk.copy();
            copy.put(name, bytes[..length].to_vec());
            let (said, _) = salvaged(&copy);
            assert!(place + 1 < files.len() || said.records_lost == 0 || length < 44, "{said:?}");
            assert_salvaged(&copy, &all, &said);
        }
        if place > 0 {
            let copy = disk.copy();
            copy.remove(name).unwrap();
            let (said, _) = salvaged(&copy);
            assert_eq!(said.records_lost > 0, place + 1 < files.len());
            assert_salvaged(&copy, &all, &said);
        }
    }
}

#[test]
fn the_end_that_a_checkpoint_proves_is_never_given_again() {
    let (disk, _) = log();
    let (wal, _) = open(&disk);
    checkpoint(wal.shared()).unwrap();
    wal.close();
    let (name, bytes) = segments(&disk).pop().unwrap();
    for gone in [Some(bytes[..bytes.len() - 1].to_vec()), Some(bytes[..60].to_vec()), None] {
        let copy = disk.copy();
        match gone.clone() {
            Some(bytes) => copy.put(&name, bytes),
            None => copy.remove(&name).unwrap(),
        }
        assert!(try_open(&copy).is_err());
        let (said, _) = salvaged(&copy);
        let (wal, _) = open(&copy);
        assert_eq!(wal.books().records_lost, said.records_lost);
        assert!(said.records_lost > 0);
        let appended = append(&wal, numbered(500, 1)).unwrap();
        assert!(appended.position.unwrap() > Position(40 + POSITIONS_PASSED / 2));
        let mut follower = wal.follow(Position(20));
        while !follower.next_batch(1_000).unwrap().is_empty() {}
        assert_eq!(follower.position(), wal.durable());
        assert_eq!(append(&wal, numbered(501, 1)).unwrap().position, Some(appended.position.unwrap().next()));
        wal.close();
        let (wal, _) = open(&copy);
        assert_eq!(wal.books().records_lost, said.records_lost);
    }
}

/// A record that the checkpoint covers: its rows stay received, and the books say that it is lost.
#[test]
fn what_the_checkpoint_covers_is_counted_too() {
    let (disk, _) = log();
    let (wal, _) = open(&disk);
    checkpoint(wal.shared()).unwrap();
    wal.close();
    let (name, mut bytes) = segments(&disk).remove(0);
    bytes[200] ^= 1;
    disk.put(&name, bytes);
    let (said, _) = salvaged(&disk);
    assert_eq!((said.records_lost, said.parts.len()), (1, 1));
    for _ in 0..2 {
        let (wal, _) = open(&disk);
        assert_eq!(wal.books().records_lost, 1);
        assert_eq!(entries(&wal).len(), 39);
        wal.close();
    }
}

#[test]
fn a_damaged_checkpoint_is_built_anew_from_what_there_is() {
    let (disk, all) = log();
    let (wal, _) = open(&disk);
    let before = wal.books();
    checkpoint(wal.shared()).unwrap();
    let runs = disk.contents().into_keys().filter(|name| name.ends_with(".run"));
    for name in runs.chain(["checkpoint".to_owned()]) {
        let copy = disk.copy();
        let mut bytes = disk.contents()[&name].clone();
        bytes[60] ^= 1;
        copy.put(&name, bytes);
        assert!(try_open(&copy).is_err());
        let (said, aside) = salvaged(&copy);
        assert!(said.checkpoint_lost && said.records_lost == 0 && aside.contents().len() > 1, "{said:?}");
        let (wal, _) = open(&copy);
        assert_eq!((wal.books().tables, entries(&wal)), (before.tables.clone(), all.clone()));
    }
    // Part of the log was let go: what is left counts.
    wal.release(Position(20)).unwrap();
    wal.close();
    disk.put("checkpoint", vec![1, 2, 3]);
    assert!(salvaged(&disk).0.checkpoint_lost);
    let (wal, _) = open(&disk);
    assert_eq!(wal.durable(), Position(40));
    assert_eq!(append(&wal, numbered(95, 5)).unwrap().stored, 0);
    assert_eq!(append(&wal, numbered(500, 5)), Ok(stored(42, 5)));
}

/// A torn group at the end, however it looks, is no damage.
#[test]
fn what_a_crash_leaves_is_not_set_aside() {
    for seed in 0..200 {
        let disk = MemoryDisk::default();
        let (wal, _) = open_with(options(), &disk).unwrap();
        append(&wal, numbered(0, 1)).unwrap();
        disk.hold_syncs();
        let acknowledged = wal.submit(numbered(1, 1)).unwrap();
        disk.until_held();
        let answers: Vec<_> = (2..7).map(|first| wal.submit(numbered(first, 1)).unwrap()).collect();
        disk.pass_one();
        disk.until_held();
        let found = disk.after_power_loss(seed);
        disk.release_syncs();
        drop((acknowledged, answers));
        let before = found.contents();
        assert_eq!((salvaged(&found).0, found.contents()), (Salvaged::default(), before));
        assert!(open(&found).1.durable >= Position(1));
    }
}

/// The machine dies at every call of a salvage: the next one ends where this one would have.
#[test]
fn a_salvage_that_dies_is_begun_again() {
    let (disk, all) = log();
    let (name, mut bytes) = segments(&disk).remove(2);
    bytes[100] ^= 1;
    disk.put(&name, bytes);
    for calls in 0..12 {
        let copy = disk.copy();
        copy.die_after(calls);
        let died = salvage(&copy, &MemoryDisk::default(), limits()).is_err();
        for seed in 0..10 {
            let found = copy.after_power_loss(seed);
            let (said, _) = salvaged(&found);
            assert!(said.records_lost == 1 || !died || said.records_lost == 0);
            let wal = try_open(&found).unwrap().0;
            assert_eq!((wal.books().records_lost, entries(&wal).len()), (1, all.len() - 1));
        }
    }
}
