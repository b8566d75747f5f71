//! What was set aside is let in again: it goes through the same stages as what arrives, under the id that it was set aside
//! with, so that an event is stored once however often it is replayed.

use ridealong_common::block::Block;
use ridealong_common::event::Defaults;
use ridealong_common::ids::EventId;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::NewEntry;
use serde_json::{Map, Value};

use crate::door::Ingest;
use crate::events::{self, EventReceipt, EventStatus, Read, Reading, appended};
use crate::quarantine::{self, Origin, QuarantineRow, Standing};
use crate::refusal::Refusal;
use crate::row_json::row_block;
use crate::validate::row_faults;

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// Stored; of a dry run: sound, it would be stored, unless it is stored already.
    Stored,
    Duplicate,
    /// It stays in quarantine; the sentence says why.
    Faulty {
        reason: String,
        detail: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReceipt {
    pub event_id: EventId,
    pub replayed: Replayed,
}

/// A row that could go on.
enum Ready {
    Event(Read),
    Row(Table, Block),
    Faulty { reason: String, detail: String },
}

impl Ingest {
    /// Lets rows in again that are in force; receipts are in their order. What is stored, now or before, is marked as
    /// replayed. Cancelled or failed in between, some may be stored and not marked: replayed again, they are duplicates.
    pub async fn replay(
        &self,
        tenant: &TenantId,
        rows: Vec<QuarantineRow>,
        is_dry: bool,
    ) -> Result<Vec<ReplayReceipt>, Refusal> {
        let now = Timestamp::now();
        let reading = Reading { defaults: &Defaults::default(), corrections: self.catalog.corrections(tenant), now };
        let ready: Vec<Ready> = rows.iter().map(|row| ready(row, &reading)).collect();
        let replayed =
            if is_dry { ready.iter().map(foreseen).collect() } else { self.store(tenant, &rows, ready, now).await? };
        let receipts: Vec<ReplayReceipt> = rows
            .iter()
            .zip(replayed)
            .map(|(row, replayed)| ReplayReceipt { event_id: row.event_id, replayed })
            .collect();
        if !is_dry {
            let done = rows.into_iter().zip(&receipts).filter(|(_, receipt)| !receipt.is_faulty()).map(|(row, _)| row);
            let marks: Vec<QuarantineRow> = done.map(|row| row.next(Standing::Replayed)).collect();
            self.write_quarantine(tenant, &marks, now).await?;
        }
        Ok(receipts)
    }

    /// Makes a change of one row durable; false when another change of the same row was faster. `row` is as it was read,
    /// with what is to be changed.
    pub async fn change_quarantined(
        &self,
        tenant: &TenantId,
        row: QuarantineRow,
        standing: Standing,
    ) -> Result<bool, Refusal> {
        let repeats = self.write_quarantine(tenant, &[row.next(standing)], Timestamp::now()).await?;
        Ok(repeats == [false])
    }

    async fn write_quarantine(
        &self,
        tenant: &TenantId,
        rows: &[QuarantineRow],
        now: Timestamp,
    ) -> Result<Vec<bool>, Refusal> {
        let entries = quarantine::entries(tenant, rows, Origin::Counted, now)
            .map_err(|source| Refusal::Block { at: 0, source })?;
        appended(&self.wal, entries).await
    }

    async fn store(
        &self,
        tenant: &TenantId,
        rows: &[QuarantineRow],
        ready: Vec<Ready>,
        now: Timestamp,
    ) -> Result<Vec<Replayed>, Refusal> {
        let (mut reads, mut entries) = (Vec::new(), Vec::new());
        let mut kinds = Vec::with_capacity(ready.len());
        for (row, ready) in rows.iter().zip(ready) {
            kinds.push(match ready {
                Ready::Event(read) => {
                    reads.push(read);
                    None
                }
                Ready::Row(table, block) => {
                    entries.push(entry(tenant, row.event_id, table, &block, now)?);
                    Some(Replayed::Stored)
                }
                Ready::Faulty { reason, detail } => Some(Replayed::Faulty { reason, detail }),
            });
        }
        let receipts = events::store(&self.wal, events::prepare(&self.enricher, tenant, reads, now)?).await?;
        let (mut receipts, mut repeats) = (receipts.into_iter(), appended(&self.wal, entries).await?.into_iter());
        let outcomes = kinds.into_iter().map(|kind| match kind {
            None => receipts.next().map_or(Replayed::Stored, |receipt| of_receipt(&receipt)),
            Some(Replayed::Stored) if repeats.next() == Some(true) => Replayed::Duplicate,
            Some(kind) => kind,
        });
        Ok(outcomes.collect())
    }
}

impl ReplayReceipt {
    fn is_faulty(&self) -> bool {
        matches!(self.replayed, Replayed::Faulty { .. })
    }
}

impl QuarantineRow {
    /// What follows it.
    fn next(self, standing: Standing) -> Self {
        Self { standing, revision: self.revision + 1, ..self }
    }
}

/// What a row's payload is as an event or a row of its table.
fn ready(row: &QuarantineRow, reading: &Reading<'_>) -> Ready {
    let faulty = |reason: &str, detail: String| Ready::Faulty { reason: reason.to_owned(), detail };
    let Some(table) = Table::from_name(&row.source_table).filter(|table| table.comes_from_agents()) else {
        return faulty("unknown_table", format!("{} is no table that can be written", row.source_table));
    };
    let Some(payload) = &row.payload else {
        return faulty("no_payload", "its payload was too long to be kept".to_owned());
    };
    let Ok(mut payload) = serde_json::from_str::<Map<String, Value>>(payload) else {
        return faulty("no_json", "its payload is no JSON object; give it one with PATCH".to_owned());
    };
    if table == Table::Events {
        payload.remove("event_id");
        payload.insert("eventId".to_owned(), Value::from(row.event_id.to_string()));
        return match reading.read(&Value::Object(payload)) {
            Read::Sound(event) => Ready::Event(Read::Sound(event)),
            Read::Faulty(row) => faulty(&row.reason, row.detail),
            Read::NoEvent(fault) => faulty(fault.reason(), fault.to_string()),
        };
    }
    let block = match row_block(table, &payload) {
        Ok(block) => block,
        Err(detail) => return faulty("wrong_type", detail),
    };
    match block.clone().check(table) {
        Err(error) => faulty("unreadable", error.to_string()),
        Ok(checked) => match row_faults(&checked).into_iter().next() {
            Some(fault) => faulty(fault.reason, fault.detail),
            None => Ready::Row(table, block),
        },
    }
}

fn foreseen(ready: &Ready) -> Replayed {
    match ready {
        Ready::Faulty { reason, detail } => Replayed::Faulty { reason: reason.clone(), detail: detail.clone() },
        Ready::Event(_) | Ready::Row(..) => Replayed::Stored,
    }
}

fn of_receipt(receipt: &EventReceipt) -> Replayed {
    match receipt.status {
        Ok(EventStatus::Duplicate) => Replayed::Duplicate,
        _ => Replayed::Stored,
    }
}

fn entry(
    tenant: &TenantId,
    event_id: EventId,
    table: Table,
    block: &Block,
    now: Timestamp,
) -> Result<NewEntry, Refusal> {
    Ok(NewEntry {
        tenant: tenant.to_shared(),
        table,
        received_at_us: now.micros(),
        numbers: None,
        announced: 0,
        rows: 1,
        event_ids: Some(vec![event_id]),
        quarantined_rows: Vec::new(),
        in_place_of_events: false,
        payload: block.encode().map_err(|source| Refusal::Block { at: 0, source })?.into(),
    })
}
