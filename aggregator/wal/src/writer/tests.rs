#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::disk::memory::{Faults, MemoryDisk};
use crate::testing::{append, duplicate, entries, identified, numbered, open, open_with, options, stored, wait};
use crate::{Wal, WalOptions};

#[test]
fn a_repeat_before_the_sync_is_answered_after_it() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    // The first append begins a segment, which is synced too.
    append(&wal, numbered(100, 1)).unwrap();
    disk.hold_syncs();
    let mut first = wal.submit(numbered(0, 2)).unwrap();
    disk.until_held();
    let mut again = wal.submit(numbered(0, 2)).unwrap();
    let mut same_group = wal.submit(numbered(0, 2)).unwrap();
    for answer in [&mut first, &mut again, &mut same_group] {
        assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    }
    assert_eq!(wal.durable(), Position(1));
    disk.pass_one();
    assert_eq!(wait(first), Ok(stored(2, 2)));
    disk.until_held();
    assert_eq!(again.try_recv(), Err(TryRecvError::Empty));
    disk.release_syncs();
    assert_eq!(wait(again), Ok(duplicate(2)));
    assert_eq!(wait(same_group), Ok(duplicate(2)));
}

#[test]
fn many_callers_share_one_sync() {
    let disk = MemoryDisk::default();
    let (wal, _) = open_with(WalOptions { segment_bytes_max: 100_000, ..options() }, &disk).unwrap();
    append(&wal, numbered(100, 1)).unwrap();
    disk.hold_syncs();
    let mut answers = vec![wal.submit(numbered(0, 1)).unwrap()];
    disk.until_held();
    answers.extend((1..10).map(|first| wal.submit(numbered(first, 1)).unwrap()));
    let before = disk.syncs();
    disk.release_syncs();
    for (position, answer) in (2..).zip(answers) {
        assert_eq!(wait(answer), Ok(stored(position, 1)));
    }
    assert_eq!(disk.syncs() - before, 2);
}

#[test]
fn a_failed_sync_forgets_the_group_and_a_new_segment_takes_its_place() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    append(&wal, numbered(0, 2)).unwrap();
    disk.set_faults(Faults { syncs: 1, ..Faults::default() });
    let error = append(&wal, numbered(2, 2)).unwrap_err();
    assert!(matches!(error, AppendError::NotDurable { may_have_happened: true, .. }), "{error}");
    assert_eq!((wal.durable(), wal.books().failed_syncs), (Position(1), 1));
    // Not a duplicate: what was not synced was never held.
    assert_eq!(append(&wal, numbered(2, 2)), Ok(stored(2, 2)));
    assert_eq!(disk.contents().keys().filter(|name| name.ends_with(".log")).count(), 2);
    assert_eq!(entries(&wal).len(), 2);
    for seed in 0..20 {
        let (wal, report) = open(&disk.after_power_loss(seed));
        assert_eq!((report.durable, entries(&wal).len()), (Position(2), 2));
    }
}

#[test]
fn the_first_segment_of_all_is_replaced_when_its_first_sync_fails() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    disk.set_faults(Faults { syncs: 1, ..Faults::default() });
    append(&wal, numbered(0, 2)).unwrap_err();
    assert_eq!(append(&wal, numbered(0, 2)), Ok(stored(1, 2)));
    let log_id = wal.log_id();
    drop(wal);
    let (wal, report) = open(&disk.after_power_loss(1));
    assert_eq!((wal.log_id(), report.records), (log_id, 1));
}

#[test]
fn a_full_disk_is_named_and_used_again_when_there_is_room() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    append(&wal, numbered(0, 2)).unwrap();
    disk.set_faults(Faults { writes: 3, write_keeps: 50, is_full: true, ..Faults::default() });
    for _ in 0..3 {
        assert_eq!(append(&wal, numbered(2, 2)), Err(AppendError::Full { may_have_happened: false }));
    }
    assert_eq!(append(&wal, numbered(2, 2)), Ok(stored(2, 2)));
}

#[test]
fn a_log_at_its_limit_refuses_until_some_of_it_is_released() {
    let disk = MemoryDisk::default();
    let (wal, _) = open_with(WalOptions { log_bytes_max: 4_000, ..options() }, &disk).unwrap();
    let mut first = 0;
    let refused = loop {
        match append(&wal, numbered(first, 1)) {
            Ok(_) => first += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::LogFull { bytes_max: 4_000 });
    let books = wal.books();
    assert!(books.segments >= 4 && books.bytes <= 4_000 && books.bytes > 3_000, "{books:?}");
    assert_eq!((books.refused_log_full, books.refusing), (1, Some(refused.to_string())));
    // What it holds already it holds: a repeat is no less refused, and stored once when there is room.
    assert!(append(&wal, numbered(0, 1)).is_err());
    assert!(disk.contents().values().map(|file| file.len() as u64).sum::<u64>() <= 4_000);
    drop(wal);
    let (wal, _) = open_with(WalOptions { log_bytes_max: 4_000, ..options() }, &disk).unwrap();
    assert!(append(&wal, numbered(first, 1)).is_err());
    wal.release(Position(first / 2)).unwrap();
    assert_eq!(append(&wal, numbered(0, 1)), Ok(duplicate(1)));
    assert_eq!(append(&wal, numbered(first, 1)).unwrap().stored, 1);
    assert_eq!(wal.books().refusing, None);
}

#[test]
fn while_it_cannot_be_repaired_every_append_fails_and_tries() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    append(&wal, numbered(0, 2)).unwrap();
    disk.set_faults(Faults { syncs: 1, truncates: 2, creates: 1, renames: 1, folder_syncs: 1, ..Faults::default() });
    assert!(append(&wal, numbered(2, 2)).unwrap_err().may_have_happened());
    for _ in 0..4 {
        assert!(matches!(append(&wal, numbered(2, 2)), Err(AppendError::Unavailable { .. })));
    }
    assert_eq!(append(&wal, numbered(2, 2)), Ok(stored(2, 2)));
    assert_eq!(entries(&wal).len(), 2);
}

/// A process that dies after a failed sync leaves pages that read well and are not on the disk.
#[test]
fn what_a_failed_sync_left_readable_is_made_durable_by_the_next_start() {
    for seed in 0..20 {
        let disk = MemoryDisk::default();
        let (wal, _) = open(&disk);
        append(&wal, numbered(0, 2)).unwrap();
        disk.set_faults(Faults { syncs: 1, truncates: 9, ..Faults::default() });
        append(&wal, numbered(2, 2)).unwrap_err();
        drop(wal);
        disk.set_faults(Faults::default());
        let (wal, report) = open(&disk);
        assert_eq!(report.durable, Position(2));
        assert_eq!(append(&wal, numbered(2, 2)), Ok(duplicate(2)));
        let (wal, report) = open(&disk.after_power_loss(seed));
        assert_eq!((report.durable, entries(&wal).len()), (Position(3), 2));
    }
}

#[test]
fn segments_roll_by_size_and_by_age() {
    let disk = MemoryDisk::default();
    let (began, hours) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let clock = {
        let hours = hours.clone();
        Arc::new(move || began + Duration::from_secs(3600 * hours.load(Ordering::Relaxed)))
    };
    let (wal, _) =
        Wal::open_on(WalOptions { segment_bytes_max: 4_000, ..options() }, Arc::new(disk.clone()), clock).unwrap();
    append(&wal, numbered(0, 1)).unwrap();
    assert_eq!(wal.books().segments, 1);
    hours.store(1, Ordering::Relaxed);
    append(&wal, numbered(1, 1)).unwrap();
    assert_eq!(wal.books().segments, 2);
    (2..100).for_each(|first| assert!(append(&wal, numbered(first, 1)).is_ok()));
    assert!(wal.books().segments > 3);
    assert!(disk.contents().values().all(|segment| segment.len() <= 4_000));
    assert_eq!(entries(&wal).len(), 100);
}

#[test]
fn the_queue_is_bounded_and_closing_answers_what_is_in_it() {
    let disk = MemoryDisk::default();
    let (wal, _) =
        Wal::open_on(WalOptions { queue_bytes_max: 600, ..options() }, Arc::new(disk.clone()), Arc::new(Instant::now))
            .unwrap();
    disk.hold_syncs();
    let first = wal.submit(numbered(0, 1)).unwrap();
    disk.until_held();
    let second = wal.submit(numbered(1, 1)).unwrap();
    let third = wal.submit(identified(&[1])).unwrap();
    assert_eq!(wal.submit(numbered(2, 1)).unwrap_err(), AppendError::Busy);
    disk.release_syncs();
    wal.close();
    assert_eq!((wait(first), wait(second), wait(third)), (Ok(stored(1, 1)), Ok(stored(2, 1)), Ok(stored(3, 1))));
    assert_eq!(append(&wal, numbered(2, 1)), Err(AppendError::Closed));
}

#[test]
fn an_entry_outside_the_limits_is_refused() {
    let (wal, _) = open(&MemoryDisk::default());
    let refused = [
        crate::NewEntry { tenant: "".into(), ..numbered(0, 1) },
        crate::NewEntry { tenant: "x".repeat(65).into(), ..numbered(0, 1) },
        numbered(0, 0),
        numbered(0, crate::ROWS_MAX + 1),
        crate::NewEntry { rows: 2, ..identified(&[1]) },
        crate::NewEntry { announced: 0, ..numbered(u64::MAX - 2, 1) },
    ];
    let (last, refused) = refused.split_last().unwrap();
    for entry in refused {
        assert!(matches!(append(&wal, entry.clone()), Err(AppendError::Invalid(_))), "{entry:?}");
    }
    assert!(append(&wal, last.clone()).is_ok());
}

/// The cut of a failed group is itself not synced, the process dies, and the next one writes: the end of the old group
/// must not show behind the new records when the power goes.
#[test]
fn an_undone_cut_does_not_bring_back_a_failed_group() {
    for seed in 0..40 {
        let disk = MemoryDisk::default();
        let (wal, _) = open(&disk);
        // Failed syncs keep random sectors: each round starts from another state of the generator.
        disk.reseed(seed);
        append(&wal, numbered(8, 1)).unwrap();
        disk.hold_syncs();
        let acknowledged = wal.submit(numbered(9, 1)).unwrap();
        disk.until_held();
        let failed = [wal.submit(numbered(10, 1)).unwrap(), wal.submit(numbered(11, 1)).unwrap()];
        disk.pass_one();
        wait(acknowledged).unwrap();
        disk.until_held();
        disk.set_faults(Faults { syncs: 2, ..Faults::default() });
        disk.release_syncs();
        for answer in failed {
            assert!(wait(answer).unwrap_err().may_have_happened());
        }
        drop(wal);
        let (wal, _) = open(&disk);
        assert_eq!(append(&wal, numbered(11, 1)), Ok(stored(3, 1)));
        let (wal, report) = open(&disk.after_power_loss(seed));
        assert_eq!((report.durable, entries(&wal).len()), (Position(3), 3));
    }
}
