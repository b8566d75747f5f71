//! The two doors.

use std::sync::Arc;

use bytes::Bytes;
use ridealong_catalog::Catalog;
use ridealong_common::event::Defaults;
use ridealong_common::ids::ProducerId;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Books, Position, TenantBooks, Wal};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::commit::commit;
use crate::correct::correct;
use crate::decode::decode;
use crate::enrich::{Enriched, Enricher};
use crate::events::{self, EventReceipt, EventStatus, Reading};
use crate::refusal::Refusal;
use crate::tally::{Door, Tally, TallySnapshot};
use crate::validate::validate;

/// Frames expanded at once: each may take 32 MiB and more while it is checked.
const DECODING_MAX: usize = 4;
/// JSON events that are worked on where they are; more would keep the thread from its other requests for too long.
const EVENTS_INLINE_MAX: usize = 32;

/// What an agent learns about its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameReceipt {
    pub producer: ProducerId,
    /// The number after the last event of the frame: the sender may forget what lies before it in the frame.
    pub stored_to: u64,
    pub stored: u64,
    pub duplicate: u64,
    pub quarantined: u64,
}

/// Takes what arrives. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    pub(crate) wal: Wal,
    pub(crate) catalog: Catalog,
    pub(crate) enricher: Enricher,
    tally: Tally,
    decoding: Arc<Semaphore>,
}

impl Ingest {
    pub fn new(wal: Wal, catalog: Catalog, enricher: Enricher) -> Self {
        Self { wal, catalog, enricher, tally: Tally::new(), decoding: Arc::new(Semaphore::new(DECODING_MAX)) }
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
        let (corrections, enricher, now) = (self.catalog.corrections(tenant), self.enricher.clone(), Timestamp::now());
        let frame = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let frame = correct(validate(decode(&bytes)?, now), corrections, now);
            Ok::<_, Refusal>(enricher.enrich_frame(frame))
        });
        let frame: Enriched = frame.await.map_err(|_| Refusal::Busy)??;
        let (producer, stored_to) = (frame.producer, frame.end());
        let mut arrived = self.tally.arrived(tenant, Door::Batches, frame.rows());
        let committed = match commit(&self.wal, tenant, now, frame).await {
            Ok(committed) => committed,
            Err(refusal) => {
                arrived.all_refused(refusal.reason());
                return Err(refusal);
            }
        };
        arrived.answered(committed.stored, committed.duplicate, committed.quarantined);
        Ok(FrameReceipt {
            producer,
            stored_to,
            stored: committed.stored,
            duplicate: committed.duplicate,
            quarantined: committed.quarantined,
        })
    }

    /// Takes JSON events; each has its own receipt, in order. An error refuses all of them.
    pub async fn accept_events(&self, tenant: &TenantId, values: Vec<Value>) -> Result<Vec<EventReceipt>, Refusal> {
        let mut arrived = self.tally.arrived(tenant, Door::Events, values.len() as u64);
        let taken = self.take_events(tenant, values).await;
        match &taken {
            Ok(receipts) => {
                let of = |status| {
                    receipts.iter().filter(|receipt| receipt.status.as_ref().ok() == Some(&status)).count() as u64
                };
                use EventStatus::{Duplicate, Quarantined, Stored};
                arrived.answered(of(Stored), of(Duplicate), of(Quarantined));
                arrived.refused("invalid", receipts.iter().filter(|receipt| receipt.status.is_err()).count() as u64);
            }
            Err(refusal) => arrived.all_refused(refusal.reason()),
        }
        taken
    }

    async fn take_events(&self, tenant: &TenantId, values: Vec<Value>) -> Result<Vec<EventReceipt>, Refusal> {
        let (catalog, enricher, tenant) = (self.catalog.clone(), self.enricher.clone(), tenant.clone());
        let count = values.len();
        let prepare = move || {
            let now = Timestamp::now();
            let corrections = catalog.corrections(&tenant);
            let reading = Reading { defaults: &Defaults::default(), corrections, now };
            let read = values.iter().map(|value| reading.read(value)).collect();
            events::prepare(&enricher, &tenant, read, now)
        };
        let prepared = if count <= EVENTS_INLINE_MAX {
            prepare()?
        } else {
            let slot = Arc::clone(&self.decoding).acquire_owned().await.map_err(|_| Refusal::Busy)?;
            let preparing = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                prepare()
            });
            preparing.await.map_err(|_| Refusal::Busy)??
        };
        events::store(&self.wal, prepared).await
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
