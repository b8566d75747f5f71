//! Last stage: into the write-ahead log, which alone decides what is a duplicate and answers once it is durable.

use futures::future::join_all;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Appended, NewEntry, Numbers, Wal};

use crate::enrich::Enriched;
use crate::quarantine::{self, Origin};
use crate::refusal::Refusal;

/// What became of a frame's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    pub stored: u64,
    pub duplicate: u64,
    pub quarantined: u64,
}

/// Stores a frame, chunk by chunk in its order, and what is set aside beside it. When some of it fails the whole frame is
/// answered as failed: sent again, what was stored or set aside is found to be a duplicate.
pub(crate) async fn commit(
    wal: &Wal,
    tenant: &TenantId,
    received_at: Timestamp,
    frame: Enriched,
) -> Result<Committed, Refusal> {
    let Enriched { producer, announced, mut chunks } = frame;
    let set_aside: Vec<_> = chunks.iter_mut().flat_map(|chunk| std::mem::take(&mut chunk.quarantine)).collect();
    let set_aside = quarantine::entries(tenant, &set_aside, Origin::Counted, received_at)
        .map_err(|source| Refusal::Block { at: 0, source })?;
    let entries = chunks.into_iter().map(|chunk| NewEntry {
        tenant: tenant.to_shared(),
        table: chunk.table,
        received_at_us: received_at.micros(),
        numbers: Some(Numbers { producer, first: chunk.first, crc: chunk.crc }),
        announced,
        rows: chunk.rows,
        event_ids: chunk.event_ids,
        quarantined_rows: chunk.quarantined_rows,
        in_place_of_events: false,
        payload: chunk.payload,
    });
    // All are queued before the first is waited for, so that they share an fsync. What is set aside comes first: a chunk
    // that was acknowledged without it could not bring it again.
    let appends = set_aside.into_iter().map(|entry| (false, entry)).chain(entries.map(|entry| (true, entry)));
    let answers = join_all(appends.map(|(counts, entry)| async move { (counts, wal.append(entry).await) })).await;
    let mut committed = Committed::default();
    for (counts, answer) in answers {
        let appended: Appended = answer.map_err(Refusal::from)?;
        if counts {
            committed.stored += u64::from(appended.stored);
            committed.duplicate += appended.duplicate_rows.len() as u64;
            committed.quarantined += u64::from(appended.quarantined);
        }
    }
    Ok(committed)
}
