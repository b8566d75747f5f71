#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use crate::testing::{duplicate, entries, identified, numbered, stored};
use crate::{Position, Wal, WalOptions};

/// The same on real files: appended by many tasks, released, opened again.
#[tokio::test]
async fn real_files_hold_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let options = || WalOptions { segment_bytes_max: 20_000, ..WalOptions::new(folder.path().join("wal")) };
    let (wal, report) = Wal::open(options()).unwrap();
    assert_eq!(report.durable, Position::NONE);
    let mut durable = wal.subscribe();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let wal = wal.clone();
        tasks.spawn(async move { wal.append(numbered(number * 3, 3)).await });
    }
    while let Some(appended) = tasks.join_next().await {
        assert_eq!(appended.unwrap().unwrap().stored, 3);
    }
    assert_eq!(*durable.borrow_and_update(), Position(500));
    assert_eq!(wal.append(identified(&[1, 2])).await, Ok(stored(501, 2)));
    assert_eq!(entries(&wal).len(), 501);
    wal.release(Position(250)).unwrap();
    let (books, log_id) = (wal.books(), wal.log_id());
    wal.close();
    drop(wal);

    let (wal, report) = Wal::open(options()).unwrap();
    assert_eq!((report.log_id, report.durable, report.cut_bytes), (log_id, Position(501), 0));
    assert_eq!(wal.books(), books);
    assert_eq!(wal.append(numbered(0, 1_500)).await, Ok(duplicate(1_500)));
    assert_eq!(wal.append(identified(&[2, 1])).await, Ok(duplicate(2)));
}

/// Dropping the future after its first poll does not undo the append.
#[tokio::test]
async fn a_caller_that_goes_away_undoes_nothing() {
    let disk = crate::disk::memory::MemoryDisk::default();
    let (wal, _) = crate::testing::open(&disk);
    let mut durable = wal.subscribe();
    disk.hold_syncs();
    let append = wal.append(numbered(0, 1));
    assert!(tokio::time::timeout(std::time::Duration::ZERO, append).await.is_err());
    disk.release_syncs();
    durable.wait_for(|position| *position == Position(1)).await.unwrap();
    assert_eq!(wal.append(numbered(0, 1)).await, Ok(duplicate(1)));
}

#[test]
fn the_last_handle_closes_the_log() {
    let (wal, _) = crate::testing::open(&crate::disk::memory::MemoryDisk::default());
    let shared = Arc::downgrade(&wal.clone().handle.shared);
    let follower = wal.follow(Position::NONE);
    drop(wal);
    assert_eq!(follower.wait(std::time::Duration::from_secs(60)), crate::Wake::Closed);
    drop(follower);
    assert!(shared.upgrade().is_none());
}
