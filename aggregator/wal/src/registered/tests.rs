#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::disk::memory::{Faults, MemoryDisk};
use crate::testing::{append, numbered, open, open_with, options};
use crate::{ReadError, Wal, WalOptions};

const GOLDEN: &[u8] = include_bytes!("../golden/follower-1");

const WIDE: FollowerBudget = FollowerBudget { bytes_max: u64::MAX, age_max: Duration::from_secs(10_000) };

fn fill(wal: &Wal, from: u64, count: u64) {
    (from..from + count).for_each(|first| drop(append(wal, numbered(first, 1)).unwrap()));
}

/// Reads everything; the sum of rows, as a state.
fn count(registered: &mut Registered, mut rows: u64) -> u64 {
    loop {
        let batch = registered.follower().next_batch(500).unwrap();
        if batch.is_empty() {
            return rows;
        }
        rows += batch.iter().map(|entry| u64::from(entry.rows)).sum::<u64>();
    }
}

#[test]
fn a_follower_goes_on_where_its_state_ends() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    fill(&wal, 0, 50);
    let (mut sums, saved) = wal.register("sums", WIDE).unwrap();
    assert_eq!(saved, None);
    let rows = count(&mut sums, 0);
    sums.save(sums.follower.position(), &rows.to_le_bytes()).unwrap();
    fill(&wal, 50, 50);
    // Read and not saved: after the crash it is read again, and counted once.
    assert_eq!(count(&mut sums, rows), 100);
    for seed in 0..10 {
        let disk = disk.after_power_loss(seed);
        let (wal, _) = open(&disk);
        let (mut sums, saved) = wal.register("sums", WIDE).unwrap();
        let saved = saved.unwrap();
        assert_eq!(saved.position, Position(50));
        assert_eq!(count(&mut sums, u64::from_le_bytes(saved.state.try_into().unwrap())), 100);
    }
}

#[test]
fn state_and_position_are_replaced_together_or_not_at_all() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    fill(&wal, 0, 4);
    let (mut sums, _) = wal.register("sums", WIDE).unwrap();
    sums.save(Position(1), b"one").unwrap();
    for calls in 0..6 {
        for seed in 0..20 {
            let disk = disk.copy();
            let (wal, _) = open(&disk);
            let (mut sums, _) = wal.register("sums", WIDE).unwrap();
            disk.die_after(calls);
            let done = sums.save(Position(4), &[4; 2_000]).is_ok();
            let (wal, _) = open(&disk.after_power_loss(seed));
            let saved = wal.register("sums", WIDE).unwrap().1.unwrap();
            let (old, new) = (saved.position == Position(1) && saved.state == b"one", saved.state == [4; 2_000]);
            assert!(if done { new } else { old || new }, "{calls} {seed}");
            assert!(!new || saved.position == Position(4));
        }
    }
    disk.set_faults(Faults { syncs: 1, ..Faults::default() });
    assert!(sums.save(Position(2), b"two").is_err());
    sums.save(Position(2), b"two").unwrap();
}

#[test]
fn a_follower_holds_the_log_within_its_budget_and_the_lake_without() {
    let disk = MemoryDisk::default();
    let (wal, _) = open_with(WalOptions { log_bytes_max: 100_000, ..options() }, &disk).unwrap();
    fill(&wal, 0, 60);
    let (mut slow, _) = wal.register("slow", FollowerBudget { bytes_max: 4_000, ..WIDE }).unwrap();
    slow.save(Position(40), b"").unwrap();
    wal.release(wal.durable()).unwrap();
    // Held: what comes after 40 is less than the budget.
    assert!(wal.oldest() <= Position(41), "{}", wal.oldest());
    let books = wal.books().followers;
    assert_eq!((books[0].name.as_str(), books[0].position, books[0].overruns), ("slow", Position(40), 0));
    assert!(books[0].bytes_behind > 0 && books[0].bytes_behind <= 4_000);

    fill(&wal, 60, 60);
    assert!(wal.books().followers[0].bytes_behind > 4_000);
    assert!(wal.oldest() <= Position(41), "the lake has not got further yet");
    wal.release(wal.durable()).unwrap();
    assert!(wal.oldest() > Position(41));
    assert_eq!(wal.books().followers[0].overruns, 1);
    let Err(ReadError::Released { oldest }) = slow.follower().next_batch(1) else { panic!("it was overrun") };
    assert_eq!(oldest, wal.oldest());
    // Rebuilt from the lake, it goes on; that it was overrun stays in the books.
    slow.seek(oldest.before());
    assert!(count(&mut slow, 0) > 0);
    slow.save(wal.durable(), b"rebuilt").unwrap();
    assert_eq!(wal.books().followers[0].bytes_behind, 0);
    drop(slow);
    wal.close();
    let (wal, _) = open(&disk);
    let (_slow, saved) = wal.register("slow", WIDE).unwrap();
    assert_eq!(saved, Some(Saved { position: Position(120), state: b"rebuilt".to_vec() }));
    assert_eq!(wal.books().followers[0].overruns, 1);
}

#[test]
fn a_follower_that_is_too_old_or_gone_holds_nothing() {
    let (wal, _) = open(&MemoryDisk::default());
    fill(&wal, 0, 40);
    let (old, _) = wal.register("old", FollowerBudget { age_max: Duration::ZERO, ..WIDE }).unwrap();
    wal.release(wal.durable()).unwrap();
    assert_eq!((wal.books().segments, wal.books().followers[0].overruns), (1, 1));
    drop(old);
    fill(&wal, 40, 40);
    let (gone, _) = wal.register("gone", WIDE).unwrap();
    wal.release(wal.durable()).unwrap();
    assert!(wal.books().segments > 1);
    drop(gone);
    wal.release(wal.durable()).unwrap();
    assert_eq!((wal.books().segments, wal.books().followers.len()), (1, 0));
}

#[test]
fn names_files_and_states_have_their_limits() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    for name in ["", "A", "a/b", "..", &"a".repeat(33)] {
        assert!(matches!(wal.register(name, WIDE), Err(RegisterError::Name(_))), "{name}");
    }
    let (mut one, _) = wal.register("one", WIDE).unwrap();
    assert!(matches!(wal.register("one", WIDE), Err(RegisterError::Taken(_))));
    assert!(one.save(Position(0), &vec![0; STATE_BYTES_MAX + 1]).is_err());
    one.save(Position(0), b"state").unwrap();
    drop(one);
    let others: Vec<_> = (0..FOLLOWERS_MAX).map(|at| wal.register(&format!("n{at}"), WIDE).unwrap()).collect();
    assert!(matches!(wal.register("one", WIDE), Err(RegisterError::TooMany)));
    drop(others);
    let bytes = disk.contents().remove("follower-one").unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        disk.put("follower-one", damaged);
        let refused = wal.register("one", WIDE).map(|_| ());
        assert!(matches!(refused, Err(RegisterError::File(_))), "{at}");
    }
    // That of another log counts for nothing.
    let other = MemoryDisk::default();
    other.put("follower-one", bytes);
    assert_eq!(open(&other).0.register("one", WIDE).unwrap().1, None);
}

#[test]
fn today_writes_and_reads_what_was_written_then() {
    let log = LogId::from_bytes(*b"log of the gold!");
    assert_eq!(encode(log, Position(7), 2, b"a state"), GOLDEN);
    let disk = MemoryDisk::default();
    disk.put("follower-gold", GOLDEN.to_vec());
    let saved = Saved { position: Position(7), state: b"a state".to_vec() };
    assert_eq!(read(&disk, log, "gold").unwrap(), Some((saved, 2)));
}

#[test]
#[ignore = "writes the golden file of a new version"]
fn rewrite() {
    let golden = std::path::Path::new("src/golden/follower-1");
    let log = LogId::from_bytes(*b"log of the gold!");
    std::fs::write(golden, encode(log, Position(7), 2, b"a state")).unwrap();
}
