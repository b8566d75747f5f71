//! JSON events: each on its own, so that one bad event never refuses its neighbours.

use futures::future::join_all;
use ridealong_common::event::{Defaults, EventFault, TrackedEvent};
use ridealong_common::ids::EventId;
use ridealong_common::limits::{BLOCK_BYTES_MAX, BLOCK_ROWS_MAX};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{NewEntry, Wal};
use serde_json::Value;

use crate::refusal::Refusal;

/// What became of one event.
#[derive(Debug)]
pub struct EventReceipt {
    pub event_id: Option<EventId>,
    pub status: Result<EventStatus, EventFault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStatus {
    Stored,
    Duplicate,
}

/// Checks each event; those that pass are stored together. Receipts are in the order of the events.
pub(crate) async fn store(
    wal: &Wal,
    tenant: &TenantId,
    values: &[Value],
    defaults: &Defaults,
    now: Timestamp,
) -> Result<Vec<EventReceipt>, Refusal> {
    let read: Vec<_> = values.iter().map(|value| TrackedEvent::from_json(value, defaults, now)).collect();
    let valid: Vec<&TrackedEvent> = read.iter().filter_map(|event| event.as_ref().ok()).collect();
    let mut statuses = stored(wal, tenant, &valid, now).await?.into_iter();
    let receipts = read.into_iter().map(|event| match event {
        Ok(event) => {
            EventReceipt { event_id: Some(event.event_id), status: Ok(statuses.next().unwrap_or(EventStatus::Stored)) }
        }
        Err(fault) => EventReceipt { event_id: None, status: Err(fault) },
    });
    Ok(receipts.collect())
}

async fn stored(
    wal: &Wal,
    tenant: &TenantId,
    events: &[&TrackedEvent],
    now: Timestamp,
) -> Result<Vec<EventStatus>, Refusal> {
    let parts = parts(events);
    let appends = parts.iter().map(|part| {
        let rows: Vec<TrackedEvent> = part.iter().map(|event| (*event).clone()).collect();
        let payload = TrackedEvent::block(&rows).encode().map_err(|source| Refusal::Block { at: 0, source });
        let entry = payload.map(|payload| NewEntry {
            tenant: tenant.to_shared(),
            table: Table::Events,
            received_at_us: now.micros(),
            numbers: None,
            announced: 0,
            rows: rows.len() as u32,
            event_ids: Some(rows.iter().map(|event| event.event_id).collect()),
            quarantined_rows: Vec::new(),
            payload: payload.into(),
        });
        async { wal.append(entry?).await.map_err(Refusal::from) }
    });
    let mut statuses = Vec::with_capacity(events.len());
    for (part, appended) in parts.iter().zip(join_all(appends).await) {
        let duplicates = appended?.duplicate_rows;
        statuses.extend((0..part.len() as u32).map(|row| match duplicates.binary_search(&row) {
            Ok(_) => EventStatus::Duplicate,
            Err(_) => EventStatus::Stored,
        }));
    }
    Ok(statuses)
}

/// Splits events so that each part fits into one block.
fn parts<'a>(events: &'a [&'a TrackedEvent]) -> Vec<&'a [&'a TrackedEvent]> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (at, event) in events.iter().enumerate() {
        let size = event.size();
        if at > start && (bytes + size > BLOCK_BYTES_MAX / 2 || at - start >= BLOCK_ROWS_MAX as usize) {
            parts.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < events.len() {
        parts.push(&events[start..]);
    }
    parts
}
