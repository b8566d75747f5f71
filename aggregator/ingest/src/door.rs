//! The two doors.

use std::sync::Arc;

use bytes::Bytes;
use ridealong_common::event::Defaults;
use ridealong_common::ids::ProducerId;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Appended, Books, Position, TenantBooks, Wal};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::commit::commit;
use crate::decode::decode;
use crate::events::{self, EventReceipt, EventStatus};
use crate::refusal::Refusal;
use crate::tally::{Door, Tally, TallySnapshot};
use crate::validate::{Validated, validate};

/// Frames expanded at once: each may take 32 MiB and more while it is checked.
const DECODING_MAX: usize = 4;

/// What an agent learns about its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameReceipt {
    pub producer: ProducerId,
    /// The number after the last event of the frame: the sender may forget what lies before it in the frame.
    pub stored_to: u64,
    pub stored: u64,
    pub duplicate: u64,
}

/// Takes what arrives. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    wal: Wal,
    tally: Tally,
    decoding: Arc<Semaphore>,
}

impl Ingest {
    pub fn new(wal: Wal) -> Self {
        Self { wal, tally: Tally::new(), decoding: Arc::new(Semaphore::new(DECODING_MAX)) }
    }

    /// Takes a batch of an agent. When this returns Ok all of it is durable. Cancelled, it may or may not have been
    /// stored; sent again, it is stored once.
    pub async fn accept_frame(&self, tenant: &TenantId, bytes: Bytes) -> Result<FrameReceipt, Refusal> {
        self.tally.batch(tenant, Door::Batches, bytes.len());
        let taken = self.take_frame(tenant, bytes).await;
        if let Err(refusal) = &taken {
            self.tally.batch_refused(tenant, Door::Batches, refusal.reason());
        }
        taken
    }

    async fn take_frame(&self, tenant: &TenantId, bytes: Bytes) -> Result<FrameReceipt, Refusal> {
        let slot = Arc::clone(&self.decoding).acquire_owned().await.map_err(|_| Refusal::Busy)?;
        let frame = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            validate(decode(&bytes)?)
        });
        let frame: Validated = frame.await.map_err(|_| Refusal::Busy)??;
        let producer = frame.producer;
        let rows: u64 = frame.chunks.iter().map(|valid| u64::from(valid.chunk.count)).sum();
        let stored_to = frame.chunks.iter().map(|valid| valid.chunk.end()).max().unwrap_or(0);
        let mut arrived = self.tally.arrived(tenant, Door::Batches, rows);
        let appended = match commit(&self.wal, tenant, Timestamp::now(), frame).await {
            Ok(appended) => appended,
            Err(refusal) => {
                arrived.all_refused(refusal.reason());
                return Err(refusal);
            }
        };
        let sum = |of: fn(&Appended) -> usize| appended.iter().map(|each| of(each) as u64).sum();
        let stored = sum(|appended| appended.stored as usize);
        let duplicate = sum(|appended| appended.duplicate_rows.len());
        arrived.answered(stored, duplicate, sum(|appended| appended.quarantined as usize));
        Ok(FrameReceipt { producer, stored_to, stored, duplicate })
    }

    /// Takes JSON events; each has its own receipt, in order. An error refuses all of them.
    pub async fn accept_events(&self, tenant: &TenantId, values: &[Value]) -> Result<Vec<EventReceipt>, Refusal> {
        let mut arrived = self.tally.arrived(tenant, Door::Events, values.len() as u64);
        let taken = events::store(&self.wal, tenant, values, &Defaults::default(), Timestamp::now()).await;
        match &taken {
            Ok(receipts) => {
                let of =
                    |status| receipts.iter().filter(|receipt| receipt.status.as_ref().ok() == Some(&status)).count();
                arrived.answered(of(EventStatus::Stored) as u64, of(EventStatus::Duplicate) as u64, 0);
                let invalid = receipts.iter().filter(|receipt| receipt.status.is_err()).count();
                arrived.refused("invalid", invalid as u64);
            }
            Err(refusal) => arrived.all_refused(refusal.reason()),
        }
        taken
    }

    /// Counts a body that holds no events, or no one knows how many: `rows` of them, if that is known.
    pub fn refuse_events(&self, tenant: &TenantId, reason: &'static str, rows: usize) {
        self.tally.batch_refused(tenant, Door::Events, reason);
        self.tally.arrived(tenant, Door::Events, rows as u64).all_refused(reason);
    }

    pub fn tally(&self) -> TallySnapshot {
        self.tally.snapshot()
    }

    /// The log's half of the books.
    pub fn books(&self) -> Books {
        self.wal.books()
    }

    /// A tenant's part of it, as of a position a little while ago.
    pub(crate) fn tenant_books(&self, tenant: &TenantId, position: Position) -> Option<TenantBooks> {
        self.wal.tenant_books(tenant.as_str(), position)
    }

    /// When the oldest row after a position of the log was received; None when there is none.
    pub fn oldest_stored_after(&self, position: u64) -> Option<Timestamp> {
        self.wal.oldest_stored_after(Position(position)).map(Timestamp)
    }
}

#[cfg(test)]
mod tests;
