//! Last stage: into the write-ahead log, which alone decides what is a duplicate and answers once it is durable.

use futures::future::join_all;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Appended, NewEntry, Numbers, Wal};

use crate::refusal::Refusal;
use crate::validate::Validated;

/// Stores a frame, chunk by chunk in its order. When some chunks fail the whole frame is answered as failed: sent again,
/// those that were stored are found to be duplicates.
pub(crate) async fn commit(
    wal: &Wal,
    tenant: &TenantId,
    received_at: Timestamp,
    frame: Validated,
) -> Result<Vec<Appended>, Refusal> {
    let Validated { producer, announced, chunks } = frame;
    let appends = chunks.into_iter().map(|valid| {
        wal.append(NewEntry {
            tenant: tenant.to_shared(),
            table: valid.chunk.table,
            received_at_us: received_at.micros(),
            numbers: Some(Numbers { producer, first: valid.chunk.first, crc: valid.chunk.crc }),
            announced,
            rows: valid.chunk.count,
            event_ids: valid.event_ids,
            quarantined_rows: Vec::new(),
            payload: valid.chunk.block,
        })
    });
    // All are queued before the first is waited for, so that they share an fsync.
    let answers = join_all(appends).await;
    answers.into_iter().collect::<Result<_, _>>().map_err(Refusal::from)
}
