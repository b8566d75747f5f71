//! The two doors.

use std::sync::Arc;

use bytes::Bytes;
use ridealong_catalog::Catalog;
use ridealong_common::event::Defaults;
use ridealong_common::ids::ProducerId;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Books, Wal};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::commit::commit;
use crate::correct::correct;
use crate::decode::decode;
use crate::enrich::{Enriched, Enricher};
use crate::events::{self, EventReceipt, Reading};
use crate::refusal::Refusal;
use crate::tally::{Tally, TallySnapshot};
use crate::validate::validate;

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
    pub quarantined: u64,
}

/// Takes what arrives. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    pub(crate) wal: Wal,
    pub(crate) catalog: Catalog,
    pub(crate) enricher: Enricher,
    tally: Arc<Tally>,
    decoding: Arc<Semaphore>,
}

impl Ingest {
    pub fn new(wal: Wal, catalog: Catalog, enricher: Enricher) -> Self {
        Self { wal, catalog, enricher, tally: Arc::default(), decoding: Arc::new(Semaphore::new(DECODING_MAX)) }
    }

    /// Takes a batch of an agent. When this returns Ok all of it is durable. Cancelled, it may or may not have been
    /// stored; sent again, it is stored once.
    pub async fn accept_frame(&self, tenant: &TenantId, bytes: Bytes) -> Result<FrameReceipt, Refusal> {
        self.tally.frame(bytes.len());
        let taken = self.take_frame(tenant, bytes).await;
        if let Err(refusal) = &taken {
            self.tally.frame_refused(refusal.reason());
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
        self.tally.frame_rows(frame.rows());
        let committed = commit(&self.wal, tenant, now, frame).await?;
        Ok(FrameReceipt {
            producer,
            stored_to,
            stored: committed.stored,
            duplicate: committed.duplicate,
            quarantined: committed.quarantined,
        })
    }

    /// Takes JSON events; each has its own receipt, in order. An error refuses all of them.
    pub async fn accept_events(&self, tenant: &TenantId, values: &[Value]) -> Result<Vec<EventReceipt>, Refusal> {
        self.tally.events(values.len());
        let now = Timestamp::now();
        let reading = Reading { defaults: &Defaults::default(), corrections: self.catalog.corrections(tenant), now };
        let read = values.iter().map(|value| reading.read(value)).collect();
        let taken = events::store(&self.wal, &self.enricher, tenant, read, now).await;
        match &taken {
            Ok(receipts) => self.tally.receipts(receipts),
            Err(refusal) => self.tally.events_refused(refusal.reason(), values.len()),
        }
        taken
    }

    /// Counts events that were refused before they could be read one by one.
    pub fn refuse_events(&self, reason: &'static str, count: usize) {
        self.tally.events(count);
        self.tally.events_refused(reason, count);
    }

    pub fn tally(&self) -> TallySnapshot {
        self.tally.snapshot()
    }

    /// The log's half of the books.
    pub fn books(&self) -> Books {
        self.wal.books()
    }
}

#[cfg(test)]
mod tests;
