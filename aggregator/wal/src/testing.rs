//! What the tests of several modules build on.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::Table;
use tokio::sync::oneshot;

use crate::disk::memory::MemoryDisk;
use crate::queue::{Answer, AppendError};
use crate::{Appended, Entry, NewEntry, Numbers, OpenError, Position, RecoveryReport, Wal, WalOptions};

pub(crate) fn options() -> WalOptions {
    WalOptions { segment_bytes_max: 2_000, ..WalOptions::new("unused") }
}

pub(crate) fn open(disk: &MemoryDisk) -> (Wal, RecoveryReport) {
    try_open(disk).unwrap()
}

pub(crate) fn try_open(disk: &MemoryDisk) -> Result<(Wal, RecoveryReport), OpenError> {
    open_with(options(), disk)
}

pub(crate) fn open_with(options: WalOptions, disk: &MemoryDisk) -> Result<(Wal, RecoveryReport), OpenError> {
    Wal::open_on(options, Arc::new(disk.clone()), Arc::new(Instant::now))
}

pub(crate) fn producer(number: u8) -> ProducerId {
    ProducerId::from_bytes([number; 16])
}

/// Rows `first..first + rows` of producer 1, with a CRC that goes with them.
pub(crate) fn numbered(first: u64, rows: u32) -> NewEntry {
    NewEntry {
        tenant: "acme".into(),
        table: Table::Requests,
        received_at_us: 1_000_000,
        numbers: Some(Numbers { producer: producer(1), first, crc: first as u32 }),
        announced: first + u64::from(rows),
        rows,
        event_ids: None,
        quarantined_rows: Vec::new(),
        in_place_of_events: false,
        payload: Bytes::from(format!("rows {first} and {rows} more")),
    }
}

/// One row for each id.
pub(crate) fn identified(ids: &[u128]) -> NewEntry {
    NewEntry {
        table: Table::Events,
        numbers: None,
        announced: 0,
        rows: ids.len() as u32,
        event_ids: Some(ids.iter().map(|id| EventId::from_u128(*id)).collect()),
        quarantined_rows: Vec::new(),
        in_place_of_events: false,
        payload: Bytes::from(format!("ids {ids:?}")),
        ..numbered(0, 1)
    }
}

pub(crate) fn append(wal: &Wal, entry: NewEntry) -> Answer {
    wait(wal.submit(entry)?)
}

pub(crate) fn wait(answer: oneshot::Receiver<Answer>) -> Answer {
    answer.blocking_recv().map_err(|_| AppendError::Closed)?
}

pub(crate) fn stored(position: u64, rows: u32) -> Appended {
    Appended { position: Some(Position(position)), stored: rows, duplicate_rows: Vec::new(), quarantined: 0 }
}

pub(crate) fn duplicate(rows: u32) -> Appended {
    Appended { position: None, stored: 0, duplicate_rows: (0..rows).collect(), quarantined: 0 }
}

/// Everything that is still in the log.
pub(crate) fn entries(wal: &Wal) -> Vec<Entry> {
    let mut follower = wal.follow(wal.oldest().before());
    let mut entries = Vec::new();
    loop {
        let batch = follower.next_batch(300).unwrap();
        if batch.is_empty() {
            assert_eq!(follower.position(), wal.durable());
            return entries;
        }
        entries.extend(batch);
    }
}
