#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ridealong_model::lake::{FlushError, LakeStatus};
use ridealong_wal::WalOptions;
use ridealong_wal::disk::memory::MemoryDisk;

use super::*;

/// A lake that is so far behind.
#[derive(Default)]
struct Behind(AtomicU64);

#[async_trait]
impl Lake for Behind {
    async fn flush(&self) -> Result<(), FlushError> {
        Ok(())
    }

    fn unread_bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn status(&self) -> LakeStatus {
        LakeStatus::default()
    }
}

fn admission(bytes_max: u64, unread: u64) -> (Admission, Arc<Behind>) {
    let lake = Arc::new(Behind(AtomicU64::new(unread)));
    let (wal, _) =
        Wal::open_on(WalOptions::new("log"), Arc::new(MemoryDisk::default()), Arc::new(std::time::Instant::now))
            .expect("an empty disk");
    (Admission::new(Budget::new(bytes_max), lake.clone(), wal), lake)
}

#[tokio::test]
async fn waits_for_the_lake_and_then_gives_up() {
    let (admission, lake) = admission(1 << 30, UNREAD_BYTES_MAX + 1);
    assert!(matches!(admission.enter(1).await, Err(Refusal::Busy)));
    assert_eq!(admission.budget().status().refused, 1);
    let entering = tokio::spawn({
        let admission = admission.clone();
        async move { admission.enter(1).await.is_ok() }
    });
    tokio::time::sleep(PATIENCE / 2).await;
    lake.0.store(0, Ordering::Relaxed);
    assert!(entering.await.unwrap());
}

#[tokio::test]
async fn memory_is_taken_for_the_work_and_given_back() {
    let (admission, _) = admission(128 << 20, 0);
    let share = admission.enter(8 << 20).await.unwrap();
    assert_eq!(share.bytes(), 64 << 20);
    assert!(matches!(admission.enter(8 << 20).await, Err(Refusal::Busy)));
    drop(share);
    assert!(admission.enter(8 << 20).await.is_ok());
}

#[tokio::test]
async fn who_finds_the_line_full_is_refused_without_waiting() {
    let (admission, _) = admission(1 << 30, u64::MAX);
    let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(admission.enter(1))).collect();
    for each in &mut waiting {
        assert!(futures::poll!(each).is_pending());
    }
    let mut one_more = Box::pin(admission.enter(1));
    assert!(matches!(futures::poll!(&mut one_more), std::task::Poll::Ready(Err(Refusal::Busy))));
}

#[tokio::test]
async fn a_log_that_will_be_full_puts_senders_off_before_their_bodies_are_read() {
    let (admission, _) = admission(u64::MAX, 0);
    let log_max = admission.wal.options().log_bytes_max;
    let share = admission.enter(log_max / WORK_FACTOR / 2).await.unwrap();
    assert!(admission.enter(log_max / WORK_FACTOR / 2 + 1).await.is_err());
    drop(share);
    assert!(admission.enter(log_max / WORK_FACTOR / 2 + 1).await.is_ok());
}

#[tokio::test]
async fn those_who_wait_come_in_in_their_order() {
    let (admission, lake) = admission(1 << 30, u64::MAX);
    let came = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for place in 0..5 {
        let (entering, came) = (admission.clone(), came.clone());
        waiting.push(tokio::spawn(async move {
            entering.enter(1).await.unwrap();
            came.lock().await.push(place);
        }));
        // One after the other into the line.
        while admission.line.places.available_permits() + place + 1 > WAITING_MAX {
            tokio::task::yield_now().await;
        }
    }
    lake.0.store(0, Ordering::Relaxed);
    for each in waiting {
        each.await.unwrap();
    }
    assert_eq!(*came.lock().await, [0, 1, 2, 3, 4]);
}
