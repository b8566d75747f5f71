#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::testing::{append, duplicate, entries, identified, numbered, open, stored, try_open};

/// Ten records, each of its own group, in three or more segments.
fn log() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    for number in 0..10 {
        append(&wal, numbered(number * 5, 5)).unwrap();
        append(&wal, identified(&(0..10).map(|id| u128::from(number * 10 + id)).collect::<Vec<_>>())).unwrap();
    }
    wal.close();
    assert!(wal.books().segments > 2);
    disk
}

fn segments(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    disk.contents().into_iter().filter(|(name, _)| name.ends_with(".log")).collect()
}

#[test]
fn nothing_was_there_before_the_first_start() {
    let (wal, report) = open(&MemoryDisk::default());
    assert_eq!((report.durable, report.records, report.cut_bytes), (Position::NONE, 0, 0));
    assert_eq!((wal.durable(), wal.oldest()), (Position::NONE, Position(1)));
}

#[test]
fn a_restart_changes_no_answer_and_no_book() {
    let disk = log();
    let (wal, report) = open(&disk);
    assert_eq!((report.durable, report.records, report.cut_bytes), (Position(20), 20, 0));
    let books = wal.books();
    assert_eq!(append(&wal, numbered(5, 10)), Ok(duplicate(10)));
    assert_eq!(append(&wal, identified(&[3, 14])), Ok(duplicate(2)));
    assert_eq!(append(&wal, numbered(50, 1)), Ok(stored(23, 1)));
    drop(wal);
    let again = open(&log()).0.books();
    assert_eq!((again.tables, again.producers, again.ids), (books.tables, books.producers, books.ids));
}

#[test]
fn a_torn_tail_is_cut() {
    let disk = log();
    let (name, whole) = segments(&disk).pop().unwrap();
    let zeros = vec![0; 5_000];
    let half_a_record = whole[HEADER_BYTES as usize..HEADER_BYTES as usize + 90].to_vec();
    for tail in [zeros, half_a_record, vec![0xFF; 3]] {
        let torn = disk.copy();
        torn.put(&name, [whole.clone(), tail.clone()].concat());
        let (wal, report) = open(&torn);
        assert_eq!((report.durable, report.cut_bytes), (Position(20), tail.len() as u64));
        assert_eq!(append(&wal, numbered(50, 1)), Ok(stored(21, 1)));
        assert_eq!(open(&torn.after_power_loss(3)).1.durable, Position(21));
    }
}

/// Each byte of each segment in turn: never a panic; what is before the last record is refused by name, since a later
/// record says that it was durable; the last record itself cannot be told from a torn one.
#[test]
fn every_damaged_byte_is_cut_or_refused() {
    let disk = log();
    let segments = segments(&disk);
    let (last_name, last) = segments.last().unwrap().clone();
    let records = entries(&open(&disk).0).len() as u64;
    let last_record = {
        let (wal, _) = open(&disk);
        let seed = crate::record::Seed::of(wal.log_id());
        let mut scanner = segment::Scanner::new(disk.open(&last_name).unwrap(), seed);
        let mut at = scanner.offset();
        while scanner.next(last.len() as u64).unwrap().is_some_and(|scanned| scanned.record.position != Position(20)) {
            at = scanner.offset();
        }
        at as usize
    };
    for (name, bytes) in segments {
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            let copy = disk.copy();
            copy.put(&name, damaged);
            match try_open(&copy) {
                Ok((wal, report)) => {
                    assert!(name == last_name && at >= last_record, "{name} {at}");
                    assert_eq!((report.durable, entries(&wal).len() as u64), (Position(19), records - 1));
                }
                Err(OpenError::Damaged { file, offset, .. }) => {
                    assert_eq!(file, name);
                    assert!(offset <= at as u64 && (at as u64) < offset + 1_000, "{name} {at} {offset}");
                }
                // The version is within the header's checksum, so this cannot be.
                Err(other) => panic!("{name} {at}: {other}"),
            }
        }
    }
}

/// Every length that a segment can have been cut to.
#[test]
fn a_file_cut_short_is_recovered_or_refused() {
    let disk = log();
    let segments = segments(&disk);
    for (place, (name, bytes)) in segments.iter().enumerate() {
        for length in 0..bytes.len() {
            let copy = disk.copy();
            copy.put(name, bytes[..length].to_vec());
            let is_last = place == segments.len() - 1;
            match try_open(&copy) {
                Ok((_, report)) => assert!(is_last && report.durable < Position(20), "{name} {length}"),
                Err(OpenError::Damaged { file, .. }) => assert_eq!(file, *name),
                Err(OpenError::Missing { .. }) => assert!(!is_last),
                Err(other) => panic!("{name} {length}: {other}"),
            }
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let disk = log();
    let names: Vec<String> = segments(&disk).into_iter().map(|(name, _)| name).collect();
    for name in &names[..names.len() - 1] {
        let copy = disk.copy();
        copy.remove(name).unwrap();
        let Err(OpenError::Missing { file }) = try_open(&copy) else { panic!("{name} is not missed") };
        assert_eq!(file, *name);
    }
}

#[test]
fn a_checkpoint_proves_what_was_durable() {
    let disk = log();
    let (wal, _) = open(&disk);
    wal.release(Position(20)).unwrap();
    wal.close();
    let (name, bytes) = segments(&disk).pop().unwrap();
    disk.put(&name, bytes[..bytes.len() - 1].to_vec());
    assert!(matches!(try_open(&disk), Err(OpenError::Damaged { file, .. }) if file == name));
    disk.remove(&name).unwrap();
    assert!(matches!(try_open(&disk), Err(OpenError::Missing { .. })));
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (disk, other) = (log(), log());
    let (name, bytes) = segments(&other).pop().unwrap();
    disk.put(&name, bytes);
    assert!(matches!(try_open(&disk), Err(OpenError::Damaged { file, offset: 0, .. }) if file == name));
}

#[test]
fn unfinished_files_are_removed() {
    let disk = log();
    disk.put("00000000000000000021.log.new", vec![1, 2, 3]);
    disk.put("ids-00000000000000000007-0000000001.run", vec![1]);
    open(&disk);
    assert!(disk.contents().keys().all(|name| name.ends_with(".log")));
}
