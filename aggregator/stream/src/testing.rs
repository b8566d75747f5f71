//! What the tests of several modules build on: a log in a folder of its own, and entries for it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ridealong_common::block::{Block, CheckedBlock};
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::rows::{Resource, SummaryRow};
use ridealong_common::sketch::Sketch;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_wal::{Entry, NewEntry, Position, Wal, WalOptions};
use serde_json::Value;

/// A moment, µs.
pub(crate) const NOW_US: i64 = 1_800_000_000_000_000;

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOW_US)))
    }

    pub fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    pub fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn clock(&self) -> crate::Clock {
        let at = self.clone();
        Arc::new(move || Timestamp(at.now_us()))
    }
}

pub(crate) struct Log {
    pub wal: Wal,
    folder: tempfile::TempDir,
}

impl Log {
    pub fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { wal: opened(&folder), folder }
    }

    /// Closed and opened again.
    pub fn reopen(self) -> Self {
        self.wal.close();
        let Self { wal, folder } = self;
        drop(wal);
        Self { wal: opened(&folder), folder }
    }
}

fn opened(folder: &tempfile::TempDir) -> Wal {
    Wal::open(WalOptions::new(folder.path().join("log"))).unwrap().0
}

pub(crate) fn tracked(events: &[Value]) -> Block {
    let read = |event: &Value| TrackedEvent::from_json(event, &Defaults::default(), Timestamp(NOW_US)).unwrap();
    TrackedEvent::block(&events.iter().map(read).collect::<Vec<_>>())
}

pub(crate) fn new_entry(tenant: &str, table: Table, block: &Block, received_at_us: i64) -> NewEntry {
    let ids = (table == Table::Events).then(|| {
        let block = block.clone().check(table).unwrap();
        block.ids(ridealong_common::table::events::EVENT_ID)
    });
    NewEntry {
        tenant: tenant.into(),
        table,
        received_at_us,
        numbers: None,
        announced: 0,
        rows: block.rows(),
        event_ids: ids,
        quarantined_rows: Vec::new(),
        in_place_of_events: false,
        payload: block.encode().unwrap().into(),
    }
}

/// An entry as a follower reads it, and its block.
pub(crate) fn entry(table: Table, block: &Block, received_at_us: i64) -> (Entry, CheckedBlock) {
    let entry = Entry {
        position: Position(1),
        tenant: "acme".into(),
        table,
        received_at_us,
        numbers: None,
        announced: 0,
        rows: block.rows(),
        skipped_rows: Vec::new(),
        payload: block.encode().unwrap().into(),
    };
    (entry, block.clone().check(table).unwrap())
}

/// Requests of one service that took so long, ms, in the ten seconds that begin then; above 900 ms they are errors.
pub(crate) fn summary(service: &str, begin_us: i64, took_ms: &[u64]) -> Block {
    let mut sketch = Sketch::new();
    took_ms.iter().for_each(|ms| sketch.add(ms * 1_000));
    let row = SummaryRow {
        timestamp: Timestamp(begin_us),
        route: "/".into(),
        method: "GET".into(),
        status: Some(200),
        count: took_ms.len() as u64,
        error_count: took_ms.iter().filter(|ms| **ms > 900).count() as u64,
        duration_sum_us: took_ms.iter().sum::<u64>() * 1_000,
        duration_max_us: took_ms.iter().max().unwrap() * 1_000,
        duration_sketch: sketch,
        request_bytes: 10 * took_ms.len() as u64,
        response_bytes: 100 * took_ms.len() as u64,
    };
    let resource = Resource { service: service.to_owned(), host: "host".to_owned(), ..Resource::default() };
    SummaryRow::block(&[row], &resource)
}
