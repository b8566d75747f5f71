#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::testing::{append, numbered, open, wait};

#[test]
fn reads_across_segments_in_bounded_batches_and_skips_duplicates() {
    let (wal, _) = open(&MemoryDisk::default());
    let mut follower = wal.follow(Position::NONE);
    assert!(follower.next_batch(1_000).unwrap().is_empty());
    for first in 0..50 {
        append(&wal, numbered(first, 1)).unwrap();
        append(&wal, numbered(first, 1)).unwrap();
    }
    assert!(wal.books().segments > 3);
    let mut positions = Vec::new();
    loop {
        let batch = follower.next_batch(500).unwrap();
        assert!(batch.len() <= 4);
        if batch.is_empty() {
            break;
        }
        positions.extend(batch.into_iter().map(|entry| entry.position.0));
    }
    assert_eq!(positions, (0..50).map(|number| number * 2 + 1).collect::<Vec<_>>());
    assert_eq!(follower.position(), Position(100));
    let mut later = wal.follow(Position(97));
    assert_eq!(later.next_batch(0).unwrap()[0].position, Position(99));
}

#[test]
fn never_reads_past_what_is_durable() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    disk.hold_syncs();
    let answer = wal.submit(numbered(0, 1)).unwrap();
    disk.until_held();
    let mut follower = wal.follow(Position::NONE);
    assert!(follower.next_batch(1_000).unwrap().is_empty());
    assert_eq!(follower.wait(Duration::ZERO), Wake::TimedOut);
    disk.release_syncs();
    wait(answer).unwrap();
    assert_eq!(follower.wait(Duration::from_secs(60)), Wake::New);
    assert_eq!(follower.next_batch(1_000).unwrap().len(), 1);
}

#[test]
fn a_waiting_follower_is_woken_by_an_append_and_by_closing() {
    let (wal, _) = open(&MemoryDisk::default());
    let mut follower = wal.follow(Position::NONE);
    let follower = std::thread::spawn(move || {
        assert_eq!(follower.wait(Duration::from_secs(60)), Wake::New);
        assert_eq!(follower.next_batch(1_000).unwrap().len(), 1);
        follower.wait(Duration::from_secs(60))
    });
    append(&wal, numbered(0, 1)).unwrap();
    wal.close();
    assert_eq!(follower.join().unwrap(), Wake::Closed);
}

#[test]
fn damage_while_open_is_named_and_nothing_is_skipped() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    for first in 0..3 {
        append(&wal, numbered(first, 1)).unwrap();
    }
    let (name, mut bytes) = disk.contents().pop_first().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.put(&name, bytes);
    let mut follower = wal.follow(Position::NONE);
    assert_eq!(follower.next_batch(10_000).unwrap().len(), 1);
    for _ in 0..2 {
        assert!(matches!(follower.next_batch(10_000), Err(ReadError::Damaged { ref file, .. }) if *file == name));
        assert_eq!(follower.position(), Position(1));
    }
}
