#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::ReadError;
use crate::disk::memory::{Faults, MemoryDisk};
use crate::testing::{append, duplicate, entries, identified, numbered, open, stored};

fn fill(wal: &crate::Wal, from: u64) {
    for number in from..from + 20 {
        append(wal, numbered(number * 2, 2)).unwrap();
        append(wal, identified(&[u128::from(number), u128::from(number) + 1_000])).unwrap();
    }
}

#[test]
fn what_is_released_goes_and_is_still_known() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    fill(&wal, 0);
    let before = wal.books();
    wal.release(Position(25)).unwrap();
    assert!(wal.oldest() > Position(1) && wal.oldest() <= Position(26));
    assert_eq!(entries(&wal).first().unwrap().position, wal.oldest());
    assert!(
        matches!(wal.follow(Position(0)).next_batch(1), Err(ReadError::Released { oldest }) if oldest == wal.oldest())
    );
    wal.release(wal.durable()).unwrap();
    assert_eq!(wal.books().segments, 1);
    for seed in 0..10 {
        let (wal, report) = open(&disk.after_power_loss(seed));
        assert_eq!(report.durable, Position(40));
        let after = wal.books();
        assert_eq!((&after.tables, &after.producers, &after.ids), (&before.tables, &before.producers, &before.ids));
        assert_eq!(append(&wal, numbered(0, 40)), Ok(duplicate(40)));
        assert_eq!(append(&wal, identified(&[0, 1_019])), Ok(duplicate(2)));
        assert_eq!(append(&wal, identified(&[5_000])), Ok(stored(43, 1)));
    }
}

#[test]
fn nothing_goes_that_is_not_released() {
    let (wal, _) = open(&MemoryDisk::default());
    fill(&wal, 0);
    let segments = wal.books().segments;
    wal.release(Position(0)).unwrap();
    assert_eq!((wal.books().segments, wal.oldest()), (segments, Position(1)));
}

#[test]
fn ids_are_written_once_and_removed_when_forgotten() {
    let disk = MemoryDisk::default();
    let options = || crate::WalOptions { ids_max: 40_000, ..crate::testing::options() };
    let (wal, _) = crate::testing::open_with(options(), &disk).unwrap();
    let runs = || disk.contents().into_iter().filter(|(name, _)| name.ends_with(".run")).collect::<Vec<_>>();
    let mut seen = Vec::new();
    for round in 0..5_u128 {
        let ids: Vec<u128> = (0..20_000).map(|id| round * 20_000 + id).collect();
        append(&wal, identified(&ids)).unwrap();
        wal.release(wal.durable()).unwrap();
        seen.push(runs().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    assert_eq!(seen[0].len(), 1);
    assert!(seen[1].contains(&seen[0][0]) && !seen[2].contains(&seen[0][0]));
    assert_eq!(seen[4].len(), 2);
    wal.close();
    let (wal, _) = crate::testing::open_with(options(), &disk).unwrap();
    assert_eq!(wal.books().ids.count, 40_000);
    assert_eq!(append(&wal, identified(&[60_000, 99_999])), Ok(duplicate(2)));
    assert_eq!(append(&wal, identified(&[59_999])), Ok(stored(7, 1)));
}

#[test]
fn a_release_that_fails_anywhere_loses_nothing() {
    let faults = |set: fn(&mut Faults) -> &mut u32| {
        let mut faults = Faults::default();
        *set(&mut faults) = 1;
        faults
    };
    let all = [
        faults(|faults| &mut faults.creates),
        faults(|faults| &mut faults.writes),
        faults(|faults| &mut faults.syncs),
        faults(|faults| &mut faults.renames),
        faults(|faults| &mut faults.folder_syncs),
        faults(|faults| &mut faults.removes),
    ];
    for faults in all {
        for seed in 0..10 {
            let disk = MemoryDisk::default();
            let (wal, _) = open(&disk);
            fill(&wal, 0);
            wal.release(Position(20)).unwrap();
            fill(&wal, 20);
            disk.set_faults(faults.clone());
            // It may succeed all the same: what the old checkpoint covers goes, then all is tried again.
            let _ = wal.release(wal.durable());
            let (crashed, report) = open(&disk.after_power_loss(seed));
            assert_eq!(report.durable, Position(80));
            assert_eq!(append(&crashed, numbered(0, 80)), Ok(duplicate(80)));
            wal.release(wal.durable()).unwrap();
            assert_eq!(wal.books().segments, 1);
        }
    }
}

/// The checkpoint finds no room, but what the one before it covers may go and makes room.
#[test]
fn a_full_disk_does_not_keep_the_log_from_being_released() {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    fill(&wal, 0);
    wal.release(Position(5)).unwrap();
    fill(&wal, 20);
    disk.set_faults(Faults { creates: 1, is_full: true, ..Faults::default() });
    wal.release(wal.durable()).unwrap();
    assert_eq!(wal.books().segments, 1);
}
