#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::memory::{Faults, MemoryDisk};
use crate::testing::{append, duplicate, entries, identified, numbered, open_with, options, stored};
use crate::{OpenError, Position, ReadError, Wal, WalOptions};

fn open(disk: &MemoryDisk) -> Wal {
    open_with(WalOptions { checkpoint_bytes: 3_000, ..options() }, disk).unwrap().0
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A log of which nothing was ever released.
fn fill(wal: &Wal, from: u64) {
    for number in from..from + 100 {
        append(wal, numbered(number * 2, 2)).unwrap();
        append(wal, identified(&[u128::from(number), u128::from(number) + 1_000])).unwrap();
    }
}

#[test]
fn what_a_start_replays_is_bounded_however_long_the_log_is() {
    let disk = MemoryDisk::default();
    let wal = open(&disk);
    fill(&wal, 0);
    until("the checkpoint is near the end", || wal.books().bytes_to_replay < 3_000);
    let (before, all) = (wal.books(), entries(&wal));
    wal.close();
    assert_eq!(wal.oldest(), Position(1), "nothing was released");
    for seed in 0..10 {
        let disk = disk.after_power_loss(seed);
        let (wal, report) = open_with(options(), &disk).unwrap();
        assert!(report.bytes < 3_000 + options().segment_bytes_max, "{report:?}");
        assert_eq!(report.durable, before.position);
        let books = wal.books();
        assert_eq!((&books.tables, &books.producers, &books.ids), (&before.tables, &before.producers, &before.ids));
        assert_eq!(entries(&wal), all);
        assert_eq!(append(&wal, numbered(0, 200)), Ok(duplicate(200)));
        assert_eq!(append(&wal, identified(&[0, 1_099])), Ok(duplicate(2)));
        assert_eq!(append(&wal, identified(&[5_000])), Ok(stored(203, 1)));
    }
}

/// The start does not read what the checkpoint covers; whoever follows does, and says what is damaged.
#[test]
fn damage_that_a_start_does_not_read_is_named_by_the_follower() {
    let disk = MemoryDisk::default();
    let wal = open(&disk);
    fill(&wal, 0);
    until("the checkpoint is near the end", || wal.books().bytes_to_replay < 3_000);
    wal.close();
    let (name, bytes) = disk.contents().pop_first().unwrap();
    for at in [100, bytes.len() - 1] {
        let copy = disk.copy();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        copy.put(&name, damaged);
        let wal = open(&copy);
        let mut follower = wal.follow(Position::NONE);
        let error = loop {
            match follower.next_batch(1) {
                Ok(batch) => assert!(!batch.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::Damaged { file, offset, .. } if file == name && offset <= at as u64));
    }
    let copy = disk.copy();
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    copy.put(&name, damaged);
    let refused = open_with(options(), &copy).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Damaged { file, offset: 0, .. }) if file == name));
}

#[test]
fn a_checkpoint_that_fails_is_tried_again_and_loses_nothing() {
    let disk = MemoryDisk::default();
    // Large enough that nothing is renamed but checkpoints, once the first segment is in place.
    let options = || WalOptions { checkpoint_bytes: 3_000, segment_bytes_max: 1 << 20, ..options() };
    let (wal, _) = open_with(options(), &disk).unwrap();
    append(&wal, identified(&[1 << 70])).unwrap();
    disk.set_faults(Faults { renames: 2, ..Faults::default() });
    fill(&wal, 0);
    fill(&wal, 100);
    until("a later checkpoint came about", || wal.books().bytes_to_replay < 6_000);
    let (_, report) = open_with(options(), &disk.after_power_loss(1)).unwrap();
    assert_eq!(report.durable, Position(401));
}

/// A checkpoint that waits for the disk keeps nobody waiting.
#[test]
fn appends_and_books_go_on_while_a_checkpoint_is_written() {
    let disk = MemoryDisk::default();
    let wal = open(&disk);
    append(&wal, numbered(0, 2)).unwrap();
    let shared = Arc::clone(wal.shared());
    let held = shared.checkpoint.lock();
    assert_eq!(append(&wal, numbered(2, 2)), Ok(stored(2, 2)));
    assert_eq!(wal.books().position, Position(2));
    drop(held);
}
